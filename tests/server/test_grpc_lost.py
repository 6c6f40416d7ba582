"""Connections whose client leaves just when something ends: nothing waits for it any more, and nothing fails."""

import asyncio
import contextlib
import socket
import struct

from jina.net.unread import Bounds, Unread
from jina.server.grpc import aborted
from jina.server.grpc_protocol import ConnectionSettings, GrpcConnection, Method, Terms
from tests.http2.frames import GOAWAY, PREFACE, Speaker, frame, head, reset, settings
from tests.server.sample_service import run

LARGE = 1024 * 1024


@contextlib.asynccontextmanager
async def listening(answer, unread):
    """The address of a server whose calls are answered by `answer`, and the set of its connections."""
    connections = set()
    terms = Terms(lambda _call: Method(answer, streams=True), aborted, ConnectionSettings(), unread, connections)
    server = await asyncio.get_running_loop().create_server(lambda: GrpcConnection(terms), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname(), connections
    finally:
        server.close()


def lost(answer):
    """What waits for clients after one has left at the moment in which its call, by `answer`, is told to go on."""

    async def main():
        loop = asyncio.get_running_loop()
        begun, leaves = asyncio.Event(), loop.create_future()

        async def begin(call):
            begun.set()
            await leaves
            await answer(call)

        unread = Unread(Bounds())
        async with listening(begin, unread) as (address, connections):
            _, writer = await asyncio.open_connection(*address)
            writer.write(PREFACE + settings() + Speaker().headers(head()))
            await begun.wait()
            [connection] = connections
            [task] = connection.tasks
            leaves.set_result(None)
            connection.abort()  # told in the same round of the loop, after the call has gone on
            await asyncio.wait([task])
            await connection.done
            writer.transport.abort()
        return unread.waiting

    return run(main(), timeout=20)


def test_a_call_that_ends(engine):
    async def answer(_call):
        """There is no answer, and the client may send more."""

    assert not lost(answer)


def test_a_call_that_answers_once_more(engine):
    async def answer(call):
        try:
            await call.write(bytes(LARGE))
        finally:
            await call.write(bytes(LARGE))

    assert not lost(answer)


def test_a_client_that_leaves_while_its_connection_ends(engine):
    """After its last call has ended, and before there is word of it from the system."""

    async def main():
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        async def begin(_call):
            begun.set()
            await loop.create_future()

        async with listening(begin, Unread(Bounds())) as (address, connections):
            with socket.create_connection(address, 5) as client:
                client.sendall(PREFACE + settings() + Speaker().headers(head()))
                await begun.wait()
                [connection] = connections
                connection.drain()
                client.setblocking(False)  # noqa: FBT003 - the standard library's signature
                last = frame(GOAWAY, payload=(1).to_bytes(4, "big") + bytes(4))
                said = b""
                while last not in said:
                    said += await loop.sock_recv(client, 65_536)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
            connection.data_received(reset(1))
            await connection.done

    run(main(), timeout=20)
