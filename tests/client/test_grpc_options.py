"""What `grpc_channel_options` change, seen from a server, and what is refused."""

import asyncio
import re
from pathlib import Path

import pytest

from jina import Client
from jina.config.grpc_options import _CHANNEL, channel_options
from jina.errors import ConfigError, TooLarge, Unavailable
from tests.client.note_server import Note

ROOT = Path(__file__).parents[2]


def test_the_page_of_limits_lists_them_all():
    page = (ROOT / "docs/how-to/limits.md").read_text(encoding="utf-8").partition("## Options of gRPC channels")[2]
    assert re.findall(r"^\| `(grpc\.[\w.]+)` \|", page, re.MULTILINE) == list(_CHANNEL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grpc.max_send_message_lenght": 1}, "did you mean 'grpc.max_send_message_length'"),
        ({"grpc.http2.bdp_probe": 0}, "has no effect here"),
        ({"grpc.keepalive_time_ms": 0}, "is a whole number from 1 on, not 0"),
        ({"grpc.keepalive_time_ms": "soon"}, "is a whole number from 1 on, not 'soon'"),
    ],
)
def test_what_has_no_effect_is_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        channel_options(options)
    assert message in f"{caught.value} {caught.value.help}"


@pytest.mark.parametrize("way", ["blocking", "loop"])
@pytest.mark.parametrize("name", ["grpc.max_send_message_length", "grpc.max_receive_message_length"])
def test_the_size_of_messages(server, way, name):
    options = {"grpc_channel_options": {name: 2000}}
    if way == "blocking":
        with Client(host=server.url("grpc"), **options) as client:
            assert client.post("/echo", Note(text="a" * 100), return_type=Note).text == "a" * 100
            with pytest.raises(TooLarge):
                client.post("/echo", Note(text="a" * 5000))
            assert client.post("/echo", Note(text="b"), return_type=Note).text == "b"
        return

    async def main():
        async with Client(host=server.url("grpc"), asyncio=True, **options) as client:
            with pytest.raises(TooLarge):
                await client.post("/echo", Note(text="a" * 5000))
            return (await client.post("/echo", Note(text="b"), return_type=Note)).text

    assert asyncio.run(main()) == "b"


def test_a_server_that_gives_no_sign_of_life_is_noticed():
    """It takes the connection and what is sent, and says nothing."""
    options = {"grpc.keepalive_time_ms": 200, "grpc.keepalive_timeout_ms": 200}

    async def main():
        async def take(reader, writer):
            try:
                await reader.read()
            finally:
                writer.close()

        silent = await asyncio.start_server(take, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        async with silent, Client(port=port, asyncio=True, grpc_channel_options=options) as client:
            async with asyncio.timeout(20):
                with pytest.raises(Unavailable, match="no sign of life"):
                    await client.post("/echo", Note())

    asyncio.run(main())


def test_a_server_of_another_protocol_is_told(server):
    with Client(host=server.url("http").replace("http://", "grpc://")) as client, pytest.raises(Unavailable):
        client.post("/echo", Note(), timeout=20)
