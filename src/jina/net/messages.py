"""Requests from protobuf messages, messages from replies and errors, several at a time on one connection."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import time
from asyncio import CancelledError, current_task
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from jina.codec import parameters, pb, status
from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload, ProtoPayload
from jina.codec.raw_fields import documents_in, field_head, split_document, split_request, take_field, with_documents
from jina.errors import BadRequest, InternalError, JinaError, TooLarge
from jina.net.unread import Waiting
from jina.observe.logs import get_logger

_log = get_logger("jina.net")
FAILURES = (Exception, CancelledError)
"""What can end a request. Code can raise a `CancelledError` without that its task was cancelled."""


def is_cancelled() -> bool:
    """Whether the running task was cancelled; code can raise `CancelledError` without that."""
    task = current_task()
    return task is not None and task.cancelling() > 0


def as_jina_error(error: BaseException) -> JinaError:
    """The error itself, or an `InternalError` whose traceback is logged: a service raises only `JinaError`s.

    A cancellation of the running task is raised again.
    """
    if isinstance(error, CancelledError) and is_cancelled():
        try:
            raise error
        finally:
            del error  # its traceback has this frame: a cycle, which would keep all that the request holds
    if isinstance(error, JinaError):
        return error
    _log.error("a request failed with an unexpected error", exc_info=error)
    wrapped = InternalError(f"{type(error).__name__}: {error}", help="the server's log has the traceback")
    wrapped.__cause__ = error
    return wrapped


COMPRESSION_KEY = "jina-compression"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
DRY_RUN = "_jina_dry_run_"
"""The endpoint that Jina 3's gateways call to see whether an Executor answers."""
_DOCUMENT = 4
"""The field of `SingleDocumentRequestProto` that holds the document."""
# Its own state, so that `random.seed` of user code cannot repeat ids.
_random = random.Random()  # noqa: S311 - an id is no secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_request_id() -> str:
    """32 hexadecimal digits."""
    return _random.getrandbits(128).to_bytes(16).hex()


def too_large(size: int, limit: int) -> TooLarge:
    """The error for a request above the limit; both in bytes."""
    return TooLarge(
        f"the request has {size} bytes; max_message_size is {limit}",
        help="send fewer documents per request (request_size), or raise max_message_size of the server",
    )


def too_many_parameters(limit: int) -> TooLarge:
    """The error for parameters that hold more values than the limit."""
    return TooLarge(
        f"the parameters hold more than {limit} values, the max_parameters of this server",
        help="send large values as documents, or raise max_parameters",
    )


def read_request(message: Any, payload: Any, headers: Mapping[str, str], deadline: float | None) -> Request:
    """A request from the header and parameters of a message; a missing id is made up."""
    header = message.header
    if header.trace:
        headers = {**headers, **header.trace}
    return Request(
        endpoint=header.exec_endpoint,
        payload=payload,
        parameters=parameters.read(message),
        request_id=header.request_id or headers.get("x-request-id") or new_request_id(),
        target_executor=header.target_executor,
        headers=headers,
        deadline=deadline,
    )


def write_header(source: Any, request: Request, into: Any) -> None:
    """Copy what identifies the request into the header of its answer."""
    header, given = into.header, source.header
    header.MergeFrom(given)
    if given.trace:
        header.ClearField("trace")
    if not given.request_id:
        header.request_id = request.request_id


def write_reply(
    source: Any, request: Request, reply: Reply, executor: str, started: float, *, more: bool = False
) -> bytes:
    """The serialised `DataRequestProto` that answers the message `source`.

    `started` is in seconds since the epoch; `more` tells that further replies to the same request follow.
    """
    message = pb.DataRequestProto()
    write_header(source, request, message)
    if more:
        message.header.more = True
    if reply.headers:
        message.header.trace.update(reply.headers)
    if reply.parameters:
        parameters.write(reply.parameters, message)
    if reply.routes:
        for visited in reply.routes:
            add_route(message, visited.executor, visited.start_time, visited.end_time)
    else:
        add_route(message, executor, started, time.time())
    return with_documents(message, reply.payload)


def add_route(message: Any, executor: str, start: float, end: float) -> Any:
    """Append a visited Executor; times are in seconds since the epoch."""
    route = message.routes.add()
    route.executor = executor
    for seconds, time_ in ((start, route.start_time), (end, route.end_time)):
        time_.seconds, time_.nanos = int(seconds), int(seconds % 1 * 1e9)
    return route


def write_failure(into: Any, source: Any | None, error: JinaError, executor: str, started: float) -> Any:
    """Fill a response message with an in-band error, as Jina 3 writes it; gives the message.

    The route of the Deployment that failed has the error's status; a gateway says which, and what was visited.
    """
    if source is not None:
        into.header.MergeFrom(source.header)
        into.header.ClearField("trace")
    status.write_error(error, into.header.status)
    add_routes(into, error, Route(executor, started, time.time()))
    return into


def add_routes(into: Any, error: JinaError, own: Route | None = None) -> None:
    """Append what the failed request has visited, `own` where the error does not say; the failed one has the status."""
    visited = error.routes or ([own] if own is not None else [])
    for route in visited:
        add_route(into, route.executor, route.start_time, route.end_time)
    name = error.deployment or into.routes[-1].executor
    failed = [route for route in into.routes if route.executor == name]
    ours = own or visited[-1]
    one = failed[-1] if failed else add_route(into, name, ours.start_time, ours.end_time)
    one.status.CopyFrom(into.header.status)


class DocumentWriter:
    """The serialised `SingleDocumentRequestProto`s that answer the message `source`, one for each document."""

    def __init__(self, source: Any, request: Request) -> None:
        self._message = pb.SingleDocumentRequestProto()
        write_header(source, request, self._message)
        self._rest = self._message.SerializeToString()

    def messages(self, reply: Reply) -> list[bytes]:
        """Those of one reply."""
        rest = self._rest
        if reply.parameters:
            message = pb.SingleDocumentRequestProto()
            message.CopyFrom(self._message)
            parameters.write(reply.parameters, message)
            rest = message.SerializeToString()
        return [
            b"".join((rest, field_head(_DOCUMENT, len(document)), document))
            for document in documents_in(reply.payload.to_bytes())
        ]


Message = Any
"""A `DataRequestProto`, a `SingleDocumentRequestProto` or an envelope: what has header, parameters and routes."""
Incoming = tuple[Message, Payload, int]
"""A message or an `Unusable`, its documents, and its size in bytes."""
Joined = list[tuple[Message, Payload]]
_LARGE = 256 * 1024
"""Bytes from which messages are split rather than parsed for workers too."""
Read = Callable[[bytes], tuple[Message, Payload]]


class Unusable:
    """Stands for bytes that are too large or no message; the handler answers with `error`."""

    __slots__ = ("error",)

    def __init__(self, error: JinaError) -> None:
        self.error = error


class RequestReader:
    """How the listeners of one service read messages of at most `limit` bytes and `parameters` values in parameters."""

    def __init__(self, limit: int, parameters: int, *, forwards: bool) -> None:
        self._limit = limit
        self._parameters = parameters
        self._forwards = forwards
        self._read = _split_request if forwards else _parse_request
        self._read_document = _split_document if forwards else _parse_document

    def request(self, data: bytes) -> Incoming:
        """A `DataRequestProto`; never raises, for gRPC answers a failing deserialiser as an internal error."""
        return self._guarded(data, self._read, "jina.DataRequestProto")

    def document(self, data: bytes) -> Incoming:
        """A `SingleDocumentRequestProto`; never raises."""
        return self._guarded(data, self._read_document, "jina.SingleDocumentRequestProto")

    def requests(self, data: bytes) -> Incoming:
        """A `DataRequestListProto` as a list of messages with their documents; never raises."""
        return self._guarded(data, self._read_list, "jina.DataRequestListProto")

    def join(self, payloads: Sequence[Payload]) -> Payload:
        """All documents in a row."""
        if self._forwards:
            return BytesPayload(b"".join(payload.to_bytes() for payload in payloads))
        documents = pb.DocListProto()
        for payload in payloads:
            payload.write_proto(documents)
        return ProtoPayload(documents)

    def _read_list(self, data: bytes) -> tuple[Joined, Payload]:
        if self._forwards:
            _, found = take_field(data, 1)
            joined = [_split_request(bytes(part)) for part in found]
        else:
            joined = [(one, _payload(one, None)) for one in pb.DataRequestListProto.FromString(data).requests]
        return joined, _NO_DOCUMENTS

    def _guarded(self, data: bytes, read: Callable[[bytes], tuple[Any, Payload]], kind: str) -> Incoming:
        size = len(data)
        if size > self._limit:
            return Unusable(too_large(size, self._limit)), _NO_DOCUMENTS, size
        try:
            message, payload = read(data)
        except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
            return Unusable(BadRequest(f"the request is not a {kind} message: {error}")), _NO_DOCUMENTS, size
        if isinstance(message, list):
            are_many = any(parameters.more_than(self._parameters, part) for part, _ in message)
        else:
            are_many = parameters.more_than(self._parameters, message)
        if are_many:
            return Unusable(too_many_parameters(self._parameters)), _NO_DOCUMENTS, size
        return message, payload, size


_NO_DOCUMENTS = BytesPayload(b"")


def _parse_request(data: bytes) -> tuple[Message, Payload]:
    if len(data) >= _LARGE:
        return _split_request(data)  # parsed, the documents would be there twice
    message = pb.DataRequestProto.FromString(data)
    return message, _payload(message, len(data))


def _payload(message: Any, size: int | None) -> Payload:
    content = message.data
    if content.WhichOneof("documents") == "docs_bytes":
        return ProtoPayload(pb.DocListProto.FromString(content.docs_bytes), size)
    return ProtoPayload(content.docs, size)


def _parse_document(data: bytes) -> tuple[Message, Payload]:
    message = pb.SingleDocumentRequestProto.FromString(data)
    documents = pb.DocListProto()
    documents.docs.append(message.document)
    return message, ProtoPayload(documents)


def _split_request(data: bytes) -> tuple[Message, Payload]:
    envelope, documents = split_request(data)
    return envelope, BytesPayload(documents)


def _split_document(data: bytes) -> tuple[Message, Payload]:
    envelope, documents = split_document(data)
    return envelope, BytesPayload(documents)


Item = TypeVar("Item")
Frame = TypeVar("Frame", bound=str | bytes)
Emit = Callable[[Frame], Awaitable[None]]
DEFAULT_WINDOW = 1000
"""Requests of one connection in work at a time; Jina 3's default of `prefetch`."""


def window_of(text: str | None, most: int = DEFAULT_WINDOW) -> int:
    """The window that a client asks for by `__prefetch__`; the server's own where that is less, 0 or no number."""
    try:
        asked = int(text) if text else 0
    except ValueError:
        asked = 0
    return min(asked, most) if asked > 0 else most


_AT_ONCE: Final = 8
"""Requests of one stream that are begun before those in work get a turn."""


class Pipeline(Generic[Item, Frame]):
    """Reads items, works on up to `window` of them at once, and writes the frames that they give.

    `work(item, emit)` must turn its own failures into frames. With `in_order` the frames of an item leave
    after those of all earlier items. No further item is read while those in work, and the frames that wait to be
    written, add up to `max_bytes`. `waiting` is what waits for the client, as far as that is counted.
    """

    def __init__(
        self,
        work: Callable[[Item, Emit[Frame]], Coroutine[Any, Any, None]],
        write: Callable[[Frame], Awaitable[None]],
        *,
        window: int = DEFAULT_WINDOW,
        max_bytes: int,
        in_order: bool = False,
        waiting: Waiting | None = None,
    ) -> None:
        self._waiting = waiting
        self._work = work
        self._write = write
        self._window = window
        self._max_bytes = max_bytes
        self._in_order = in_order
        self._bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._writing = asyncio.Lock()
        self._last_written: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._main: asyncio.Task[None] | None = None

    async def run(self, read: Callable[[], Awaitable[tuple[Item, int] | None]]) -> None:
        """Work until `read`, which gives an item and its size in bytes, gives None and all is written.

        When `read` raises or this task is cancelled, the items in work are cancelled.
        """
        self._main = asyncio.current_task()
        try:
            started = 0
            while self._failure is None and (incoming := await self._read_when_room(read)) is not None:
                self._start(*incoming)
                started += 1
                if started % _AT_ONCE == 0:  # reading may not have to wait, and answers tell when there is no room
                    await asyncio.sleep(0)
            while self._tasks and self._failure is None:
                self._room.clear()
                await self._room.wait()
            if self._failure is not None:
                raise self._failure
        except asyncio.CancelledError:
            if self._failure is None or self._main is None or self._main.uncancel():
                raise
            raise self._failure from None
        finally:
            self._main = None
            await self._cancel_all()
            # Its traceback has this frame: a cycle, which keeps what the frames hold until the next collection.
            self._failure = None

    async def _read_when_room(self, read: Callable[[], Awaitable[tuple[Item, int] | None]]) -> tuple[Item, int] | None:
        while self._tasks and (len(self._tasks) >= self._window or self._bytes >= self._max_bytes):
            self._room.clear()
            await self._room.wait()
        return await read()

    def _start(self, item: Item, size: int) -> None:
        if self._in_order:
            before, self._last_written = self._last_written, asyncio.Event()
            task = asyncio.create_task(self._work_in_order(item, before, self._last_written))
        else:
            task = asyncio.create_task(self._work(item, self._emit))
        self._tasks.add(task)
        self._bytes += size

        def finished(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._bytes -= size
            self._room.set()
            # Asked of each task: an exception that is not asked for is logged, and keeps what its frames hold.
            failure = None if task.cancelled() else task.exception()
            if failure is not None and self._failure is None:
                self._failure = failure
                if self._main is not None:
                    self._main.cancel()  # which may be reading, for ever

        task.add_done_callback(finished)

    async def _emit(self, frame: Frame) -> None:
        waiting = self._waiting
        if waiting is None or not (waiting.paused or self._writing.locked()):
            async with self._writing:
                await self._write(frame)
            return
        size = self._wait(frame, waiting)
        try:
            async with self._writing:
                await self._write(frame)
        finally:
            self._waited(size, waiting)

    def _wait(self, frame: Frame, waiting: Waiting) -> int:
        size = len(frame)
        self._bytes += size
        waiting.add(size)
        return size

    def _waited(self, size: int, waiting: Waiting) -> None:
        self._bytes -= size
        waiting.take(size)
        self._room.set()

    async def _work_in_order(self, item: Item, before: asyncio.Event | None, written: asyncio.Event) -> None:
        async def emit(frame: Frame) -> None:
            waiting = self._waiting
            size = 0 if waiting is None else self._wait(frame, waiting)
            try:
                if before is not None:
                    await before.wait()
                await self._write(frame)
            finally:
                if waiting is not None:
                    self._waited(size, waiting)

        try:
            await self._work(item, emit)
            if before is not None:
                await before.wait()
        finally:
            written.set()

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)


_STARTED = time.monotonic()
_PACKAGES = ("docarray", "protobuf", "grpcio", "pyyaml", "pydantic", "uvicorn")
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIAL")


LOAD_KEY: Final = "jina-load"
"""Metadata at the end of the answer to `_status`: requests that wait in a worker, that are in work, and answered."""


def version_info() -> dict[str, str]:
    """Versions of jina, what it stands on, and the platform; `uptime` is in seconds."""
    from google.protobuf.internal import api_implementation

    from jina.version import __proto_version__, __version__

    versions = {name: _version_of(name) for name in _PACKAGES}
    return {
        "jina": __version__,
        "jina-proto": __proto_version__,
        **versions,
        "proto-backend": api_implementation.Type(),
        "python": platform.python_version(),
        "platform": platform.system(),
        "platform-release": platform.release(),
        "platform-version": platform.version(),
        "architecture": platform.machine(),
        "uptime": f"{time.monotonic() - _STARTED:.3f}",
    }


def environment_info() -> dict[str, str]:
    """The `JINA_*` variables of the environment; values that may be secret are hidden."""
    return {
        name: "(hidden)" if any(word in name for word in _SECRET) else value
        for name, value in sorted(os.environ.items())
        if name.startswith("JINA_")
    }


def _version_of(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
