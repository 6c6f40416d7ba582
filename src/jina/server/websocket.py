"""WebSocket connections over ASGI.

A text frame is a JSON request, a binary frame a serialised `jina.DataRequestProto`; each is answered in kind, as
soon as it is ready, with the request's id. `{}` or the byte 0 ends the input: what is outstanding is answered,
then the connection closes. A generator answers with a frame for each document, whose
header says `more`, and one without documents last.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jina.codec import pb
from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.raw_fields import documents_in, field_head
from jina.errors import BadRequest, EndpointNotFound, JinaError, PermissionDenied, quoted
from jina.net.auth import Caller
from jina.net.limits import Gate
from jina.net.messages import (
    DEFAULT_WINDOW,
    FAILURES,
    Emit,
    Pipeline,
    RequestReader,
    Unusable,
    as_jina_error,
    new_request_id,
    read_request,
    window_of,
    write_failure,
    write_reply,
)
from jina.net.unread import Waiting, behind
from jina.server.http import (
    CALLER,
    Receive,
    Scope,
    Send,
    dumps,
    error_content,
    read_json,
    refuse_websocket,
    reply_parts,
)
from jina.server.http_calls import TIMEOUT_HEADER, deadline_of, take_out_docs
from jina.server.pages import dry_run_status, status_content

PROTOCOLS = ("json", "bytes")
END_OF_BYTES = b"\x00"
END_OF_JSON = "{}"
Frame = str | bytes


class WebSockets:
    """All WebSocket connections of one application.

    `window` is the number of requests of one connection in work at a time, where the client does not say. Pages
    of other hosts are refused without `cors`.
    """

    def __init__(self, gate: Gate, window: int = DEFAULT_WINDOW, *, dry_run: bool = True, cors: bool = False) -> None:
        self._gate = gate
        self._cors = cors
        self._window = window
        self._has_dry_run = dry_run
        self._reader = RequestReader(gate.limits.message_size, gate.limits.parameters, forwards=gate.service.forwards)
        self._connections: set[_Connection] = set()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it is closed."""
        await receive()  # websocket.connect
        if not self._cors and (page := _page_of_another_host(scope)) is not None:
            message = f"WebSocket: a page of {quoted(page)} may not connect to this service"
            await refuse_websocket(scope, send, PermissionDenied(message, help="cors=True lets pages of any host"))
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        offered = scope.get("subprotocols", ())
        subprotocol = next((name for name in offered if name in PROTOCOLS), None)
        if path == "/dry_run" and self._has_dry_run:
            await self._dry_run(send, subprotocol)
            return
        if not self.known(path):
            await refuse_websocket(scope, send, EndpointNotFound(f"no endpoint {quoted(path)} here"))
            return
        endpoint = "" if path == "/" else path
        connection = _Connection(scope, receive, send, endpoint, self._gate, self._reader)
        self._connections.add(connection)
        try:
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            await connection.run(self._window)
        finally:
            self._connections.discard(connection)

    async def drain(self, grace: float) -> None:
        """Read no more, answer what was read within `grace` seconds, close."""
        running = [connection.drain() for connection in self._connections]
        if running:
            await asyncio.wait(running, timeout=grace)

    async def _dry_run(self, send: Send, subprotocol: str | None) -> None:
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        status, _ = await dry_run_status(self._gate.service)
        if subprotocol == "bytes":
            await send({"type": "websocket.send", "bytes": status.SerializeToString()})
        else:
            await send({"type": "websocket.send", "text": dumps(status_content(status)).decode()})
        await send({"type": "websocket.close", "code": 1000})

    def known(self, path: str) -> bool:
        """Whether requests may come under this path."""
        endpoints = self._gate.service.endpoints if self._gate.service.started else {}
        return path == "/" or path in endpoints or "/default" in endpoints


def _page_of_another_host(scope: Scope) -> str | None:
    """The origin of a web page that is not of the host at which it calls; browsers name it, and few others do.

    Pages at other ports of the same host are no others, as for cookies.
    """
    reply_headers: list[tuple[bytes, bytes]] = scope["headers"]
    headers = {name: value.decode("latin-1") for name, value in reply_headers if name in {b"origin", b"host"}}
    if (origin := headers.get(b"origin")) is None:
        return None
    try:
        theirs, ours = urlsplit(origin).hostname, urlsplit(f"//{headers.get(b'host', '')}").hostname
    except ValueError:
        return origin
    return None if theirs is not None and theirs == ours else origin


class _Connection:
    def __init__(
        self, scope: Scope, receive: Receive, send: Send, endpoint: str, gate: Gate, reader: RequestReader
    ) -> None:
        self._receive = receive
        self._send = send
        self._waiting: Waiting | None = scope.get("jina.waiting")
        self._endpoint = endpoint
        self._gate = gate
        self._reader = reader
        self._caller: Caller | None = scope.get(CALLER)
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self._timeout = {**self._query, **self._headers}.get(TIMEOUT_HEADER, "")
        self._inbox: asyncio.Queue[Frame | None] = asyncio.Queue(maxsize=1)
        self._main = asyncio.current_task()
        self._left = False
        self._draining = False

    async def run(self, window: int) -> None:
        options = {**self._query, **self._headers}
        pipeline: Pipeline[Frame, Frame] = Pipeline(
            self._work,
            self._write,
            window=window_of(options.get("__prefetch__"), window),
            max_bytes=self._gate.limits.unread.each,
            in_order=options.get("__results_in_order__", "").lower() == "true",
            waiting=self._waiting,
        )
        pump = asyncio.create_task(self._pump())
        try:
            await pipeline.run(self._read)
            await self._send({"type": "websocket.close", "code": 1001 if self._draining else 1000})
        except OSError:
            return  # the client left, as uvicorn's send told
        except asyncio.CancelledError:
            # The client left, as the pump told; anything else is a real cancellation.
            if not self._left:
                raise
            if self._main is not None:
                self._main.uncancel()
        finally:
            pump.cancel()

    def drain(self) -> asyncio.Task[Any]:
        """Stop reading; gives the task that ends once all is answered."""
        self._draining = True
        if not self._inbox.full():
            self._inbox.put_nowait(None)
        assert self._main is not None
        return self._main

    async def _pump(self) -> None:
        """Always be receiving, so that pings are answered and a client that leaves is noticed at once."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._left = True
                if self._main is not None:
                    self._main.cancel()
                return
            data: bytes | None = message.get("bytes")
            await self._inbox.put(message["text"] if data is None else data)

    async def _read(self) -> tuple[Frame, int] | None:
        frame = None if self._draining else await self._inbox.get()
        if frame is None or frame == END_OF_BYTES or (isinstance(frame, str) and frame.strip() == END_OF_JSON):
            return None
        return frame, len(frame)

    async def _write(self, frame: Frame) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        await self._send({"type": "websocket.send", kind: frame})

    async def _work(self, frame: Frame, emit: Emit[Frame]) -> None:
        service = self._gate.service
        exchange = _JsonFrames(frame) if isinstance(frame, str) else _ByteFrames(frame, service.name, self._reader)
        caller = self._caller
        try:
            request = exchange.read(self._endpoint, self._headers)
            request.deadline = deadline_of(self._timeout)
            if caller is not None:
                caller.take()
                caller.check(request.endpoint)
            take_out_docs(request, service)
            info = service.endpoints.get(request.endpoint) or service.endpoints.get("/default")
            if info is not None and info.is_generator:
                await self._stream(request, exchange, emit)
            else:
                await emit(exchange.reply(await self._gate.call(request)))
        except JinaError as error:  # before OSError: `Unavailable` is one
            await emit(exchange.failure(error))
        except OSError:
            raise
        except FAILURES as error:  # each becomes a frame
            await emit(exchange.failure(as_jina_error(error)))

    async def _stream(self, request: Request, exchange: _JsonFrames | _ByteFrames, emit: Emit[Frame]) -> None:
        async with aclosing(self._gate.stream(request)) as replies:
            async for reply in replies:
                for document in exchange.split(reply.payload):
                    frame = exchange.reply(Reply(document, reply.parameters, reply.routes), more=True)
                    await self._emit_more(frame, emit)
        await emit(exchange.reply(Reply(BytesPayload(b""))))

    async def _emit_more(self, frame: Frame, emit: Emit[Frame]) -> None:
        """A frame behind which others are held while it waits."""
        waiting = self._waiting
        if waiting is None or not waiting.paused:
            await emit(frame)
            return
        size = behind(len(frame))
        waiting.reserve(size)
        try:
            await emit(frame)
        finally:
            waiting.reserve(-size)


class _JsonFrames:
    """A JSON request and its answers."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._request = Request("", JsonPayload(b"[]"))

    def read(self, endpoint: str, headers: dict[str, str]) -> Request:
        self._request = request = read_json(self._text)
        request.endpoint = request.endpoint or endpoint
        request.request_id = request.request_id or new_request_id()
        request.headers = headers
        request.json_reply = True
        if not request.endpoint:
            raise BadRequest("the frame names no endpoint", help='send {"execEndpoint": "/...", "data": [...]}')
        return request

    def reply(self, reply: Reply, *, more: bool = False) -> str:
        return b"".join(reply_parts(reply, self._request, more=more)).decode()

    def split(self, payload: Payload) -> list[Payload]:
        return [JsonPayload(b"[" + item + b"]") for item in payload.json_items()]

    def failure(self, error: JinaError) -> str:
        header = {"request_id": self._request.request_id, "target_executor": self._request.target_executor}
        return dumps({**error_content(error), "header": header}).decode()


class _ByteFrames:
    """A protobuf request and its answers."""

    def __init__(self, data: bytes, executor: str, reader: RequestReader) -> None:
        self._data = data
        self._executor = executor
        self._reader = reader
        self._started = time.time()
        self._message: Any = None
        self._request = Request("", BytesPayload(b""))

    def read(self, endpoint: str, headers: dict[str, str]) -> Request:
        message, payload, _ = self._reader.request(self._data)
        if isinstance(message, Unusable):
            raise message.error
        self._message = message
        self._request = request = read_request(message, payload, headers, None)
        request.endpoint = request.endpoint or endpoint
        return request

    def reply(self, reply: Reply, *, more: bool = False) -> bytes:
        return write_reply(self._message, self._request, reply, self._executor, self._started, more=more)

    def split(self, payload: Payload) -> list[Payload]:
        return [BytesPayload(field_head(1, len(document)) + document) for document in documents_in(payload.to_bytes())]

    def failure(self, error: JinaError) -> bytes:
        failed = write_failure(pb.DataRequestProto(), self._message, error, self._executor, self._started)
        data: bytes = failed.SerializeToString()
        return data
