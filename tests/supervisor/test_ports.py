import errno
import itertools
import mmap
import os
import socket
import sys

import pytest

from jina.errors import ConfigError, PortAlreadyUsed
from jina.plan.plans import ListenerPlan
from jina.supervisor.ports import PortReservations


@pytest.fixture
def reservations():
    made = PortReservations()
    yield made
    made.close()


def _bind(port, *, share):
    sock = socket.socket()
    # What servers set: closed connections do not keep them from the port.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(share))
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def test_a_reserved_port_is_served_by_who_shares_it(reservations):
    port = reservations.port()
    with _bind(port, share=True) as server, socket.create_connection(("127.0.0.1", port), 5) as client:
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"hello")
            assert client.recv(5) == b"hello"


def test_a_reserved_port_is_taken_for_anybody_else(reservations):
    with pytest.raises(OSError) as caught:
        _bind(reservations.port(), share=False)
    assert caught.value.errno == errno.EADDRINUSE


def test_two_allocators_never_choose_the_same_port():
    allocators = [PortReservations() for _ in range(500)]
    try:
        assert len({allocator.port() for allocator in allocators}) == 500
    finally:
        for allocator in allocators:
            allocator.close()


def test_close_gives_ports_back_and_hold_takes_them_again(reservations):
    port = reservations.port()
    reservations.close()
    with _bind(port, share=False), pytest.raises(PortAlreadyUsed, match=str(port)):
        reservations.hold(port)
    reservations.hold(port)
    reservations.hold(port)
    with pytest.raises(OSError):
        _bind(port, share=False)


def test_hold_after_connections_were_closed(reservations):
    """The closing side keeps the port in TIME_WAIT, which must not make it look taken."""
    port = reservations.port()
    with _bind(port, share=True) as server, socket.create_connection(("127.0.0.1", port), 5) as client:
        accepted, _ = server.accept()
        accepted.close()
        assert client.recv(1) == b""
    reservations.close()
    reservations.hold(port)


def test_range_of_the_environment(reservations, monkeypatch):
    monkeypatch.setenv("JINA_RANDOM_PORT_MIN", "52100")
    monkeypatch.setenv("JINA_RANDOM_PORT_MAX", "52300")
    assert all(52100 <= reservations.port() <= 52300 for _ in range(20))


@pytest.mark.parametrize(("low", "high"), [("many", "5"), ("70000", "80000"), ("9", "8")])
def test_a_wrong_range_is_named(reservations, monkeypatch, low, high):
    monkeypatch.setenv("JINA_RANDOM_PORT_MIN", low)
    monkeypatch.setenv("JINA_RANDOM_PORT_MAX", high)
    with pytest.raises(ConfigError, match=f"JINA_RANDOM_PORT_MIN='?{low}"):
        reservations.port()


def _listener(port, host="127.0.0.1"):
    return ListenerPlan(protocol="http", host=host, port=port)


def test_a_given_port_that_is_taken_is_an_error_at_once(reservations):
    other = PortReservations()
    port = other.port()
    with pytest.raises(PortAlreadyUsed, match=f"port: {port} is taken: another process listens on 127.0.0.1:{port}"):
        reservations.hold_given(_listener(port))
    other.close()
    assert reservations.hold_given(_listener(port))
    with pytest.raises(PortAlreadyUsed):
        PortReservations().hold_given(_listener(port, "0.0.0.0"))


@pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")
def test_who_has_a_port_is_named(reservations):
    """By its process and command, also where it has only a connection from there."""
    command = f"process {os.getpid()} ({' '.join(sys.orig_argv)[:20]}"
    with _bind(0, share=False) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortAlreadyUsed) as caught:
            reservations.hold_given(_listener(port))
        assert caught.value.message.startswith(
            f"port: {port} is taken: another process listens on 127.0.0.1:{port} (http): {command}"
        )
        with socket.create_connection(server.getsockname(), 5) as client:
            with pytest.raises(PortAlreadyUsed) as caught:
                reservations.hold(client.getsockname()[1])
            assert command in caught.value.message


def test_a_given_port_that_cannot_be_held_is_left_to_the_server(reservations):
    assert not reservations.hold_given(_listener(1, "203.0.113.1"))


def test_a_port_that_a_server_of_the_user_opens_is_claimed_once(reservations):
    port, other = reservations.port(), PortReservations()
    reservations.close()
    reservations.claim(_listener(port))
    reservations.claim(_listener(port))
    with pytest.raises(PortAlreadyUsed, match=f"port: {port} is taken"):
        other.claim(_listener(port))
    with _bind(port, share=False):
        pass  # the claim itself keeps no server from it
    reservations.close()
    other.claim(_listener(port))
    other.close()


class Barrier:
    """Where processes that were forked wait for each other without sleeping, so that they go on at the same time."""

    def __init__(self, count):
        self._count = count
        self._memory = mmap.mmap(-1, count)
        self.results = mmap.mmap(-1, count)

    def wait(self, who, turn):
        self._memory[who] = turn % 256
        while any((self._memory[other] - turn) % 256 > 1 for other in range(self._count)):
            os.sched_yield()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_yield"), reason="POSIX")
@pytest.mark.parametrize("lingering", [False, True])
def test_one_of_several_processes_gets_a_port_that_they_take_at_the_same_time(lingering):
    port = _lingering() if lingering else _free()
    barrier, rounds = Barrier(2), 300
    reading, writing = os.pipe()
    other = os.fork()
    if other == 0:
        _race(1, port, barrier, rounds, -1)
        os._exit(0)
    _race(0, port, barrier, rounds, writing)
    os.close(writing)
    with open(reading, "rb") as result:
        wins = result.read()
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    assert len(wins) == rounds
    assert set(wins) == {1}


def _race(who, port, barrier, rounds, tell):
    turns = itertools.count(1)
    for _ in range(rounds):
        reservations = PortReservations()
        barrier.wait(who, next(turns))
        try:
            barrier.results[who] = int(reservations.hold_given(_listener(port)))
        except PortAlreadyUsed:
            barrier.results[who] = 0
        barrier.wait(who, next(turns))
        if tell >= 0:
            os.write(tell, bytes([sum(barrier.results[:])]))
        barrier.wait(who, next(turns))
        reservations.close()
        barrier.wait(who, next(turns))


def _free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _lingering():
    """A port on which a closed connection is in TIME_WAIT."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    return port
