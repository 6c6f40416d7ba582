"""Methods of plain types as clients of each protocol see them, in front of a Deployment and of a Flow."""

import datetime as dt
import json
import urllib.error
import urllib.request
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
from plain_service import Arrays, Colour, Frame, Item, Named, Out, Path, Plain, Point, Rich, Row, TextDocument

from jina import Client, Deployment, Flow
from jina.errors import BadRequest, ValidationFailed

PROTOCOLS = ["grpc", "http", "websocket"]
WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
KEY = uuid.UUID(int=7)
RICH = Rich(when=WHEN, key=KEY, inner=Item(text="a"), many=[Item(text="b")], by_name={"c": Item(text="c")}, numbers={2})


class Case(NamedTuple):
    """One call: by our client, and by any client of HTTP with a bare body."""

    endpoint: str
    inputs: Any
    return_type: Any
    expected: Any
    body: Any
    answer: Any
    parameters: dict[str, Any] | None = None
    query: str = ""


TWO, ROWS = [Item(text="ab"), Item(text="c", k=1)], [{"text": "ab"}, {"text": "c", "k": 1}]
CASES = [
    Case("/model", Item(text="ab"), Out, Out(n=6), {"text": "ab"}, {"n": 6}),
    Case("/model", TWO, list[Out], [Out(n=6), Out(n=1)], ROWS, [{"n": 6}, {"n": 1}]),
    Case("/doc", Item(text="ab"), Out, Out(n=2), {"text": "ab"}, {"n": 2}),
    Case("/many", TWO, list[Out], [Out(n=2), Out(n=1)], ROWS, [{"n": 2}, {"n": 1}]),
    Case("/many", Item(text="ab"), Out, Out(n=2), {"text": "ab"}, {"n": 2}),
    Case("/items", TWO, list[Out], [Out(n=2), Out(n=1)], ROWS, [{"n": 2}, {"n": 1}]),
    Case("/sequence", TWO, list[Out], [Out(n=3), Out(n=1)], ROWS, [{"n": 3}, {"n": 1}]),
    Case("/sum", TWO, Out, Out(n=3), ROWS, {"n": 3}),
    Case("/dataclass", Path([Point(1), Point(2)], {"a": 1}), Point, Point(3, 1), {"points": [{"x": 3}]},
         {"x": 3, "y": 0}),
    Case("/dataclasses", [Point(1)], list[Path], [Path([Point(1)], {"a": 1})], [{"x": 1}],
         [{"points": [{"x": 1, "y": 0}], "tags": {"a": 1}}]),
    Case("/typed_dict", {"name": "a"}, Row, {"name": "A", "age": 1}, {"name": "a", "age": 1}, {"name": "A", "age": 2}),
    Case("/struct", Frame(1, "x"), Frame, Frame(2, "x"), {"frameId": 1}, {"frameId": 2, "label": None}),
    Case("/structs", [Frame(1)], list[Frame], [Frame(1)], [{"frameId": 1}], [{"frameId": 1, "label": None}]),
    Case("/rich", RICH, Rich, RICH, RICH.model_dump(mode="json"), RICH.model_dump(mode="json")),
    Case("/named", Named(my_text="a"), Named, Named(my_text="a"), {"myText": "b"}, {"myText": "b", "short": ""}),
    Case("/arguments", {"text": "a", "k": 2}, list[Out], [Out(n=0), Out(n=1)], {"text": "a", "k": 1}, [{"n": 0}]),
    Case("/arguments", {"text": "a", "k": 0}, list[Out], [], {"text": "a", "k": 0}, []),
    Case("/two", {"item": {"text": "a"}, "point": {"x": 2.0}}, float, 6.0,
         {"item": {"text": "a"}, "point": {"x": 2}, "scale": 2}, 12),
    Case("/beside", Item(text="a"), int, 6, {"text": "a"}, 6),
    Case("/beside", Item(text="a"), int, 15, {"text": "a"}, 15, {"scale": 5}, "?scale=5"),
    Case("/beside_list", TWO, list[int], [6, 2], ROWS, [6, 2], {"scale": 2}, "?scale=2"),
    Case("/text", {"text": "ab"}, str, "AB", {"text": "ab"}, "AB"),
    Case("/number", {"text": "abc"}, float, 1.5, {"text": "abc"}, 1.5),
    Case("/vector", {"text": "ab"}, list[float], [2.0, 0.5], {"text": "ab"}, [2.0, 0.5]),
    Case("/scores", {"text": "aa"}, dict[str, float], {"a": 2.0}, {"text": "aa"}, {"a": 2.0}),
    Case("/by_number", {"text": "a"}, dict[int, str], {0: "a"}, {"text": "a"}, {"0": "a"}),
    Case("/pair", {"text": "ab"}, tuple[int, str], (2, "ab"), {"text": "ab"}, [2, "ab"]),
    Case("/flag", {"text": ""}, bool, expected=False, body={"text": "a"}, answer=True),
    Case("/perhaps", {"k": 2}, Out | None, Out(n=2), {"k": 0}, None),
    Case("/either", {"k": 2}, Out | Row, Out(n=2), {"k": 0}, {"name": "none"}),
    Case("/nothing", Item(text="a"), type(None), None, {"text": "a"}, None),
    Case("/nothing_of_many", TWO, list[None], [None, None], ROWS, None),
    Case("/untold", Item(text="a"), dict, {"k": 3}, {"text": "a"}, {"k": 3}),
    Case("/anything", {"value": 1}, list[int], [1], {"value": {"a": 1}}, [{"a": 1}]),
    Case("/hello", None, str, "hello", None, "hello"),
    Case("/texts", ["a", "bc"], list[list[float]], [[1.0], [2.0]], ["a", "bc"], [[1.0], [2.0]]),
    Case("/one_text", "abc", str, "cba", "abc", "cba"),
    Case("/batched", TWO, list[Out], [Out(n=2), Out(n=1)], {"text": "ab"}, {"n": 2}),
    Case("/batched_texts", ["a", "bc"], list[float], [2.0, 4.0], ["a", "bc"], [2.0, 4.0], {"scale": 2}, "?scale=2"),
    Case("/of_documents", [TextDocument(text="ab")], list[Out], [Out(n=2)], [{"text": "ab"}], None),
    Case("/to_documents", {"text": "ab"}, list[TextDocument], None, {"text": "a"}, [{"id": "0", "text": "a"}]),
    Case("/days", {"since": "2026-01-01", "until": "2026-01-03"}, dt.timedelta | None, dt.timedelta(days=2),
         {"since": "2026-01-01"}, None),
    Case("/grouped", TWO, dict[str, list[Item]], {"ab": TWO[:1], "c": TWO[1:]}, ROWS[1:], {"c": ROWS[1:]}),
    Case("/colours", {"colours": ["red", "blue"]}, list[Colour], [Colour.BLUE, Colour.RED],
         {"colours": ["blue", "red"], "size": "m"}, ["red", "blue"]),
    Case("/doubled", [{"value": 3}, {"value": 4}], list[int], [6, 8], [3], [6]),
    Case("/price", ["1.10"], list[Decimal], [Decimal("2.20")], ["0.1"], ["0.2"]),
    Case("/free_document", TextDocument(text="ab"), Out, Out(n=2), {"text": "abc"}, {"n": 3}),
]  # fmt: skip


def test_the_table_has_forty_signatures():
    assert len({case.endpoint for case in CASES}) >= 40


class Ports(NamedTuple):
    by_protocol: dict[str, int]

    def ask(self, path: str, body: Any, accept: str = "application/json") -> tuple[int, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.by_protocol['http']}{path}"
        headers = {"content-type": "application/json", "accept": accept}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module", params=["deployment", "flow"])
def service(request):
    options = {"protocol": PROTOCOLS, "host": "127.0.0.1", "quiet": True}
    made = Deployment(uses=Plain, **options) if request.param == "deployment" else Flow(**options).add(uses=Plain)
    with made as running:
        yield Ports(dict(zip(PROTOCOLS, running.port, strict=True)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_our_clients_get_what_methods_give(service, protocol):
    client = Client(protocol=protocol, port=service.by_protocol[protocol])
    wrong = []
    for case in CASES:
        options = {"parameters": case.parameters} if case.parameters else {}
        found = client.post(case.endpoint, inputs=case.inputs, return_type=case.return_type, **options)
        expected = case.expected
        if case.endpoint == "/to_documents":
            found, expected = [doc.text for doc in found], ["a", "b"]
        if found != expected or type(found) is not type(expected):
            wrong.append((case.endpoint, found, expected))
    assert wrong == []


def test_bare_bodies_get_bare_answers(service):
    wrong = []
    for case in CASES:
        if case.endpoint == "/of_documents":  # its input is Jina 3's, so that its answer is as well
            continue
        status, body = service.ask(case.endpoint + case.query, case.body)
        if status != 200 or json.loads(body) != case.answer:
            wrong.append((case.endpoint, status, body, case.answer))
    assert wrong == []


def test_envelopes_get_envelopes(service):
    status, body = service.ask("/many", {"data": ROWS})
    assert (status, json.loads(body)["data"]) == (200, [{"n": 2}, {"n": 1}])
    status, body = service.ask("/vector", {"data": {"text": "ab"}, "parameters": {}})
    assert (status, json.loads(body)["data"]) == (200, [{"value": [2.0, 0.5]}])
    status, body = service.ask("/texts", {"data": ["a", "bc"]})
    assert (status, json.loads(body)["data"]) == (200, [{"value": [1.0]}, {"value": [2.0]}])
    status, body = service.ask("/of_documents", {"data": [{"text": "ab"}]})
    assert (status, json.loads(body)["data"]) == (200, [{"n": 2}])


def test_an_empty_body_is_an_input_without_fields(service):
    for path in ("/text", "/one_text", "/model"):
        assert service.ask(path, None)[0] == 422, path
    assert service.ask("/texts", None) == (200, b"[]")


def test_streams(service):
    status, body = service.ask("/letters", {"text": "ab"}, "application/x-ndjson")
    assert (status, body) == (200, b'"a"\n"b"\n')
    status, body = service.ask("/stream", {"text": "a", "k": 2}, "text/event-stream")
    assert body == (b'event: update\r\ndata: {"n":0}\r\n\r\nevent: update\r\ndata: {"n":1}\r\n\r\nevent: end\r\n\r\n')
    for protocol in PROTOCOLS:
        client = Client(protocol=protocol, port=service.by_protocol[protocol])
        assert list(client.stream_doc("/letters", {"text": "ab"}, return_type=str)) == ["a", "b"]
        assert list(client.stream_doc("/stream", Item(text="", k=2), return_type=Out)) == [Out(n=0), Out(n=1)]
        assert list(client.stream_doc("/stream_of_many", Item(text="", k=2), return_type=int)) == [2]


def test_bytes_and_arrays(service):
    given = Arrays(blob=b"\x00\xff", array=np.arange(3, dtype=np.float32), tensor=np.ones(2))
    for protocol in PROTOCOLS:
        client = Client(protocol=protocol, port=service.by_protocol[protocol])
        found = client.post("/arrays", inputs=given, return_type=Arrays)
        assert (found.blob, found.array.tolist(), list(found.tensor)) == (b"\xff\x00", [0, 2, 4], [1, 1]), protocol
    status, body = service.ask("/arrays", {"blob": "data:;base64,AP8=", "array": [1, 2]})
    assert (status, json.loads(body)) == (200, {"blob": "data:;base64,/wA=", "array": [2, 4], "tensor": None})
    status, body = service.ask("/arrays", {"blob": "aGVsbG8=", "array": [1, 2]})
    assert status == 422
    assert json.loads(body)["detail"][0]["loc"][-1] == "blob"
    assert "bytes come in JSON as a data URL" in json.loads(body)["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/model", {"k": 1}, ["body", "text"]),
        ("/many", [{"text": "a"}, {"k": 1}], ["body", 1, "text"]),
        ("/many", {"data": [{"text": 1}]}, ["body", "data", 0, "text"]),
        ("/dataclass", {"points": [{"y": 1}]}, ["body", "points", 0, "x"]),
        ("/typed_dict", {"age": "x", "name": "a"}, ["body", "age"]),
        ("/arguments", {"text": "a", "k": "many"}, ["body", "k"]),
        ("/arguments", None, ["body", "text"]),
        ("/named", {"myText": "a", "short": "abcd"}, ["body", "short"]),
        ("/beside?scale=x", {"text": "a"}, ["body", "parameters", "scale"]),
        ("/model", 3, ["body"]),
    ],
)
def test_what_does_not_fit_is_placed(service, path, body, place):
    status, answer = service.ask(path, body)
    assert status == 422, answer
    assert json.loads(answer)["detail"][0]["loc"] == place


def test_clients_see_the_errors(service):
    for protocol in PROTOCOLS:
        client = Client(protocol=protocol, port=service.by_protocol[protocol])
        with pytest.raises(ValidationFailed, match="text"):
            client.post("/model", inputs={"k": 1})
        with pytest.raises(BadRequest, match="answers one input with a list"):
            client.post("/arguments", inputs=[{"text": "a"}, {"text": "b"}])
        found = client.post("/arguments", inputs=[{"text": "a", "k": 1}] * 2, request_size=1, return_type=list[Out])
        assert found == [Out(n=0), Out(n=0)]


@pytest.mark.slow
def test_the_documentation_shows_bare_bodies(service):
    with urllib.request.urlopen(f"http://127.0.0.1:{service.by_protocol['http']}/openapi.json", timeout=20) as answer:
        paths = json.load(answer)["paths"]
    schema = paths["/many"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}
    schema = paths["/vector"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("/properties/value")
    assert paths["/beside"]["post"]["parameters"] == [
        {"name": "scale", "in": "query", "required": False, "schema": {"type": "integer"}}
    ]
