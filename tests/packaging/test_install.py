"""Names, versions and commands of installation: no text of ours leads to the other `jina`, and each command works.

The slow tests run every command that pages and messages print with plain pip, from the folder of `make wheels`, each
scenario in environments of its own, and then use what was installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from scripts import build_wheels

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
    told = {}
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix not in {".pyc", ".desc", ".svg", ".json"}:
                told[file.relative_to(ROOT)] = file.read_text(encoding="utf-8", errors="replace")
    assert len(told) > 300
    return told


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
    assert tomllib.loads(build_wheels.jina())["project"]["dependencies"] == [f"rejina=={version}"]
    assert not version.is_prerelease  # pip passes over pre-releases, and 4.0.0.dev0 is less than 4
    assert all(version in Requirement(line).specifier for line in ("jina>=3", "jina>=4", "jina~=4.0", "jina<5"))


def test_extras_name_only_what_is_built_here_or_locked():
    """Anybody may register a name that nobody has: an extra must not name one."""
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
    told = broken(tmp_path, complete=True)
    assert f"ImportError: Jina 3 and this package (the distribution rejina) are both installed in {tmp_path}" in told
    assert "help: pip uninstall -y jina rejina, then: pip install --find-links dist rejina\n" in told


def test_an_import_after_pip_took_files_away_says_what_to_do(tmp_path):
    told = broken(tmp_path, complete=False)
    assert f"ImportError: {tmp_path / 'jina'} is not complete: pip removed files" in told
    assert "help: pip install --force-reinstall --no-deps --find-links dist rejina\n" in told
