"""Garbage on the link between a gateway and its worker: either side ends the link or answers, and nothing is left."""

import asyncio
import socket
from collections.abc import Mapping

import pytest
from docarray import DocList

from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload, DocsPayload, JsonPayload
from jina.errors import JinaError
from jina.ipc import protocol as frames
from jina.ipc.client import LinkUpstream
from jina.ipc.protocol import write_request
from jina.ipc.server import LinkServer
from tests.fuzz.mutations import REQUESTS, rng, worse
from tests.server.sample_service import NOTES, Note, SampleService

pytestmark = pytest.mark.slow

ROUNDS = max(20, REQUESTS // 10)


def stream_of(chance):
    """What a gateway may send: some requests, a large one in parts, what cancels them."""
    send_queue = frames.SendQueue()
    notes = DocList[Note]([Note(text="a"), Note(text="b" * chance.choice([1, 200_000]))])
    documents = DocsPayload(notes, NOTES).to_bytes()
    for number in range(1, 6):
        json_form = chance.random() < 0.5
        payload = JsonPayload(b'[{"text": "a"}]') if json_form else BytesPayload(documents)
        endpoint = chance.choice(["/echo", "/upper", "/tokens", "/nothing"])
        request = Request(endpoint, payload, {"k": 1}, "r", json_reply=json_form)
        flags, meta, body = write_request(request, 10**7)
        send_queue.put(chance.choice([frames.REQUEST, frames.STREAM]), flags, number, meta, body)
    send_queue.put(frames.CANCEL, 0, 2)
    send_queue.put(frames.CREDIT, 0, 3, (1000).to_bytes(4, "little"))
    send_queue.put(frames.DESCRIBE, 0, 7)
    send_queue.put(frames.PROBE, 0, 8)
    return b"".join(bytes(part) for part in taken(send_queue))


def taken(send_queue):
    while send_queue.size:
        batch, _ = send_queue.take()
        yield from batch


async def spoken(sock, data, *, send_handshake):
    """Say something to a peer until it closes, or has been silent for a while."""
    loop = asyncio.get_running_loop()
    sock.settimeout(0)
    try:
        if send_handshake:
            await loop.sock_sendall(sock, b"j")
        await loop.sock_sendall(sock, data)
        sock.shutdown(socket.SHUT_WR)
        while True:
            async with asyncio.timeout(10):
                if not await loop.sock_recv(sock, 1 << 20):
                    return
    except ConnectionError:
        return


def test_frames_to_a_worker():
    chance = rng("link server")

    async def main():
        before = asyncio.all_tasks()
        for number in range(ROUNDS):
            ours, theirs = socket.socketpair()
            with ours:
                server = LinkServer(theirs, SampleService(), 10**6)
                await server.start()
                await spoken(ours, worse(stream_of(chance), chance), send_handshake=number % 10 != 0)
                async with asyncio.timeout(10):
                    await server.stop(0.1)
                    await server.lost()
        await asyncio.sleep(0)
        assert not {task for task in asyncio.all_tasks() - before if not task.done()}

    asyncio.run(main())


def test_frames_to_a_gateway():
    chance = rng("link upstream")

    async def main():
        before = asyncio.all_tasks()
        for _ in range(ROUNDS):
            ours, theirs = socket.socketpair()
            with ours:
                upstream = LinkUpstream("w/rep-0", theirs, 10**6)
                calls = [asyncio.create_task(upstream.call(Request("/echo", BytesPayload(b"")))) for _ in range(5)]
                describing = asyncio.create_task(upstream.describe())
                send_queue = frames.SendQueue()
                for stream in range(1, 7):
                    kind = chance.choice([frames.REPLY, frames.ERROR, frames.REFUSED])
                    send_queue.put(kind, 0, stream, b"\x93\x80\xa0\x90")
                data = worse(b"".join(bytes(part) for part in taken(send_queue)), chance)
                await spoken(ours, data, send_handshake=False)
                async with asyncio.timeout(10):
                    await upstream.close()
                    answers = await asyncio.gather(*calls, describing, return_exceptions=True)
                assert all(isinstance(one, Reply | Mapping | JinaError) for one in answers), answers
        assert not {task for task in asyncio.all_tasks() - before if not task.done()}

    asyncio.run(main())
