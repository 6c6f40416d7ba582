"""`jina export flowchart`."""

from __future__ import annotations

import pytest

from jina.cli.main import main

EXECUTORS = """
from docarray import BaseDoc, DocList
from jina import Executor, requests

class Page(BaseDoc):
    text: str = ''

class Reader(Executor):
    @requests(on='/read')
    def read(self, docs: DocList[Page], **kwargs) -> DocList[Page]:
        return docs
"""

FLOW = """
jtype: Flow
with: {name: words, protocol: [grpc, http], port: [54321, 54322]}
executors:
  - {name: reader, uses: ChartReader, py_modules: [chart_executors.py], replicas: 2}
  - {name: other, uses: ChartReader, py_modules: [chart_executors.py], needs: gateway}
  - {method: needs, needs: [reader, other]}
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "chart_executors.py").write_text(EXECUTORS.replace("Reader", "ChartReader"))
    (tmp_path / "flow.yml").write_text(FLOW)
    return str(tmp_path / "flow.yml")


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("svg", b"<svg"), ("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("mmd", b"%%"), ("txt", b"Flow")],
)
def test_it_writes_the_picture(config, tmp_path, suffix, start):
    output = tmp_path / f"flow.{suffix}"
    assert main(["export", "flowchart", config, str(output), "--vertical-layout"]) == 0
    assert output.read_bytes().startswith(start)


def test_it_prints_what_there_is(config, capsys):
    assert main(["export", "flowchart", config, "-"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Flow words: 2 Executors\n\ngateway grpc://0.0.0.0:54321 http://0.0.0.0:54322\n")
    assert "reader (ChartReader)\n  needs      gateway\n  copies     2 replicas\n" in shown
    assert shown.endswith("reply: what joiner gives\n")
    assert "/read" not in shown


def test_it_imports_executors_only_if_asked(config, capsys):
    assert main(["export", "flowchart", config, "-", "--endpoints"]) == 0
    assert "  endpoints  /read  Page → Page\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["flow.yml", "flow.pdf"], "'.pdf' is not a picture format"),
        (["flow.yml", "flow.pngg"], "did you mean .png"),
        (["flow.yml", "nowhere/flow.svg"], "cannot write the picture to nowhere/flow.svg"),
        (["flw.yml", "flow.svg"], "did you mean 'flow.yml'"),
    ],
)
def test_mistakes_are_named(config, words, hint, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "flowchart", *words]) == 2
    assert hint in capsys.readouterr().err
