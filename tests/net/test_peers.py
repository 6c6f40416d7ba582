"""Connections that are tried beside one that nothing answers."""

import asyncio
import contextlib
import socket
import sys
import time

import pytest

from jina.net.peers import dial


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse connections for which there is no room")
@pytest.mark.timeout(60)
def test_another_connection_is_tried_when_nothing_answers_the_first():
    """The system asks again after 1, 3 and 7 s; we begin another one each second."""

    async def main(host, port):
        dialling = asyncio.create_task(dial(host, port))
        await asyncio.wait([dialling], timeout=1.5)
        assert not dialling.done()
        listening.accept()[0].close()
        began = time.monotonic()
        (await dialling).close()
        return time.monotonic() - began

    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(listening.getsockname()))  # there is room for one
        assert asyncio.run(main(*listening.getsockname())) < 1.2


def test_who_refuses_is_not_asked_again():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _, port = listening.getsockname()
    began = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(dial("localhost", port))
    assert time.monotonic() - began < 0.9
