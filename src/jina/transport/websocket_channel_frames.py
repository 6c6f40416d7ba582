"""WebSocket as seen from the caller: frames, addresses and failures of the connection.

Each binary frame is one serialised `jina.DataRequestProto`, answered by frames with the same request id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jina.errors import BadRequest, BadServer, JinaError, TooLarge, Unavailable
from jina.observe.traces import HEADERS as TRACING
from jina.transport.base_channel import CallOptions, ChannelSettings, ProtoAnswer, Target, request_message, unreachable
from jina.transport.http_channel_routes import call_headers
from jina.transport.tls import client_context
from jina.wire import pb
from jina.wire.messages import Request

SUBPROTOCOL = "bytes"


def frame_of(request: Request) -> bytes:
    """The request as a frame."""
    message = request_message(request)
    # The connection outlives the request: its headers cannot tell which span this one belongs to.
    message.header.trace.update({name: request.headers[name] for name in TRACING if name in request.headers})
    data: bytes = message.SerializeToString()
    return data


def answer_of(frame: str | bytes, target: Target) -> ProtoAnswer:
    """The answer in a frame."""
    if isinstance(frame, str):
        raise BadServer(f"{target} answered with text: {frame[:200]!r}; is it a jina server?")
    try:
        return ProtoAnswer(pb.DataRequestProto.FromString(frame))
    except Exception as error:
        raise BadServer(f"{target} answered with a frame that is no jina.DataRequestProto: {error}") from error


class StreamedFrame:
    """One document of a stream."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def decode(self, codec: Any) -> Any:
        """The document as an object of the codec's class."""
        return codec.decode_doc(self._document)


def streamed(answer: ProtoAnswer) -> list[StreamedFrame]:
    """The documents in one answer of a stream; none in the last one. Raises what the answer says."""
    if answer.error is not None:
        raise answer.error
    documents = answer.message.data.docs.docs
    if documents and not answer.message.header.more:
        raise BadRequest(f"{answer.message.header.exec_endpoint} is no generator", help="call it with post")
    return [StreamedFrame(document) for document in documents]


def whole(answer: ProtoAnswer) -> ProtoAnswer:
    """The answer, which must be all that there is to a request."""
    if answer.message.header.more:
        raise BadRequest(f"{answer.message.header.exec_endpoint} is a generator", help="call it with stream_doc")
    return answer


def http_target(target: Target) -> Target:
    """The same port, spoken to over HTTP."""
    return Target("https" if target.tls else "http", target.host, target.port, target.tls)


def connect_arguments(target: Target, settings: ChannelSettings, options: CallOptions) -> dict[str, Any]:
    """Keyword arguments of `websockets`' `connect`."""
    headers = call_headers(replace(options, timeout=None, metadata=_of_connection(options)))
    if options.results_in_order:
        headers["__results_in_order__"] = "true"
    headers["__prefetch__"] = str(options.window)
    arguments: dict[str, Any] = {
        "uri": f"{target}/",
        "subprotocols": [SUBPROTOCOL],
        "additional_headers": headers,
        "max_size": settings.max_message_size,
        "compression": None,
        "open_timeout": options.timeout if options.timeout is not None else 20,
        "close_timeout": 2,
        "ping_timeout": None,  # a busy server of another make may be late; the connection must not die of it
        "proxy": True if settings.use_proxy else None,
    }
    if target.tls:
        arguments["ssl"] = client_context(settings.tls)
    return arguments


def connection_key(options: CallOptions) -> tuple[Any, ...]:
    """What two calls must have in common to use one connection: all that travels when it is opened."""
    options.refuse_extra()
    return _of_connection(options), options.window, options.results_in_order


def _of_connection(options: CallOptions) -> tuple[tuple[str, str | bytes], ...]:
    """What the caller says of all requests."""
    return tuple((name, value) for name, value in options.metadata if name not in TRACING)


def failure_of(error: BaseException, target: Target) -> JinaError | None:
    """The error for a failure of the connection, or None for anything else."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

    reading: Callable[[Any], str] = str
    match error:
        case ConnectionClosed():
            return _closed(error, target)
        case InvalidStatus():
            from jina.transport.http_channel_body import http_error

            answer: Any = error.response
            return http_error(answer.status_code, bytes(answer.body or b""), target, answer.headers)
        case InvalidHandshake() if isinstance(error.__cause__, OSError | EOFError):
            return Unavailable(f"{target} closed the connection before it answered")
        case InvalidHandshake() | InvalidURI():
            return BadServer(f"{target} does not speak WebSocket: {reading(error)}")
        case TimeoutError():
            return unreachable(target, f"cannot reach {target}: no connection in time", "")
        case OSError():
            return unreachable(target, f"cannot reach {target}: {reading(error)}", reading(error))
    return None


def _closed(error: Any, target: Target) -> JinaError:
    closing = error.rcvd or error.sent
    code, reason = (closing.code, closing.reason) if closing is not None else (1006, "")
    if code == 1009:
        return TooLarge(
            f"{target}: the message is over the limit ({reason})",
            help="raise max_message_size on both sides, or lower request_size",
        )
    if code == 1011:
        return BadServer(f"{target} failed: {reason}")
    return Unavailable(f"{target} closed the connection (code {code}{', ' + reason if reason else ''})")
