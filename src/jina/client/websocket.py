"""WebSocket from blocking code and on the caller's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jina.client.http_messages import call_headers
from jina.codec import pb
from jina.codec.messages import Request, Route
from jina.errors import BadRequest, BadServer, DeadlineExceeded, JinaError, TooLarge, Unavailable
from jina.net.channel import Answer, CallOptions, ChannelSettings, ProtoAnswer, Target, request_message, unreachable
from jina.net.tls import client_context
from jina.observe.traces import HEADERS as TRACING

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection as AsyncConnection
    from websockets.sync.client import ClientConnection

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
            from jina.client.http_messages import http_error

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
    """Connections to `target`, each lent to one call at a time and kept for the next; shared by all threads."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[tuple[tuple[Any, ...], ClientConnection]] = []

    def call(self, request: Request, options: CallOptions) -> Answer:
        """Send one request and wait for its answer."""
        frame = frame_of(request)
        with self._leased(options) as connection:
            connection.send(frame)
            return whole(self._receive(connection, _sync_deadline(options)))

    def stream(self, requests: Iterator[Request], options: CallOptions) -> Iterator[Answer]:
        """Send requests as they come, from a thread of its own; at most `options.window` are unanswered."""
        deadline = _sync_deadline(options)
        with self._leased(options) as connection:
            sender = _SyncSender(connection, requests, options.window)
            try:
                while sender.more():
                    answer = whole(self._receive(connection, deadline))
                    sender.answered()
                    yield answer
            except JinaError:
                if sender.failure is not None:
                    raise sender.failure from None
                raise
            finally:
                sender.stop()
            if sender.failure is not None:
                raise sender.failure

    def stream_doc(self, request: Request, options: CallOptions) -> Iterator[StreamedFrame]:
        """Send one document; each answer carries one, an empty one ends the stream."""
        frame = frame_of(request)
        deadline = _sync_deadline(options)
        with self._leased(options) as connection:
            connection.send(frame)
            while documents := streamed(self._receive(connection, deadline)):
                yield from documents

    def ready(self, options: CallOptions) -> None:
        """Ask for a dry run over HTTP, which every WebSocket listener of jina answers on its port."""
        from jina.client.http import HttpChannel

        channel = HttpChannel(http_target(self._target), self._settings)
        try:
            channel.ready(options)
        finally:
            channel.close()

    def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, as HTTP tells it."""
        from jina.client.http import HttpChannel

        channel = HttpChannel(http_target(self._target), self._settings)
        try:
            return channel.visited(options)
        finally:
            channel.close()

    def close(self) -> None:
        """Close the idle connections; lent ones are kept for later calls."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    __del__ = close

    @contextmanager
    def _leased(self, options: CallOptions) -> Iterator[ClientConnection]:
        """A connection, kept afterwards unless something was raised while it was lent."""
        key = connection_key(options)
        try:
            connection = self._take(key) or self._open(options)
        except Exception as error:
            raise failure_of(error, self._target) or error from error
        kept = False
        try:
            yield connection
            with self._lock:
                if len(self._idle) < IDLE_CONNECTIONS:
                    self._idle.append((key, connection))
                    kept = True
        except Exception as error:
            if isinstance(error, JinaError):
                raise
            raise failure_of(error, self._target) or error from error
        finally:
            if not kept:
                connection.close_socket()  # no handshake: frames that nobody reads may stand in its way

    def _take(self, key: tuple[Any, ...]) -> ClientConnection | None:
        from websockets.protocol import State

        dead: list[ClientConnection] = []
        found = None
        with self._lock:
            for position in range(len(self._idle) - 1, -1, -1):
                other, connection = self._idle[position]
                if connection.state is not State.OPEN:
                    dead.append(self._idle.pop(position)[1])
                elif other == key and found is None:
                    found = self._idle.pop(position)[1]
        for connection in dead:
            connection.close()
        return found

    def _open(self, options: CallOptions) -> ClientConnection:
        from websockets.sync.client import connect

        try:
            # Entered as the context manager that it is, and left by `close` when the pool drops it.
            connection: ClientConnection = connect(
                **connect_arguments(self._target, self._settings, options)
            ).__enter__()
        except TimeoutError:
            raise not_opened_in_time(self._target, options) from None
        return connection

    def _receive(self, connection: ClientConnection, deadline: float | None) -> ProtoAnswer:
        try:
            frame = connection.recv(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise DeadlineExceeded(f"{self._target} did not answer in time") from None
        except Exception as error:
            raise failure_of(error, self._target) or error from error
        return answer_of(frame, self._target)


def _sync_deadline(options: CallOptions) -> float | None:
    return None if options.timeout is None else time.monotonic() + options.timeout


class _SyncSender:
    """Sends the requests of one stream on a thread of its own, so that sending never waits for receiving.

    A failing generator closes the connection; its own exception is what the caller gets.
    """

    def __init__(self, connection: ClientConnection, requests: Iterator[Request], window: int) -> None:
        self.failure: BaseException | None = None
        self._connection = connection
        self._requests = requests
        self._window = window
        self._unanswered = 0
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="jina-websocket", daemon=True).start()

    def more(self) -> bool:
        """True when another answer is due; waits while that depends on the next request."""
        with self._changed:
            self._changed.wait_for(lambda: self._unanswered or self._ended)
            return self._unanswered > 0 and self.failure is None

    def answered(self) -> None:
        """An answer came."""
        with self._changed:
            self._unanswered -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for request in self._requests:
                with self._changed:
                    self._changed.wait_for(lambda: self._unanswered < self._window or self._ended)
                    if self._ended:
                        return
                    self._unanswered += 1
                    self._changed.notify_all()
                self._connection.send(frame_of(request))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._fail(error)
        finally:
            self.stop()

    def _fail(self, error: BaseException) -> None:
        from websockets.exceptions import ConnectionClosed

        if isinstance(error, ConnectionClosed):
            return  # the receiving side tells why
        self.failure = error
        self._connection.close(1001)


class AsyncWebSocketChannel:
    """Connections to `target`, each lent to one call at a time and kept for the next; of one loop."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._settings = settings
        self._idle: list[tuple[tuple[Any, ...], AsyncConnection]] = []

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """Send one request and wait for its answer."""
        frame = frame_of(request)
        deadline = _loop_deadline(options)
        async with self._leased(options) as connection:
            await connection.send(frame)
            return whole(await self._receive(connection, deadline))

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncIterator[Answer]:
        """Send requests as they come, from a task of its own; at most `options.window` are unanswered."""
        deadline = _loop_deadline(options)
        async with self._leased(options) as connection:
            sender = _AsyncSender(connection, requests, options.window)
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

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[StreamedFrame]:
        """Send one document; each answer carries one, an empty one ends the stream."""
        frame = frame_of(request)
        deadline = _loop_deadline(options)
        async with self._leased(options) as connection:
            await connection.send(frame)
            while documents := streamed(await self._receive(connection, deadline)):
                for document in documents:
                    yield document

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run over HTTP, which every WebSocket listener of jina answers on its port."""
        from jina.client.http import AsyncHttpChannel

        channel = AsyncHttpChannel(http_target(self._target), self._settings)
        try:
            await channel.ready(options)
        finally:
            await channel.close()

    async def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, as HTTP tells it."""
        from jina.client.http import AsyncHttpChannel

        channel = AsyncHttpChannel(http_target(self._target), self._settings)
        try:
            return await channel.visited(options)
        finally:
            await channel.close()

    async def close(self, *, abruptly: bool = False) -> None:
        """Close the idle connections; lent ones are kept for later calls."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await (_drop(connection) if abruptly else connection.close())

    def _leased(self, options: CallOptions) -> _Lease:
        return _Lease(self, options)

    async def take(self, options: CallOptions) -> AsyncConnection:
        """An idle connection, else a new one."""
        try:
            return await self._take(connection_key(options)) or await self._open(options)
        except Exception as error:
            raise failure_of(error, self._target) or error from error

    async def give_back(self, connection: AsyncConnection, options: CallOptions, error: BaseException | None) -> None:
        """Keep the connection for the next call, unless the call failed; raises what the failure means."""
        if error is None and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append((connection_key(options), connection))
            return
        await _drop(connection)
        meant = failure_of(error, self._target) if error else None
        if meant is not None:
            raise meant from error

    async def _take(self, key: tuple[Any, ...]) -> AsyncConnection | None:
        from websockets.protocol import State

        idle, self._idle = self._idle, []
        found = None
        for other, connection in reversed(idle):
            if connection.state is not State.OPEN:
                await _drop(connection)
            elif other == key and found is None:
                found = connection
            else:
                self._idle.append((other, connection))
        return found

    async def _open(self, options: CallOptions) -> AsyncConnection:
        from websockets.asyncio.client import connect

        try:
            return await connect(**connect_arguments(self._target, self._settings, options))
        except TimeoutError:
            raise not_opened_in_time(self._target, options) from None

    async def _receive(self, connection: AsyncConnection, deadline: float | None) -> ProtoAnswer:
        try:
            async with asyncio.timeout_at(deadline):
                frame = await connection.recv()
        except TimeoutError:
            raise DeadlineExceeded(f"{self._target} did not answer in time") from None
        except Exception as error:
            raise failure_of(error, self._target) or error from error
        return answer_of(frame, self._target)


class _Lease:
    """A connection for one call; a class, because a generator would be closed by a loop that ends."""

    def __init__(self, channel: AsyncWebSocketChannel, options: CallOptions) -> None:
        self._channel = channel
        self._options = options

    async def __aenter__(self) -> AsyncConnection:
        self._connection = await self._channel.take(self._options)
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._channel.give_back(self._connection, self._options, error)


async def _drop(connection: AsyncConnection) -> None:
    """Close without the closing handshake, which needs a loop that is not about to end."""
    connection.transport.abort()
    await connection.wait_closed()


def _loop_deadline(options: CallOptions) -> float | None:
    return None if options.timeout is None else asyncio.get_running_loop().time() + options.timeout


class _AsyncSender:
    """Sends the requests of one stream in a task of its own, so that sending never waits for receiving.

    A failing generator closes the connection; its own exception is what the caller gets.
    """

    def __init__(self, connection: AsyncConnection, requests: AsyncIterator[Request], window: int) -> None:
        self.failure: BaseException | None = None
        self._connection = connection
        self._requests = requests
        self._slots = asyncio.Semaphore(window)
        self._unanswered = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def more(self) -> bool:
        """True when another answer is due; waits while that depends on the next request."""
        while not self._unanswered and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return self._unanswered > 0 and self.failure is None

    def answered(self) -> None:
        """An answer came."""
        self._unanswered -= 1
        self._slots.release()

    async def stop(self) -> None:
        """Send nothing more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._slots.acquire()
            async for request in self._requests:
                self._unanswered += 1
                self._changed.set()
                await self._connection.send(frame_of(request))
                await self._slots.acquire()
        except ConnectionClosed:
            return  # the receiving side tells why
        except Exception as error:  # noqa: BLE001 - handed to the caller
            self.failure = error
            await self._connection.close(1001)
        finally:
            self._ended = True
            self._changed.set()
