"""The gRPC channel arguments (https://grpc.github.io/grpc/core/group__grpc__arg__keys.html) that have an effect here.

`grpc_server_options` and `grpc_channel_options` are written with the names of grpcio, as in Jina 3. Those that only
make sense inside grpcio are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from jina.errors import ConfigError, nearest

LARGEST_MESSAGE: Final = 2**31 - 1
"""Bytes of the largest message."""
_FOR_EVER: Final = 2**31 - 1
"""The number of milliseconds that grpcio takes for no limit."""
_ENCODINGS: Final = ("", "deflate", "gzip")
"""By the number that stands for them."""


class _Argument(NamedTuple):
    field: str
    read: Callable[[int], Any] | None
    """Makes a setting of the number; None where it is a text."""
    least: int = 0


def _seconds(value: int) -> float:
    return 0.0 if value >= _FOR_EVER else value / 1000


def _size(value: int) -> int:
    return LARGEST_MESSAGE if value < 0 else value


def _bound(value: int) -> int:
    return max(0, value)


_UNLIMITED: Final = -1
_SERVER: Final = {
    "grpc.max_concurrent_streams": _Argument("streams", int, 1),
    "grpc.max_receive_message_length": _Argument("message", _size, _UNLIMITED),
    "grpc.max_send_message_length": _Argument("answer", _bound, _UNLIMITED),
    "grpc.max_metadata_size": _Argument("metadata", int, 1024),
    "grpc.http2.max_frame_size": _Argument("frame", int, 16384),
    "grpc.keepalive_time_ms": _Argument("keepalive", _seconds, 1),
    "grpc.keepalive_timeout_ms": _Argument("keepalive_timeout", _seconds, 1),
    "grpc.keepalive_permit_without_calls": _Argument("pings_without_calls", bool),
    "grpc.http2.min_ping_interval_without_data_ms": _Argument("ping_interval", _seconds),
    "grpc.http2.min_recv_ping_interval_without_data_ms": _Argument("ping_interval", _seconds),
    "grpc.http2.max_ping_strikes": _Argument("ping_strikes", int),
    "grpc.max_connection_idle_ms": _Argument("idle", _seconds, 1),
    "grpc.max_connection_age_ms": _Argument("age", _seconds, 1),
    "grpc.max_connection_age_grace_ms": _Argument("age_grace", _seconds),
    "grpc.server_handshake_timeout_ms": _Argument("handshake", _seconds, 1),
    "grpc.default_compression_algorithm": _Argument("compression", lambda value: _ENCODINGS[min(value, 2)]),
}


def server_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a server, by the fields of `jina.server.grpc_protocol.ConnectionSettings`.

    Raises `ConfigError` for an option that has no effect here, or a value that is none of it.
    """
    return _settings("grpc_server_options", _SERVER, options)


def _settings(option: str, known: Mapping[str, _Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in given.items():
        argument = known.get(str(name))
        if argument is None:
            near = nearest(str(name), known)
            hint = f"did you mean {near!r}?" if near else f"leave it out; those with an effect are {', '.join(known)}"
            raise ConfigError(f"{option}: {name!r} has no effect here", help=hint)
        if argument.read is None:
            found[argument.field] = str(value)
            continue
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            value = int(value)  # noqa: PLW2901 - from a command line
        if not isinstance(value, int) or value < argument.least:
            raise ConfigError(f"{option}: {name!r} is a whole number from {argument.least} on, not {value!r}")
        found[argument.field] = argument.read(int(value))
    return found


class ChannelOptions(NamedTuple):
    """What `grpc_channel_options` say; None where they do not. Sizes are bytes, durations seconds."""

    sent: int | None = None
    received: int | None = None
    keepalive: float = 0.0
    keepalive_timeout: float = 20.0
    pings_without_calls: bool = False
    proxy: bool = False
    server_name: str = ""
    authority: str = ""


_CHANNEL: Final = {
    "grpc.max_send_message_length": _Argument("sent", _size, _UNLIMITED),
    "grpc.max_receive_message_length": _Argument("received", _size, _UNLIMITED),
    "grpc.keepalive_time_ms": _Argument("keepalive", _seconds, 1),
    "grpc.keepalive_timeout_ms": _Argument("keepalive_timeout", _seconds, 1),
    "grpc.keepalive_permit_without_calls": _Argument("pings_without_calls", bool),
    "grpc.enable_http_proxy": _Argument("proxy", bool),
    "grpc.ssl_target_name_override": _Argument("server_name", None),
    "grpc.default_authority": _Argument("authority", None),
}


def channel_options(options: Mapping[str, Any]) -> ChannelOptions:
    """The options of a channel; raises `ConfigError` as `server_settings` does."""
    return ChannelOptions(**_settings("grpc_channel_options", _CHANNEL, options))
