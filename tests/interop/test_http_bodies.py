"""Raw HTTP requests, answered alike by our server and by Jina 3's, but for the documented differences."""

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

ID = "0123456789abcdef0123456789abcdef"
NOTE = {"id": ID, "text": "a"}
DONE = {"id": ID, "text": "a!"}
BIG = 2**53 + 1


@dataclass(frozen=True)
class Body:
    """A request; `ours` is what we answer where `differs` names a difference (`None`: compared as usual)."""

    label: str
    path: str
    body: Any = None
    method: str = "POST"
    content_type: str | None = "application/json"
    differs: str = ""
    ours: Any = None
    theirs: int = 0
    """Their status, where there is a difference."""

    @property
    def data(self):
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


def documents(*docs, parameters=None):
    return 200, {"data": list(docs), "parameters": parameters or {}}


def rich(**fields):
    return {"data": [{"id": ID, **fields}]}


BODIES = [
    Body("list", "/in_place", {"data": [NOTE, {"id": "b", "text": "b"}]}),
    Body("one object", "/in_place", {"data": NOTE}),
    Body("without an id", "/in_place", {"data": [{"text": "a"}]}),
    Body("empty list", "/in_place", {"data": []}),
    Body("header", "/in_place", {"data": [NOTE], "header": {"request_id": "r1"}}),
    Body("header with target", "/in_place", {"data": [NOTE], "header": {"request_id": "r1", "target_executor": "x"}}),
    Body("null header", "/in_place", {"data": [NOTE], "header": None}),
    Body("camel header", "/in_place", {"data": [NOTE], "header": {"requestId": "r1"}}, differs="header-without-id", theirs=422, ours=documents(DONE)),
    Body("empty header", "/in_place", {"data": [NOTE], "header": {}}, differs="header-without-id", theirs=422, ours=documents(DONE)),
    Body("floats", "/parameters", {"data": [], "parameters": {"f": 1.5, "n": None, "l": ["x", 0.5], "d": {"e": True}}}),
    Body("integers", "/parameters", {"data": [], "parameters": {"i": 1, "big": BIG}}, differs="integers-of-parameters", theirs=200,
         ours=documents({"id": "<id>", "text": json.dumps({"big": BIG, "i": 1})}, parameters={"i": 1, "big": BIG})),
    Body("null parameters", "/parameters", {"data": [], "parameters": None}),
    Body("parameters as a list", "/parameters", {"data": [], "parameters": [1]}),
    Body("without data", "/in_place", {"parameters": {}}, differs="bare-bodies", theirs=422, ours=documents()),
    Body("empty object", "/in_place", {}, differs="bare-bodies", theirs=422, ours=documents()),
    Body("null data", "/in_place", {"data": None}, differs="bare-bodies", theirs=422, ours=documents()),
    Body("bare document", "/in_place", NOTE, differs="bare-bodies", theirs=422, ours=documents(DONE)),
    Body("bare list", "/in_place", [NOTE], differs="bare-bodies", theirs=422, ours=documents(DONE)),
    Body("empty", "/in_place", b"", differs="bare-bodies", theirs=422, ours=documents()),
    Body("text as data", "/in_place", {"data": "x"}),
    Body("further key", "/in_place", {"data": [NOTE], "other": 1}),
    Body("further field", "/in_place", {"data": [{**NOTE, "other": 1}]}),
    Body("number for text", "/in_place", {"data": [{"id": ID, "text": 5}]}),
    Body("null for text", "/in_place", {"data": [{"id": ID, "text": None}]}),
    Body("no JSON", "/in_place", "{nope", differs="not-json", theirs=422, ours=(400, None)),
    Body("a number", "/in_place", "5", differs="validation-location", theirs=422, ours=(422, None)),
    Body("no content type", "/in_place", {"data": [NOTE]}, content_type=None),
    Body("charset", "/in_place", {"data": [{"id": ID, "text": "ü"}]}, content_type="application/json; charset=utf-8"),
    Body("as text", "/in_place", {"data": [NOTE]}, content_type="text/plain", differs="media-type", theirs=422, ours=documents(DONE)),
    Body("each field", "/echo", rich(text="t", maybe=None, count=3, price=1.5, flag=True, blob="abc", tags={"a": [1, {"b": None}]}, names=["x"],
                                     vector=[1.5, 2], matrix=[[1, 2], [3, 4]], part={"id": "p", "name": "n", "size": 1}, parts=[{"id": "q", "name": "m", "size": 2}])),
    Body("no field", "/echo", rich()),
    Body("integer as text", "/echo", rich(count="3")),
    Body("integer as 3.0", "/echo", rich(count=3.0)),
    Body("integer as 3.5", "/echo", rich(count=3.5)),
    Body("integer as boolean", "/echo", rich(count=True)),
    Body("float as text", "/echo", rich(price="1.5")),
    Body("boolean as text", "/echo", rich(flag="yes")),
    Body("wrong nested", "/echo", rich(part={"size": "x"})),
    Body("wrong in a nested list", "/echo", rich(parts=[{"size": 1}, {"size": "x"}]), differs="validation-location", theirs=422, ours=(422, None)),
    Body("two wrong fields", "/echo", rich(count="x", price="y")),
    Body("integer of 54 bits", "/echo", rich(count=BIG)),
    Body("integer of 32 bits", "/echo", rich(count=2**31)),
    Body("NaN and infinity", "/echo", f'{{"data":[{{"id":"{ID}","price":NaN,"vector":[1,Infinity]}}]}}'),
    Body("unicode", "/echo", rich(text="\0 ☃ 😀 \u2028 \\ \"")),
    Body("numbers in tags", "/echo", rich(tags={"i": 1, "f": 1.0, "big": 2**60 + 1, "n": [None, {}]})),
    Body("no tensor", "/echo", rich(vector="x"), differs="validation-location", theirs=422, ours=(422, None)),
    Body("ragged tensor", "/echo", rich(vector=[[1, 2], [3]]), differs="validation-location", theirs=422, ours=(422, None)),
    Body("empty tensor", "/echo", rich(vector=[])),
    Body("a scalar as tensor", "/echo", rich(vector=3.5), differs="scalar-tensors", theirs=422, ours=(200, None)),
    Body("integers as tensor", "/echo", rich(vector=[1, 2])),
    Body("results", "/results", {"data": [NOTE]}, differs="dict-results-http", theirs=500,
         ours=documents(NOTE, parameters={"__results__": {"direct/rep-0": {"count": 1, "nested": {"names": ["a", "b"], "none": None}}}})),
    Body("parameters model", "/model", {"data": [NOTE], "parameters": {"limit": 3}}, differs="parameters-as-sent", theirs=200,
         ours=documents({"id": "<id>", "text": "3"}, parameters={"limit": 3})),
    Body("parameters model, missing", "/model", {"data": [NOTE]}, differs="missing-parameters", theirs=422, ours=(422, None)),
    Body("parameters model, wrong", "/model", {"data": [NOTE], "parameters": {"limit": "x"}}),
    Body("single", "/single", {"data": [NOTE, {"id": "b", "text": "b"}]}),
    Body("single, one object", "/single", {"data": NOTE}),
    Body("more documents out", "/twice", {"data": [NOTE]}),
    Body("no documents out", "/nothing", {"data": [NOTE]}),
    Body("another class out", "/measure", rich(text="a", vector=[1, 2])),
    Body("handler fails", "/fail", {"data": [NOTE]}),
    Body("handler returns 5", "/wrong_return", {"data": [NOTE]}, differs="text-of-detail", theirs=500, ours=(500, None)),
    Body("unknown endpoint", "/no_such", {"data": []}, differs="text-of-detail", theirs=404, ours=(404, None)),
    Body("slash at the end", "/in_place/", {"data": [NOTE]}, differs="trailing-slash", theirs=307, ours=documents(DONE)),
    Body("GET of an endpoint", "/in_place", method="GET", differs="text-of-detail", theirs=405, ours=(405, None)),
    Body("PUT", "/in_place", {"data": []}, method="PUT", differs="text-of-detail", theirs=405, ours=(405, None)),
    Body("root", "/", method="GET"),
    Body("dry run", "/dry_run", method="GET", differs="dry-run", theirs=404, ours=(200, {"code": 0, "description": "", "exception": None})),
    Body("stream", f"/stream?text=q&id={ID}", method="GET"),
    Body("stream of a body", "/stream", {"id": ID, "text": "q"}, method="GET"),
    Body("stream of an unknown field", "/stream?nope=1", method="GET", differs="unknown-query", theirs=200, ours=(422, None)),
    Body("stream by POST", "/stream", {"data": [{"id": ID, "text": "q"}]}, differs="stream-by-post", theirs=405,
         ours=(200, [["update", {"id": "<id>", "text": f"q {i}"}] for i in range(3)] + [["end", None]])),
    Body("stream that fails", "/stream_fail?text=q", method="GET", differs="stream-failure", theirs=200, ours=(200, None)),
]  # fmt: skip


def exchange(url, request):
    """Status, media type and body of one answer; a body that is cut short is None."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        headers = {} if request.content_type is None else {"content-type": request.content_type}
        connection.request(request.method, request.path, body=request.data, headers=headers)
        response = connection.getresponse()
        media = (response.headers.get("content-type") or "").partition(";")[0]
        try:
            return response.status, media, response.read().decode()
        except http.client.IncompleteRead:
            return response.status, media, None
    finally:
        connection.close()


def content(media, text):
    """The body as values; server-sent events as pairs of name and value."""
    if text is None or media not in {"application/json", "text/event-stream"}:
        return text
    if media == "application/json":
        return json.loads(text)
    frames = [frame.split("\r\n") for frame in text.split("\r\n\r\n") if frame]
    return [
        [lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")) if lines[1:] else None]
        for lines in frames
    ]


def comparable(value):
    """Without what is made up again for each answer, and without what is said of differences elsewhere."""
    if isinstance(value, dict):
        if "detail" in value:  # "error-members", "validation-location"
            detail = value["detail"]
            return {"detail": faults(detail) if isinstance(detail, list) else detail}
        if "data" in value:  # "header-of-workers"
            value = {key: item for key, item in value.items() if key != "header"}
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, str) and value != ID and re.fullmatch("[0-9a-f]{32}", value):
        return "<id>"
    return value


def faults(detail):
    """Type, place and input of each fault; Jina 3 tells those of `data` once as a list and once as a document."""
    found = []
    for fault in detail:
        place = fault["loc"]
        if len(place) > 2 and place[1] == "data" and isinstance(place[2], str):
            if not place[2].startswith("list["):
                continue
            place = [*place[:2], *place[3:]]
        found.append([fault["type"], place])
    return found


@pytest.mark.parametrize("request_", [pytest.param(body, id=body.label) for body in BODIES])
def test_answers(servers, request_):
    status, media, text = exchange(servers["ours.http"], request_)
    ours = comparable(content(media, text))
    their_status, their_media, their_text = exchange(servers["theirs.http"], request_)
    theirs = comparable(content(their_media, their_text))
    if not request_.differs:
        assert (status, media, ours) == (their_status, their_media, theirs), text
        return
    assert their_status == request_.theirs, their_text
    expected_status, expected = request_.ours
    assert status == expected_status, text
    if expected is not None:
        assert ours == comparable(expected)
    assert (status, ours) != (their_status, theirs), "no difference any more: take it out of the table"


LOAD_BALANCER = {"as text": 200, "slash at the end": 200}
"""Statuses of the load balancer that Jina 3 puts before a Deployment, where they are not the worker's."""


@pytest.mark.parametrize("request_", [pytest.param(body, id=body.label) for body in BODIES if body.method == "POST"])
def test_the_load_balancer_of_jina_3_answers_like_its_worker(servers, request_):
    status, _, _ = exchange(servers["theirs.http"], request_)
    assert exchange(servers["theirs.default-http"], request_)[0] == LOAD_BALANCER.get(request_.label, status)


def test_header_like_a_gateway(servers):
    request = Body("", "/in_place", {"data": [NOTE], "header": {"request_id": "r1"}})
    for name in ("ours.http", "theirs.flow-http"):
        assert json.loads(exchange(servers[name], request)[2])["header"] == {"request_id": "r1", "target_executor": ""}
    assert "header" not in json.loads(exchange(servers["theirs.http"], request)[2])  # "header-of-workers"


def test_id_of_a_document_without_one(servers):
    request = Body("", "/in_place", {"data": [{"text": "a"}]})
    ids = {
        name: json.loads(exchange(servers[name], request)[2])["data"][0]["id"]
        for name in ("ours.http", "theirs.flow-http")
    }
    assert ids["theirs.flow-http"] is None  # "ids-through-gateways"
    assert re.fullmatch("[0-9a-f]{32}", ids["ours.http"])


def test_integers_above_32_bits(servers):
    request = Body("", "/echo", rich(count=2**31))
    assert exchange(servers["theirs.flow-http"], request)[0] == 500  # "big-integers"
    assert json.loads(exchange(servers["ours.http"], request)[2])["data"][0]["count"] == 2**31


def test_documents_of_an_endpoint_without_a_return_annotation(servers):
    request = Body("", "/results", {"data": [NOTE]})
    theirs = json.loads(exchange(servers["theirs.flow-http"], request)[2])["data"][0]
    assert {"tensor", "scores", "matches"} <= theirs.keys()  # "schemaless-json"
    assert json.loads(exchange(servers["ours.http"], request)[2])["data"] == [NOTE]


def test_members_of_an_error(servers):
    request = Body("", "/fail", {"data": [NOTE]})
    ours, theirs = (json.loads(exchange(servers[name], request)[2]) for name in ("ours.http", "theirs.http"))
    assert theirs == {"detail": "ValueError('no good', 7)"}  # "error-members"
    assert ours["detail"] == theirs["detail"]
    assert {"type", "title", "status", "code", "errors", "name", "args", "stacks", "executor"} <= ours.keys()
