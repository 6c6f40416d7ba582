"""Environments of packages: what asks for one, how it is made, and that nothing of it is seen before it is whole."""

import base64
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import pytest

from jina import Deployment, Document
from jina.errors import BadConfigSource, ConfigError, NotSupportedError
from jina.supervisor.environments import Environment, requirement_files, users_path

CACHE = "XDG_CACHE_HOME"
NAME = "distribution_of_a_test"
MARK = "JINA_TEST_OF_ENVIRONMENTS"
"""Variable by which processes of a test are found."""
EXECUTOR = f"""
import os, sys
from jina import Executor, requests
from {NAME} import WORD

class Needy(Executor):
    def __init__(self, word="", **kwargs):
        super().__init__(**kwargs)
        self.word = word

    @requests
    def say(self, docs, **kwargs):
        for doc in docs:
            doc.text = WORD + self.word
            doc.tags = {{"prefix": sys.prefix, "pid": os.getpid(), "path": os.environ["PATH"]}}
"""


def wheel(folder, word="installed"):
    """A wheel of one module, made by hand: nothing is built, nothing is downloaded."""
    info = f"{NAME}-1.0.dist-info"
    files = {
        f"{NAME}.py": f"WORD = {word!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    path = folder / f"{NAME}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name_of, text in files.items():
            archive.writestr(name_of, text)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache whose path has blanks, and no index."""
    monkeypatch.setenv(CACHE, str(tmp_path / "a cache, ümlaut"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "a cache, ümlaut" / "jina" / "environments"


@pytest.fixture
def package(tmp_path):
    """An Executor that needs a wheel of its own folder."""
    folder = tmp_path / "a package"
    folder.mkdir()
    (folder / "executor.py").write_text(EXECUTOR)
    (folder / "config.yml").write_text("jtype: Needy\npy_modules: [executor.py]\n")
    (folder / "requirements.txt").write_text(f"./{wheel(folder).name}\n")
    return folder


def read(folder, text):
    (folder / "requirements.txt").write_text(text)
    return Environment.read([str(folder / "requirements.txt")])


class TestReading:
    def test_lines(self, tmp_path):
        (tmp_path / "more.txt").write_text("b>=1 \\\n  ,<2  # why\n")
        (tmp_path / "limits.txt").write_text("c<3\n")
        found = read(tmp_path, "# nothing\na==1\n-r more.txt\n-c limits.txt\njina>=3\nrejina[otel]\n--require-hashes\n")
        assert found.lines == ("a==1", "b>=1   ,<2")
        assert found.constraints == ("c<3",)
        assert any(line.startswith("opentelemetry-sdk") for line in found.ours)
        assert any(line.startswith("uvicorn") for line in found.ours)
        assert not any(line.startswith("cryptography") for line in found.ours)

    @pytest.mark.parametrize("text", ["", "# only this\n\n", "jina\n", "--index-url https://example.org\n"])
    def test_what_requires_nothing(self, tmp_path, text):
        assert read(tmp_path, text).is_empty
        assert not read(tmp_path, "-e .\n").is_empty

    def test_what_an_environment_depends_on(self, tmp_path):
        first = read(tmp_path, "a==1\n").digest
        assert read(tmp_path, "a==1  # the same\n").digest == first
        assert read(tmp_path, "a==2\n").digest != first
        (tmp_path / "more.txt").write_text("b\n")
        included = read(tmp_path, "a==1\n-r more.txt\n").digest
        (tmp_path / "more.txt").write_text("b>1\n")
        assert read(tmp_path, "a==1\n-r more.txt\n").digest not in {first, included}
        made = wheel(tmp_path)
        before = read(tmp_path, f"./{made.name}\n")
        assert before.lines == (made.as_uri(),)
        wheel(tmp_path, "changed")
        assert read(tmp_path, f"./{made.name}\n").digest != before.digest

    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(BadConfigSource, match=r"requirements\.txt:2: .*gone\.txt: No such file") as caught:
            read(tmp_path, "a\n-r gone.txt\n")
        assert str(tmp_path) in caught.value.message
        (tmp_path / "circle.txt").write_text("-r circle.txt\nb\n")
        assert read(tmp_path, "-r circle.txt\n").lines == ("b",)

    def test_projects(self, tmp_path):
        files = {name: tmp_path / name for name in ("pyproject.toml", "uv.lock", "requirements.txt")}
        assert requirement_files([str(tmp_path)]) == []
        files["pyproject.toml"].write_text('[project]\nname = "x"\ndependencies = ["a>=1", "jina"]\n')
        found = requirement_files([str(tmp_path / "none"), str(tmp_path)])
        assert Environment.read(found).lines == ("a>=1",)
        files["requirements.txt"].write_text("b\n")
        assert Environment.read(requirement_files([str(tmp_path)])).lines == ("a>=1", "b")
        files["uv.lock"].write_text("version = 1\n")
        locked = requirement_files([str(tmp_path)])
        assert [Path(file).name for file in locked] == ["uv.lock", "pyproject.toml", "requirements.txt"]
        assert Environment.read(locked).lines == ("b",)
        files["uv.lock"].unlink()
        files["pyproject.toml"].write_text('[project]\nname = "x"\ndynamic = ["dependencies"]\n')
        with pytest.raises(ConfigError, match="dynamic dependencies"):
            Environment.read(requirement_files([str(tmp_path)]))

    def test_the_users_entries(self, tmp_path):
        own = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), os.path.dirname(json.__path__[0])]
        assert users_path([*own, str(tmp_path), ""]) == [str(tmp_path), ""]


class TestWhatIsRefused:
    def test_offline(self, package, cache):
        environment = Environment.read([str(package / "requirements.txt")])
        with pytest.raises(BadConfigSource, match="is not made, and offline nothing is installed") as caught:
            environment.make(offline=True)
        assert "jina hub pull" in caught.value.help
        assert not environment.folder.exists()

    def test_in_this_process(self, package):
        deployment = Deployment(uses=str(package / "config.yml"), install_requirements=True)
        for start in (deployment.in_process, deployment.asgi, deployment.serve_here):
            with pytest.raises(NotSupportedError, match="nothing is installed into that") as caught:
                start()
            assert f"pip install -r {package}/requirements.txt" in caught.value.help

    def test_a_file_that_includes_what_is_not_there(self, package):
        (package / "requirements.txt").write_text("-r gone.txt\n")
        with pytest.raises(BadConfigSource, match=r"gone\.txt"):
            Deployment(uses=str(package / "config.yml"), install_requirements=True)

    def test_a_package_that_requires_nothing_needs_no_environment(self, package, cache):
        (package / "requirements.txt").write_text("\n")
        plan = Deployment(uses=str(package / "config.yml"), install_requirements=True).plan
        assert plan.workers[0].executor.requirements == []


def marked(mark):
    """The processes whose environment has the mark."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def until(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


MAKE = """
import sys
from jina.supervisor.environments import Environment
Environment.read([sys.argv[1]]).make(on_wait=lambda: print("waits", flush=True))
"""
SERVE = """
import sys
from jina import Deployment
if __name__ == "__main__":
    with Deployment(uses=sys.argv[1], host="127.0.0.1", install_requirements=True) as served:
        print("ready", flush=True)
        sys.stdin.read()
"""
BACKEND = """
import os, time
from pathlib import Path

def build_wheel(*args, **kwargs):
    here = Path(__file__).parents[2]  # beside the package, which is not to change
    (here / "builds").touch()
    while not (here / "go").exists():
        time.sleep(0.05)
    raise SystemExit("enough")
"""


@pytest.fixture
def building(package):
    """A package whose requirement is a folder that is built until the file `go` is there; where that is."""
    folder = package / "slow"
    folder.mkdir()
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow-of-a-test"\nversion = "1"\n'
    )
    (package / "requirements.txt").write_text("./slow\n")
    return package.parent


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestMaking:
    def test_once_for_two_that_want_it(self, package, cache):
        command = [sys.executable, "-c", MAKE, package / "requirements.txt"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for one in both:
            assert one.communicate(timeout=300)[0] in {"waits\n", ""}
            assert one.returncode == 0
        assert len([path for path in cache.iterdir() if path.is_dir() and not path.is_symlink()]) == 1
        environment = Environment.read([str(package / "requirements.txt")])
        assert environment.is_made
        program = f"import {NAME}, jina, sys; print({NAME}.WORD, jina.__file__)"
        done = subprocess.run([environment.python, "-P", "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == "installed"
        os.close(environment.make(offline=True, on_wait=lambda: pytest.fail("it is made")))

    def test_what_a_lock_pins(self, package):
        (package / "requirements.txt").unlink()
        (package / "pyproject.toml").write_text(
            f'[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["{NAME}"]\n'
            '[tool.uv]\nno-index = true\nfind-links = ["."]\n'
        )
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "lock", "--quiet", "--directory", package], check=True, timeout=60)
        environment = Environment.read(requirement_files([str(package)]))
        os.close(environment.make())
        done = subprocess.run(
            [environment.python, "-P", "-c", f"print(__import__('{NAME}').WORD)"], capture_output=True, text=True,
            check=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == "installed\n"

    def test_what_does_not_go_with_ours(self, package, cache):
        """The installer refuses what a worker could not run with, and says which; nothing is left of it."""
        (package / "requirements.txt").write_text("grpcio<1\n")
        environment = Environment.read([str(package / "requirements.txt")])
        with pytest.raises(ConfigError, match=r"(?s)cannot be installed:.*grpcio") as caught:
            environment.make()
        assert str(cache / f"{environment.digest}.log") in caught.value.help
        assert "grpcio" in (cache / f"{environment.digest}.log").read_text()
        assert [path for path in cache.iterdir() if path.is_dir()] == []

    def test_it_takes_no_longer_than_it_may(self, building, package):
        environment = Environment.read([str(package / "requirements.txt")])
        begun = time.monotonic()
        with pytest.raises(ConfigError, match="was not installed in time"):
            environment.make(seconds=5)
        assert time.monotonic() - begun < 60
        assert not environment.folder.exists()

    def test_killed_while_it_is_made(self, building, package, cache, monkeypatch):
        """Of the program, or of the worker alone: nothing runs on, nothing is seen, and the next one makes it."""
        monkeypatch.setenv(MARK, str(os.getpid()))
        command = [sys.executable, "-c", SERVE, package / "config.yml"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            until((building / "builds").exists, "the build")
            program.kill()
        until(lambda: not marked(os.getpid()), "the end of what was started", 20)
        environment = Environment.read([str(package / "requirements.txt")])
        assert not environment.is_made
        assert len(list(cache.glob(f".{environment.digest}-*"))) == 1
        (building / "go").touch()
        with pytest.raises(ConfigError, match="enough"):
            environment.make()
        assert list(cache.glob(f".{environment.digest}-*")) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestWorkers:
    def test_restart_scale_roll_out(self, package, cache, monkeypatch):
        options = {"host": "127.0.0.1", "quiet": True, "install_requirements": True, "restart_backoff": 0}
        options["env"] = {MARK: str(os.getpid())}
        with Deployment(uses=str(package / "config.yml"), replicas=2, **options) as served:

            def ask():
                (doc,) = served.post("/", Document())
                assert Path(doc.tags["prefix"]).parent == cache
                assert doc.tags["path"].startswith(doc.tags["prefix"])
                return doc.text, int(doc.tags["pid"])

            text, pid = ask()
            assert text == "installed"
            os.kill(pid, signal.SIGKILL)
            until(lambda: served.status().state == "ready" and pid not in marked(os.getpid()), "the restart")
            assert ask()[0] == "installed"
            served.scale(3)
            served.roll_out(uses_with={"word": " again"})
            assert {ask()[0] for _ in range(6)} == {"installed again"}
            wheel(package, "renewed")
            served.roll_out(uses=str(package / "config.yml"))
            assert {ask()[0] for _ in range(6)} == {"renewed again"}
            assert len([path for path in cache.iterdir() if path.is_symlink()]) == 2
        assert marked(os.getpid()) == []

    def test_reload(self, package):
        """Its code, and then its requirements, change while it serves."""
        options = {"host": "127.0.0.1", "quiet": True, "install_requirements": True, "reload": True}
        with Deployment(uses=str(package / "config.yml"), **options) as served:
            assert served.post("/", Document())[0].text == "installed"
            (package / "executor.py").write_text(EXECUTOR.replace("WORD + self.word", "WORD + '!'"))
            until(lambda: served.post("/", Document())[0].text == "installed!", "the new code")
            (package / "requirements.txt").write_text(f"./{wheel(package, 'renewed').name}  # again\n")
            until(lambda: served.post("/", Document())[0].text == "renewed!", "the new requirement")

    def test_nothing_is_left_of_a_killed_program(self, package, monkeypatch):
        monkeypatch.setenv(MARK, str(os.getpid()))
        command = [sys.executable, "-c", SERVE, package / "config.yml"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            line = next((line for line in program.stdout if line == "ready\n"), None)
            assert line, "it ended before"
            assert len(marked(os.getpid())) > 1
            program.kill()
        until(lambda: not marked(os.getpid()), "the end of its worker", 10)

    def test_the_command(self, package, cache, tmp_path):
        """The process of the command becomes the worker: its id stays, and SIGTERM ends it with 0."""
        command = [sys.executable, "-m", "jina", "executor", "--uses", package / "config.yml", "--install-requirements"]
        command += ["--host", "127.0.0.1", "--name", "needy"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
            try:
                lines = iter(program.stderr)
                assert "installing" in next(lines)
                line = next((line for line in lines if "is ready" in line), "")
                assert line, "it ended before"
                (doc,) = Deployment(external=True, port=int(line.rstrip().rpartition(":")[2])).post("/", Document())
                assert (doc.text, int(doc.tags["pid"])) == ("installed", program.pid)
                assert Path(doc.tags["prefix"]).parent == cache
                program.terminate()
                assert program.wait(30) == 0
            finally:
                program.kill()
