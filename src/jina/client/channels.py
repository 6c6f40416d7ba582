"""Which channel serves an address; the transport's modules are loaded only for the protocol in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.client.base import protocol_of

if TYPE_CHECKING:
    from jina.net.channel import AsyncChannel, ChannelSettings, SyncChannel, Target


def open_sync_channel(target: Target, settings: ChannelSettings) -> SyncChannel:
    """A channel for blocking code; it connects on its first call."""
    match protocol_of(target):
        case "grpc":
            from jina.client.grpc import GrpcChannel

            return GrpcChannel(target, settings)
        case "http":
            from jina.client.http import HttpChannel

            return HttpChannel(target, settings)
        case _:
            from jina.client.websocket import WebSocketChannel

            return WebSocketChannel(target, settings)


def open_async_channel(target: Target, settings: ChannelSettings) -> AsyncChannel:
    """A channel for the running loop; it connects on its first call."""
    match protocol_of(target):
        case "grpc":
            from jina.client.grpc import AsyncGrpcChannel

            return AsyncGrpcChannel(target, settings)
        case "http":
            from jina.client.http import AsyncHttpChannel

            return AsyncHttpChannel(target, settings)
        case _:
            from jina.client.websocket import AsyncWebSocketChannel

            return AsyncWebSocketChannel(target, settings)
