"""Failures and callbacks on every protocol: the class that the server raised, and which callbacks are called."""

import asyncio
import re
import socket
from unittest.mock import Mock

import pytest
from docarray import DocList

from jina import Client
from jina.client.post import Response
from jina.errors import (
    BadClientCallback,
    BadServer,
    CrashLoop,
    DeadlineExceeded,
    EndpointNotFound,
    ExecutorError,
    Overloaded,
    PermissionDenied,
    Unavailable,
    from_wire,
)
from jina.net.limits import Limits
from tests.client.note_server import Note


@pytest.fixture
def nobody(protocol):
    """A client of a port without a listener."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with Client(port=held.getsockname()[1], protocol=protocol) as client:
            yield client


def test_a_server_that_is_not_there_is_named_with_the_way_out(nobody, protocol):
    with pytest.raises(Unavailable) as caught:
        nobody.post("/x", Note())
    port = re.search(r"://127\.0\.0\.1:(\d+)", caught.value.message)[1]
    assert f"nothing listens at 127.0.0.1:{port}" in caught.value.help
    assert f"--port {port}" in caught.value.help
    assert "jina status" in caught.value.help


@pytest.mark.parametrize("text", ["http://x:1 closed the connection before it answered", "a is draining"])
def test_every_error_of_its_kind_says_what_to_do(text):
    """Those that know more say it instead; what came from a server of Jina 3 says nothing by itself."""
    assert "try again in a moment" in Unavailable(text).help
    assert "`jina status`" in Unavailable.unreached(text).help
    assert from_wire("Unavailable", text, {}).help == Unavailable.advice
    assert from_wire("", text, {}, grpc_code=14).help == Unavailable.advice
    assert from_wire("Unavailable", text, {"help": "start it"}).help == "start it"
    assert "start the service again" in CrashLoop(text).help


def test_a_host_without_an_address_is_named(protocol):
    with Client(host="no-such-host.invalid", port=1, protocol=protocol) as client, pytest.raises(Unavailable) as caught:
        client.post("/x", Note())
    assert "no-such-host.invalid" in caught.value.help


def test_executor_error(client):
    with pytest.raises(ExecutorError) as caught:
        client.post("/fail", Note())
    error = caught.value
    assert (error.name, error.exception_args, error.executor) == ("ValueError", ["boom", "3"], "Notes")
    assert "line 7 in foo" in "".join(error.__notes__)
    assert error.args[0].status.description == "ValueError('boom', 3)"
    assert isinstance(error, BadServer)


@pytest.mark.parametrize(
    ("endpoint", "kind"), [("/nope", EndpointNotFound), ("/refuse", PermissionDenied), ("/busy", Overloaded)]
)
@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_the_class_that_the_server_raised(client, endpoint, kind, count):
    with pytest.raises(kind) as caught:
        client.post(endpoint, [Note()] * count, request_size=1)
    assert caught.value.message


def test_help_travels(client):
    with pytest.raises(EndpointNotFound, match="did you mean"):
        client.post("/nope", Note())


def test_callbacks(client):
    done, always, failed = [], [], []
    result = client.post(
        "/some",
        [Note(number=number) for number in range(20)],
        request_size=1,
        on_done=done.append,
        on_always=always.append,
        on_error=failed.append,
        return_type=DocList[Note],
    )
    assert result is None
    assert sorted(response.docs[0].number for response in done) == [n for n in range(20) if n != 13]
    assert len(always) == 20
    [response] = failed
    assert response.status.code == response.status.ERROR
    assert response.status.exception.name == "ValueError"


def test_on_error_may_take_the_exception(client):
    seen = []
    docs = client.post(
        "/some",
        [Note(number=number) for number in range(12, 15)],
        request_size=1,
        on_error=lambda response, error: seen.append((response.request_id, error)),
        return_type=DocList[Note],
    )
    assert sorted(doc.number for doc in docs) == [12, 14]
    [(request_id, error)] = seen
    assert len(request_id) == 32
    assert isinstance(error, ExecutorError)


@pytest.mark.parametrize("name", ["on_done", "on_error", "on_always"])
def test_a_callback_that_needs_one_argument_gets_one(client, name):
    """As in Jina 3, also where it could take more."""
    given = []
    optional = lambda response, more=None: given.append((response, more) if more else (response,))  # noqa: E731
    for callback in (Mock(side_effect=lambda *args: given.append(args)), lambda *args: given.append(args), optional):
        client.post("/some", Note(number=12 if name == "on_done" else 13), **{"on_error": print, name: callback})
    assert [[type(one) for one in args] for args in given] == [[Response]] * 3


def test_results_are_never_partial_silently(client):
    with pytest.raises(ExecutorError, match="13"):
        client.post("/some", [Note(number=number) for number in range(20)], request_size=1)


def test_continue_on_error(client, caplog):
    docs = client.post(
        "/some",
        [Note(number=number) for number in range(12, 15)],
        request_size=1,
        continue_on_error=True,
        return_type=DocList[Note],
    )
    assert sorted(doc.number for doc in docs) == [12, 14]


@pytest.mark.parametrize("name", ["on_done", "on_always"])
def test_a_callback_that_raises(client, name):
    def broken(response):
        raise LookupError("mine")

    with pytest.raises(BadClientCallback, match=name) as caught:
        client.post("/echo", [Note()] * 5, request_size=1, **{name: broken})
    assert isinstance(caught.value.__cause__, LookupError)
    client.post("/echo", [Note()] * 5, request_size=1, continue_on_error=True, **{name: broken})


def test_async_callbacks_are_refused(client):
    async def callback(response):
        pass

    with pytest.raises(BadClientCallback, match="plain functions"):
        client.post("/echo", Note(), on_done=callback)


@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_nobody_there(nobody, count):
    with pytest.raises(Unavailable, match=f"127.0.0.1:{nobody.port}") as caught:
        nobody.post("/echo", [Note()] * count, request_size=1)
    assert isinstance(caught.value, ConnectionError)
    assert not nobody.is_flow_ready()


@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_callbacks_hear_of_an_unreachable_server_and_post_raises(nobody, count):
    failed, always = [], []
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{nobody.port}"):
        nobody.post(
            "/echo",
            [Note()] * count,
            request_size=1,
            on_error=lambda response, error: failed.append((response, error)),
            on_always=always.append,
            continue_on_error=True,
        )
    assert failed
    assert all(isinstance(error, Unavailable) for _, error in failed)
    assert all(response.status.code == response.status.ERROR for response, _ in failed)
    assert len(always) == len(failed)


@pytest.mark.parametrize("count", [1, 2], ids=["one request", "stream"])
def test_timeout(client, count):
    with pytest.raises(DeadlineExceeded) as caught:
        client.post("/slow", [Note()] * count, request_size=1, timeout=0.2)
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_timeout_while_the_connection_opens(protocol, asynchronous):
    """The server takes the connection, as its system does, and says nothing: on every protocol the same error."""

    async def post(port):
        async with Client(port=port, protocol=protocol, asyncio=True) as client:
            await client.post("/x", Note(), timeout=0.2)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DeadlineExceeded):
            if asynchronous:
                asyncio.run(post(port))
            else:
                with Client(port=port, protocol=protocol) as client:
                    client.post("/x", Note(), timeout=0.2)


def test_a_server_of_another_protocol(server):
    for spoken, heard in (("http", "grpc"), ("grpc", "http"), ("websocket", "grpc")):
        with (
            Client(host="127.0.0.1", port=server.ports[heard], protocol=spoken) as client,
            pytest.raises((BadServer, Unavailable)),
        ):
            client.post("/echo", Note(), timeout=5)


def test_an_answer_over_the_limit(server, protocol):
    with Client(host=server.url(protocol), max_message_size=2000) as client:
        from jina.errors import TooLarge

        with pytest.raises(TooLarge, match="max_message_size"):
            client.post("/echo", Note(text="x" * 5000))


def test_a_request_over_the_servers_limit(protocol):
    from jina.errors import TooLarge
    from tests.client.note_server import running

    with running(limits=Limits(2000)) as small, Client(host=small.url(protocol)) as client:
        with pytest.raises(TooLarge):
            client.post("/echo", Note(text="x" * 5000))
        assert client.post("/echo", Note(text="x"))[0].text == "x"
