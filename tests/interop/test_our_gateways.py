"""Our gateways before workers and Flows of Jina 3, as users have them while they migrate."""

import contextlib
import json

import pytest

from tests.interop.matrix import CLIENTS, Raises, check
from tests.interop.programs import Program, free_ports
from tests.interop.test_calls import AS_FLOATS, FAILURE, GIVEN, changed, echoed, same_numbers

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

BEHIND = {"front": ("direct", 0), "chain": ("direct", 0), "loose_front": ("loose", 0), "flow_front": ("flow", 0)}
"""Our gateway -> the kind of Jina 3's server behind it, and which of its ports."""


@pytest.fixture(scope="module")
def gateways(servers, tmp_path_factory):
    """The addresses of our gateways by kind."""
    ports = dict(zip(BEHIND, free_ports(len(BEHIND)), strict=True))
    asked = {kind: {"ports": [ports[kind]], "external": servers.port("theirs", *BEHIND[kind])} for kind in BEHIND}
    with contextlib.ExitStack() as stack:
        program = Program("ours", "serve.py", json.dumps(asked), log=tmp_path_factory.mktemp("ours") / "gateways.log")
        stack.callback(program.kill)
        assert program.line(60) == "ready"
        yield {kind: f"grpc://127.0.0.1:{port}" for kind, port in ports.items()}


def all_answered(seen):
    assert seen["texts"] == sorted(f"{i}!" for i in range(25))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("kind", ["front", "flow_front"])
@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("many_requests", {}, all_answered),
        ("lengths", {}, [["a!", "b!"], ["a0", "a1", "b0", "b1"], []]),
        ("other_class", {}, ["s:3.0", "t:0.0"]),
        ("single_document_method", {}, ["one x", "one y"]),
        ("in_order", {}, [str(i) for i in range(6)]),
        ("async_post", {}, [f"{i}!" for i in range(5)]),
        ("no_documents", {"stream": False}, ['{"a": "b"}']),
        ("parameters_model", {"given": {"limit": 3}}, ["3"]),
        ("failing", {}, Raises("BadServer", text="no good")),
        ("failing", {"stream": False}, Raises("BadServer", text="no good")),
        ("failing_response", {}, [FAILURE, ["b!"]]),
        ("failing_some", {}, [["a", "b", "c"], ["KeyError('bad')"]]),
        ("wrong_type", {}, Raises()),
        ("ready", {}, [True, True]),
    ],
)
def test_calls_pass(clients, gateways, client, kind, call, arguments, expected):
    check(clients[client].ask({"call": call, "url": gateways[kind], "arguments": arguments}), expected)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_endpoint_is_found_where_the_endpoints_are_known(clients, gateways, client):
    """A gateway of Jina 3 behind ours answers to any name, as it does by itself."""
    asked = {"call": "unknown_endpoint", "arguments": {}}
    check(clients[client].ask(asked | {"url": gateways["front"]}), Raises())
    check(clients[client].ask(asked | {"url": gateways["flow_front"]}), ["a"])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_passes(clients, gateways, client):
    asked = {"call": "stream_doc", "url": gateways["front"], "arguments": {}}
    check(clients[client].ask(asked), ["s 0", "s 1", "s 2"])


@pytest.mark.parametrize(("call", "expected"), [("echo", echoed), ("change", changed)])
def test_documents_keep_their_types(clients, gateways, call, expected):
    for client in CLIENTS:
        seen = clients[client].ask({"call": call, "url": gateways["front"], "arguments": {}})
        check(seen, expected(empty="float64"))


@pytest.mark.parametrize("client", CLIENTS)
def test_parameters_are_those_of_jina_3(clients, gateways, client):
    seen = clients[client].ask({"call": "parameters", "url": gateways["front"], "arguments": {"given": GIVEN}})
    same_numbers(AS_FLOATS)(json.loads(seen["result"]))


@pytest.mark.parametrize("client", CLIENTS)
def test_parameters_are_scoped_by_the_gateway(clients, gateways, client):
    given = {"direct__k": "mine", "k": "general", "v": "all"}
    seen = clients[client].ask({"call": "parameters", "url": gateways["front"], "arguments": {"given": given}})
    assert json.loads(seen["result"]) == {"k": "mine", "v": "all"}


@pytest.mark.parametrize("client", CLIENTS)
def test_ours_stands_before_a_worker_of_jina_3(clients, gateways, client):
    asked = {"call": "lengths", "url": gateways["chain"], "arguments": {}}
    assert clients[client].ask(asked)["result"] == [["<a!", "<b!"], ["<a0", "<a1", "<b0", "<b1"], []]
    asked = {"call": "failing", "url": gateways["chain"], "arguments": {}}
    check(clients[client].ask(asked), Raises("BadServer", text="no good"))


@pytest.mark.parametrize("client", CLIENTS)
def test_schemaless_documents_pass(clients, gateways, client):
    seen = clients[client].ask({"call": "loose", "url": gateways["loose_front"], "arguments": {"on": "/loose"}})
    assert seen["result"] == {
        "text": "t seen",
        "tags": {"k": "v", "n": 1},
        "embedding": {"dtype": "float32", "shape": [2], "values": [2.0, 4.0]},
        "chunks": ["c"],
        "id": True,
    }
