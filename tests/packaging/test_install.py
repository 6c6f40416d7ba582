"""Names, versions and commands of installation: no text of ours leads to the other `jina`, and each command works.

The slow tests run every command that pages and messages print with plain pip, from the folder of `make wheels`, each
scenario in environments of its own, and then use what was installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from scripts import build_wheels
from tests import wheels

import jina
from jina.errors import install_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

COMMAND = re.compile(r"\bpip (?:install|uninstall|download)\b[^`\n]*")
OTHER = re.compile(r"\bpip3? (?:install|download)\b(?!.*--find-links)[^`\n]*(?<![\w./-])jina(?![\w./-])")
"""What gets Jina 3: a requirement called `jina`, and no folder that has ours."""


def texts() -> dict[Path, str]:
    """All that users read of ours: the package, pages, programs and what builds it. Tests and locks are left out."""
    places = ["src", "docs", "examples", "consensus", "scripts", "bench", "packaging", ".ci", "Makefile", "README.md",
              "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml", "mkdocs.yml"]  # fmt: skip
    result = {}
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix not in {".pyc", ".desc", ".svg", ".json"}:
                result[file.relative_to(ROOT)] = file.read_text(encoding="utf-8", errors="replace")
    assert len(result) > 300
    return result


def test_no_text_leads_to_the_other_jina():
    decision = Path("docs/decisions/0007-the-distribution-is-called-rejina.md")  # which tells what happened
    found = [
        f"{file}: {match.group()}"
        for file, text in texts().items()
        for match in OTHER.finditer(text)
        if file != decision
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("pip install 'jina[stateful]'", True),
        ("pip install -U jina", True),
        ("python -m pip install jina>=4", True),
        ("pip install --find-links dist 'jina>=4'", False),
        ("pip install --find-links dist 'rejina[kubernetes]'", False),
        ("pip install --find-links dist 'rejina[plot]'", False),
        ("pip install ./dist/jina-4.0.0-py3-none-any.whl", False),
        ("pip uninstall -y jina rejina", False),
    ],
)
def test_what_leads_there(text, leads):
    assert bool(OTHER.search(text)) is leads


def test_one_version_everywhere_that_requirement_lines_accept():
    version = Version(PROJECT["version"])
    assert str(version) == jina.__version__
    (agent,) = EXTRAS["stateful"]
    assert agent == f"rejina-raft=={version}"
    assert tomllib.loads(build_wheels.jina())["project"]["dependencies"] == [f"rejina[standard,stateful]=={version}"]
    assert not version.is_prerelease  # pip passes over pre-releases, and 4.0.0.dev0 is less than 4
    assert all(version in Requirement(line).specifier for line in ("jina>=3", "jina>=4", "jina~=4.0", "jina<5"))


def test_extras_name_only_what_is_built_here_or_locked():
    """Any user of the index may register a free name: an extra must not name one."""
    locked = {
        canonicalize_name(name)
        for name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements/dev.lock").read_text(), re.MULTILINE)
    }
    built = {"rejina", "rejina-raft"}
    assert {canonicalize_name(name) for name in build_wheels.OURS} == {*built, "jina"}
    named = {canonicalize_name(Requirement(line).name) for lines in EXTRAS.values() for line in lines}
    assert named - locked - built == set()


def test_the_empty_jina_has_the_same_extras():
    made = tomllib.loads(build_wheels.jina())["project"]
    assert (made["name"], made["version"]) == ("jina", PROJECT["version"])
    extras = made["optional-dependencies"]
    assert {extra: extras[extra] for extra in EXTRAS} == {
        extra: [f"rejina[{extra}]=={PROJECT['version']}"] for extra in EXTRAS
    }
    assert all(needed == [] for extra, needed in extras.items() if extra not in EXTRAS)


def test_the_page_has_a_row_for_each_extra():
    page = (ROOT / "docs/how-to/install.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| `(pip .*)` \|$", page, re.MULTILINE))
    assert rows == {extra: install_command(extra) for extra in EXTRAS}


def broken(folder: Path, *, complete: bool) -> str:
    """What `import jina` says where the wheel's files are in `folder`, changed as pip does it."""
    shutil.copytree(ROOT / "src/jina", folder / "jina", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "packaging/jina.py", folder)
    if complete:
        (folder / "jina/helper.py").touch()
    else:
        (folder / "jina/__init__.py").unlink()
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import jina"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    return done.stderr


def test_an_import_beside_jina_3_says_what_to_do(tmp_path):
    result = broken(tmp_path, complete=True)
    assert f"ImportError: Jina 3 and this package (the distribution rejina) are both installed in {tmp_path}" in result
    assert "help: pip uninstall -y jina rejina, then: pip install --find-links dist rejina\n" in result


def test_an_import_after_pip_took_files_away_says_what_to_do(tmp_path):
    result = broken(tmp_path, complete=False)
    assert f"ImportError: {tmp_path / 'jina'} is not complete: pip removed files" in result
    assert "help: pip install --force-reinstall --no-deps --find-links dist rejina\n" in result


PLAIN = "pip install --find-links dist rejina"
AGAIN = f"pip install --force-reinstall --no-deps --find-links dist rejina-raft=={jina.__version__}"
RUN = {
    PLAIN,
    *map(install_command, EXTRAS),
    "pip install --find-links dist 'jina>=4'",
    "pip install --find-links dist -r requirements.txt",
    "pip download --dest wheels --find-links dist 'rejina[stateful]' 'jina>=4'",
    "pip install --no-index --find-links wheels 'rejina[stateful]'",
    "pip uninstall -y jina rejina",
    "pip install --force-reinstall --no-deps --find-links dist rejina",
    AGAIN,
}
"""The commands that the slow tests below run."""


def _filled(text: str) -> str:
    """The text with what its strings are filled with."""
    filled = {"{DISTRIBUTION}[{extra}]": "rejina[plot]", "{__version__}": jina.__version__}
    for written, value in filled.items():
        text = text.replace(written, value)
    return text


def test_every_command_of_a_page_or_a_message_is_run_here():
    read = [text for file, text in texts().items() if file.parts[0] in {"src", "docs", "packaging", "README.md"}]
    found = {
        re.split(r"\s+#|, then: |\\n|\"|\s+\(", match.group())[0].strip().rstrip(".;,")
        for text in read
        for match in COMMAND.finditer(_filled(text))
        if "jina" in match.group() and "{" not in match.group()
    }
    evidence = {
        "pip install 'jina[stateful]'",
        "pip uninstall -y jina",
    }  # what happened once; a part of a longer command
    assert found - evidence <= RUN
    assert {PLAIN, *map(install_command, EXTRAS)} <= found


SERVES = """
    from jina import Deployment, Document, DocumentArray, Executor, requests


    class Shout(Executor):
        @requests
        def shout(self, docs: DocumentArray, **kwargs):
            for doc in docs:
                doc.text = doc.text.upper()


    if __name__ == '__main__':
        with Deployment(uses=Shout, protocol=['grpc', 'http'], {options}) as service:
            print(service.post('/', Document(text='hello')).texts)
"""

AGREES = """
    from jina import Deployment, Document, DocumentArray, Executor, requests, write


    class Ledger(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.lines = []

        @write
        @requests(on='/add')
        def add(self, docs: DocumentArray, **kwargs):
            self.lines.extend(docs.texts)

        @requests(on='/list')
        def list(self, **kwargs) -> DocumentArray:
            return DocumentArray([Document(text=line) for line in self.lines])

        def snapshot(self, snapshot_dir):
            pass

        def restore(self, snapshot_dir):
            pass


    if __name__ == '__main__':
        options = dict(stateful=True, replicas=3, workspace='files', consistency='linearizable')
        with Deployment(uses=Ledger, **options) as ledger:
            ledger.post('/add', Document(text='one'))
            print(ledger.post('/list').texts)
"""


INDEX = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""} | {k: v for k, v in os.environ.items() if k == "PIP_CERT"}
"""The settings with which pip asks the index after all."""


class Fresh:
    """A new environment with nothing in it, and a folder with `dist`, where the commands run as they are written.

    The place of the index is taken by a folder with everything that is not ours.
    """

    def __init__(self, home: Path, dist: Path, others: Path) -> None:
        home.mkdir()
        pip = pytest.importorskip("pip")
        # With the pip that is here: the one that `venv` brings would be unpacked and compiled, which takes long.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "env"], check=True, timeout=300)
        (packages,) = home.glob("env/lib/python*/site-packages")
        shutil.copytree(Path(pip.__file__).parent, packages / "pip", ignore=shutil.ignore_patterns("__pycache__"))
        script = home / "env/bin/pip"
        # As pip writes scripts itself where the path of the interpreter is long or has spaces.
        start = f"#!/bin/sh\n'''exec' \"{home / 'env/bin/python'}\" \"$0\" \"$@\"\n' '''\n"
        script.write_text(f"{start}from pip._internal.cli.main import main\nmain()\n")
        script.chmod(0o755)
        self.work = home / "work"
        self.work.mkdir()
        shutil.copytree(dist, self.work / "dist")
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "JINA", "VIRTUAL"))
        }
        self.environment = kept | {
            "HOME": str(home),
            "PATH": f"{home / 'env/bin'}{os.pathsep}{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_NO_COMPILE": "1",  # what is imported is compiled then, and the rest need not be
            "PIP_FIND_LINKS": str(others),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, command: str, *, fails: bool = False, **environment: str) -> str:
        """What the command printed, standard error too."""
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=self.work,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        assert bool(done.returncode) is fails, f"{command}\n{done.stdout[-4000:]}"
        return done.stdout

    def python(self, program: str, *, fails: bool = False) -> str:
        (self.work / "program.py").write_text(textwrap.dedent(program))
        return self.run("python program.py", fails=fails)

    def versions(self) -> dict[str, str]:
        content = json.loads(self.run("pip list --format json"))
        return {one["name"]: one["version"] for one in content if "jina" in one["name"]}


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder whose path has no spaces, at which pip divides the values of its variables."""
    with tempfile.TemporaryDirectory(prefix="jina-install-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def dist(place) -> Path:
    folder = wheels.ours(place / "dist")
    if not list(folder.glob("rejina_raft-*")):
        pytest.skip("the consensus agent is not built: make agent")
    return folder


@pytest.fixture(scope="session")
def others(place) -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    link = place / "others"
    link.symlink_to(wheels.dependencies(version, *(extra for extra in EXTRAS if extra != "stateful")).resolve())
    return link


@pytest.fixture
def fresh(dist, others, place) -> Iterator[Fresh]:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Fresh(Path(folder) / "fresh", dist, others)


slow = [pytest.mark.slow, pytest.mark.timeout(1800)]


class TestCommands:
    """What pages and messages say, done."""

    pytestmark = slow

    def test_the_first_one_and_those_that_messages_print(self, fresh):
        fresh.run(PLAIN)
        serves = SERVES.replace("{options}", "quiet=True")
        assert "['HELLO']" in fresh.python(serves)
        traced = SERVES.replace("{options}", "tracing=True, traces_exporter_host='127.0.0.1', traces_exporter_port=9")
        picture = "from jina import Flow\nFlow().add(name='a').plot('flow.png')\n"
        frames = SERVES.replace("['grpc', 'http'], {options}", "'websocket', quiet=True")
        programs = {"stateful": AGREES, "plot": picture, "websockets": frames, "otel": traced}
        for extra, program in programs.items():
            (command,) = {
                found.split(" (")[0].split(", or")[0] for found in COMMAND.findall(fresh.python(program, fails=True))
            }
            assert command == install_command(extra)
            fresh.run(command)
            assert {"stateful": "['one']", "plot": ""}.get(extra, "['HELLO']") in fresh.python(program)
        for extra in EXTRAS.keys() - programs.keys():
            fresh.run(install_command(extra))
        fresh.run(AGAIN)
        fresh.run("pip check")
        assert fresh.versions() == {"rejina": jina.__version__, "rejina-raft": jina.__version__}

    @pytest.mark.long
    def test_requirement_lines_that_name_jina(self, fresh):
        page = (ROOT / "docs/how-to/install.md").read_text(encoding="utf-8")
        (lines,) = re.findall(r'```text title="requirements.txt"\n(.*?)```', page, re.DOTALL)
        (fresh.work / "requirements.txt").write_text(lines)
        fresh.run("pip install --find-links dist -r requirements.txt")
        assert fresh.versions() == dict.fromkeys(("jina", "rejina", "rejina-raft"), jina.__version__)
        assert "['one']" in fresh.python(AGREES)
        fresh.python("import websockets, opentelemetry.sdk")
        assert fresh.run("jina -v").strip() == jina.__version__
        fresh.run("pip install --find-links dist 'jina>=4'")
        fresh.run("pip check")

    @pytest.mark.long
    def test_the_folder_wins_against_the_index(self, fresh):
        """The index has Jina 3, to which every one of these lines would lead."""
        for line in ("jina", "jina>=3", "jina>=4", "jina[stateful,standard]>=3"):
            said = fresh.run(f"pip install --dry-run --no-deps --find-links dist '{line}'", **INDEX)
            assert said.rstrip().endswith(f"Would install jina-{jina.__version__}"), said

    def test_without_a_network(self, fresh):
        fresh.run("pip download --dest wheels --find-links dist 'rejina[stateful]' 'jina>=4'")
        fresh.environment.pop("PIP_FIND_LINKS")
        fresh.environment.pop("PIP_NO_INDEX")
        shutil.rmtree(fresh.work / "dist")
        fresh.run("pip install --no-index --find-links wheels 'rejina[stateful]'")
        assert "['one']" in fresh.python(AGREES)

    @pytest.mark.long
    def test_beside_jina_3_and_in_its_place(self, fresh):
        fresh.run("pip install --no-deps jina==3.34.0", **INDEX)
        fresh.run(PLAIN)
        result = fresh.run("jina -v", fails=True)
        assert "ImportError: Jina 3 and this package" in result
        for command in COMMAND.findall(result)[0].split(", then: "):
            fresh.run(command)
        assert fresh.run("jina -v").strip() == jina.__version__
        fresh.run("pip uninstall -y jina rejina")
        fresh.run("pip install --no-deps jina==3.34.0", **INDEX)
        fresh.run("pip install --find-links dist 'jina>=4'")
        (command,) = COMMAND.findall(fresh.run("python -c 'import jina'", fails=True))
        fresh.run(command)
        assert fresh.run("jina -v").strip() == jina.__version__
        fresh.run("pip check")


NEEDY = """
    import sys
    import numpy
    from jina import DocumentArray, Executor, requests


    class Needy(Executor):
        @requests
        def say(self, docs: DocumentArray, **kwargs):
            for doc in docs:
                doc.tags = {"numpy": numpy.__version__, "sum": int(numpy.arange(4).sum()), "prefix": sys.prefix}
"""
ASKS = """
    import json, sys
    import numpy
    from jina import Deployment, Document

    if __name__ == '__main__':
        with Deployment(uses='a package/config.yml', install_requirements=True, quiet=True) as service:
            (doc,) = service.post('/', Document())
            print(json.dumps({'own': numpy.__version__, 'own prefix': sys.prefix, **dict(doc.tags)}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_pip_makes_the_environment_of_a_package_where_uv_is_not(fresh):
    """With a numpy that the program does not have; then without any index, as the environment is kept."""
    fresh.run(PLAIN)
    fresh.environment["PATH"] = os.pathsep.join(
        [fresh.environment["PATH"].partition(os.pathsep)[0], "/usr/bin", "/bin"]
    )
    assert fresh.run("command -v uv || echo none").strip() == "none"
    other = "2.2.6" if np.__version__ != "2.2.6" else "2.1.3"
    package = fresh.work / "a package"
    package.mkdir()
    (package / "executor.py").write_text(textwrap.dedent(NEEDY))
    (package / "config.yml").write_text("jtype: Needy\npy_modules: [executor.py]\n")
    (package / "more.txt").write_text(f"numpy=={other}\n")
    (package / "requirements.txt").write_text("-r more.txt\n")
    for settings in (INDEX, {"PIP_NO_INDEX": "1"}):
        fresh.environment |= settings
        found = json.loads(fresh.python(ASKS).splitlines()[-1])
        assert (found["numpy"], found["sum"], found["own"]) == (other, 6, np.__version__)
        assert Path(found["prefix"]).parent == Path(fresh.environment["HOME"]) / ".cache/jina/environments"
        assert found["own prefix"] != found["prefix"]
    (log,) = (Path(fresh.environment["HOME"]) / ".cache/jina/environments").glob("*.log")
    assert f"Successfully installed numpy-{other}" in log.read_text()
    (package / "pyproject.toml").write_text("[project]\nname = 'p'\nversion = '1'\n")
    (package / "uv.lock").write_text("version = 1\n")
    assert "uv.lock needs uv, which is not here" in fresh.python(ASKS, fails=True)
