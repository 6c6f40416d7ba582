"""WebSocket on the caller's event loop, on `websockets.asyncio`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from jina.errors import DeadlineExceeded, JinaError
from jina.transport import websocket_channel_frames as frames
from jina.transport.base_channel import Answer, CallOptions, ChannelSettings, ProtoAnswer, Target
from jina.wire.messages import Request, Route

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

IDLE_CONNECTIONS = 8


class AsyncWebSocketChannel:
    """Connections to `target`, each lent to one call at a time and kept for the next; of one loop."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._settings = settings
        self._idle: list[tuple[tuple[Any, ...], ClientConnection]] = []

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """Send one request and wait for its answer."""
        frame = frames.frame_of(request)
        deadline = _deadline(options)
        async with self._lent(options) as connection:
            await connection.send(frame)
            return frames.whole(await self._receive(connection, deadline))

    async def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncIterator[Answer]:
        """Send requests as they come, from a task of its own; at most `options.window` are unanswered."""
        deadline = _deadline(options)
        async with self._lent(options) as connection:
            sender = _Sender(connection, requests, options.window)
            try:
                while await sender.more():
                    answer = frames.whole(await self._receive(connection, deadline))
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

    async def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[frames.StreamedFrame]:
        """Send one document; each answer carries one, an empty one ends the stream."""
        frame = frames.frame_of(request)
        deadline = _deadline(options)
        async with self._lent(options) as connection:
            await connection.send(frame)
            while documents := frames.streamed(await self._receive(connection, deadline)):
                for document in documents:
                    yield document

    async def ready(self, options: CallOptions) -> None:
        """Ask for a dry run over HTTP, which every WebSocket face of jina answers on its port."""
        from jina.transport.http_channel import AsyncHttpChannel

        channel = AsyncHttpChannel(frames.http_target(self._target), self._settings)
        try:
            await channel.ready(options)
        finally:
            await channel.close()

    async def visited(self, options: CallOptions) -> list[Route]:
        """The server and the Executors that a dry run asks, as HTTP tells it."""
        from jina.transport.http_channel import AsyncHttpChannel

        channel = AsyncHttpChannel(frames.http_target(self._target), self._settings)
        try:
            return await channel.visited(options)
        finally:
            await channel.close()

    async def close(self, *, abruptly: bool = False) -> None:
        """Close the idle connections; lent ones are kept for later calls."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await (_drop(connection) if abruptly else connection.close())

    def _lent(self, options: CallOptions) -> _Loan:
        return _Loan(self, options)

    async def take(self, options: CallOptions) -> ClientConnection:
        """An idle connection, else a new one."""
        try:
            return await self._take(frames.connection_key(options)) or await self._open(options)
        except Exception as error:
            raise frames.failure_of(error, self._target) or error from error

    async def give_back(self, connection: ClientConnection, options: CallOptions, error: BaseException | None) -> None:
        """Keep the connection for the next call, unless the call failed; raises what the failure means."""
        if error is None and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append((frames.connection_key(options), connection))
            return
        await _drop(connection)
        meant = frames.failure_of(error, self._target) if error and not isinstance(error, JinaError) else None
        if meant is not None:
            raise meant from error

    async def _take(self, key: tuple[Any, ...]) -> ClientConnection | None:
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

    async def _open(self, options: CallOptions) -> ClientConnection:
        from websockets.asyncio.client import connect

        return await connect(**frames.connect_arguments(self._target, self._settings, options))

    async def _receive(self, connection: ClientConnection, deadline: float | None) -> ProtoAnswer:
        try:
            async with asyncio.timeout_at(deadline):
                frame = await connection.recv()
        except TimeoutError:
            raise DeadlineExceeded(f"{self._target} did not answer in time") from None
        except Exception as error:
            raise frames.failure_of(error, self._target) or error from error
        return frames.answer_of(frame, self._target)


class _Loan:
    """A connection for one call; a class, because a generator would be closed by a loop that ends."""

    def __init__(self, channel: AsyncWebSocketChannel, options: CallOptions) -> None:
        self._channel = channel
        self._options = options

    async def __aenter__(self) -> ClientConnection:
        self._connection = await self._channel.take(self._options)
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._channel.give_back(self._connection, self._options, error)


async def _drop(connection: ClientConnection) -> None:
    """Close without the closing handshake, which needs a loop that is not about to end."""
    connection.transport.abort()
    await connection.wait_closed()


def _deadline(options: CallOptions) -> float | None:
    return None if options.timeout is None else asyncio.get_running_loop().time() + options.timeout


class _Sender:
    """Sends the requests of one stream in a task of its own, so that sending never waits for receiving.

    A failing generator closes the connection; its own exception is what the caller gets.
    """

    def __init__(self, connection: ClientConnection, requests: AsyncIterator[Request], window: int) -> None:
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
                await self._connection.send(frames.frame_of(request))
                await self._slots.acquire()
        except ConnectionClosed:
            return  # the receiving side tells why
        except Exception as error:  # noqa: BLE001 - handed to the caller
            self.failure = error
            await self._connection.close(1001)
        finally:
            self._ended = True
            self._changed.set()
