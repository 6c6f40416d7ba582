"""What a Flow shows of itself."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest
from docarray import BaseDoc, DocList

from jina import Executor, Flow, requests
from jina.errors import ConfigError

TEXT = """\
Flow words: 3 Executors

gateway grpc

reader (Reader)
  needs      gateway
  copies     2 replicas
  endpoints  /read  Page → Word

left (Counter)
  needs      reader
  when       text exists
  endpoints  /count  Word → Word

watch (Counter)
  needs      reader
  endpoints  /count  Word → Word
  is         floating

joiner
  needs      left, reader

reply: what joiner gives
"""


ELSEWHERE = """
from jina import Executor, requests
from docarray import BaseDoc, DocList

class Tale(BaseDoc):
    text: str = ""

class Far(Executor):
    @requests(on="/count")
    def count(self, docs: DocList[Tale], **kwargs) -> DocList[Tale]:
        return docs

    @requests(on="/tell")
    async def tell(self, doc: Tale, **kwargs) -> Tale:
        yield doc
"""


class Page(BaseDoc):
    text: str = ""


class Word(BaseDoc):
    text: str = ""


class Reader(Executor):
    @requests(on="/read")
    def read(self, docs: DocList[Page], **kwargs) -> DocList[Word]:
        return DocList[Word]()


class Counter(Executor):
    @requests(on="/anything")
    def count(self, docs: DocList[Word], **kwargs) -> DocList[Word]:
        return docs


@pytest.fixture
def flow():
    counting = {"uses": Counter, "uses_requests": {"/count": "count"}}
    flow = (
        Flow(name="words", host="127.0.0.1", quiet=True)
        .add(uses=Reader, name="reader", replicas=2)
        .add(name="left", when={"text": {"$exists": True}}, **counting)
        .add(name="watch", needs="reader", floating=True, **counting)
        .needs(["left", "reader"])
    )
    yield flow
    flow.close()


def test_describe_prints_steps_endpoints_and_types(flow, capsys):
    assert flow.describe() is None
    assert capsys.readouterr().out == TEXT


@pytest.mark.slow
def test_a_running_flow_shows_the_port_that_was_chosen(capsys):
    with Flow(host="127.0.0.1", quiet=True).add(uses=Reader, name="reader") as flow:
        flow.describe()
        assert f"gateway grpc://127.0.0.1:{flow.port}\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_running_flow_knows_the_endpoints_of_classes_that_are_not_imported(tmp_path, capsys):
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    (tmp_path / "flow.yml").write_text(
        "jtype: Flow\nwith: {host: 127.0.0.1, quiet: true}\n"
        "executors:\n  - {name: far, uses: Far, py_modules: elsewhere.py}\n  - {name: any, uses: jina.Executor}\n"
    )
    with Flow.load_config(str(tmp_path / "flow.yml")).add(uses=Reader, name="reader") as flow:
        flow.describe()
        flow.plot(tmp_path / "flow.mmd")
    shown = capsys.readouterr().out
    assert "endpoints  /count  Tale → Tale\n             /tell   Tale → Tale  (stream)\n" in shown
    assert "endpoints  /read  Page → Word" in shown
    assert "any (Executor)\n  needs      far\n\n" in shown
    assert "Tale → Tale" in (tmp_path / "flow.mmd").read_text()


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("svg", b"<svg"), ("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("mmd", b"%%{init"), ("txt", b"Flow words")],
)
def test_plot_writes_the_format_of_the_suffix(flow, tmp_path, suffix, start):
    assert flow.plot(tmp_path / f"flow.{suffix}") is flow
    assert (tmp_path / f"flow.{suffix}").read_bytes().startswith(start)


def test_plot_goes_from_top_to_bottom_if_asked(flow, tmp_path):
    flow.plot(str(tmp_path / "across.svg")).plot(str(tmp_path / "down.svg"), vertical_layout=True)
    across, down = (ET.parse(tmp_path / name).getroot() for name in ("across.svg", "down.svg"))
    assert float(across.get("width")) > float(across.get("height"))
    assert float(down.get("width")) < float(down.get("height"))


def test_plot_without_a_file_prints_where_no_notebook_is(flow, capsys):
    flow.plot()
    assert capsys.readouterr().out == TEXT


def test_a_notebook_shows_the_picture(flow, monkeypatch, tmp_path):
    shown = []

    class Publisher:
        def publish(self, data):
            shown.append(data)

    class Shell:
        display_pub = Publisher()
        execution_count = 1

    shell = Shell()

    getting = pytest.importorskip("IPython.core.getipython")
    monkeypatch.setattr(getting, "get_ipython", lambda: shell)
    last = flow.plot(tmp_path / "flow.txt", inline_display=True)
    assert list(last._repr_mimebundle_()) == ["text/plain"]  # shown already, by the same cell
    flow.plot()
    shell.execution_count = 2
    assert shown == [flow._repr_mimebundle_()] * 2
    assert shown[0]["text/plain"] == TEXT
    assert ET.fromstring(shown[0]["image/svg+xml"]).get("role") == "img"


def test_a_graph_that_is_not_complete_is_shown_as_text():
    flow = Flow().add(uses=Reader, needs="later")
    bundle = flow._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert "'later' is not a step of the Flow" in bundle["text/plain"]


def test_a_wrong_suffix_is_said_before_anything_is_built(tmp_path):
    flow = Flow().add(uses=Reader, needs="later")
    with pytest.raises(ConfigError, match=r"'\.pdf' is not a picture format"):
        flow.plot(tmp_path / "flow.pdf")


def test_a_file_that_cannot_be_written_is_named(flow, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot write the picture to .*nowhere"):
        flow.plot(tmp_path / "nowhere" / "flow.svg")


def test_plot_needs_no_pillow_for_svg(flow, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    flow.plot(tmp_path / "flow.svg")
    with pytest.raises(ConfigError, match=r"PNG pictures need Pillow(.|\n)*jina\[plot\]"):
        flow.plot(tmp_path / "flow.png")
