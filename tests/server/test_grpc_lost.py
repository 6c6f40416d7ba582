"""Connections whose client leaves just when one of their calls ends: nothing waits for it any more."""

import asyncio

from jina.net.unread import Bounds, Unread
from jina.server.grpc import aborted
from jina.server.grpc_protocol import ConnectionSettings, GrpcConnection, Method, Terms
from tests.http2.frames import PREFACE, Speaker, head, settings
from tests.server.sample_service import run

LARGE = 1024 * 1024


def lost(answer):
    """What waits for clients after one has left at the moment in which its call, by `answer`, is told to go on."""

    async def main():
        loop = asyncio.get_running_loop()
        begun, leaves = asyncio.Event(), loop.create_future()

        async def begin(call):
            begun.set()
            await leaves
            await answer(call)

        unread, connections = Unread(Bounds()), set()
        terms = Terms(lambda _call: Method(begin, streams=True), aborted, ConnectionSettings(), unread, connections)
        server = await loop.create_server(lambda: GrpcConnection(terms), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(PREFACE + settings() + Speaker().headers(head()))
        await begun.wait()
        [connection] = connections
        [task] = connection.tasks
        leaves.set_result(None)
        connection.abort()  # told in the same round of the loop, after the call has gone on
        await asyncio.wait([task])
        await connection.done
        writer.transport.abort()
        server.close()
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
