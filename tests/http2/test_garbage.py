"""Garbage sent to a server of gRPC: no crash, no hang, nothing left behind, and others do not notice.

`JINA_FUZZ_FRAMES` is the number of frames for each library (3,000; in the slow tier 60,000), of header blocks a tenth
of it; `JINA_FUZZ_SEED` is what chance begins with.
"""

import asyncio
import contextlib
import os
import sys

import pytest

from jina.codec import pb
from tests.certificates import certificate
from tests.fuzz.mutations import rng
from tests.http2 import frames
from tests.http2.programs import channel, serving

ENDED = 60
"""Seconds in which a connection must be answered and closed."""
LEFT_ALONE = 0.5
AT_ONCE = 8
CALM = 0.02
"""Seconds between two calls of the client that is served meanwhile; without them it takes most of the time."""
LEFT = 1024
"""KiB that the server may hold more afterwards."""
FRAMES = int(os.environ.get("JINA_FUZZ_FRAMES", "0"))


async def spoken(server, data):
    """All that the server says to these bytes until it closes; whether it read them to their end.

    TLS has no end of what one side says, so that a server that waits for the rest of a frame is left alone.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)
    said = b""
    try:
        async with asyncio.timeout(ENDED if server.tls is None else LEFT_ALONE):
            writer.write(data)
            if server.tls is None:
                writer.write_eof()
            while part := await reader.read(65_536):
                said = said[-len(frames.PONG) :] + part
                if frames.PONG in said:
                    return True
    except TimeoutError:
        if server.tls is None:
            raise
    except OSError:
        pass  # it had seen enough
    finally:
        writer.transport.abort()
    return False


async def beside(server, stop, every=0.0):
    """A well-behaved client meanwhile, with a call `every` so many seconds: each is answered. Gives their number."""
    count = 0
    async with channel(server, aio=True) as opened:
        upper = opened.unary_unary(frames.UNARY.decode())
        while not stop.is_set():
            answer = pb.DataRequestProto.FromString(await upper(frames.request("/upper", "abc"), timeout=ENDED))
            assert answer.data.docs.docs[0].data["text"].text == "ABC"
            count += 1
            if every:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), every)
    return count


async def send_all(server, make, chance, connections):
    """Give the server garbage on so many connections; gives how many of them it read to their end."""
    left = iter(range(connections))
    stop = asyncio.Event()
    whole = 0

    async def some():
        nonlocal whole
        for _ in left:
            read = await spoken(server, make(chance))
            whole += read

    calm = asyncio.create_task(beside(server, stop, CALM))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())
    finally:
        stop.set()
    assert await calm > 0
    return whole


async def settled(server):
    """What the server holds once it has noticed that all connections have ended."""
    async with asyncio.timeout(ENDED):
        while True:
            found = await asyncio.to_thread(server.look)
            if not found["connections"]:
                return found
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module", params=["ngh2", pytest.param("h2", marks=pytest.mark.slow)])
def server(request):
    with serving(request.param, "notes") as started:
        started.engine = request.param
        yield started


@pytest.fixture(scope="module", params=["ngh2", pytest.param("h2", marks=pytest.mark.slow)])
def encrypted(request, tmp_path_factory):
    with serving(request.param, "notes", certificate(tmp_path_factory.mktemp("tls"))) as started:
        started.engine = request.param
        yield started


def attack(server, name, make, connections):
    chance = rng(f"{name} {server.engine}")

    async def main():
        await send_all(server, make, chance, max(100, connections // 2))  # what is loaded and kept with the first
        before = await settled(server)
        whole = await send_all(server, make, chance, connections)
        return before, await settled(server), whole

    before, after, whole = asyncio.run(main())
    assert server.process.poll() is None
    assert "Traceback" not in server.said(), server.said()
    assert after["tasks"] <= before["tasks"], (before, after)
    assert after["memory"] - before["memory"] <= LEFT, (before, after)
    assert whole > connections / 5, f"only {whole} of {connections} were read to their end"
    sys.stdout.write(
        f"{name} {server.engine}: {connections} connections, {whole} read to their end, {before}, {after}\n"
    )


COUNTS = [3_000, pytest.param(60_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", [FRAMES] if FRAMES else COUNTS)
@pytest.mark.timeout(0 if FRAMES else 180)
def test_frames(server, count):
    """In a connection 30 frames, of which in most one or two are made worse."""
    attack(server, "frames", lambda chance: frames.some_frames(chance, 30), count // 30)


@pytest.mark.parametrize("count", [FRAMES // 10] if FRAMES else [300, pytest.param(6_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(0 if FRAMES else 180)
def test_header_blocks(server, count):
    """In a connection 10 requests, of which at most one cannot be read."""
    attack(server, "header blocks", lambda chance: frames.some_blocks(chance, 10), count // 10)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_frames_over_tls(encrypted):
    attack(encrypted, "frames over TLS", lambda chance: frames.some_frames(chance, 30), 300)
