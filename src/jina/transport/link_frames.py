"""Frames of a local link: many messages at once over one byte stream between two processes of one machine.

A message has a kind, flags, a stream number, a meta part and a body. It starts with a head of 20 bytes (`HEAD`).
What fits in `CHUNK` bytes stands right behind it; what does not follows in frames of the kind `PART`, at most `CHUNK`
bytes each, and those of different messages take turns, so that a large message delays neither small ones nor
cancellations. Both directions work alike. Nothing here does input or output.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final

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

REQUEST: Final = 1
STREAM: Final = 2
REPLY: Final = 3
ITEM: Final = 4
END: Final = 5
ERROR: Final = 6
REFUSED: Final = 7
CANCEL: Final = 8
"""Nobody waits any more; from a worker: a message that was begun will not be ended."""
CREDIT: Final = 9
DESCRIBE: Final = 10
PROBE: Final = 11
BYE: Final = 12
HURRY: Final = 13
"""The gateway ends: what it asks for need not wait for company, now and until the link is closed."""
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


class Outbox:
    """Messages to be sent, as frames in the order in which they should leave; those of one stream keep theirs."""

    __slots__ = ("_large", "_large_size", "_small", "_small_size")

    def __init__(self) -> None:
        self._small: list[Buffer] = []
        self._small_size = 0
        self._large: dict[int, _Large] = {}
        self._large_size = 0

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._small_size + self._large_size

    def put(self, kind: int, flags: int, stream: int, meta: bytes = b"", body: Buffer = b"") -> None:
        """Add a message; its body is not copied."""
        size = HEAD.size + len(meta) + len(body)
        head = HEAD.pack(_MAGIC, kind, flags, len(meta), len(body), stream)
        if size > CHUNK or stream in self._large:
            large = self._large.get(stream)
            if large is None:
                large = self._large[stream] = _Large()
            large.add(head, stream, meta, body)
            self._large_size += size
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
        for stream in list(self._large)[:_TURNS] if self._large else ():
            large = self._large.pop(stream)
            taken = large.next_into(batch)
            self._large_size -= taken
            size += taken
            if large.left:
                self._large[stream] = large
        return batch, size

    def __contains__(self, stream: int) -> bool:
        """Whether a large message of the stream waits, or a part of it."""
        return stream in self._large

    def drop(self, stream: int) -> bool:
        """Forget the rest of a large message; says whether nothing of it had been taken."""
        large = self._large.pop(stream, None)
        if large is None:
            return False
        self._large_size -= large.left
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
    inline_meta, inline_body = _inline(len(meta), len(body))
    yield head, meta if inline_meta else b"", body if inline_body else b""
    for part in (b"" if inline_meta else meta, b"" if inline_body else body):
        view = memoryview(part)
        for start in range(0, len(view), CHUNK):
            chunk = view[start : start + CHUNK]
            yield HEAD.pack(_MAGIC, PART, 0, len(chunk), 0, stream), chunk


def _inline(meta: int, body: int) -> tuple[bool, bool]:
    """Whether meta and body of these sizes stand right behind the head."""
    return meta <= CHUNK, meta <= CHUNK and (body == 0 or meta + body + HEAD.size <= CHUNK)


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
        # Not the last part: whoever reads still holds this view when it is complete, and to a file of which there is
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
        """Take what the scratch buffer has of the present PART; says whether to go on."""
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
        """Take one frame; says whether it was there."""
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
        inline_meta, inline_body = _inline(meta, body)
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
        """So many more bytes are there; says whether the message is complete."""
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
