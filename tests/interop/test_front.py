"""Our server as an external Executor of a Jina 3 Flow, as users have it while they migrate."""

import json

import pytest

from tests.interop.matrix import CLIENTS, Raises, check
from tests.interop.programs import Program, free_ports
from tests.interop.test_calls import AS_FLOATS, GIVEN, changed, echoed, same_numbers

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]


def all_answered(seen):
    assert seen["texts"] == sorted(f"{i}!" for i in range(25))


@pytest.fixture(scope="module")
def front(servers, tmp_path_factory):
    """The address of a Jina 3 gateway before our worker."""
    (port,) = free_ports(1)
    arguments = {"front": {"ports": [port], "external": servers.port("ours", "all_protocols")}}
    log = tmp_path_factory.mktemp("front") / "front.log"
    program = Program("theirs", "serve.py", json.dumps(arguments), log=log)
    try:
        assert program.line(60) == "ready", log.read_text()
        yield f"grpc://127.0.0.1:{port}"
    finally:
        program.kill()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("many_requests", {}, all_answered),
        ("failing", {}, Raises("BadServer", text="no good")),
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
