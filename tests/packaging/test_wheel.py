"""The wheel, as users get it: built, installed in an environment of its own outside the repository, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.blocks import blocks_of

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
DATA = [
    "jina/py.typed", "jina/codec/jina.desc", "jina/server/docs.html", "jina/legacy/paths.py",
    "jina/console/page.html",
    "jina_cli/__init__.py",
]  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.skipif(not UV.exists(), reason="needs uv")]


def call(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command printed; fails with its stderr."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with wheel and source archive; the wheel is built from the archive."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (source,) = folder.glob("rejina-*.tar.gz")
    with tarfile.open(source) as archive:
        # By name: the argument came with Python 3.11.4, and 3.11 of Debian 12 is older.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        archive.extractall(folder / "source")
    (root,) = (folder / "source").iterdir()
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=root)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (file,) = built.glob("rejina-*-py3-none-any.whl")
    return file


class Installed:
    """An environment that has the wheel, what it depends on, and grpcio as a foreign client; commands run beside it."""

    def __init__(self, home: Path, wheel: Path) -> None:
        self.folder = home / "work"
        self.folder.mkdir()
        self.bin = home / "env" / "bin"
        unwanted = {"PYTHONPATH", "VIRTUAL_ENV", "JINA_LOG_LEVEL"}
        self.environment = {key: value for key, value in os.environ.items() if key not in unwanted}
        self.environment |= {"HOME": str(home), "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        with_cache = {"UV_CACHE_DIR": str(ROOT / ".cache" / "uv"), **os.environ}
        # The locked versions, so that the test says something about the wheel and not about today's packages.
        pins = home / "pins.txt"
        names = re.findall(
            r"^([A-Za-z0-9._-]+==\S+(?: ;.*?)?)(?: \\)?$", (ROOT / "requirements/dev.lock").read_text(), re.MULTILINE
        )
        assert len(names) > 40
        pins.write_text("\n".join(names))
        call(UV, "venv", "-q", "--python", sys.executable, home / "env", cwd=home, env=with_cache)
        call(UV, "pip", "install", "-q", "--compile-bytecode", "--python", self.bin / "python", "-c", pins, wheel,
             "grpcio", cwd=home, env=with_cache)  # fmt: skip

    def run(self, *command: object) -> str:
        return call(*command, cwd=self.folder, env=self.environment)


@pytest.fixture(scope="module")
def installed(wheel) -> Iterator[Installed]:
    with tempfile.TemporaryDirectory(prefix="jina-wheel-") as folder:  # pytest's own may be inside the repository
        yield Installed(Path(folder), wheel)


def test_the_wheel_has_the_package_with_its_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in DATA if name not in names] == []
    assert {name.split("/")[0] for name in names} == {
        "jina",
        "jina.py",
        "jina_cli",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    sources = {str(file.relative_to(ROOT / "src")) for file in (ROOT / "src").rglob("*.py")}
    assert sources - set(names) == set()
    assert [name for name in names if name.endswith((".pyc", ".log", ".so"))] == []


def test_the_source_archive_has_what_is_needed_to_build_and_test(built):
    (file,) = built.glob("rejina-*.tar.gz")
    with tarfile.open(file) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops == {
        "src", "tests", "packaging", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", "pyproject.toml", ".gitignore",
    }  # fmt: skip


def test_the_source_archive_is_complete_wherever_the_repository_is(tmp_path):
    """In a folder that .gitignore names, hatchling passes over that file; and it looks at no folder twice."""
    root = tmp_path / ".cache" / "repository"
    root.mkdir(parents=True)
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "packaging", root / "packaging")
    for name in ("src/jina/__init__.py", "src/jina/client/client.py", "src/jina_cli/__init__.py", "tests/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    environment = root / ".cache" / "environment"  # as tests make them for packages with requirements of their own
    environment.mkdir(parents=True)
    (environment / "jina").symlink_to(root / "src" / "jina")
    (environment / "other.py").touch()
    call(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=root)
    (file,) = tmp_path.glob("rejina-*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - {"PKG-INFO"} == {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and environment not in path.parents
    }


def test_the_version(installed):
    version = installed.run("jina", "--version").strip()
    assert version == installed.run("python", "-c", "import jina; print(jina.__version__)").strip()
    where = installed.run("python", "-c", "import jina; print(jina.__file__)")
    assert where.startswith(str(installed.bin.parent))


def test_the_first_program_of_the_readme(installed):
    blocks = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    position = next(index for index, block in enumerate(blocks) if block.language == "python" and not block.title)
    (installed.folder / "first.py").write_text(blocks[position].code)
    assert blocks[position + 1].code.strip() in installed.run("python", "first.py")


def test_a_new_executor_is_served(installed):
    installed.run("jina", "hub", "new", "--name", "Mine", "--path", "mine", "--no-advance-configuration")
    command = [str(installed.bin / "jina"), "executor", "--uses", "mine/config.yml", "--protocol", "http"]
    with subprocess.Popen(
        command,
        cwd=installed.folder,
        env=installed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as service:
        said: list[str] = []
        found = None
        try:
            for line in service.stdout:
                said.append(line)
                if found := re.search(r"is ready:.*?(http)://\S+?:(\d+)", line):
                    break
            assert found, said
            port = found.group(2)
            answer = installed.run(
                "jina",
                "client",
                "--host",
                "127.0.0.1",
                "--port",
                port,
                "--protocol",
                "http",
                "--on",
                "/",
                "--text",
                "hello",
            )
            assert "hello" in answer
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0


def test_few_distributions_come_with_it(installed):
    code = "import importlib.metadata as m; print(sorted({one.name.lower() for one in m.distributions()}))"
    names = json.loads(installed.run("python", "-c", code).replace("'", '"'))
    assert "rejina" in names
    assert len(names) <= 34, names
    absent = {"aiohttp", "websockets", "opentelemetry-api", "grpcio-health-checking", "grpcio-reflection", "pillow"}
    assert not absent & set(names)


PLAIN = """
    import http.client, urllib.error, urllib.request

    import grpc
    from docarray import BaseDoc, DocList

    from jina import Client, Deployment, Executor, Flow, requests
    from jina.errors import MissingExtra, RuntimeFailToStart
    from jina.codec import pb
    from jina.controller.api import Api

    class Note(BaseDoc):
        text: str = ""

    class Upper(Executor):
        @requests(on="/upper")
        def upper(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
            with self.tracer.start_as_current_span("work"):
                return DocList[Note]([Note(text=doc.text.upper()) for doc in docs])

        @requests(on="/letters")
        async def letters(self, doc: Note, **kwargs) -> Note:
            for letter in doc.text:
                yield Note(text=letter)

    def fetch(path):
        request = urllib.request.Request(f"http://127.0.0.1:{web}{path}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def missing(name, make):
        try:
            made = make()
            if made is not None:
                made.start()
        except (MissingExtra, RuntimeFailToStart) as error:
            cause = error if isinstance(error, MissingExtra) else error.__cause__
            assert isinstance(cause, MissingExtra), cause
            assert f"pip install --find-links dist 'rejina[{name}]'" in str(error), error
        else:
            raise AssertionError(f"{name} is not missed")

    async def on_loop():
        async with Client(port=web, protocol="http", asyncio=True) as client:
            one = await client.post("/upper", Note(text="a"), return_type=Note)
            letters = client.stream_doc("/letters", Note(text="ab"), return_type=Note)
            return one.text, [doc.text async for doc in letters]

    if __name__ == "__main__":
        import asyncio

        with Deployment(uses=Upper, protocol=["grpc", "http"], quiet=True) as service:
            own, web = service.ports
            for protocol, port in (("grpc", own), ("http", web)):
                with Client(port=port, protocol=protocol) as client:
                    assert client.post("/upper", Note(text="a"), return_type=Note).text == "A"
                    letters = client.stream_doc("/letters", Note(text="ab"), return_type=Note)
                    assert [doc.text for doc in letters] == ["a", "b"]
            assert asyncio.run(on_loop()) == ("A", ["a", "b"])
            status, text = fetch("/metrics")
            assert status == 200 and "jina_" in text, (status, text)
            assert fetch("/docs")[0] == 200
            assert fetch("/openapi.json")[0] == 200
            assert fetch("/readyz")[0] == 200
            connection = http.client.HTTPConnection("127.0.0.1", web, timeout=20)
            upgrade = {"connection": "upgrade", "upgrade": "websocket"}
            connection.request("GET", "/", headers={**upgrade, "sec-websocket-version": "13", "sec-websocket-key": "a"})
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode()
            assert status == 501 and "rejina[websockets]" in text, (status, text)
            connection.close()
            with grpc.insecure_channel(f"127.0.0.1:{own}") as channel:
                state = pb.message_class("grpc.health.v1.HealthCheckResponse")
                check = channel.unary_unary("/grpc.health.v1.Health/Check", None, state.FromString)
                assert check(b"", timeout=20).status == state.SERVING
                for version in ("v1", "v1alpha"):
                    ask = pb.message_class(f"grpc.reflection.{version}.ServerReflectionRequest")
                    call = channel.stream_stream(
                        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                        ask.SerializeToString,
                        pb.message_class(f"grpc.reflection.{version}.ServerReflectionResponse").FromString,
                    )
                    (answer,) = call(iter([ask(list_services="")]), timeout=20)
                    assert "jina.JinaRPC" in {one.name for one in answer.list_services_response.service}
        missing("websockets", lambda: Deployment(uses=Upper, protocol="websocket"))
        missing("websockets", lambda: Client(protocol="websocket", port=1))
        missing("websockets", lambda: Flow(protocol="websocket"))
        missing("otel", lambda: Deployment(uses=Upper, tracing=True, quiet=True))
        missing("otel", lambda: Deployment(uses=Upper, metrics=True, quiet=True))
        missing("otel", lambda: Client(port=1, tracing=True))
        missing("plot", lambda: Flow().add(uses=Upper).plot("flow.png"))
        missing("kubernetes", lambda: Api())
        missing("stateful", lambda: Deployment(uses=Upper, stateful=True, workspace="w", quiet=True))
        print("all there")
"""


def test_a_plain_service_needs_no_extra_and_each_extra_names_itself(installed):
    (installed.folder / "plain.py").write_text(textwrap.dedent(PLAIN))
    assert installed.run("python", "-W", "ignore", "plain.py").endswith("all there\n")


def test_old_module_paths_are_installed(installed):
    assert installed.run("python", "-c", "from jina.excepts import BadConfigSource; print(BadConfigSource.__name__)")


def test_types_are_found_by_type_checkers(installed):
    """A program that uses the installed package is checked without stubs, and its mistake is seen."""
    program = installed.folder / "typed.py"
    program.write_text("from jina import Deployment\n\nDeployment(replicass=2)\nreveal_type(Deployment.port)\n")
    command = [sys.executable, "-m", "mypy", "--python-executable", str(installed.bin / "python"), "typed.py"]
    done = subprocess.run(
        command,
        cwd=installed.folder,
        env=installed.environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "replicass" in done.stdout, done.stdout + done.stderr
    assert "import-untyped" not in done.stdout
