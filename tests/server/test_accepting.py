"""Connections that come together are taken in together, on either loop."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import struct

import pytest
import trustme

from jina.server.listening import listen

uvloop = pytest.importorskip("uvloop")
LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


class Shouting(asyncio.Protocol):
    """Gives back what it gets, in capitals."""

    made = 0

    def connection_made(self, transport):
        Shouting.made += 1
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())


@contextlib.asynccontextmanager
async def listening(context=None):
    sock = socket.create_server(("127.0.0.1", 0))
    server = await listen(sock, Shouting, context, 512)
    Shouting.made = 0
    try:
        yield sock.getsockname()
    finally:
        server.close()


async def shouted(address, **options):
    reader, writer = await asyncio.open_connection(*address, **options)
    writer.write(b"hello")
    try:
        return await asyncio.wait_for(reader.read(100), 10)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def run(loop_factory, work):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_many_that_wait_are_taken_in_a_few_rounds_and_none_after_the_end(loop_factory):
    async def rounds():
        with contextlib.ExitStack() as stack:
            async with listening() as address:
                for _ in range(200):
                    stack.enter_context(socket.create_connection(address, 5))
                count = 0
                while Shouting.made < 200 and count < 1000:
                    await asyncio.sleep(0)
                    count += 1
                assert await shouted(address) == b"HELLO"
            with pytest.raises(OSError, match=r".+"):
                socket.create_connection(address, 5)
            return count

    assert run(loop_factory, rounds()) < 50


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_one_that_left_and_one_that_speaks_no_tls_do_no_harm(loop_factory, caplog):
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)

    async def main():
        async with listening(server) as address:
            with socket.create_connection(address, 5) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
            assert await shouted(address) == b""
            assert await shouted(address, ssl=client, server_hostname="localhost") == b"HELLO"

    run(loop_factory, main())
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


def test_without_descriptors_it_waits_for_some():
    async def main():
        async with listening() as address:
            with socket.create_connection(address, 5) as waiting:
                waiting.settimeout(0)
                loop = asyncio.get_running_loop()
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
                blocked = []
                try:
                    with contextlib.suppress(OSError):
                        while True:
                            blocked.append(os.dup(0))
                    await asyncio.sleep(0.02)  # a few rounds
                    assert Shouting.made == 0
                finally:
                    for one in blocked:
                        os.close(one)
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                await loop.sock_sendall(waiting, b"late")
                assert await asyncio.wait_for(loop.sock_recv(waiting, 10), 10) == b"LATE"

    run(uvloop.new_event_loop, main())
