"""One endpoint made ready to be called, one call of it, its failures and the documents of its reply."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import time
import traceback
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from jina.codec.codec import codec_for, codec_of
from jina.codec.deltas import DeltasPayload
from jina.codec.large_values import has_large_flat_values
from jina.codec.messages import DocumentCodec, HeldPayload, Payload, Reply, Request
from jina.codec.payloads import BytesPayload, ProtoPayload
from jina.documents.files import by_name
from jina.errors import BadClientInput, BadRequest, ExecutorError, InputRequired
from jina.executor import invoke
from jina.executor.endpoints import Endpoint
from jina.executor.invoke import scope_parameters
from jina.executor.offers import InvalidArguments
from jina.observe import logs, traces
from jina.observe.metrics import EndpointMetrics
from jina.worker.scheduler import JobPool, ResultJob

if TYPE_CHECKING:
    from jina.codec.codec import Codec
    from jina.codec.records import RecordCodec

LARGE = 256 * 1024
"""Bytes from which JSON and nested documents take long."""
LARGE_FLAT = 4 * 1024 * 1024
"""Bytes from which tensors, bytes and texts in protobuf take long."""
MANY = 500
"""Documents that take long whatever their size."""
_FLAT_CONTENT = frozenset({"text", "blob", "ndarray", "integer", "float", "boolean", None})
_FLAT = (str, bytes, int, float, np.ndarray, type(None))
_SIZED = frozenset({str, bytes, list, tuple, dict, set})
_SMALL = frozenset({int, float, bool, type(None)})


def slow_to_decode(payload: Payload, size: int) -> bool:
    """Whether documents of `size` bytes take long to decode; judged by the first one. May raise `BadRequest`."""
    if size <= LARGE:
        return False
    if size > LARGE_FLAT:
        return True
    if isinstance(payload, BytesPayload):
        if has_large_flat_values(payload.data):
            return False
        payload = payload.parsed()
    if not isinstance(payload, ProtoPayload):
        return True
    docs = payload.message.docs
    return len(docs) > MANY or not all(
        node.WhichOneof("content") in _FLAT_CONTENT for doc in docs[:1] for node in doc.data.values()
    )


def slow_to_encode(docs: Any, *, as_json: bool) -> bool:
    """Whether documents take long to encode; a guess from the first one."""
    for doc in docs:
        size, flat = 64, True
        for value in _values_of(doc):
            kind = type(value)
            if kind in _SIZED:
                size += len(value)
                flat = flat and isinstance(value, _FLAT)
            elif kind not in _SMALL:
                size += getattr(value, "nbytes", 64)
                flat = flat and isinstance(value, _FLAT)
        size *= len(docs)
        if as_json or not flat:
            return size > LARGE
        return size > LARGE_FLAT or (size > LARGE and len(docs) > MANY)
    return False


def _values_of(doc: Any) -> Collection[Any]:
    """The values in a document, or in a record or value of another type."""
    fields = getattr(doc, "__dict__", None)
    if fields is not None:
        return cast("Collection[Any]", fields.values())
    if isinstance(doc, dict):
        return doc.values()
    names = getattr(doc, "__struct_fields__", None) or getattr(doc, "__dataclass_fields__", None)
    return [doc] if names is None else [getattr(doc, name) for name in names]


_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STOPPING = (SystemExit, KeyboardInterrupt)


def executor_error(error: BaseException, executor: str) -> ExecutorError:
    """The error of a request whose handler raised `error`.

    `stacks` are the traceback's lines from the user's first frame on, with all causes.
    """
    wrapped = ExecutorError(
        repr(error),
        name=type(error).__name__,
        exception_args=[_text(value) for value in error.args],
        stacks=traceback.format_exception(type(error), error, users_part(error.__traceback__)),
        executor=executor,
    )
    wrapped.__cause__ = error
    return wrapped


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without jina's frames at its top; whole where all frames are jina's."""
    part = trace
    while part is not None and part.tb_frame.f_code.co_filename.startswith(_HERE + os.sep):
        part = part.tb_next
    return part if part is not None else trace


def exit_code_of(error: BaseException) -> int | None:
    """The exit code that a handler asks for by `SystemExit` or `KeyboardInterrupt`; None for other errors."""
    if not isinstance(error, _STOPPING):
        return None
    if isinstance(error, KeyboardInterrupt):
        return 130
    code = error.code
    return code if isinstance(code, int) else 0 if code is None else 1


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - __str__ of user code
        return f"<{type(value).__name__}: its __str__ raised {type(error).__name__}>"


class ReplyPayload(HeldPayload):
    """Documents that a handler gave. `expected` is the codec of the endpoint's output, which is mostly right."""

    __slots__ = ("_bytes", "_codec", "_counted", "_counts", "_json", "docs", "takes_files", "uploads")

    def __init__(self, docs: Any, expected: Codec | RecordCodec, counts: EndpointMetrics) -> None:
        self.docs = docs
        self._counts = counts
        self._codec = expected if expected.is_plain else _codec_of_documents(docs, expected)
        self._counted = False
        self._bytes: bytes | None = None
        self._json: bytes | None = None
        self.takes_files = False
        """Whether large files may be handed over by name, to who asks for bytes."""
        self.uploads: Sequence[str] = ()

    def encode(self, *, as_json: bool) -> None:
        """Encode now, on whichever thread this is, in the form in which a listener will ask."""
        try:
            if as_json:
                self._json = self._codec.encode_json(self.docs)
            else:
                self._bytes = self._serialised() if self.takes_files else self._codec.to_bytes(self.docs)
        except BadClientInput as error:
            raise _unsendable(error) from error

    def _serialised(self) -> bytes:
        with by_name() as names:
            data: bytes = self._codec.to_bytes(self.docs)
        self.uploads = tuple(names.values())
        return data

    def __len__(self) -> int:
        return len(self.docs)

    def decode(self, codec: DocumentCodec) -> Any:
        """The documents, converted where another class is asked for."""
        if codec is self._codec:
            return codec.list_type.construct(self.docs) if type(self.docs) is list else self.docs
        return BytesPayload(self.to_bytes()).decode(codec)

    def write_proto(self, into: Any) -> None:
        """Append the documents to a `docarray.DocListProto` message."""
        if self._bytes is not None:
            into.MergeFromString(self._bytes)
            return
        try:
            self._codec.encode(self.docs, into)
        except BadClientInput as error:
            raise _unsendable(error) from error
        self._counts.sent.observe(into.ByteSize())

    def objects(self) -> Iterable[Any]:
        """The documents themselves."""
        return self.docs  # type: ignore[no-any-return]

    def count_sent(self, size: int) -> None:
        """Tell of how many bytes the answer is, once."""
        if not self._counted:
            self._counted = True
            self._counts.sent.observe(size)

    def to_bytes(self) -> bytes:
        """The documents as one serialised `docarray.DocListProto`."""
        if self._bytes is None:
            self.encode(as_json=False)
            assert self._bytes is not None
        self.count_sent(len(self._bytes))
        return self._bytes

    def to_json(self) -> bytes:
        """The documents as one JSON array."""
        if self._json is None:
            self.encode(as_json=True)
            assert self._json is not None
        self.count_sent(len(self._json))
        return self._json

    def json_items(self) -> list[bytes]:
        """Each document as JSON of its own."""
        try:
            items = [self._codec.encode_json_doc(doc) for doc in self.docs]
        except BadClientInput as error:
            raise _unsendable(error) from error
        self._counts.sent.observe(sum(map(len, items)))
        return items


def _codec_of_documents(docs: Any, expected: Codec | RecordCodec) -> Codec | RecordCodec:
    kind = type(next(iter(docs), None))
    return expected if kind in (expected.doc_type, type(None)) else codec_for(kind)


def _unsendable(error: BadClientInput) -> ExecutorError:
    """The codec's complaint about documents that have no place on the wire, as one about who made them."""
    return ExecutorError(f"the handler's documents cannot be sent: {error.message}", name="ValueError")


RESULTS = invoke.RESULTS
DECODED = BytesPayload(b"")
"""In the place of documents that were decoded, so that their bytes do not live as long as the request."""


class ExecutorContext:
    """What all handlers of one Executor share.

    Calls of `@write` methods take turns: `def` methods among themselves, and `async def` ones among themselves.
    `names` are those by which parameters address the Executor (`a__key`), `exit_on` the names of exceptions
    that end the worker; `give_up(reason, exit code)` asks for that. With `no_reduce` the documents of several
    branches are handed on apart, and one after the other as `docs`.
    """

    def __init__(
        self,
        executor: Any,
        name: str,
        *,
        names: Collection[str] = (),
        exit_on: Collection[str] = (),
        quiet_error: bool = False,
        no_reduce: bool = False,
        give_up: Callable[[str, int], None] | None = None,
    ) -> None:
        self.executor = executor
        self.class_name = type(executor).__name__
        self.name = name
        self.names = frozenset(names)
        self.log = logs.get_logger(name)
        self.write_lock = threading.Lock()
        self.async_write_lock = asyncio.Lock()
        self.no_reduce = no_reduce
        self._exit_on = frozenset(exit_on)
        self._quiet_error = quiet_error
        self._give_up = give_up
        self.keep_running = False

    def without_exit(self) -> ExecutorContext:
        """The same, with the same locks, where no exception ends the worker."""
        other = copy.copy(self)
        other.keep_running = True
        return other

    def failed(self, error: BaseException, path: str) -> BaseException:
        """Log what a handler raised; gives the error to answer with, and asks for the end where that is due."""
        if isinstance(error, (InputRequired, InvalidArguments)):
            return copy.copy(error)  # an answer: the client will call again
        trace = None if self._quiet_error else (type(error), error, users_part(error.__traceback__))
        self.log.error("%s of %s raised %r", path, self.class_name, error, exc_info=trace)
        exit_code = self._exit_code(error)
        if exit_code is not None and self._give_up is not None:
            self._give_up(f"{path} of {self.class_name} raised {type(error).__name__}", exit_code)
        return executor_error(error, self.class_name)

    def ends(self, error: BaseException) -> bool:
        """Whether a handler that raises this error ends the worker."""
        return self._exit_code(error) is not None

    def _exit_code(self, error: BaseException) -> int | None:
        if self.keep_running:
            return None
        code = exit_code_of(error)
        listed = self._exit_on.intersection(kind.__name__ for kind in type(error).__mro__)
        return 1 if code is None and listed else code


class Gathers(Protocol):
    """What gathers requests: `batching.BatchQueue`, `batching.WriteBatchQueue`, and `slots.SlotQueue` for streams."""

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch."""
        ...

    async def outcome(
        self,
        request: Request,
        span: traces.RequestSpan | None,
        docs: Any = None,
        parts: dict[str, Any] | None = None,
    ) -> tuple[Reply, bool]:
        """The answer to one request, and whether it takes long to encode; `docs` where they are decoded already.

        `parts` are those of `Observed`.
        """
        ...

    def flush(self, *, on: bool) -> None:
        """From now on nothing waits for a batch to fill, or it does again."""
        ...


class Handler:
    """An endpoint with what its calls need, looked up once."""

    __slots__ = ("_constant", "batch_queue", "codec", "counts", "endpoint", "output_codec", "owner", "pool")

    def __init__(self, endpoint: Endpoint, owner: ExecutorContext, pool: JobPool, counts: EndpointMetrics) -> None:
        self.endpoint = endpoint
        self.owner = owner
        self.pool = pool
        self.counts = counts
        self.batch_queue: Gathers | None = None
        """What gathers requests into batches, where the endpoint asks for that."""
        self.codec: Codec | RecordCodec = codec_of(endpoint.input_type)
        self.output_codec: Codec | RecordCodec = codec_of(endpoint.output_type)
        # Most calls differ in nothing but documents and parameters.
        plain = endpoint.parameters_model is None and "headers" not in endpoint.names and not endpoint.clock_and_seed
        self._constant = invoke.call_arguments(endpoint, invoke.Extras()) if plain else None

    def prepare(
        self, request: Request, span: traces.RequestSpan | None, docs: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """Documents (decoded unless given) and keywords of a call, where it will run.

        Sets what logs and traces read in the current `contextvars` context. Raises `ValidationFailed` or
        `BadRequest`.
        """
        logs.request_id.set(request.request_id)
        if span is not None:
            span.attach(f"{self.owner.class_name}.{self.endpoint.method_name}")
        branches = None if request.branches is None else self._branches(request.branches)
        if docs is None:
            docs = self._decoded(request.payload) if branches is None else self._documents_of(branches)
        if isinstance(request.payload, BytesPayload):
            request.payload = DECODED
        if request.began is not None:
            request.began()
        parameters = request.parameters
        if parameters:
            parameters = scope_parameters(parameters, self.owner.names)
        if span is None and branches is None and self._constant is not None:
            arguments = self._constant.copy()
            if "parameters" in arguments:
                arguments["parameters"] = dict(parameters)
            return docs, arguments
        extras = invoke.Extras(
            parameters=parameters,
            headers=request.headers,
            tracing_context=None if span is None else span.context,
            clock_and_seed=request.clock_and_seed,
        )
        if branches is not None and self.owner.no_reduce:
            extras.docs_matrix, extras.docs_map = list(branches.values()), branches
        return docs, invoke.call_arguments(self.endpoint, extras)

    def documents(self, request: Request) -> Any:
        """The documents of a request, decoded; those of all branches merged. Raises as `prepare`."""
        if request.branches is None:
            return self._decoded(request.payload)
        return next(iter(self._branches(request.branches).values()))

    def _decoded(self, payload: Payload) -> Any:
        """The documents; a request without any is for a method of plain types one that leaves everything out."""
        docs = payload.decode(self.codec)
        plain = self.endpoint.plain
        if plain is None or plain.takes_many:
            return docs
        if not docs and not self.codec.is_value:
            return self.codec.decode_json([{}], ("body",), indexed=False)
        if len(docs) > 1 and plain.gives == "many" and not self.endpoint.is_generator:
            raise BadRequest(
                f"{self.endpoint.path} answers one input with a list, so a request has one; {len(docs)} came",
                help="send one a request, with request_size=1",
            )
        return docs

    def all_documents(self, request: Request) -> Any:
        """As `documents`; those of branches that are not to be merged one after the other."""
        if request.branches is None:
            return self._decoded(request.payload)
        return self._documents_of(self._branches(request.branches))

    def _branches(self, branches: Sequence[tuple[str, Payload]]) -> dict[str, Any]:
        """The documents of each branch by its name; those of all under one where they are to be merged."""
        if self.owner.no_reduce:
            # Branches that passed by the same Executor last have one name; none of them may be lost.
            return {name: payload.decode(self.codec) for name, payload in _named_apart(branches)}
        from jina.routing.merge import merge

        return {"": merge([payload for _, payload in branches], BytesPayload(b"")).decode(self.codec)}

    def _documents_of(self, branches: dict[str, Any]) -> Any:
        """What the handler gets as `docs`."""
        lists = list(branches.values())
        if len(lists) == 1:
            return lists[0]
        return self.codec.list_type.construct([doc for docs in lists for doc in docs])

    def with_results(self, parameters: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
        """The parameters of the answer: those of the request, and the dictionary that the handler returned."""
        known = parameters.get(RESULTS)
        others = known if isinstance(known, dict) else {}
        return {**parameters, RESULTS: {**others, self.owner.name: results}}

    def reply(
        self, request: Request, docs: Any, results: dict[str, Any] | None = None, *, encoded: bool = False
    ) -> tuple[Reply, bool]:
        """The answer to a request, encoded where that is asked for and does not take long; whether it would."""
        parameters = request.parameters
        if self.endpoint.gives_deltas:
            return Reply(DeltasPayload(docs), parameters), False
        if results is not None:
            parameters = self.with_results(parameters, results)
        payload = ReplyPayload(docs, self.output_codec, self.counts)
        payload.takes_files = request.handed_over is not None
        slow = not request.takes_objects and slow_to_encode(docs, as_json=request.json_reply)
        if encoded and not slow and not request.takes_objects:
            payload.encode(as_json=request.json_reply)
        return Reply(payload, parameters), slow

    def stream_reply(self, docs: list[Any]) -> Reply:
        """Some documents of a stream."""
        if self.endpoint.gives_deltas:
            return Reply(DeltasPayload(docs))
        return Reply(ReplyPayload(docs, self.output_codec, self.counts))


class HandlerJob(ResultJob):
    """One call of a handler with the documents of one request; its value is the `Reply`.

    `docs` is given where the documents are decoded already. `seconds` is what the handler took.
    """

    documents = 0
    seconds = 0.0
    slow_to_encode = False

    def __init__(self, handler: Handler, request: Request, span: traces.RequestSpan | None, docs: Any = None) -> None:
        self.deadline = request.deadline
        self._handler = handler
        self._request = request
        self._span = span
        self._docs = docs

    def work(self) -> Reply:
        """Call a `def` handler; on a thread."""
        endpoint = self._handler.endpoint
        docs, arguments = self._handler.prepare(self._request, self._span, self._docs)
        self._docs, self.documents = None, len(docs)
        started = time.perf_counter()
        try:
            if endpoint.is_generator:
                docs, results = _collected(endpoint, docs, arguments), None
            elif endpoint.is_write:
                with self._handler.owner.write_lock:
                    docs, results = invoke.call(endpoint, docs, arguments)
            else:
                docs, results = invoke.call(endpoint, docs, arguments)
        except BaseException as error:
            raise self._handler.owner.failed(error, endpoint.path) from error
        self.seconds = time.perf_counter() - started
        if self._span is not None:
            self._span.handled()
        reply, self.slow_to_encode = self._handler.reply(self._request, docs, results)
        return reply

    async def work_async(self) -> Reply:
        """Call an `async def` handler; on the user loop."""
        endpoint = self._handler.endpoint
        docs, arguments = self._handler.prepare(self._request, self._span, self._docs)
        self._docs, self.documents = None, len(docs)
        started = time.perf_counter()
        try:
            if endpoint.is_generator:
                docs, results = await _collected_async(endpoint, docs, arguments), None
            elif endpoint.is_write:
                async with self._handler.owner.async_write_lock:
                    docs, results = await invoke.call_async(endpoint, docs, arguments)
            else:
                docs, results = await invoke.call_async(endpoint, docs, arguments)
        except BaseException as error:
            if self.abandoned and isinstance(error, CancelledError):
                raise
            raise self._handler.owner.failed(error, endpoint.path) from error
        self.seconds = time.perf_counter() - started
        # Encoded here rather than on the protocol loop, which would have to fight with this one for the interpreter.
        if self._span is not None:
            self._span.handled()
        reply, self.slow_to_encode = self._handler.reply(self._request, docs, results, encoded=True)
        return reply


def _named_apart(branches: Sequence[tuple[str, Payload]]) -> Iterator[tuple[str, Payload]]:
    taken: Counter[str] = Counter()
    for name, payload in branches:
        taken[name] += 1
        yield (name if taken[name] == 1 else f"{name}-{taken[name]}"), payload


def _collected(endpoint: Endpoint, docs: Any, arguments: dict[str, Any]) -> Any:
    from jina.executor.invoke import collect

    streams = invoke.streams_of(endpoint, docs)
    items = [item for doc in streams for item in invoke.stream(endpoint, doc, arguments)]
    return collect(endpoint, items)


async def _collected_async(endpoint: Endpoint, docs: Any, arguments: dict[str, Any]) -> Any:
    from jina.executor.invoke import collect

    streams = invoke.streams_of(endpoint, docs)
    items = [item for doc in streams async for item in invoke.stream_async(endpoint, doc, arguments)]
    return collect(endpoint, items)
