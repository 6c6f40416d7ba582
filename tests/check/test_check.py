"""`jina check` as a command: its output, what it changes, and that nothing makes it fail."""

from __future__ import annotations

import ast
import json
import os
import random
import time
import tomllib
from pathlib import Path

import pytest

from jina.check import checking
from jina.check.project import MOST_BYTES, Edit, Source
from jina.check.requirements import DISTRIBUTION
from jina.cli.main import COMMANDS, main
from tests.check.cases import CASES, CONFIG, EXECUTOR, FIXES, FLOW

OLD = '''\
"""An Executor of old."""

# Two lines that a change must leave alone:
from docarray import (
    BaseDoc,  # typed
    DocumentArray,
    Document as Doc,
)
import docarray, jina
from jina import Executor, requests  # ours

if True:
    from docarray import Document, DocList; size = 1


class Shelf(Executor):
    @requests(on='/put')
    def put(self, docs: 'DocumentArray', **kwargs):
        return docarray.DocumentArray([Doc(text="ä")])
'''
OLD_FLOW = """\
# A Flow of 2021
jtype: Flow
with: {port_expose: 1234, protocol: http}   # where it is
executors:
  - name: shelf
    uses: config.yml
    "parallel": 2     # copies
    override_with:
        size: 3
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, newline="")
    return folder


def old_project(folder: Path, newline: str = "\n") -> Path:
    files = {
        "shelf.py": OLD,
        "flow.yml": OLD_FLOW,
        "config.yml": CONFIG,
        "requirements.txt": "jina[standard,perf]>=3.1,<4 ; python_version > '3.6'  # serving\n"
        "docarray == 0.21.0\nnumpy\n",
    }
    return write(folder, {name: text.replace("\n", newline) for name, text in files.items()})


def test_findings_are_printed_with_their_places(tmp_path, capsys):
    write(tmp_path, {"flow.yml": FLOW + "    replicaz: 2\n", "config.yml": CONFIG, "shelf.py": EXECUTOR})
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().out == (
        "flow.yml:5:5: error: executors[0]: unknown option 'replicaz', did you mean 'replicas'? [unknown-option]\n"
        "    instead: replicas\n"
        "3 files read: 1 error, 0 warnings, 0 notes\n"
    )


def test_a_project_that_starts_is_exit_code_0(tmp_path, capsys):
    write(tmp_path, {"flow.yml": FLOW, "config.yml": CONFIG, "shelf.py": EXECUTOR})
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "3 files read: 0 errors, 0 warnings, 0 notes\n"
    assert main(["check", str(tmp_path / "shelf.py")]) == 0


def test_what_is_not_there_is_exit_code_2(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nothing")]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err
    assert main(["check"]) == 2


def test_json_says_the_same(tmp_path, capsys):
    old_project(tmp_path)
    assert main(["check", str(tmp_path), "--json"]) == 1
    output = json.loads(capsys.readouterr().out)
    assert output["would_start"] is False
    assert output["files"] == 4
    first = output["findings"][0]
    assert first == {
        "path": "flow.yml",
        "line": 3,
        "column": 8,
        "rule": "old-option",
        "severity": "note",
        "message": "port_expose is the old name of port",
        "instead": "port",
        "fixable": True,
    }
    assert output["changes"] == {}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_fix_changes_what_is_mechanical_and_nothing_else(newline, tmp_path, capsys):
    old_project(tmp_path, newline)
    mode = (tmp_path / "shelf.py").stat().st_mode
    assert main(["check", str(tmp_path), "--diff"]) == 1
    shown = capsys.readouterr().out
    assert (tmp_path / "shelf.py").read_bytes() == OLD.replace("\n", newline).encode()
    assert main(["check", str(tmp_path), "--fix"]) == 0
    assert "+from jina import DocumentArray, Document as Doc" in shown
    changed = {file.name: file.read_bytes().decode() for file in tmp_path.iterdir()}
    lines = changed["shelf.py"].split(newline)
    assert lines[:9] == [
        *OLD.split("\n")[:3],
        "from jina import DocumentArray, Document as Doc",
        "from docarray import (",
        "    BaseDoc,  # typed",
        ")",
        "import docarray, jina",
        "from jina import Executor, requests  # ours",
    ]
    assert "    from docarray import DocList; size = 1" in lines
    assert '        return jina.DocumentArray([Doc(text="ä")])' in lines
    assert changed["flow.yml"] == OLD_FLOW.replace("port_expose", "port").replace("parallel", "replicas").replace(
        "override_with", "uses_with"
    ).replace("\n", newline)
    assert changed["requirements.txt"].split(newline) == [
        "rejina[standard] ; python_version > '3.6'  # serving", "docarray>=0.41", "numpy", "",
    ]  # fmt: skip
    assert (tmp_path / "shelf.py").stat().st_mode == mode
    ast.parse(changed["shelf.py"])


def test_fix_is_done_once(tmp_path, capsys):
    old_project(tmp_path)
    main(["check", str(tmp_path), "--fix"])
    once = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    capsys.readouterr()
    main(["check", str(tmp_path), "--fix"])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == once
    assert "@@" not in capsys.readouterr().out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_fix_leaves_every_project_readable(case, tmp_path):
    write(tmp_path, case.fires)
    before, project = checking.check_path(tmp_path, COMMANDS)
    fixed, after = checking.fix(project, before, COMMANDS)
    assert not any(checking.fixed(source, after.findings) != source.text for source in fixed.sources)
    assert len(after.findings) <= len(before.findings)


@pytest.mark.parametrize(("name", "before", "after"), FIXES)
def test_what_fix_writes(name, before, after, tmp_path):
    write(tmp_path, {name: before})
    assert main(["check", "--fix", str(tmp_path)]) in {0, 1}
    assert (tmp_path / name).read_text() == (after or before)


def test_a_change_that_could_not_be_parsed_is_not_made():
    source = Source("a.py", "import jina\n")
    finding = source.find(0, "jina-import", "error", "x", edits=(Edit(0, 6, "import ("),))
    assert checking.fixed(source, [finding]) == source.text


def test_a_name_that_is_something_else_elsewhere_is_left_alone(tmp_path):
    text = (
        "from jina import Flow, Document\n\n\ndef serve():\n    f = Flow()\n    f.rolling_update()\n\n\n"
        "def read(flow, f2=None):\n    with open('x') as f:\n        f.read()\n    flow.anything()\n\n\n"
        "def ask():\n    from others import Client\n    Client().encode()\n\n\n"
        "def ask_jina():\n    from jina import Client\n    Client().encode()\n\n\n"
        "class A:\n    def __init__(self):\n        self.f = Flow()\n\n    def b(self):\n        self.f.peas()\n\n\n"
        "class B:\n    def b(self, d=1):\n        self.f.peas()\n        for d in (1, 2):\n            d.embed()\n"
    )
    write(tmp_path, {"a.py": text})
    report, _ = checking.check_path(tmp_path, COMMANDS)
    assert [(one.line, one.rule) for one in report.findings] == [(6, "unknown-method"), (30, "unknown-method")]


def test_the_distribution_is_ours():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION


def test_nothing_of_the_project_is_run(tmp_path):
    opened = f"open({str(tmp_path / 'ran')!r}, 'w')"
    text = (
        f"from jina import Executor, requests\n{opened}\nclass A(Executor):\n    {opened}\n    @requests(on={opened})\n"
        f"    def a(self, docs: {opened} = {opened}, **kwargs):\n        pass\n"
    )
    yaml = f"!!python/object/apply:builtins.open [{str(tmp_path / 'ran')!r}, w]\njtype: Flow\n"
    write(tmp_path, {"a.py": text, "flow.yml": yaml, "setup.py": f"import jina\n{opened}\n"})
    checking.check_path(tmp_path, COMMANDS)
    assert not (tmp_path / "ran").exists()


def mutated(text: str, chance: random.Random) -> str:
    """The text with a few pieces cut out, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.randint(0, 40))
        piece = chance.choice(
            [
                "",
                text[start:end] * 2,
                "\x00",
                "\t",
                "(",
                "[" * 50,
                "{{ x }}",
                "é\u2028",
                "\r",
                "- ",
                "!x ",
                "&a *a",
                "'",
            ]
        )
        text = text[:start] + piece + text[end:]
    return text


def test_garbage_is_survived(tmp_path):
    chance = random.Random(int(os.environ.get("JINA_FUZZ_SEED", "7")))
    texts = [(name, text) for case in CASES for name, text in case.fires.items() if len(text) < 4000]
    began = time.monotonic()
    for number in range(400):
        name, text = chance.choice(texts)
        source = Source(name, mutated(text, chance))
        project = checking.Project(tmp_path, [source])
        report = checking.check(project, COMMANDS)
        fixed, after = checking.fix(project, report, COMMANDS)
        assert checking.fixed(fixed.sources[0], after.findings) == fixed.sources[0].text, f"{number}: {source.text!r}"
    assert time.monotonic() - began < 50


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "import jina\nx = " + "(" * 5000 + ")" * 5000,
        "import jina\nx = " + "-" * 50000 + "1",
        "import jina\nx = " + "[" * 90,
        "from jina import Flow\nFlow()" + ".add()" * 3000,
        "import jina\n" + "if x:\n" + "".join(" " * n + "if x:\n" for n in range(1, 90)) + " " * 90 + "pass\n",
        "from jina import Flow\n" + "f = Flow()\n" * 20000,
    ],
    ids=["parentheses", "minus", "open", "chain", "nested", "long"],
)
def test_deep_and_long_python_is_survived(text):
    checking.check(checking.Project(Path(), [Source("a.py", text)]), COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "jtype: Flow\nexecutors: " + "[" * 3000,
        "jtype: Flow\na: &a [x, x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)),
        "jtype: Flow\nexecutors: &e [*e]\n",
        "jtype: Flow\nexecutors:\n" + "- {replicas: no, name: x}\n" * 400,
        "jtype: [Flow]\n",
        "executors: [1, null, [], {1: 2}]\n",
        "? [a]\n: b\njtype: Flow\n",
    ],
    ids=["deep", "aliases", "cycle", "many", "list", "odd", "key"],
)
def test_odd_yaml_is_survived(text):
    began = time.monotonic()
    checking.check(checking.Project(Path(), [Source("flow.yml", text)]), COMMANDS)
    assert time.monotonic() - began < 30


def test_what_is_too_large_or_no_text_is_not_read(tmp_path):
    (tmp_path / "large.py").write_text("import jina\n" + "#" * MOST_BYTES)
    (tmp_path / "bytes.py").write_bytes(b"import jina\n\xff\xfe")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.py").write_text("import jina.peapods\n")
    report, _ = checking.check_path(tmp_path)
    assert [(one.path, one.rule) for one in report.findings] == [("bytes.py", "not-read"), ("large.py", "not-read")]
    assert report.would_start
