"""`max_attempts` and its back-off."""

import socket
import threading
import time

import pytest
from docarray import DocList
from hypothesis import given
from hypothesis import strategies as st

from jina import Client
from jina.client.post import Retries
from jina.errors import ConfigError, ExecutorError, Overloaded, Unavailable
from tests.client.note_server import Note, running


@pytest.fixture
def server():
    """A server of the test's own: it counts failures, and requests of an earlier test may still run."""
    with running() as started:
        yield started


QUICK = {"initial_backoff": 0.01, "max_backoff": 0.02}


@given(st.integers(2, 12), st.floats(0.01, 2), st.floats(0.1, 5), st.floats(1, 3))
def test_back_off(attempt, initial, ceiling, multiplier):
    rule = Retries(max_attempts=20, initial_backoff=initial, max_backoff=ceiling, backoff_multiplier=multiplier)
    assert rule.wait(1, Unavailable()) == initial
    wait = rule.wait(attempt, Unavailable())
    assert 0 <= wait <= min(initial * multiplier ** (attempt - 1), ceiling) + 1e-9
    assert rule.wait(attempt, Overloaded(retry_after=100)) == 100


@pytest.mark.parametrize("bad", [{"max_attempts": 0}, {"initial_backoff": 0}, {"max_backoff": -1}])
def test_bad_rules(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Retries(**bad)


@pytest.mark.parametrize("count", [1, 6], ids=["one request", "stream"])
def test_a_failure_that_passes(server, client, count):
    server.service.failures_left = 2
    notes = [Note(number=number) for number in range(count)]
    docs = client.post("/flaky", notes, request_size=1, max_attempts=3, return_type=DocList[Note], **QUICK)
    assert sorted(doc.number for doc in docs) == list(range(count))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_attempts_are_counted(server, client, count):
    server.service.failures_left = 10**6
    try:
        with pytest.raises(Unavailable, match="starting up"):
            client.post("/flaky", [Note()] * count, request_size=1, max_attempts=3, **QUICK)
        tried = 10**6 - server.service.failures_left
    finally:
        server.service.failures_left = 0
    assert 3 <= tried <= 3 * count


def test_without_max_attempts_nothing_is_tried_twice(server, client):
    server.service.failures_left = 1
    with pytest.raises(Unavailable):
        client.post("/flaky", Note())
    assert server.service.failures_left == 0


def test_a_handlers_exception_is_not_tried_again(server, client):
    before = len(server.service.requests)
    with pytest.raises(ExecutorError):
        client.post("/fail", Note(), max_attempts=5, **QUICK)
    assert len(server.service.requests) == before + 1


def test_a_server_that_comes_late(protocol):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    outcome = []

    def post():
        with Client(port=port, protocol=protocol) as client:
            notes = [Note(number=number) for number in range(20)]
            outcome.append(
                client.post(
                    "/echo", notes, request_size=5, max_attempts=200, return_type=DocList[Note],
                    initial_backoff=0.05, max_backoff=0.05,
                )
            )  # fmt: skip

    thread = threading.Thread(target=post)
    thread.start()
    time.sleep(0.2)  # the client must have failed at least once; being early would only make the test weaker
    with running(ports={protocol: port}):
        thread.join(20)
    assert sorted(doc.number for doc in outcome[0]) == list(range(20))


def test_a_server_that_comes_back(protocol):
    with running() as first:
        port = first.ports[protocol]
        client = Client(port=port, protocol=protocol)
        assert client.post("/echo", Note(text="a"))[0].text == "a"
    with pytest.raises(Unavailable):
        client.post("/echo", Note())
    with running(ports={protocol: port}):
        docs = client.post("/echo", Note(text="b"), max_attempts=100, initial_backoff=0.05, max_backoff=0.05)
        assert docs[0].text == "b"
        client.close()
