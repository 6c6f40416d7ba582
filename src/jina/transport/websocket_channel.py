"""WebSocket from blocking code, on `websockets.sync`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jina.errors import DeadlineExceeded, JinaError
from jina.transport import websocket_channel_frames as frames
from jina.transport.base_channel import Answer, CallOptions, ChannelSettings, ProtoAnswer, Target
from jina.wire.messages import Request, Route

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

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
        frame = frames.frame_of(request)
        with self._lent(options) as connection:
            connection.send(frame)
            return frames.whole(self._receive(connection, _deadline(options)))

    def stream(self, requests: Iterator[Request], options: CallOptions) -> Iterator[Answer]:
        """Send requests as they come, from a thread of its own; at most `options.window` are unanswered."""
        deadline = _deadline(options)
        with self._lent(options) as connection:
            sender = _Sender(connection, requests, options.window)
            try:
                while sender.more():
                    answer = frames.whole(self._receive(connection, deadline))
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

    def stream_doc(self, request: Request, options: CallOptions) -> Iterator[frames.StreamedFrame]:
        """Send one document; each answer carries one, an empty one ends the stream."""
        frame = frames.frame_of(request)
        deadline = _deadline(options)
        with self._lent(options) as connection:
            connection.send(frame)
            while documents := frames.streamed(self._receive(connection, deadline)):
                yield from documents

    def ready(self, options: CallOptions) -> None:
        """Ask for a dry run over HTTP, which every WebSocket face of jina answers on its port."""
        from jina.transport.http_channel import HttpChannel

        channel = HttpChannel(frames.http_target(self._target), self._settings)
        try:
            channel.ready(options)
        finally:
            channel.close()

    def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, as HTTP tells it."""
        from jina.transport.http_channel import HttpChannel

        channel = HttpChannel(frames.http_target(self._target), self._settings)
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
    def _lent(self, options: CallOptions) -> Iterator[ClientConnection]:
        """A connection, kept afterwards unless something was raised while it was lent."""
        key = frames.connection_key(options)
        try:
            connection = self._take(key) or self._open(options)
        except Exception as error:
            raise frames.failure_of(error, self._target) or error from error
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
            raise frames.failure_of(error, self._target) or error from error
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

        # Entered as the context manager that it is, and left by `close` when the pool drops it.
        connection: ClientConnection = connect(
            **frames.connect_arguments(self._target, self._settings, options)
        ).__enter__()
        return connection

    def _receive(self, connection: ClientConnection, deadline: float | None) -> ProtoAnswer:
        try:
            frame = connection.recv(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise DeadlineExceeded(f"{self._target} did not answer in time") from None
        except Exception as error:
            raise frames.failure_of(error, self._target) or error from error
        return frames.answer_of(frame, self._target)


def _deadline(options: CallOptions) -> float | None:
    return None if options.timeout is None else time.monotonic() + options.timeout


class _Sender:
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
                self._connection.send(frames.frame_of(request))
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
