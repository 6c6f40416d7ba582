"""What notebooks are given: HTML in which all text is escaped, and short errors."""

from __future__ import annotations

import re
import sys
import traceback
from html.parser import HTMLParser

import numpy as np
import pytest

from jina import Deployment, Document, DocumentArray, Executor, Flow, notebook, requests
from jina.errors import EndpointNotFound, ExecutorError, JinaError, RuntimeFailToStart
from jina.supervisor.status import ProcessStatus, ServiceStatus

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
ALLOWED = {"div", "b", "span", "table", "tr", "th", "td", "pre"}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.names, self.text, self.open = set(), set(), "", []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.names |= {name for name, _ in attributes}
        if tag not in {"img", "path", "rect", "line", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)
        self.names |= {name for name, _ in attributes}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text, *, drawn=False):
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert not re.search(r"https?://(?!127\.0\.0\.1|www\.w3\.org)", text)
    assert not {name for name in tags.names if name.startswith("on")}
    if not drawn:
        assert tags.seen <= ALLOWED, tags.seen
        assert tags.names <= {"style"}
    return tags.text


class Shout(Executor):
    @requests(on="/shout")
    def shout(self, docs: DocumentArray, **kwargs):
        pass


def test_a_deployment():
    deployment = Deployment(uses=Shout, name="loud", replicas=2, protocol=["grpc", "http"], host="127.0.0.1")
    try:
        text = read(deployment._repr_html_())
        for word in ("Deployment loud", "not started", "Shout, 2 replicas", "/shout", "Document", "grpc://127.0.0.1:"):
            assert word in text, text
        assert repr(deployment) == "<Deployment 'loud' of Shout>"
    finally:
        deployment.close()


def test_an_external_deployment():
    text = read(Deployment(name="far", external=True, host="127.0.0.1", port=1)._repr_html_())
    assert "an external Executor" in text


def test_a_flow():
    flow = Flow(name="shop", host="127.0.0.1").add(uses=Shout, name="first").add(uses=Shout, name="second")
    bundle = flow._repr_mimebundle_()
    text = read(bundle["text/html"], drawn=True)
    for word in ("Flow shop", "not started", "first", "second", "/shout"):
        assert word in text, text
    assert "<svg" in bundle["text/html"]
    flow.close()


def test_a_status():
    status = ServiceStatus(
        name=EVIL, state="degraded", pid=1, version="4", python="3", addresses=[f"grpc://{EVIL}:51000"],
        processes=[ProcessStatus(name=f"{EVIL}/rep-0", deployment="a", pid=3, state=EVIL, seconds=3.0, last_end=EVIL,
                                 addresses=["grpc://0.0.0.0:51000", "http://0.0.0.0:51001"])],
    )  # fmt: skip
    text = read(status._repr_html_())
    assert text.count(EVIL) == 6
    assert "51000 51001" in text


def test_an_array():
    docs = DocumentArray([Document(id=f"{number}{EVIL}", text=EVIL, tensor=np.zeros((2, 3))) for number in range(30)])
    docs[3].chunks = DocumentArray.empty(4)
    docs[4].text = "x" * 10_000
    text = read(docs._repr_html_())
    assert "DocumentArray of 30" in text
    assert "NdArray of shape (2, 3)" in text
    assert "4 documents" in text
    assert "and 10 more" in text
    assert "alert(1)" in text
    assert len(text) < 20_000
    assert "DocumentArray of 0" in read(DocumentArray()._repr_html_())


def raised(error, cause=None):
    def inside():
        raise error from cause

    try:
        inside()
    except JinaError as caught:
        return caught


def test_an_error_as_a_value():
    text = read(EndpointNotFound(f"no endpoint {EVIL}", help=EVIL)._repr_html_())
    assert "EndpointNotFound" in text
    assert text.count(EVIL) == 2
    text = read(ExecutorError("a: ValueError: b", stacks=[f'  File "{EVIL}"\n'])._repr_html_())
    assert EVIL in text


@pytest.mark.parametrize("depth", [1, 4, 40])
@pytest.mark.parametrize("length", [1, 4, 40])
def test_the_lines_of_an_error(depth, length):
    stacks = ["Traceback (most recent call last):\n"]
    stacks += [f'  File "theirs.py", line {number}, in f\n    f{number}()\n    ^^^^\n' for number in range(depth)]
    error = ExecutorError("first\n" + "more\n" * (length - 1), stacks=[*stacks, "ValueError: on purpose\n"], help="do")
    caught = raised(error)
    shown = caught._render_traceback_()
    assert len(shown) <= notebook.LINES
    text = "\n".join(shown)
    assert all(len(line) <= 200 for line in shown)
    for part in ("raise error from cause", "ExecutorError: first", "ValueError: on purpose", f"f{depth - 1}()"):
        assert part in text, text
    assert f'File "{__file__}"' in text or "..." in text
    assert "print_exception(sys.last_value)" in text


def test_our_frames_are_folded():
    deployment = Deployment(uses=Shout)
    deployment.close()
    with pytest.raises(JinaError) as caught:
        deployment.post("/shout")
    text = "\n".join(caught.value._render_traceback_())
    assert "frames of jina)" in text
    assert "site-packages" not in text
    assert "calls.py" not in text
    assert "deployment.post" in text


def test_a_failed_start_tells_of_its_cause():
    cause = ValueError("no model")
    cause.add_note('traceback of executor0:\n  File "theirs.py", line 6, in __init__\n    load()\nValueError: no model')
    caught = raised(RuntimeFailToStart("executor0 failed in __init__ (theirs.py:6): ValueError: no model"), cause)
    text = "\n".join(caught._render_traceback_())
    assert "traceback of executor0" in text
    assert "load()" in text
    assert text.count("executor0 failed in __init__") == 1


def test_no_text_of_an_error_is_obeyed_by_a_terminal():
    error = ExecutorError("a\x1b[2J\u202eb\x9b31m", stacks=["ValueError: \x1b]0;owned\x07\n"], help="\x1b[0m")
    shown = [*raised(error)._render_traceback_(), error._repr_html_()]
    assert all(char.isprintable() for line in shown for char in line.replace("\n", ""))
    assert r"a\x1b[2J" in "\n".join(shown)


def test_outside_of_notebooks_nothing_changes():
    caught = raised(EndpointNotFound("no endpoint /x"))
    whole = "".join(traceback.format_exception(caught))
    assert whole.startswith("Traceback (most recent call last):")
    assert whole.endswith("jina.errors.EndpointNotFound: no endpoint /x\n")
    assert sys.excepthook is sys.__excepthook__ or "jina" not in getattr(sys.excepthook, "__module__", "")
