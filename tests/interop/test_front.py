"""Our server as an external Executor of a Jina 3 Flow, as users have it while they migrate."""

import contextlib
import json

import pytest

from tests.interop.matrix import CLIENTS, Raises, check
from tests.interop.programs import Program, free_ports
from tests.interop.test_calls import AS_FLOATS, FAILURE, GIVEN, changed, echoed, results, same_numbers

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]


def all_answered(seen):
    assert seen["texts"] == sorted(f"{i}!" for i in range(25))


@pytest.fixture(scope="module")
def gateways(servers, tmp_path_factory):
    """The addresses of Jina 3 gateways before our workers, by kind."""
    workers = {"front": "all_protocols", "chain": "all_protocols", "loose_front": "loose", "loose_chain": "loose"}
    ports = dict(zip(workers, free_ports(len(workers)), strict=True))
    asked = {kind: {"ports": [ports[kind]], "external": servers.port("ours", workers[kind])} for kind in workers}
    refused = {"loose_chain": asked.pop("loose_chain")}
    folder = tmp_path_factory.mktemp("gateways")
    with contextlib.ExitStack() as stack:
        started = []
        for name, kinds in (("gateways", asked), ("refused", refused)):
            started.append(Program("theirs", "serve.py", json.dumps(kinds), log=folder / f"{name}.log"))
            stack.callback(started[-1].kill)
        assert started[0].line(60) == "ready"
        with pytest.raises(RuntimeError, match="RuntimeFailToStart"):  # "chained-schemaless"
            started[1].line(60)
        yield {kind: f"grpc://127.0.0.1:{port}" for kind, port in ports.items()}


@pytest.fixture(scope="module")
def front(gateways):
    """The address of a Jina 3 gateway before our worker alone."""
    return gateways["front"]


@pytest.mark.parametrize("client", CLIENTS)
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
        ("target_executor", {"pattern": "nobody"}, ["t"]),
        ("stream_doc", {}, ["s 0", "s 1", "s 2"]),
        ("failing", {}, Raises("BadServer", text="no good")),
        ("failing", {"stream": False}, Raises("BadServer", text="no good")),
        ("failing_response", {}, [FAILURE, ["b!"]]),
        ("failing_some", {}, [["a", "b", "c"], ["KeyError('bad')"]]),
        ("wrong_type", {}, Raises()),
        ("unknown_endpoint", {}, ["a"]),  # the gateway itself passes them by
        ("ready", {}, [True, True]),
    ],
)
def test_calls_pass(clients, front, client, call, arguments, expected):
    check(clients[client].ask({"call": call, "url": front, "arguments": arguments}), expected)


@pytest.mark.parametrize(("call", "expected"), [("echo", echoed), ("change", changed)])
def test_documents_keep_their_types(clients, front, call, expected):
    # The dtype of an empty array is in the message; only our client reads it.
    for client, empty in (("ours", "float32"), ("theirs", "float64")):
        check(clients[client].ask({"call": call, "url": front, "arguments": {}}), expected(empty=empty))


@pytest.mark.parametrize(("client", "expected"), [("ours", GIVEN), ("theirs", AS_FLOATS)])
def test_parameters_keep_their_types_over_the_hop(clients, front, client, expected):
    seen = clients[client].ask({"call": "parameters", "url": front, "arguments": {"given": GIVEN}})
    same_numbers(expected)(json.loads(seen["result"]))


@pytest.mark.parametrize("client", CLIENTS)
def test_parameters_are_scoped_by_the_gateway(clients, front, client):
    given = {"direct__k": "mine", "k": "general", "v": "all"}
    seen = clients[client].ask({"call": "parameters", "url": front, "arguments": {"given": given}})
    assert json.loads(seen["result"]) == {"k": "mine", "v": "all"}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_worker_of_jina_3_stands_before_ours(clients, gateways, client):
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


@pytest.mark.parametrize(("client", "count"), [("ours", 2), ("theirs", 2.0)])
def test_a_dict_that_the_handler_returned(clients, front, client, count):
    seen = clients[client].ask({"call": "results", "url": front, "arguments": {}})
    same_numbers(results(count))(seen["result"])
