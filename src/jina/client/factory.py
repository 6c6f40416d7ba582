"""`Client(...)`: the client for a protocol, sync or async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from jina.errors import missing_extra

if TYPE_CHECKING:
    from argparse import Namespace

    from jina.client.async_client import AsyncClient
    from jina.client.sync_client import SyncClient
    from jina.config import ClientSpec


@overload
def Client(args: Namespace | None = ..., *, asyncio: Literal[True], **options: Any) -> AsyncClient: ...


@overload
def Client(args: Namespace | None = ..., *, asyncio: Literal[False] = ..., **options: Any) -> SyncClient: ...


def Client(args: Namespace | None = None, **options: Any) -> SyncClient | AsyncClient:  # noqa: N802 - Jina's name
    """A client of the service at an address.

    `Client(port=12345)`, `Client(host='grpcs://example.com')`, `Client(host='127.0.0.1', port=8080,
    protocol='http', asyncio=True)`. All options: `jina.config.ClientSpec`; `args` gives them as attributes.
    Nothing is connected before the first call. Use it in a `with` block (async: `async with`), or call `close`.

    Raises `ConfigError` (a ValueError) for unknown or contradicting options.
    """
    from jina.config import ClientSpec, parse

    if args is not None:
        from jina.config.command_line import options_in

        options = {**options_in(args, ClientSpec), **options}
    return client_of(parse(ClientSpec, options, "Client"))


def client_of(spec: ClientSpec) -> SyncClient | AsyncClient:
    """The client that a spec describes."""
    from jina.client import async_client, sync_client
    from jina.client.base import protocol_of, target_of
    from jina.net.channel import ChannelSettings, TlsFiles

    if spec.tracing:
        _export_spans(spec)
    target = target_of(spec)
    if protocol_of(target) == "websocket" and (missing := missing_extra("websockets", "websockets", "WebSocket")):
        raise missing
    settings = ChannelSettings(
        max_message_size=spec.max_message_size,
        use_proxy=spec.proxy,
        grpc_options=spec.grpc_channel_options or {},
        tls=TlsFiles(ca=spec.ssl_ca_certs, certificate=spec.ssl_certfile, key=spec.ssl_keyfile),
        api_key=spec.api_key or "",
    )
    kinds: dict[tuple[str, bool], type[SyncClient | AsyncClient]] = {
        ("grpc", False): sync_client.GRPCClient,
        ("grpc", True): async_client.AsyncGRPCClient,
        ("http", False): sync_client.HTTPClient,
        ("http", True): async_client.AsyncHTTPClient,
        ("websocket", False): sync_client.WebSocketClient,
        ("websocket", True): async_client.AsyncWebSocketClient,
    }
    return kinds[protocol_of(target), spec.asyncio](target, settings, spec.prefetch)


def _export_spans(spec: ClientSpec) -> None:
    """Send the program's spans to a collector while it runs; raises `ConfigError` without the extra."""
    import atexit

    from jina.observe import exporters
    from jina.plan.processes import telemetry

    atexit.register(exporters.start(telemetry(spec), "client").stop)
