"""A replica's side of its connection to the agent, over a real socket."""

import asyncio
import struct

import pytest

from jina.plan.plans import ConsensusPlan
from jina.replication import asking, frames
from jina.replication.replica import Replica


class Nothing:
    can_snapshot = False


async def agent(tmp_path, talk, replica_with):
    """Serve one replica by `talk(writer)` after its greeting."""

    async def serve(reader, writer):
        size, kind, _ = struct.unpack("<IBQ", await reader.readexactly(13))
        await reader.readexactly(size - 9)
        assert kind == frames.HELLO
        await talk(writer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    socket = str(tmp_path / "agent")
    with asking.socket_path(socket) as path:
        server = await asyncio.start_unix_server(serve, path)
    async with server:
        await replica_with(socket)
        await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("folder", ["", "/".join(["a folder with ümlauts"] * 12)])
def test_what_cannot_be_applied_is_left_to_a_fresh_executor(tmp_path, folder):
    """Otherwise nothing more would be applied here, and nobody would know."""
    garbage = b"no operation"
    batch = struct.pack("<QQI", 7, 8, 1) + struct.pack("<QQI", 7, 1, len(garbage)) + garbage

    async def talk(writer):
        writer.write(frames.head(frames.READY, 0, 0))
        await writer.drain()
        await begun.wait()
        writer.write(frames.head(frames.APPLY, 0, len(batch)) + batch)

    async def replica_with(socket):
        plan = ConsensusPlan(group="g", replica=0, peers=["x"], directory=str(tmp_path), socket=socket)
        asked = asyncio.get_running_loop().create_future()
        replica = Replica(plan, "it", Nothing(), asked.set_result)
        await replica.start()
        begun.set()
        assert "applying the log failed" in await asyncio.wait_for(asked, 10)
        await replica.stop()

    async def main():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        await agent(tmp_path / folder, talk, replica_with)

    begun = asyncio.Event()
    asyncio.run(main())
