"""A port is handed over to another listener without resetting a connection."""

import asyncio
import contextlib
import socket
import sys

import pytest

from jina.server.server import hand_over_ports, stop_new_connections

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems deal connections out in other ways")


def listener(port=0):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    sock.settimeout(0)
    return sock


def connected(port, count):
    return [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]


def waiting(sock, opened):
    """How many wait; they are taken."""
    before = len(opened)
    with contextlib.suppress(BlockingIOError):
        while True:
            opened.append(sock.accept()[0])
    return len(opened) - before


@pytest.fixture
def opened():
    socks = []
    yield socks
    for sock in socks:
        sock.close()


def test_new_connections_go_to_the_one_that_listens_last(opened):
    old = listener()
    port = old.getsockname()[1]
    new = listener(port)
    opened += [old, new]
    clients = connected(port, 50)
    opened += clients
    stop_new_connections([old])
    before = waiting(old, opened)
    assert 0 < before < 50
    opened += connected(port, 50)
    old.close()
    assert waiting(new, opened) == 50 - before + 50
    newest = listener(port)
    opened.append(newest)
    stop_new_connections([new])
    opened += connected(port, 50)
    assert waiting(newest, opened) == 50


def test_one_that_listens_alone_goes_on(opened):
    old = listener()
    opened.append(old)
    stop_new_connections([old])
    opened += connected(old.getsockname()[1], 20)
    assert waiting(old, opened) == 20


def test_what_waits_is_taken_before_the_port_is_left(opened):
    old, other = listener(), listener()
    opened += [old, other]
    port = old.getsockname()[1]
    clients = connected(port, 50)
    opened += [*clients, *connected(other.getsockname()[1], 1)]  # not accepted, but not a connection of theirs

    async def main():
        leaving = asyncio.create_task(hand_over_ports([old]))
        loop = asyncio.get_running_loop()
        while not leaving.done():
            try:
                connection, _ = await asyncio.wait_for(loop.sock_accept(old), 0.1)
            except TimeoutError:
                continue
            opened.append(connection)
            await loop.sock_sendall(connection, b"x")
        old.close()
        await leaving

    asyncio.run(main())
    for client in clients:
        client.settimeout(10)
        assert client.recv(1) == b"x"


def test_patience_has_an_end(opened):
    """Where connections are not accepted, the port is handed over all the same."""
    old = listener()
    opened.append(old)
    opened += connected(old.getsockname()[1], 1)
    asyncio.run(asyncio.wait_for(hand_over_ports([old]), 10))
    assert waiting(old, opened) == 1
