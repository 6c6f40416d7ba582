"""`/mcp` of an HTTP listener, as raw requests: statuses, headers, events, access, and clients that leave."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request

import pytest
from docarray import BaseDoc

from jina import Deployment, Executor, Flow, requests
from jina.apis.mcp_messages import HEADER_MISMATCH, INVALID_PARAMS, METHOD_NOT_FOUND, PARSE_ERROR, VERSION
from tests.apis.mcp_everything import Everything

META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}


def post(port, content, headers=None, *, raw=False):
    """Status, headers and body of a POST to `/mcp`."""
    body = content if raw else json.dumps(content).encode()
    own = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/mcp", body, {**own, **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def ask(port, method, params=None, headers=None, meta=None):
    """The same of a request that stands alone."""
    content = {"jsonrpc": "2.0", "id": 1, "method": method}
    content["params"] = {**(params or {}), "_meta": {**META, **(meta or {})}}
    name = (params or {}).get("name") or (params or {}).get("uri")
    own = {"mcp-protocol-version": VERSION, "mcp-method": method, **({"mcp-name": name} if name else {})}
    return post(port, content, {**own, **(headers or {})})


@pytest.fixture(scope="module", params=["deployment", "flow"])
def port(request):
    if request.param == "deployment":
        service = Deployment(uses=Everything, protocol="http", apis="mcp")
    else:
        service = Flow(protocol="http", apis=["mcp"]).add(uses=Everything).add()
    with service:
        yield service.port


def test_a_tool_is_called(port):
    status, headers, body = ask(port, "tools/call", {"name": "test_simple_text"})
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]
    assert json.loads(body)["result"]["content"][0]["text"].startswith("This is")


def test_progress_comes_as_events(port):
    status, headers, body = ask(port, "tools/call", {"name": "test_tool_with_progress"}, meta={"progressToken": 5})
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    assert [event["params"]["progress"] for event in events[:3]] == [0, 50, 100]
    assert events[3]["result"]["content"] == [{"type": "text", "text": "done"}]
    only = {"accept": "application/json"}
    _, headers, body = ask(port, "tools/call", {"name": "test_tool_with_progress"}, only, {"progressToken": 5})
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["result"]["content"] == [{"type": "text", "text": "done"}]


@pytest.mark.parametrize(
    ("method", "headers", "status", "code"),
    [
        ("nothing/here", {}, 404, METHOD_NOT_FOUND),
        ("initialize", {}, 404, METHOD_NOT_FOUND),
        ("tools/call", {}, 400, INVALID_PARAMS),
        ("tools/list", {"mcp-method": "tools/call"}, 400, HEADER_MISMATCH),
        ("tools/list", {"content-type": "text/plain"}, 415, -32600),
        ("tools/list", {"origin": "http://evil.example.com"}, 403, -32600),
        ("tools/list", {"origin": "null"}, 403, -32600),
        ("tools/list", {"origin": "http://[::1"}, 403, -32600),
        ("tools/list", {"x-request-timeout": "soon"}, 400, INVALID_PARAMS),
    ],
)
def test_what_is_wrong_is_said_by_status_and_code(port, method, headers, status, code):
    answered, _, body = ask(port, method, headers=headers)
    assert answered == status
    assert json.loads(body)["error"]["code"] == code


def test_pages_of_this_machine_may_call(port):
    for origin in ("http://localhost:3000", f"http://127.0.0.1:{port}", "http://[::1]"):
        assert ask(port, "tools/list", headers={"origin": origin})[0] == 200


def test_a_notification_is_taken(port):
    status, _, body = post(port, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (status, body) == (202, b"")


def test_a_body_that_is_no_json(port):
    status, _, body = post(port, b"{", raw=True)
    assert status == 400
    assert json.loads(body) == {"jsonrpc": "2.0", "id": None, "error": json.loads(body)["error"]}
    assert json.loads(body)["error"]["code"] == PARSE_ERROR


def test_there_are_no_streams_without_a_call(port):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/mcp")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as error:
        assert error.code == 405
        assert error.headers["allow"] == "POST"


def test_what_agents_use_is_no_route_for_others(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=30) as answer:
        paths = json.load(answer)["paths"]
    assert not [path for path in paths if path.startswith("/mcp/")]


class Slow(BaseDoc):
    path: str


class Closing(Executor):
    @requests(on="/wait")
    async def wait(self, doc: Slow, **kwargs) -> Slow:
        """Says when it is closed."""
        try:
            while True:
                yield Slow(path="one more")
        finally:
            with open(doc.path, "w") as file:
                file.write(str(time.monotonic()))


def test_a_client_that_leaves_closes_the_generator(tmp_path):
    path = tmp_path / "closed"
    with Deployment(uses=Closing, protocol="http", apis="mcp") as service:
        params = {"name": "wait", "arguments": {"path": str(path)}, "_meta": {**META, "progressToken": 1}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = (
            "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
            f"mcp-protocol-version: {VERSION}\r\nmcp-method: tools/call\r\nmcp-name: wait\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(head.encode() + body)
            received = b""
            while b"one more" not in received:
                received += client.recv(65536)
        left, until = time.monotonic(), time.monotonic() + 20
        while not path.exists() or not path.read_text():
            assert time.monotonic() < until, "the generator was not closed after its client had left"
        assert float(path.read_text()) - left < 5


def test_keys_are_asked_for_and_bound_tools():
    keys = {"all": "the-k1-of-many", "one": {"key": "the-k2-of-many", "endpoints": ["/test_simple_text"]}}
    with Deployment(uses=Everything, protocol="http", apis="mcp", api_keys=keys) as service:
        status, _, body = ask(service.port, "tools/list")
        assert status == 401
        assert json.loads(body)["error"]["message"]
        _, _, body = ask(service.port, "tools/list", headers={"authorization": "Bearer the-k2-of-many"})
        result = json.loads(body)["result"]
        assert [tool["name"] for tool in result["tools"]] == ["test_simple_text"]
        assert result["cacheScope"] == "private"
        call = {"name": "test_image_content"}
        status, _, body = ask(service.port, "tools/call", call, {"authorization": "Bearer the-k2-of-many"})
        assert status == 403
        assert ask(service.port, "tools/call", call, {"authorization": "Bearer the-k1-of-many"})[0] == 200
