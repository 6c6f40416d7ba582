"""A replica's side of its connection to the agent, over a real socket."""

import asyncio
import struct

import msgspec
import pytest

from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.errors import Unavailable
from jina.plan.plans import ConsensusPlan
from jina.replication.admin import socket_path
from jina.replication.agent_client import (
    APPLY,
    HELLO,
    NUMBER,
    OK,
    PING,
    READ,
    READY,
    REMOVED,
    STATUS,
    WRITE,
    Reader,
    frame_head,
)
from jina.replication.replica import Replica


class Nothing:
    can_snapshot = False


async def agent(tmp_path, talk, replica_with):
    """Serve one replica by `talk(writer)` after its greeting."""

    async def serve(reader, writer):
        size, kind, _ = struct.unpack("<IBQ", await reader.readexactly(13))
        await reader.readexactly(size - 9)
        assert kind == HELLO
        await talk(writer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    socket = str(tmp_path / "agent")
    with socket_path(socket) as path:
        server = await asyncio.start_unix_server(serve, path)
    async with server:
        await replica_with(socket)
        await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("folder", ["", "/".join(["a folder with ümlauts"] * 12)])
def test_what_cannot_be_applied_is_left_to_a_fresh_executor(tmp_path, folder):
    """Otherwise nothing more would be applied here, unnoticed."""
    garbage = b"no operation"
    batch = struct.pack("<QQI", 7, 8, 1) + struct.pack("<QQI", 7, 1, len(garbage)) + garbage

    async def talk(writer):
        writer.write(frame_head(READY, 0, 0))
        await writer.drain()
        await begun.wait()
        writer.write(frame_head(APPLY, 0, len(batch)) + batch)

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


MEMBERS = {"0-a": "Voter", "1-b": "Voter", "2-c": "Voter"}
FULL = "write /w/log: no space left on device"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disks", "reason"),
    [({"0": FULL}, FULL), ({"1": FULL, "2": FULL}, f"replica 1: {FULL}; replica 2: {FULL}"), (None, "the log is lost")],
)
def test_a_write_that_full_disks_keep_waiting_ends_with_the_reason_before_its_deadline(tmp_path, disks, reason):
    """At the deadline the client's own clock is faster, and says no more than that no answer came."""

    async def serve(reader, writer):
        served.append(writer)
        taken = Reader()
        while data := await reader.read(1 << 16):
            for frame in taken.feed(data):
                if frame.kind == HELLO:
                    writer.write(frame_head(READY, 0, 0))
                elif frame.kind == WRITE and disks is None:
                    (tmp_path / "agent.failed").write_text("the log is lost\nfind it")
                    server.close()
                    writer.close()
                elif frame.kind in {PING, STATUS}:
                    body = msgspec.json.encode({"disks": disks, "members": MEMBERS})
                    writer.write(frame_head(OK, frame.id, len(body)) + body)

    async def main():
        nonlocal server
        socket = str(tmp_path / "agent")
        with socket_path(socket) as path:
            server = await asyncio.start_unix_server(serve, path)
        peers = ["x", "", ""] if disks is None else ["x", "y", "z"]
        plan = ConsensusPlan(group="g", replica=0, peers=peers, directory=str(tmp_path), socket=socket)
        replica = Replica(plan, "it", Nothing(), print)
        await replica.start()
        request = Request("/add", BytesPayload(b""), request_id="id")
        with pytest.raises(Unavailable, match="it cannot store what is written: ") as caught:
            await asyncio.wait_for(replica.write(request, b"digest"), 30)
        assert caught.value.message.endswith(reason)
        assert caught.value.help
        await replica.stop()
        server.close()
        for writer in served:
            writer.close()
            await writer.wait_closed()

    server, served = None, []
    asyncio.run(main())


def test_what_waits_for_the_log_ends_when_the_replica_is_removed(tmp_path):
    """Another replica can answer at once; here the log would never bring it."""

    async def serve(reader, writer):
        taken, asked = Reader(), set()
        while data := await reader.read(1 << 16):
            for frame in taken.feed(data):
                if frame.kind == HELLO:
                    writer.write(frame_head(READY, 0, 0))
                elif frame.kind == READ:
                    writer.write(frame_head(OK, frame.id, 8) + NUMBER.pack(100))
                asked.add(frame.kind)
            if asked >= {READ, WRITE}:
                body = msgspec.json.encode({"removed": True})
                writer.write(frame_head(REMOVED, 0, len(body)) + body)
                asked.clear()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async def main():
        socket = str(tmp_path / "agent")
        with socket_path(socket) as path:
            server = await asyncio.start_unix_server(serve, path)
        plan = ConsensusPlan(group="g", replica=0, peers=["x", "y", "z"], directory=str(tmp_path), socket=socket)
        replica = Replica(plan, "it", Nothing(), print)
        await replica.start()
        request = Request("/add", BytesPayload(b""), request_id="id")
        waiting = [replica.covered(request), replica.write(request, b"digest")]
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
        assert [type(error) for error in results] == [Unavailable] * 2, results
        assert {error.message for error in results} == {"it was removed from its group"}
        await replica.stop()
        server.close()
        await asyncio.wait_for(ended.wait(), 10)

    ended = asyncio.Event()
    asyncio.run(main())
