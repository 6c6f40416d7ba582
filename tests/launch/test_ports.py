import errno
import socket

import pytest

from jina.errors import ConfigError, PortAlreadyUsed
from jina.launch.ports import PortReservations


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
