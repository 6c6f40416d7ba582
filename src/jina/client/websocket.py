"""WebSocket: the channel of a client, in blocking code and on an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from jina.client.http import HttpChannel
from jina.client.http_messages import call_headers, http_error
from jina.client.loops import Pool, Waits, Window, run
from jina.codec import pb
from jina.codec.messages import Request, Route
from jina.errors import BadRequest, BadServer, DeadlineExceeded, JinaError, TooLarge, Unavailable
from jina.net.channel import Answer, CallOptions, ChannelSettings, ProtoAnswer, Target, request_message, unreachable
from jina.net.tls import client_context
from jina.observe.traces import HEADERS as TRACING

if TYPE_CHECKING:
    import websockets.asyncio.client
    import websockets.sync.client

SUBPROTOCOL = "bytes"
_OPEN_TIMEOUT = 20
"""Seconds in which a connection must open, where the call has no timeout."""


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
        raise BadServer(f"{target} answered with a frame that is not a jina.DataRequestProto: {error}") from error


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
        raise BadRequest(f"{answer.message.header.exec_endpoint} is not a generator", help="call it with post")
    return [StreamedFrame(document) for document in documents]


def whole(answer: ProtoAnswer) -> ProtoAnswer:
    """The answer, which must be all that there is to a request."""
    if answer.message.header.more:
        raise BadRequest(f"{answer.message.header.exec_endpoint} is a generator", help="call it with stream_doc")
    return answer


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
        "open_timeout": options.timeout if options.timeout is not None else _OPEN_TIMEOUT,
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


def not_opened_in_time(target: Target, options: CallOptions) -> JinaError:
    """The error for a connection that did not open: where the call has a timeout, that is what ended it."""
    if options.timeout is not None:
        return DeadlineExceeded(f"{target} did not answer within {options.timeout} s")
    return unreachable(target, f"cannot reach {target}: no connection within {_OPEN_TIMEOUT} s", "")


def failure_of(error: BaseException, target: Target) -> JinaError | None:
    """The error for a failure of the connection, or None for anything else."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

    reading: Callable[[Any], str] = str
    match error:
        case JinaError():  # some are TimeoutError too
            return None
        case ConnectionClosed():
            return _closed(error, target)
        case InvalidStatus():
            answer: Any = error.response
            return http_error(answer.status_code, bytes(answer.body or b""), target, answer.headers)
        case InvalidHandshake() if isinstance(error.__cause__, OSError | EOFError):
            return Unavailable(f"{target} closed the connection before it answered")
        case InvalidHandshake() | InvalidURI():
            return BadServer(f"{target} does not speak WebSocket: {reading(error)}")
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


IDLE_CONNECTIONS = 8


class WebSocketChannel:
    """Connections to `target`, each lent to one call at a time and kept for the next: for all threads, or of a loop."""

    def __init__(self, target: Target, settings: ChannelSettings, waits: Waits) -> None:
        self._target = target
        self._settings = settings
        self._waits = waits
        self._idle = _Idle(IDLE_CONNECTIONS)

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """See `Channel`."""
        frame = frame_of(request)
        deadline = self._waits.deadline(options.timeout)
        async with _Lent(self, options) as connection:
            await connection.send(frame)
            return whole(await self._receive(connection, deadline))

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncGenerator[Answer]:
        """See `StreamChannel`."""
        deadline = self._waits.deadline(options.timeout)
        async with _Lent(self, options) as connection:
            sender = _Sender(connection, requests, options.window, self._waits)
            try:
                while await sender.more():
                    answer = whole(await self._receive(connection, deadline))
                    sender.answered()
                    yield answer
            except JinaError:
                if sender.failure is not None:
                    raise sender.failure from None
                raise
            finally:
                await sender.stop()
            if sender.failure is not None:
                raise sender.failure

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncGenerator[StreamedFrame]:
        """See `Channel`: each answer carries a document, an empty one ends the stream."""
        frame = frame_of(request)
        deadline = self._waits.deadline(options.timeout)
        async with _Lent(self, options) as connection:
            await connection.send(frame)
            while documents := streamed(await self._receive(connection, deadline)):
                for document in documents:
                    yield document

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run over HTTP, which every WebSocket listener of jina answers on its port."""
        async with self._over_http() as channel:
            await channel.ready(options)

    async def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, as HTTP tells it."""
        async with self._over_http() as channel:
            return await channel.visited(options)

    async def close(self, *, abruptly: bool = False) -> None:
        """Close the idle connections; lent ones are kept for later calls."""
        for connection in self._idle.clear():
            await (connection.drop() if abruptly else connection.close(1000))

    @asynccontextmanager
    async def _over_http(self) -> AsyncGenerator[HttpChannel]:
        tls = self._target.tls
        target = Target("https" if tls else "http", self._target.host, self._target.port, tls)
        channel = HttpChannel(target, self._settings, self._waits)
        try:
            yield channel
        finally:
            await channel.close()

    async def lend(self, options: CallOptions) -> Connection:
        """An idle connection, else a new one."""
        try:
            found = self._idle.take(connection_key(options))
            if found is not None and self._idle.is_fresh(found):
                return found
            kind = BlockingConnection if self._waits.blocking else LoopConnection
            try:
                return await kind.opened(connect_arguments(self._target, self._settings, options))
            except TimeoutError:
                raise not_opened_in_time(self._target, options) from None
        except Exception as error:
            raise failure_of(error, self._target) or error from error

    async def give_back(self, connection: Connection, options: CallOptions, error: BaseException | None) -> None:
        """Keep the connection for the next call, unless the call failed; raises what the failure means."""
        if error is None:
            self._idle.keep(connection_key(options), connection)
            return
        await connection.drop()
        meant = failure_of(error, self._target)
        if meant is not None:
            raise meant from error

    async def _receive(self, connection: Connection, deadline: float | None) -> ProtoAnswer:
        try:
            frame = await connection.receive(deadline)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._target} did not answer in time") from None
        except Exception as error:
            raise failure_of(error, self._target) or error from error
        return answer_of(frame, self._target)


class _Lent:
    """A connection for one call; a class, because a generator would be closed by a loop that ends."""

    def __init__(self, channel: WebSocketChannel, options: CallOptions) -> None:
        self._channel = channel
        self._options = options

    async def __aenter__(self) -> Connection:
        self._connection = await self._channel.lend(self._options)
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._channel.give_back(self._connection, self._options, error)


class BlockingConnection:
    """One of `websockets` for threads. No handshake ends it with `drop`: frames that nobody reads may be in its way."""

    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def opened(cls, arguments: dict[str, Any]) -> BlockingConnection:
        """A new one."""
        from websockets.sync.client import connect

        # Entered as the context manager that it is, and left by `close`.
        return cls(connect(**arguments).__enter__())

    @property
    def state(self) -> Any:
        """One of `websockets.protocol.State`."""
        return self._connection.state

    async def send(self, frame: bytes) -> None:
        """Send a message."""
        self._connection.send(frame)

    async def receive(self, deadline: float | None) -> str | bytes:
        """The next message."""
        return self._connection.recv(None if deadline is None else max(0.0, deadline - time.monotonic()))

    async def close(self, code: int) -> None:
        """End it with the closing handshake."""
        self._connection.close(code)

    async def drop(self) -> None:
        """End it at once."""
        self._connection.close_socket()

    def abort(self) -> None:
        """End it at once; nothing reads from it."""
        self._connection.close_socket()


class LoopConnection:
    """One of `websockets` for event loops. No handshake ends it with `drop`: the loop may be about to end."""

    def __init__(self, connection: websockets.asyncio.client.ClientConnection) -> None:
        self._connection = connection
        self.send = connection.send
        self.close = connection.close

    @classmethod
    async def opened(cls, arguments: dict[str, Any]) -> LoopConnection:
        """A new one."""
        from websockets.asyncio.client import connect

        return cls(await connect(**arguments))

    @property
    def state(self) -> Any:
        """One of `websockets.protocol.State`."""
        return self._connection.state

    async def receive(self, deadline: float | None) -> str | bytes:
        """The next message."""
        async with asyncio.timeout_at(deadline):
            return await self._connection.recv()

    async def drop(self) -> None:
        """End it at once."""
        self.abort()
        await self._connection.wait_closed()

    def abort(self) -> None:
        """Begin to end it at once."""
        self._connection.transport.abort()


Connection = BlockingConnection | LoopConnection


class _Idle(Pool[tuple[Any, ...], Connection]):
    def is_fresh(self, connection: Connection) -> bool:
        from websockets.protocol import State

        return connection.state is State.OPEN

    def drop(self, connection: Connection) -> None:
        connection.abort()

    def __del__(self) -> None:
        for connection in self.clear():
            if isinstance(connection, BlockingConnection):
                run(connection.close(1000))


class _Sender:
    """Sends the requests of one stream from a task or thread of its own, so that sending never waits for receiving.

    A failing generator closes the connection; its own exception is what the caller gets.
    """

    def __init__(self, connection: Connection, requests: AsyncIterator[Request], window: int, waits: Waits) -> None:
        self.failure: BaseException | None = None
        self._connection = connection
        self._window = Window(requests, waits, window)
        self._sent = self._answered = 0
        self._ended = False
        self._changed = waits.event()
        self._cancel = waits.spawn(self._run(), "jina-websocket")

    async def more(self) -> bool:
        """True when another answer is due; waits while that depends on the next request."""
        while True:
            self._changed.clear()  # before it is looked at: what changes from here on ends the wait
            if self._ended or self._sent > self._answered:
                return self._sent > self._answered and self.failure is None
            await self._changed.wait()

    def answered(self) -> None:
        """An answer came."""
        self._answered += 1
        self._window.answered()

    async def stop(self) -> None:
        """Send nothing more."""
        self._window.stop()
        await self._cancel()

    async def _run(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while (request := await self._window.next()) is not None:
                self._sent += 1
                self._changed.set()
                await self._connection.send(frame_of(request))
        except ConnectionClosed:
            pass  # the receiving side tells why
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            self.failure = error
            await self._connection.close(1001)
        finally:
            self._ended = True
            self._changed.set()
