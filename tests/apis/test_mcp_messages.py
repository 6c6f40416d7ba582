"""Reading messages of the Model Context Protocol: what is refused, with which error; nothing else ever comes out."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.apis.mcp_messages import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
    VERSION,
    McpError,
    read_message,
)
from jina.net.limits import DEFAULT_LIMITS, Limits

META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def message(method="tools/list", params=None, ident=1, **others):
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": {"_meta": META, **(params or {})}, **others}


def headers(method="tools/list", version=VERSION, **others):
    return {"mcp-protocol-version": version, "mcp-method": method, **others}


def read(content, given_headers=None, limits=DEFAULT_LIMITS):
    body = content if isinstance(content, (bytes, str)) else json.dumps(content).encode()
    return read_message(body, given_headers, limits)


def refusal(content, given_headers=None, limits=DEFAULT_LIMITS):
    with pytest.raises(McpError) as caught:
        read(content, given_headers, limits)
    return caught.value


def status_of(body, given_headers):
    """That of the refusal; 400 where there is none."""
    try:
        read(body, given_headers)
    except McpError as error:
        return error.status
    return 400


def test_a_request_that_stands_alone():
    level = {"io.modelcontextprotocol/logLevel": "warning", "progressToken": "p"}
    request = read(message(params={"_meta": {**META, **level}, "x": 1}), headers())
    assert (request.ident, request.method, request.params["x"]) == (1, "tools/list", 1)
    assert request.is_modern
    assert request.progress_token == "p"
    assert request.wants_log("error")
    assert not request.wants_log("info")


def test_a_notification_has_no_answer():
    assert read({"jsonrpc": "2.0", "method": "notifications/initialized"}, {}) is None


@pytest.mark.parametrize("asked", ["2025-11-25", "2025-06-18"])
def test_a_handshake_gets_the_revision_that_it_asks_for(asked):
    params = {"protocolVersion": asked, "capabilities": {}, "clientInfo": {}}
    request = read({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}, {})
    assert request.version == asked


def test_a_handshake_of_an_unknown_revision_gets_the_newest_with_one():
    params = {"protocolVersion": "1999-01-01"}
    assert read({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}, {}).version == "2025-11-25"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b"\xff", PARSE_ERROR),
        (b"[" * 5000 + b"]" * 5000, PARSE_ERROR),
        ([message()], INVALID_REQUEST),
        ({"id": 1, "method": "ping"}, INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1}, INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, INVALID_PARAMS),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": 1}}, INVALID_PARAMS),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": {"progressToken": []}}}, INVALID_PARAMS),
    ],
)
def test_what_is_no_request_is_refused(content, code):
    assert refusal(content, {}).code == code


@pytest.mark.parametrize("lacking", META)
def test_the_members_of_meta_are_needed(lacking):
    meta = {name: value for name, value in META.items() if name != lacking}
    error = refusal(message(params={"_meta": meta}), headers())
    assert (error.code, error.status, error.ident) == (INVALID_PARAMS, 400, 1)


def test_another_revision_is_refused_with_those_that_are_served():
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "v9"}
    error = refusal(message(params={"_meta": meta}), headers(version="v9"))
    assert error.code == UNSUPPORTED_VERSION
    assert error.data == {"supported": [VERSION], "requested": "v9"}


@pytest.mark.parametrize(
    "wrong", [{"mcp-protocol-version": "2025-11-25"}, {"mcp-method": "tools/call"}, {"mcp-name": "other"}]
)
def test_headers_that_say_something_else_are_refused(wrong):
    content = message("prompts/get", {"name": "mine"})
    right = headers("prompts/get", **{"mcp-name": "mine"})
    assert read(content, right).text("name") == "mine"
    assert refusal(content, {**right, **wrong}).code == HEADER_MISMATCH
    missing = {name: value for name, value in right.items() if name not in wrong}
    assert refusal(content, missing).code == HEADER_MISMATCH


def test_a_name_that_is_not_ascii_comes_encoded():
    content = message("resources/read", {"uri": "x:ü"})
    encoded = base64.b64encode("x:ü".encode()).decode()
    assert read(content, headers("resources/read", **{"mcp-name": f"=?base64?{encoded}?="})).text("uri") == "x:ü"
    for broken in ("=?base64?%%?=", "=?base64?/w==?=", "x:?"):
        assert refusal(content, headers("resources/read", **{"mcp-name": broken})).code == HEADER_MISMATCH


def test_without_headers_nothing_is_compared():
    assert read(message("prompts/get", {"name": "mine"})).text("name") == "mine"


def test_depth_has_a_limit():
    deep = {"a": 1}
    for _ in range(20):
        deep = {"a": deep}
    assert refusal(message(params={"arguments": deep}), headers(), Limits(depth=10)).code == INVALID_REQUEST


def test_a_revision_of_the_past_is_refused_by_its_header():
    error = refusal({"jsonrpc": "2.0", "id": 4, "method": "ping"}, {"mcp-protocol-version": "2024-11-05"})
    assert (error.code, error.ident) == (INVALID_REQUEST, 4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | JSON_VALUES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_any_body_is_read_or_refused(body):
    assert 400 <= status_of(body, {}) < 500


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "jsonrpc": JSON_VALUES | st.just("2.0"),
            "id": JSON_VALUES | st.just(1),
            "method": JSON_VALUES | st.sampled_from(["tools/call", "initialize", "prompts/get"]),
            "params": JSON_VALUES
            | st.fixed_dictionaries(
                {}, optional={"_meta": JSON_VALUES | st.just(META), "name": JSON_VALUES, "protocolVersion": JSON_VALUES}
            ),
        },
    ),
    st.dictionaries(st.sampled_from(["mcp-protocol-version", "mcp-method", "mcp-name"]), st.text(max_size=20)),
)
def test_any_message_is_read_or_refused(content, given_headers):
    assert 400 <= status_of(json.dumps(content).encode("utf-8", "surrogatepass"), given_headers) < 500
