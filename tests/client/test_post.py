"""`post` of the sync client on every protocol."""

import asyncio
import contextlib
import io
import pty
import re
import sys

import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec
from pydantic import BaseModel

from jina import Document, DocumentArray
from jina.errors import BadClientInput, ConfigError, EndpointNotFound
from jina.observe import terminal
from tests.client.note_server import Note


def notes(count):
    return [Note(text=f"n{number}", number=number) for number in range(count)]


async def notes_async(count):
    for note in notes(count):
        await asyncio.sleep(0)
        yield note


def test_typed_result(client):
    docs = client.post("/upper", Note(text="a", number=3), return_type=DocList[Note])
    assert isinstance(docs, DocList)
    assert isinstance(docs[0], Note)
    assert (docs[0].text, docs[0].number) == ("A", 3)


def test_a_document_type_gives_one_document_when_one_came(client):
    one = client.post("/upper", Note(text="a"), return_type=Note)
    assert isinstance(one, Note)
    assert len(client.post("/upper", notes(2), return_type=Note)) == 2


def test_without_a_type_documents_are_schemaless_and_keep_their_fields(client):
    docs = client.post("/echo", Note(text="a", number=3))
    assert isinstance(docs, DocumentArray)
    assert docs[0].text == "a"
    assert docs[0].number == 3


def test_default_type_holds_unless_the_caller_gives_one(client):
    assert isinstance(client.post("/echo", Note(text="a"), _default_type=DocList[Note])[0], Note)
    assert isinstance(
        client.post("/echo", Note(text="a"), _default_type=Note, return_type=DocList[Document])[0], Document
    )


def test_docs_is_another_name_of_inputs(client):
    given = notes(2)
    for documents in ({"docs": given}, {"docs": given, "inputs": given}, {"docs": None, "inputs": given}):
        assert [doc.text for doc in client.post("/upper", return_type=DocList[Note], **documents)] == ["N0", "N1"]
    with pytest.raises(BadClientInput, match="docs: the same argument as 'inputs'"):
        client.post("/upper", inputs=given, docs=notes(2))


@pytest.mark.parametrize(
    "inputs",
    [
        notes(3),
        tuple(notes(3)),
        DocList[Note](notes(3)),
        DocVec[Note](notes(3)),
        lambda: notes(3),
        lambda: iter(notes(3)),
        lambda: (note for note in notes(3)),
        lambda: notes_async(3),
    ],
    ids=["list", "tuple", "DocList", "DocVec", "function", "iterator", "generator", "async generator"],
)
def test_inputs(client, inputs):
    docs = client.post("/upper", inputs, return_type=DocList[Note], request_size=2, results_in_order=True)
    assert [doc.text for doc in docs] == ["N0", "N1", "N2"]


@pytest.mark.parametrize(("inputs", "text"), [("abc", "abc"), ({"text": "abc"}, "abc"), (["a", "b"], "a")])
def test_loose_inputs_become_documents(client, inputs, text):
    assert client.post("/echo", inputs)[0].text == text


def test_bytes_become_a_blob(client):
    assert client.post("/echo", b"\x00\xff")[0].blob == b"\x00\xff"


def test_none_is_a_request_without_documents(server, client):
    before = len(server.service.requests)
    assert len(client.post("/seen")) == 0
    assert len(server.service.requests) == before + 1


def no_documents():
    return []


NOTHING = {
    "list": [], "tuple": (), "DocList": DocList[Note](), "DocumentArray": DocumentArray(), "function": no_documents,
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("size", [100, 0])
@pytest.mark.parametrize("inputs", NOTHING.values(), ids=NOTHING)
def test_an_empty_container_is_a_request_without_documents(server, client, inputs, size, stream):
    before = len(server.service.requests)
    given = {"request_size": size, "stream": stream, "parameters": {"ids": ["a"]}, "return_type": DocList[Note]}
    assert len(client.post("/seen", inputs, **given)) == 0
    [request] = server.service.requests[before:]
    assert len(request.payload) == 0
    assert request.parameters == {"ids": ["a"]}


async def nothing_async():
    return
    yield


@pytest.mark.parametrize("inputs", [lambda: iter(()), nothing_async], ids=["generator", "async generator"])
def test_a_generator_without_documents_makes_no_request(server, client, inputs):
    before = len(server.service.requests)
    assert len(client.post("/seen", inputs, return_type=DocList[Note])) == 0
    assert len(server.service.requests) == before


def test_no_endpoint_is_the_default_one(server, client):
    with pytest.raises(EndpointNotFound, match="/default"):
        client.post("", notes(1))
    with pytest.raises(BadClientInput, match="on: None is not the name"):
        client.post(None, notes(1))


@pytest.mark.parametrize("inputs", [5, [5], [Note(), 5], object(), 1.5, [None]])
def test_bad_inputs(client, inputs):
    with pytest.raises(BadClientInput, match="inputs") as caught:
        client.post("/echo", inputs, request_size=1)
    assert caught.value.help == "for a method that takes plain values, write {'value': ...}"


def test_what_a_generator_raises_comes_out_as_it_is(client):
    def broken():
        yield Note()
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        client.post("/echo", broken(), request_size=1)
    assert client.post("/echo", Note(text="x"))[0].text == "x"


def test_mixed_classes(client):
    class Other(BaseDoc):
        text: str
        flag: bool = True

    docs = client.post("/echo", [Note(text="a"), Other(text="b")])
    assert [doc.text for doc in docs] == ["a", "b"]
    assert docs[1].flag is True


@pytest.mark.parametrize(("size", "requests"), [(100, 3), (250, 1), (0, 1), (-1, 1), (1, 250)])
def test_request_size(server, client, size, requests):
    before = len(server.service.requests)
    docs = client.post("/echo", notes(250), request_size=size, return_type=DocList[Note])
    assert sorted(doc.number for doc in docs) == list(range(250))
    assert len(server.service.requests) - before == requests


def test_order(client):
    docs = client.post("/jitter", notes(60), request_size=1, results_in_order=True, return_type=DocList[Note])
    assert [doc.number for doc in docs] == list(range(60))
    docs = client.post("/jitter", notes(60), request_size=1, return_type=DocList[Note])
    assert sorted(doc.number for doc in docs) == list(range(60))


def test_prefetch_bounds_what_is_in_flight(server, client):
    server.service.most_running = 0
    client.post("/jitter", notes(40), request_size=1, prefetch=3)
    assert 1 <= server.service.most_running <= 3
    server.service.most_running = 0
    client.post("/jitter", notes(10), request_size=1, stream=False)
    assert server.service.most_running == 1


def test_parameters_keep_their_types(client):
    parameters = {"k": 3, "x": 1.5, "big": 2**60 + 1, "list": [1, None, True, "ä"], "a__k": {"b": {}}}
    [response] = client.post("/echo", Note(), parameters=parameters, return_responses=True)
    assert response.parameters == parameters
    assert isinstance(response.parameters["k"], int)


def test_large_parameters(client):
    parameters = {"text": "ü" * 20_000}
    for _ in range(2):
        [response] = client.post("/echo", Note(), parameters=parameters, return_responses=True)
        assert response.parameters == parameters


def test_parameters_as_a_model(server, client):
    class Options(BaseModel):
        top_k: int = 3
        name: str = "x"

    client.post("/seen", Note(), parameters=Options(top_k=5))
    assert server.service.requests[-1].parameters == {"top_k": 5, "name": "x"}


@pytest.mark.parametrize("parameters", [5, "abc", [1]])
def test_bad_parameters(client, parameters):
    with pytest.raises(BadClientInput, match="parameters"):
        client.post("/echo", Note(), parameters=parameters)


def test_target_executor_and_endpoint_travel(server, client):
    client.post("/seen", Note(), target_executor="exec.*")
    assert server.service.requests[-1].target_executor == "exec.*"
    with pytest.raises(BadClientInput, match="target_executor"):
        client.post("/seen", Note(), target_executor="(")


def test_headers_and_metadata_travel(server, client):
    client.post("/seen", Note(), headers={"X-Key": "a"}, metadata=(("other", "b"),))
    headers = server.service.requests[-1].headers
    assert (headers["x-key"], headers["other"]) == ("a", "b")


def test_unknown_argument_names_the_nearest(client):
    with pytest.raises(ConfigError, match="return_type"):
        client.post("/echo", Note(), return_typ=Note)


def test_responses(client, protocol):
    [response] = client.post("/upper", Note(text="a"), return_responses=True, return_type=DocList[Note])
    assert response.docs[0].text == "A"
    assert response.data.docs is response.docs
    assert len(response.request_id) == 32
    assert response.header.request_id == response.request_id
    assert response.header.exec_endpoint == "/upper"
    assert response.status.code == response.header.status.SUCCESS
    content = response.to_dict()
    assert content["data"][0]["text"] == "A"
    assert '"text"' in response.to_json()
    if protocol != "http":
        assert [route.executor for route in response.routes] == ["notes/rep-0"]
    response.document_array_cls = DocList[Document]
    assert isinstance(response.docs[0], Document)


def test_tensors(client):
    array = np.random.default_rng(1).random((50, 50)).astype(np.float32)
    for _ in range(2):  # the second HTTP request is in protobuf
        docs = client.post("/echo", [Note(tensor=array)] * 20, return_type=DocList[Note])
        assert len(docs) == 20
        np.testing.assert_array_equal(np.asarray(docs[7].tensor), array)


def test_crud(server, client):
    for name in ("index", "search", "update", "delete"):
        with pytest.raises(Exception, match=f"/{name}"):
            getattr(client, name)(Note())


def test_check_input(client):
    client.check_input(None)
    client.check_input([Note()])
    client.check_input(Document(text="a"))
    client.check_input([])
    for bad in (5, [5], iter(())):
        with pytest.raises(BadClientInput):
            client.check_input(bad)


def test_ready(client, server):
    assert client.is_flow_ready()
    assert client.dry_run()
    server.service.up = False
    try:
        assert not client.is_flow_ready()
    finally:
        server.service.up = True


def test_profiling(client, capsys):
    times = client.profiling(show_table=True)
    assert times["Roundtrip"] > 0
    assert 0 <= times["Server"] < times["Roundtrip"]
    assert "Roundtrip" in capsys.readouterr().out


def test_inside_a_running_loop(client):
    async def main():
        return client.post("/upper", lambda: notes_async(3), return_type=DocList[Note], request_size=1)

    assert {doc.text for doc in asyncio.run(main())} == {"N0", "N1", "N2"}


def test_progress_on_a_terminal(client, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    lead, follow = pty.openpty()
    with open(lead, "rb", buffering=0) as screen, open(follow, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        client.post("/echo", notes(3), request_size=1, show_progress=True)
        terminal.close()
        shown = b""
        with contextlib.suppress(OSError):  # EIO: all of it was read
            while part := screen.read(1 << 16):
                shown += part
    assert b"/echo" in shown
    assert b"3/3" in shown


def test_progress_where_executors_write_to_the_terminal_too(client, monkeypatch):
    class Shared(io.StringIO):
        def isatty(self):
            return True

    shared = Shared()
    monkeypatch.setattr(sys, "stderr", shared)
    monkeypatch.setattr(terminal, "shared", True)
    client.post("/echo", notes(3), request_size=1, show_progress=True)
    assert re.fullmatch(r"\n/echo: 3 of 3 answered in \d+\.\d s\n", shared.getvalue())


def test_progress_is_silent_off_a_terminal(client, capfd):
    client.post("/echo", notes(3), show_progress=True)
    assert capfd.readouterr() == ("", "")
