"""gRPC as seen from the caller: method names, channel options, and statuses turned into errors."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from collections.abc import Iterable
from typing import Any

from jina.codec import pb
from jina.codec import status as wire_status
from jina.errors import (
    BadServer,
    ConfigError,
    DeadlineExceeded,
    JinaError,
    Overloaded,
    TooLarge,
    Unavailable,
    from_wire,
)
from jina.net.channel import CallOptions, ChannelSettings, Target, unreachable

CALL = "/jina.JinaRPC/Call"
SINGLE_DATA = "/jina.JinaSingleDataRequestRPC/process_single_data"
LIST_DATA = "/jina.JinaDataRequestRPC/process_data"
SINGLE_DOCUMENT = "/jina.JinaSingleDocumentRequestRPC/stream_doc"
DISCOVERY = "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery"
DRY_RUN = "/jina.JinaGatewayDryRunRPC/dry_run"
STATUS = "/jina.JinaInfoRPC/_status"
HEALTH = "/grpc.health.v1.Health/Check"
STATUS_KEY = "jina-status-bin"
COMPRESSION_KEY = "jina-compression"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
HEALTH_SERVING = b"\x08\x01"
"""A `grpc.health.v1.HealthCheckResponse` with status SERVING; not worth importing its package."""


def import_grpc() -> Any:
    """The `grpc` module, told before its first use not to hook `fork`.

    With the hooks, a `fork` in a program that has a channel open prints warnings to stderr; without them the
    child simply must not use the parent's channels.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    import grpc

    return grpc


def ignore_missed_wakeups(loop: AbstractEventLoop) -> None:
    """Keep two harmless messages of grpc.aio off stderr.

    All loops of a process watch one socket of grpc's. When it wakes two of them, the slower one finds nothing to
    read, and grpc lets the BlockingIOError out (https://github.com/grpc/grpc/issues/25364); when a loop takes the
    end of a cancelled call whose own loop has ended, it says that this one is closed. Any other failure goes
    where it went before.
    """
    handler = loop.get_exception_handler()
    if getattr(handler, "ignores_missed_wakeups", False):
        return

    def handle(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        harmless = isinstance(error, BlockingIOError) or str(error) == "Event loop is closed"
        if harmless and "PollerCompletionQueue" in repr(context.get("handle", context.get("message"))):
            return
        if handler is None:
            loop.default_exception_handler(context)
        else:
            handler(loop, context)

    handle.ignores_missed_wakeups = True  # type: ignore[attr-defined]
    loop.set_exception_handler(handle)


def channel_options(settings: ChannelSettings) -> list[tuple[str, Any]]:
    """Options of a channel: ours, overridden by the user's.

    A server that comes back is found within half a second (grpc's own back-off grows to two minutes), a connection
    has 5 seconds for its handshakes, and a proxy is used only when asked for.
    """
    options: dict[str, Any] = {
        "grpc.max_send_message_length": settings.max_message_size,
        "grpc.max_receive_message_length": settings.max_message_size,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 5000,  # in spite of its name, all the time that connecting may take
        "grpc.max_reconnect_backoff_ms": 500,
        "grpc.enable_http_proxy": int(settings.use_proxy),
        **settings.grpc_options,
    }
    return list(options.items())


def channel_credentials_of(grpc_module: Any, options: CallOptions) -> Any:
    """The credentials of the call if they are a channel's, else None."""
    return options.credentials if isinstance(options.credentials, grpc_module.ChannelCredentials) else None


def call_arguments(grpc_module: Any, options: CallOptions) -> dict[str, Any]:
    """Keyword arguments of one call on a stub."""
    options.refuse_extra()
    metadata = (*options.metadata, *compression_metadata(grpc_module, options.compression))
    arguments: dict[str, Any] = {"timeout": options.timeout, "metadata": metadata or None}
    if isinstance(options.credentials, grpc_module.CallCredentials):
        arguments["credentials"] = options.credentials
    if options.compression is not None:
        arguments["compression"] = compression_of(grpc_module, options.compression)
    return arguments


def compression_metadata(grpc_module: Any, value: Any) -> tuple[tuple[str, str], ...]:
    """What asks our servers to compress their replies as the request is: gRPC does not tell them how that came."""
    if value is None:
        return ()
    chosen = compression_of(grpc_module, value)
    known = grpc_module.Compression
    names = {known.Gzip: "gzip", known.Deflate: "deflate"}
    return ((COMPRESSION_KEY, names[chosen]),) if chosen in names else ()


def compression_of(grpc_module: Any, value: Any) -> Any:
    """One of `grpc.Compression` by its name, in any case; raises `ConfigError` for another name."""
    if not isinstance(value, str):
        return value
    known = {name.lower(): getattr(grpc_module.Compression, name) for name in ("NoCompression", "Deflate", "Gzip")}
    if value.lower() not in known:
        raise ConfigError(f"compression: {value!r} is none of NoCompression, Deflate, Gzip")
    return known[value.lower()]


def stream_arguments(grpc_module: Any, options: CallOptions) -> dict[str, Any]:
    """Keyword arguments of one `Call`: the metadata also tells a gateway the order and the window."""
    arguments = call_arguments(grpc_module, options)
    order = (("__results_in_order__", "true"),) if options.results_in_order else ()
    return arguments | {"metadata": (*(arguments["metadata"] or ()), *order, ("__prefetch__", str(options.window)))}


class Stubs:
    """The methods of one channel, sync or aio; `credentials` is held so that its id stays its own."""

    def __init__(self, channel: Any, credentials: Any) -> None:
        self.channel = channel
        self.credentials = credentials
        self.has_unary = True
        self.ours: bool | None = None
        """Whether the server is of this implementation; None until that had to be known."""
        data, document = pb.DataRequestProto, pb.SingleDocumentRequestProto
        self.single_data = channel.unary_unary(SINGLE_DATA, data.SerializeToString, data.FromString)
        self.call = channel.stream_stream(CALL, data.SerializeToString, data.FromString)
        self.single_document = channel.unary_stream(SINGLE_DOCUMENT, document.SerializeToString, document.FromString)
        self.dry_run = channel.unary_unary(DRY_RUN, None, pb.StatusProto.FromString)
        self.status = channel.unary_unary(STATUS, None, pb.JinaInfoProto.FromString)
        self.health = channel.unary_unary(HEALTH)


def open_stubs(
    grpc_module: Any, factory: Any, target: Target, settings: ChannelSettings, options: CallOptions
) -> Stubs:
    """A channel made by `factory` (`grpc` or `grpc.aio`), with its methods."""
    credentials = channel_credentials_of(grpc_module, options)
    return Stubs(open_channel(factory, target, settings, credentials), credentials)


def open_channel(factory: Any, target: Target, settings: ChannelSettings, credentials: Any) -> Any:
    """A channel made by `factory`; without credentials, over TLS, the authorities are those of the settings."""
    arguments = channel_options(settings)
    if not target.tls and credentials is None:
        return factory.insecure_channel(target.authority, arguments)
    from jina.net.tls import client_credentials

    given = credentials or client_credentials(settings.tls)
    return factory.secure_channel(target.authority, given, arguments)


def check_dry_run(status: Any, target: Target) -> None:
    """Raise what a dry run found wrong."""
    if status.code:
        raise wire_status.read_error(status) or Unavailable(f"{target}: {status.description}")


def read_status(data: bytes) -> Any:
    """A serialised `StatusProto`."""
    return pb.StatusProto.FromString(data)


def rpc_error(error: Any, target: Target, *, unbegun: bool = False) -> JinaError:
    """The error that the server raised, else the nearest to the gRPC status; `unbegun` of a call that it never saw."""
    if sent := sent_error(error):
        return sent
    code = error.code()
    number = code.value[0] if code is not None else 2
    failure = _from_status(number, error.details() or "", target)
    if unbegun and isinstance(failure, Unavailable):
        failure.begun = False
    if isinstance(failure, Overloaded) and (hint := _pushback(error)) is not None:
        failure.retry_after = hint
    return failure


def _pushback(error: Any) -> float | None:
    """Seconds after which the server wants to be called again (https://github.com/grpc/proposal/blob/master/A6)."""
    trailing: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    found = [value for key, value in trailing if key == PUSHBACK_KEY and isinstance(value, str) and value.isdecimal()]
    return int(found[-1]) / 1000 if found else None


def sent_error(error: Any) -> JinaError | None:
    """The error in the trailing metadata of a failed call; None where the status is gRPC's or another server's."""
    trailing: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == STATUS_KEY and isinstance(value, bytes):
            return wire_status.read_error(pb.StatusProto.FromString(value))
    return None


def _from_status(number: int, details: str, target: Target) -> JinaError:
    match number:
        case 1:  # by the server: gRPC cancels calls that it has not begun when it stops
            return Unavailable(f"{target} ended the call: {details}")
        case 4:
            return DeadlineExceeded(f"{target} did not answer in time: {details}")
        case 5:  # which a Jina 3 gateway says when a worker cannot be reached
            return Unavailable(f"{target} is not available: {details}")
        case 14:
            message = f"{target} is not available: {details}"
            ours = any(word in details for word in ("failed to connect", "resolution failed", "lookup failed"))
            of_jina_3 = "|" in details  # what its gateway says of a worker
            return unreachable(target, message, details) if ours and not of_jina_3 else Unavailable.unreached(message)
        case 8 if "larger than max" in details:
            return TooLarge(f"{target}: {details}", help="raise max_message_size on both sides, or lower request_size")
        case 8:
            return Overloaded(f"{target} is overloaded: {details}")
        case 12:
            return BadServer(f"{target} does not know this call ({details}); is it a jina server?")
    return from_wire("", f"{target}: {details}", {}, grpc_code=number)
