"""A local link: frames over one byte stream between two processes of one machine, and the messages in them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any, Final

import msgspec

from jina.codec import parameters as wire_parameters
from jina.codec import pb, status
from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload, FilePayload, JsonPayload
from jina.codec.session_headers import PASSED_ON
from jina.errors import BadServer, JinaError, TooLarge
from jina.net.service import EndpointInfo
from jina.observe.logs import get_logger
from jina.observe.traces import HEADERS as TRACING

Buffer = bytes | memoryview
HEAD: Final = struct.Struct("<BBHIIQ")
"""Magic, kind, flags, bytes of meta, bytes of body, stream; in a PART the bytes of meta are those of the frame."""
CHUNK: Final = 64 * 1024
MAX_BODY: Final = 2**32 - 1
LEAST_LIMIT: Final = 16 * 1024 * 1024
"""Bytes that meta and body may have whatever the limit on documents is: descriptions, errors and parameters."""
_MAGIC: Final = 0x6A
_SCRATCH: Final = 4 * CHUNK
_VIEWED: Final = 1024 * 1024
_TURNS: Final = 4
"""Parts of large messages between two looks at the small ones."""
_WOKEN: Final = 16
_NEXT_WOKEN: Final = 0.002
"""How many that wait for room are woken together, and seconds until the next."""
_AT_ONCE: Final = 8
"""Large messages that are sent side by side; the receiver makes room for a whole message when its first part comes."""
REQUEST: Final = 1
STREAM: Final = 2
REPLY: Final = 3
ITEM: Final = 4
END: Final = 5
ERROR: Final = 6
REFUSED: Final = 7
CANCEL: Final = 8
"""The caller waits no more; from a worker: a message that was begun will not be completed."""
CREDIT: Final = 9
DESCRIBE: Final = 10
PROBE: Final = 11
BYE: Final = 12
FLUSH: Final = 13
"""The gateway is shutting down: its requests do not wait for batches to fill, from now until the link is closed."""
PART: Final = 14
METRICS: Final = 15
JSON: Final = 1
"""Flag: the documents are JSON, not a serialised `docarray.DocListProto`."""
OLDER: Final = 1
"""Flag of METRICS: in Prometheus's text format, not as OpenMetrics."""
Deliver = Callable[[int, int, int, Buffer, Buffer], None]
"""Called with kind, flags, stream, meta (valid during the call only) and body.

The body is `bytes`, or a view where it is large and no JSON."""


class LinkBroken(Exception):
    """The peer sent what is no frame of a link."""


class SendQueue:
    """Messages to be sent, as frames in the order in which they should leave; those of one stream keep theirs."""

    __slots__ = ("_large", "_small", "_small_size", "_turns", "size")

    def __init__(self) -> None:
        self._small: list[Buffer] = []
        self._small_size = 0
        self._large: dict[int, _Large] = {}
        self._turns: deque[int] = deque()
        """The streams whose large messages are being sent, in turns."""
        self.size = 0
        """Bytes that wait."""

    def put(self, kind: int, flags: int, stream: int, meta: bytes = b"", body: Buffer = b"") -> None:
        """Add a message; its body is not copied."""
        size = HEAD.size + len(meta) + len(body)
        head = HEAD.pack(_MAGIC, kind, flags, len(meta), len(body), stream)
        self.size += size
        if size > CHUNK or stream in self._large:
            large = self._large.get(stream)
            if large is None:
                large = self._large[stream] = _Large()
            large.add(head, stream, meta, body)
            return
        self._small_size += size
        small = self._small
        small.append(head)
        if meta:
            small.append(meta)
        if body:
            small.append(body)

    def take(self) -> tuple[list[Buffer], int]:
        """What should be written next, and its size: all small messages and a turn of the large ones."""
        batch, self._small = self._small, []
        size, self._small_size = self._small_size, 0
        if self._large:
            size += self._take_parts(batch)
        self.size -= size
        return batch, size

    def _take_parts(self, batch: list[Buffer]) -> int:
        turns, sent = self._turns, 0
        for stream in self._large:
            if len(turns) >= _AT_ONCE:
                break
            if stream not in turns:
                turns.append(stream)
        for _ in range(min(_TURNS, len(turns))):
            stream = turns.popleft()
            large = self._large[stream]
            sent += large.next_into(batch)
            if large.left:
                turns.append(stream)
            else:
                del self._large[stream]
        return sent

    def __contains__(self, stream: int) -> bool:
        """Whether a large message of the stream waits, or a part of it."""
        return stream in self._large

    def drop(self, stream: int) -> bool:
        """Forget the rest of a large message; returns whether nothing of it had been taken."""
        large = self._large.pop(stream, None)
        if large is None:
            return False
        if stream in self._turns:
            self._turns.remove(stream)
        self.size -= large.left
        return not large.begun

    def untouched(self, stream: int) -> bool:
        """Whether a large message waits of which nothing has been taken."""
        large = self._large.get(stream)
        return large is not None and not large.begun


class _Large:
    """What waits of a stream with a large message; `left` counts the bytes of its messages, not heads of parts."""

    __slots__ = ("_frames", "_messages", "begun", "left")

    def __init__(self) -> None:
        self._messages: list[tuple[bytes, int, bytes, Buffer]] = []
        self._frames: Iterator[tuple[Buffer, ...]] | None = None
        self.begun = False
        self.left = 0

    def add(self, head: bytes, stream: int, meta: bytes, body: Buffer) -> None:
        self._messages.append((head, stream, meta, body))
        self.left += len(head) + len(meta) + len(body)

    def next_into(self, batch: list[Buffer]) -> int:
        """Append one frame; gives how many of the bytes of the message it holds."""
        self.begun = True
        while True:
            if self._frames is None:
                self._frames = _frames(*self._messages.pop(0))
            frame = next(self._frames, None)
            if frame is not None:
                break
            self._frames = None
        batch.extend(frame)
        size = sum(map(len, frame))
        if frame[0][1] == PART:
            size -= HEAD.size
        self.left -= size
        return size


def _frames(head: bytes, stream: int, meta: bytes, body: Buffer) -> Iterator[tuple[Buffer, ...]]:
    inline_meta = len(meta) <= CHUNK
    inline_body = inline_meta and (not body or len(meta) + len(body) + HEAD.size <= CHUNK)
    yield head, meta if inline_meta else b"", body if inline_body else b""
    for part in (b"" if inline_meta else meta, b"" if inline_body else body):
        view = memoryview(part)
        for start in range(0, len(view), CHUNK):
            chunk = view[start : start + CHUNK]
            yield HEAD.pack(_MAGIC, PART, 0, len(chunk), 0, stream), chunk


class Inbox:
    """Bytes as they arrive, cut into messages.

    `buffer` is where the next bytes should be written, `advance` takes note of them and delivers what is complete.
    The parts of a large body are received in place. `limit` bounds meta and body of a message, each, in bytes.
    """

    __slots__ = ("_data", "_deliver", "_direct", "_end", "_left", "_limit", "_sink", "_sinks", "_start", "_view")

    def __init__(self, limit: int, deliver: Deliver) -> None:
        self._limit = limit
        self._deliver = deliver
        self._data = bytearray(_SCRATCH)
        self._view = memoryview(self._data)
        self._start = 0
        self._end = 0
        self._sinks: dict[int, _Sink] = {}
        self._sink: _Sink | None = None
        """The message that the present PART belongs to; None for one that was dropped."""
        self._left = 0
        """Bytes of the present PART that have not come."""
        self._direct = False

    def buffer(self) -> memoryview:
        """Where the next bytes belong."""
        sink = self._sink
        # Not the last part: the reader still holds this view when it is complete, and to a file of which there is
        # a view outside, `getvalue` gives a copy.
        self._direct = sink is not None and 0 < self._left < sink.wanted
        if self._direct and sink is not None:
            # With room for the head of the next frame: the part after this one overwrites it.
            return sink.room(self._left + HEAD.size)
        return self._view[self._end :]

    def advance(self, count: int) -> None:
        """So many bytes were written to the last `buffer`; raises `LinkBroken`."""
        if self._direct and self._sink is not None:
            taken = min(count, self._left)
            extra = self._sink.tail(taken, count)
            self._view[: len(extra)] = extra
            self._start, self._end = 0, len(extra)
            self._fill(self._sink, taken)
        else:
            self._end += count
        if self._end:
            self._cut()

    def drop(self, stream: int) -> None:
        """Forget what has come of an incomplete message of a stream."""
        sink = self._sinks.pop(stream, None)
        if sink is not None and sink is self._sink:
            self._sink = None

    def _cut(self) -> None:
        """Deliver the complete messages and keep the rest at the start of the scratch buffer."""
        while self._left or self._end - self._start >= HEAD.size:
            if not (self._continued() if self._left else self._next()):
                break
        start, end = self._start, self._end
        if start:
            if end > start:
                self._view[: end - start] = self._view[start:end]
            self._start, self._end = 0, end - start

    def _continued(self) -> bool:
        """Take what the scratch buffer has of the present PART; returns whether to go on."""
        start = self._start
        count = min(self._left, self._end - start)
        self._start = start + count
        if self._sink is None:
            self._left -= count
        else:
            self._sink.room(count)[:] = self._view[start : start + count]
            self._fill(self._sink, count)
        return self._left == 0

    def _next(self) -> bool:
        """Take one frame; returns whether it was there."""
        start = self._start + HEAD.size
        magic, kind, flags, meta, body, stream = HEAD.unpack_from(self._data, self._start)
        if magic != _MAGIC or not REQUEST <= kind <= METRICS:
            raise LinkBroken(f"a frame starts with {bytes(self._view[self._start : start]).hex()}")
        if kind == PART:
            self._open_part(stream, meta)
            self._start = start
            return True
        if meta > self._limit or body > self._limit:
            raise LinkBroken(f"a message of {meta} + {body} bytes; the limit is {self._limit}")
        inline_meta = meta <= CHUNK
        inline_body = inline_meta and (body == 0 or meta + body + HEAD.size <= CHUNK)
        middle = start + meta if inline_meta else start
        stop = middle + body if inline_body else middle
        if stop > self._end:
            return False
        self._start = stop
        view = self._view
        if inline_body:
            self._deliver(
                kind, flags, stream, view[start:middle] if meta else b"", view[middle:stop].tobytes() if body else b""
            )
        else:
            head = view[start:middle].tobytes() if inline_meta else None
            self._sinks[stream] = _Sink(kind, flags, stream, head, (meta, body))
        return True

    def _open_part(self, stream: int, size: int) -> None:
        sink = self._sinks.get(stream)
        if size > CHUNK or (sink is not None and size > sink.wanted):
            raise LinkBroken(f"a part of {size} bytes, which is too much")
        self._sink = sink
        self._left = size

    def _fill(self, sink: _Sink, count: int) -> None:
        self._left -= count
        if sink.fill(count):
            del self._sinks[sink.stream]
            self._sink = None
            self._deliver(sink.kind, sink.flags, sink.stream, sink.meta or b"", sink.body)


class _Sink:
    """A message that comes in parts: first its meta, where that is large, then its body."""

    __slots__ = ("_at", "_body_size", "_buffer", "_size", "body", "flags", "kind", "meta", "stream")

    def __init__(self, kind: int, flags: int, stream: int, meta: bytes | None, sizes: tuple[int, int]) -> None:
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.meta: Buffer | None = meta
        self.body: Buffer = b""
        self._body_size = sizes[1]
        self._open(sizes[0] if meta is None else sizes[1])

    @property
    def wanted(self) -> int:
        """Bytes that are missing of what is being filled."""
        return self._size - self._at

    def room(self, size: int) -> memoryview:
        """Where the next bytes belong, at most so many."""
        return self._place()[self._at : min(self._at + size, self._size)]

    def tail(self, taken: int, count: int) -> memoryview:
        """What stands in the room behind the bytes taken."""
        return self._place()[self._at + taken : self._at + count]

    def fill(self, count: int) -> bool:
        """So many more bytes are there; returns whether the message is complete."""
        self._at += count
        if self._at < self._size:
            return False
        data = self._filled()
        if self.meta is not None:
            self.body = data
            return True
        self.meta = data
        if self._body_size:
            self._open(self._body_size)
        return not self._body_size

    def _open(self, size: int) -> None:
        spare = 0
        if size >= _VIEWED and self.meta is not None and not self.flags & JSON:
            # What is made of these documents is often a little longer, and fits into their place in the heap when they
            # are gone if that is a little larger too.
            spare = CHUNK + -size % CHUNK
        # A view is kept of a bytearray only: a BytesIO that the garbage collector finds with one complains on stderr.
        self._buffer = BytesIO(bytes(size)) if not spare else memoryview(bytearray(size + spare))[:size]
        self._size = size
        self._at = 0

    def _place(self) -> memoryview:
        return self._buffer.getbuffer() if isinstance(self._buffer, BytesIO) else self._buffer

    def _filled(self) -> Buffer:
        if isinstance(self._buffer, memoryview):
            return self._buffer.toreadonly()
        # CPython gives the object that it wrote to as the value, so that the content becomes `bytes` without a copy.
        return self._buffer.getvalue()


SLOTS: Final = 64 * 1024
"""Requests in flight that can be told apart."""
HANDSHAKE: Final = b"j"


class StartedBitmap:
    """One byte for each request in flight, by its number."""

    __slots__ = ("_page",)

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page

    def forget(self, number: int) -> None:
        """A new request, not begun."""
        self._page[number % SLOTS] = 0

    def setter(self, number: int) -> Callable[[], object]:
        """What the worker calls when the work begins; on any thread."""
        return partial(self._page.__setitem__, number % SLOTS, 1)

    def begun(self, number: int, last: int) -> bool:
        """Whether the request may have been begun; `last` is the newest number, which may have its slot."""
        return number <= last - SLOTS or self._page[number % SLOTS] != 0


def send_handshake(sock: socket.socket) -> StartedBitmap | None:
    """Send the first byte, with the page; raises OSError when the peer is gone."""
    if not hasattr(os, "memfd_create"):
        sock.send(HANDSHAKE)
        return None
    fd = os.memfd_create("jina-link")
    try:
        os.ftruncate(fd, SLOTS)
        bitmap = StartedBitmap(mmap.mmap(fd, SLOTS))
        socket.send_fds(sock, [HANDSHAKE], [fd])
    finally:
        os.close(fd)
    return bitmap


def receive_handshake(sock: socket.socket) -> StartedBitmap | None:
    """Read the first byte, which is there; raises OSError when the peer is gone or is no gateway."""
    data, fds, _, _ = socket.recv_fds(sock, len(HANDSHAKE), 1)
    try:
        if not data:
            raise ConnectionResetError("the gateway disconnected before it sent anything")
        if data != HANDSHAKE:
            raise ConnectionAbortedError(f"the first byte is {data!r}")
        return StartedBitmap(mmap.mmap(fds[0], SLOTS)) if fds else None
    finally:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)


HEADERS_ROOM = 8 * 1024
"""Bytes of headers that travel where these and the parameters are more; those that identify a trace come first."""
_DEFAULT_LOCATION = ("body", "data")


class _Part(msgspec.Struct, array_like=True):
    """Documents in the body: how many bytes, and in which form."""

    size: int
    is_json: bool = False
    location: list[str | int] | None = None
    single: bool = False


class _RequestMeta(msgspec.Struct, array_like=True):
    endpoint: str
    request_id: str
    target_executor: str = ""
    json_reply: bool = False
    remaining: float | None = None
    headers: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    exact: str = ""
    """The parameters as JSON, where msgpack has no form for them."""
    location: list[str | int] | None = None
    single: bool = False
    branches: list[tuple[str, _Part | None]] | None = None
    """None stands for the documents of the request itself."""


class _FilesMeta(_RequestMeta, array_like=True):
    """Where files may be handed over: apart from the rest, which logs of agents hold as it is."""

    takes_files: bool = False
    uploads: list[str] = []


class _ReplyMeta(msgspec.Struct, array_like=True):
    parameters: dict[str, Any] = {}
    exact: str = ""
    routes: list[tuple[str, float, float]] = []
    headers: dict[str, str] = {}
    uploads: list[str] = []


_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(_FilesMeta).decode
_decode_reply = msgspec.msgpack.Decoder(_ReplyMeta).decode


def write_request(request: Request, limit: int) -> tuple[int, bytes, Buffer]:
    """Flags, meta and body; raises `TooLarge` for a body above `limit` bytes and `BadClientInput` for parameters."""
    is_json, location, single, body = _form(request.payload)
    meta = _RequestMeta(
        request.endpoint,
        request.request_id,
        request.target_executor,
        request.json_reply,
        None if request.deadline is None else request.deadline - time.monotonic(),
        location=location,
        single=single,
    )
    names = request.payload.uploads
    if request.handed_over is not None or names:
        plain = msgspec.structs.asdict(meta)
        meta = _FilesMeta(**plain, takes_files=request.handed_over is not None, uploads=list(names))
    if request.branches is not None:
        meta.branches, body = _branches(request, body)
    if len(body) > limit:
        raise _too_large("documents of the request", len(body), limit)
    headers = request.headers
    if headers:
        meta.headers = headers if type(headers) is dict else dict(headers)
    data = _encoded(meta, request.parameters) if request.parameters else _encode(meta)
    if headers and len(data) > HEADERS_ROOM:
        meta.headers = _chosen(headers)
        data = _encode(meta)
    if len(data) > max(limit, LEAST_LIMIT):
        raise _too_large("parameters of the request", len(data), max(limit, LEAST_LIMIT))
    return JSON if is_json else 0, data, body


def read_request(flags: int, data: Buffer, body: Buffer) -> Request:
    """The request that `write_request` wrote; raises `msgspec.MsgspecError` or ValueError for garbage."""
    meta = _decode_request(data)
    branches: list[tuple[str, Payload]] | None = None
    payload: Payload
    if meta.uploads:
        payload = FilePayload(body, meta.uploads)
    elif meta.branches is None:
        payload = _payload(body, flags & JSON, meta.location, single=meta.single)
    else:
        at = len(body) - sum(part.size for _, part in meta.branches if part is not None)
        payload = _payload(body[:at], flags & JSON, meta.location, single=meta.single)
        branches = []
        for name, part in meta.branches:
            if part is None:
                branches.append((name, payload))
            else:
                data = body[at : at + part.size]
                branches.append((name, _payload(data, part.is_json, part.location, single=part.single)))
                at += part.size
    return Request(
        meta.endpoint,
        payload,
        json.loads(meta.exact) if meta.exact else meta.parameters,
        meta.request_id,
        meta.target_executor,
        meta.headers,
        None if meta.remaining is None else time.monotonic() + meta.remaining,
        meta.json_reply,
        branches,
        handed_over=[] if meta.takes_files else None,
    )


def write_reply(reply: Reply, request: Request, limit: int) -> tuple[int, bytes, Buffer]:
    """Flags, meta and body in the form that the request asks for; raises `TooLarge` and what the payload raises."""
    body: Buffer
    names: Sequence[str] = ()
    if request.json_reply:
        body = reply.payload.to_json()
    else:
        body = reply.payload.to_buffer()
        names = reply.payload.uploads  # known once the documents are written
    if len(body) > limit:
        raise _too_large("documents of the reply", len(body), limit)
    meta = b""
    if reply.parameters or reply.routes or reply.headers or names:
        visited = [(route.executor, route.start_time, route.end_time) for route in reply.routes]
        fields = _ReplyMeta(routes=visited, headers=reply.headers or {}, uploads=list(names))
        meta = _encoded(fields, reply.parameters) if reply.parameters else _encode(fields)
        if len(meta) > max(limit, LEAST_LIMIT):
            raise _too_large("parameters of the reply", len(meta), max(limit, LEAST_LIMIT))
    return JSON if request.json_reply else 0, meta, body


def read_reply(flags: int, data: Buffer, body: Buffer) -> Reply:
    """The reply that `write_reply` wrote."""
    payload: Payload = JsonPayload(bytes(body)) if flags & JSON else BytesPayload(body)
    if not data:
        return Reply(payload)
    meta = _decode_reply(data)
    if meta.uploads:
        payload = FilePayload(body, meta.uploads)
    parameters = json.loads(meta.exact) if meta.exact else meta.parameters
    return Reply(payload, parameters, [Route(*route) for route in meta.routes], meta.headers or None)


def write_error(error: JinaError) -> bytes:
    """The error as the serialised `jina.StatusProto` that gRPC carries."""
    message = pb.StatusProto()
    status.write_error(error, message)
    data: bytes = message.SerializeToString()
    if len(data) <= LEAST_LIMIT:
        return data
    message.ClearField("details_json")
    message.ClearField("exception")
    message.description = message.description[: LEAST_LIMIT // 16]
    shortened: bytes = message.SerializeToString()
    return shortened


def read_error(data: Buffer) -> JinaError:
    """The error that `write_error` wrote; raises `google.protobuf.message.DecodeError` for garbage."""
    return status.read_error(pb.StatusProto.FromString(bytes(data))) or BadServer("an error without a description")


def write_endpoints(endpoints: Mapping[str, EndpointInfo]) -> bytes:
    """The descriptions of endpoints."""
    data = json.dumps([msgspec.structs.asdict(info) for info in endpoints.values()], default=dict).encode()
    if len(data) > LEAST_LIMIT:
        raise _too_large("descriptions of the endpoints", len(data), LEAST_LIMIT)
    return data


def read_endpoints(data: bytes) -> dict[str, EndpointInfo]:
    """What `write_endpoints` wrote, by path."""
    return {info.path: info for info in msgspec.convert(json.loads(data), list[EndpointInfo])}


def _too_large(what: str, size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"the {what} have {size} bytes; max_message_size is {limit}",
        help="send fewer documents per request (request_size), or raise max_message_size",
    )


def _encoded(meta: _RequestMeta | _ReplyMeta, parameters: Mapping[str, Any]) -> bytes:
    plain = wire_parameters.plain(parameters)
    meta.parameters = plain
    try:
        return _encode(meta)
    except (OverflowError, UnicodeEncodeError, TypeError):
        # Integers over 64 bits and lone surrogates.
        meta.parameters = {}
        meta.exact = json.dumps(plain)
        return _encode(meta)


def _chosen(headers: Mapping[str, str]) -> dict[str, str]:
    """As many headers as have room."""
    chosen: dict[str, str] = {}
    room = HEADERS_ROOM
    for name in (*TRACING, *PASSED_ON, *headers):
        value = headers.get(name)
        if value is not None and name not in chosen and len(name) + len(value) <= room:
            chosen[name] = value
            room -= len(name) + len(value)
    return chosen


def _form(payload: Payload) -> tuple[bool, list[str | int] | None, bool, Buffer]:
    """Whether it travels as JSON, what the places of faults start with there, whether as one object, and the bytes."""
    if isinstance(payload, JsonPayload):
        raw = payload.text  # `to_json` would parse an object in order to wrap it
        data = _json_of(payload) if raw is None else raw
        location = None if payload.location == _DEFAULT_LOCATION else list(payload.location)
        return True, location, payload.single, data
    return False, None, False, payload.to_buffer()


def _json_of(payload: JsonPayload) -> bytes:
    """Parsed documents as text; NaN and infinities stay."""
    items = payload.items()
    return json.dumps(items[0] if payload.single else items).encode()


def _payload(data: Buffer, is_json: int, location: list[str | int] | None, *, single: bool) -> Payload:
    if not is_json:
        return BytesPayload(data)
    where = _DEFAULT_LOCATION if location is None else tuple(location)
    return JsonPayload(bytes(data), location=where, single=single)


def _branches(request: Request, body: Buffer) -> tuple[list[tuple[str, _Part | None]], Buffer]:
    """The branches after the body of the request; the one whose documents these are is not written twice."""
    parts: list[tuple[str, _Part | None]] = []
    bodies = [body]
    for name, payload in request.branches or ():
        if payload is request.payload:
            parts.append((name, None))
        else:
            is_json, location, single, data = _form(payload)
            parts.append((name, _Part(len(data), is_json, location, single)))
            bodies.append(data)
    return parts, b"".join(bodies)


_log = get_logger("jina.net.link")
_WAITING_WRITES = 4 * CHUNK
"""Bytes that the transport holds at most; what is not handed over can still be overtaken or dropped."""
_JOINED = 32 * 1024
"""Bytes up to which buffers are copied together rather than handed over one by one."""


class LinkConnection(asyncio.BufferedProtocol):
    """Sends and receives messages; made by `connect`.

    `deliver` is called for each message that comes, `lost` once, when nothing more will come or go. Writes of one
    round of the loop leave together.
    """

    def __init__(self, name: str, limit: int, deliver: Deliver, lost: Callable[[], None]) -> None:
        self.send_queue = SendQueue()
        self.open = False
        self._name = name
        self._inbox = Inbox(max(limit, LEAST_LIMIT), deliver)
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._scheduled = False
        self._paused = False
        self._reading = True
        self._cap = 0
        self._held = False
        self.on_full: Callable[[bool], None] | None = None
        """Called with True when more than the cap of replies waits, and with False when that is over."""
        self.full = False
        """Whether more than the cap of replies waits to be sent."""
        self._room: deque[asyncio.Future[None]] = deque()
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self.received = 0
        """Bytes that came so far."""
        self.drop_incoming = self._inbox.drop
        self.on_flush: Callable[[], None] | None = None
        """Called before anything that waits is written."""

    def send(self, kind: int, flags: int, stream: int, meta: bytes = b"", body: Buffer = b"") -> None:
        """Send a message; one to a connection that is lost is dropped."""
        if not self.open:
            return
        self.send_queue.put(kind, flags, stream, meta, body)
        if self._cap and (self._paused or self.send_queue.size > self._cap):
            self._throttle()
        if not (self._paused or self._scheduled):
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def limit_replies(self, cap: int) -> None:
        """Read nothing while more than `cap` bytes wait to be sent."""
        self._cap = cap

    def throttle(self, *, on: bool) -> None:
        """Read nothing for now, or read again."""
        self._held = on
        self._throttle()

    async def room(self) -> None:
        """Return when no more than the cap waits to be sent, or the connection is lost; for a few callers at a time,
        since each of them is about to send.
        """
        while self.full and self.open:
            waiter = self._loop.create_future()
            self._room.append(waiter)
            await waiter

    async def drain(self) -> None:
        """Return when everything sent so far has been handed to the system, or the connection is lost."""
        if self.open and (self.send_queue.size or self._paused):
            self._drained = self._drained or self._loop.create_future()
            await asyncio.shield(self._drained)

    async def lost(self) -> None:
        """Return when the connection is lost, from either end."""
        await asyncio.shield(self._gone)

    def close(self) -> None:
        """Close when what was handed to the transport is written; what waits here is dropped."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_WAITING_WRITES)
        self.open = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BufferedProtocol`."""
        return self._inbox.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.received += nbytes
        try:
            self._inbox.advance(nbytes)
        except LinkBroken as error:
            _log.error("the link with %s is closed: %s", self._name, error)
            self.abort()
        except Exception as error:  # noqa: BLE001 - whatever the peer sent, only its link may suffer
            _log.error("the link with %s is closed: a message cannot be read", self._name, exc_info=error)
            self.abort()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BaseProtocol`."""
        self.open = False
        self._tell_room()
        if self.full and self.on_full is not None:
            self.on_full(False)  # noqa: FBT003 - what it was called with before
        self._settle()
        self._lost()
        self._gone.set_result(None)

    def _flush(self) -> None:
        self._scheduled = False
        transport, send_queue = self._transport, self.send_queue
        while send_queue.size and not self._paused and self.open:
            batch, size = send_queue.take()
            if self.on_flush is not None:
                self.on_flush()
            if size <= _JOINED:
                transport.write(b"".join(batch))
            else:
                # Since Python 3.12 asyncio's `writelines` never pauses the protocol.
                transport.writelines(batch[:-1])
                transport.write(batch[-1])
        if self._drained is not None and not (send_queue.size or self._paused):
            self._settle()
        if self.full:
            self._throttle()

    def _throttle(self) -> None:
        if not self.open:
            return
        full = bool(self._cap) and self.send_queue.size > self._cap
        if full != self.full:
            self.full = full
            if not full:
                self._tell_room()
            if self.on_full is not None:
                self.on_full(full)
        if self._reading != (full or self._held):
            return
        self._reading = not self._reading
        if self._reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _tell_room(self) -> None:
        several = _WOKEN if self.open else len(self._room)
        for _ in range(min(several, len(self._room))):
            waiter = self._room.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if self._room and not self.full:
            self._loop.call_later(_NEXT_WOKEN, self._tell_room)

    def _settle(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


async def connect(sock: socket.socket, connection: LinkConnection) -> None:
    """Attach the connection to a connected Unix stream socket, which it owns from now on."""
    sock.setblocking(False)  # noqa: FBT003 - its only parameter
    await asyncio.get_running_loop().create_unix_connection(lambda: connection, sock=sock)
