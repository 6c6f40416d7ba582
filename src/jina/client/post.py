"""One call of `post`: inputs to requests, retries, answers handed to callbacks and collected."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import re
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, get_origin

from docarray import BaseDoc, DocList, DocVec
from docarray.base_doc import AnyDoc

from jina.client.loops import Held
from jina.client.sessions import CallSession, SessionState
from jina.codec import pb
from jina.codec.codec import codec_of
from jina.codec.messages import HeldPayload, Payload, Request
from jina.codec.payloads import DocsPayload
from jina.documents import Document
from jina.documents.records import is_record, is_value, item_of_list, unmapped
from jina.errors import (
    BadClientCallback,
    BadClientInput,
    BadServer,
    ConfigError,
    InternalError,
    JinaError,
    Overloaded,
    Unavailable,
    ValidationFailed,
)
from jina.net.channel import FailedAnswer, call_options, trace_of
from jina.observe import terminal
from jina.observe.logs import get_logger

if TYPE_CHECKING:
    from jina.net.channel import Answer


_is_record_class = lru_cache(maxsize=1000)(is_record)


def _has_fields(value: Any) -> bool:
    """Whether a value is of a plain class with named fields."""
    cls: object = type(value)
    return _is_record_class(cls)


def doc_type_of(return_type: Any) -> Any:
    """The class of `T`, `DocList[T]`, `DocVec[T]` or `list[T]`; the schemaless document for None and untyped lists.

    `T` is a document class, or any other type (see `jina.documents.records`).
    """
    if return_type is None:
        return Document
    list_type = get_origin(return_type) or return_type  # DocArray gives its parametrised lists as typing aliases
    if isinstance(list_type, type):
        doc_type = return_type.doc_type if issubclass(list_type, DocList | DocVec) else return_type
        if doc_type in {None, AnyDoc, BaseDoc}:
            return Document
        if isinstance(doc_type, type) and issubclass(doc_type, BaseDoc):
            return doc_type
    if isinstance(return_type, str | int | float) or unmapped(return_type) is not None:
        raise ConfigError(f"return_type: {return_type!r} is neither a document class nor another type of answers")
    item = item_of_list(return_type)
    return return_type if item is None else item


def decoded(payload: Payload, doc_type: Any, return_type: Any = None) -> tuple[Any, bool]:
    """The documents of an answer, and whether they are one value of the `return_type`, such as `list[float]`."""
    try:
        return payload.decode(codec_of(doc_type)), False
    except ValidationFailed:
        if item_of_list(return_type) is None or not is_value(doc_type) or len(payload) != 1:
            raise
        return payload.decode(codec_of(return_type)), True


def is_single(return_type: Any) -> bool:
    """True when one document, not a list, is asked for."""
    if isinstance(return_type, type) and issubclass(return_type, BaseDoc):
        return True
    if return_type is None or item_of_list(return_type) is not None:
        return False
    list_type = get_origin(return_type) or return_type
    return not (isinstance(list_type, type) and issubclass(list_type, DocList | DocVec))


class Response:
    """The answer to one request; documents and parameters are decoded when they are first read.

    `header` is a `jina.HeaderProto` (`request_id`, `exec_endpoint`, `target_executor`, `status`), `routes` the
    Executors visited as `jina.RouteProto`s (over HTTP those of a failed request alone).
    """

    def __init__(self, answer: Answer, doc_type: Any, return_type: Any = None) -> None:
        self._answer = answer
        self._doc_type = doc_type
        self._return_type = return_type
        self._docs: Any = None
        self.is_one_value = False
        """The documents are one value of the `return_type`, which is a list."""

    @property
    def docs(self) -> Any:
        """The documents, a `DocList` of the call's `return_type`; decoded once."""
        if self._docs is None:
            self._docs, self.is_one_value = decoded(self._answer.payload, self._doc_type, self._return_type)
        return self._docs

    @property
    def data(self) -> Response:
        """This response: `response.data.docs` is `response.docs`."""
        return self

    @property
    def error(self) -> JinaError | None:
        """What failed, or None."""
        return self._answer.error

    @property
    def header(self) -> Any:
        """The header."""
        return self._answer.message.header

    @property
    def status(self) -> Any:
        """Success, or code, description and exception of the failure."""
        return self.header.status

    @property
    def request_id(self) -> str:
        """Id of the request that this answers."""
        return self._answer.request_id

    @property
    def exec_endpoint(self) -> str:
        """The endpoint that was called."""
        return str(self.header.exec_endpoint)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, with `__results__` where handlers returned dicts."""
        return self._answer.parameters

    @property
    def routes(self) -> Any:
        """The Executors visited, with start and end times."""
        return self._answer.message.routes

    @property
    def proto(self) -> Any:
        """The answer as a `jina.DataRequestProto`; from HTTP/JSON without its documents."""
        return self._answer.message

    _pb_body = proto  # the name that callbacks of programs for Jina 3 read

    @property
    def response(self) -> Response:
        """This response; a name of Jina 3."""
        return self

    @property
    def document_array_cls(self) -> Any:
        """The class of `docs`; assign `DocList[T]` to decode as another one."""
        return type(self.docs)

    @document_array_cls.setter
    def document_array_cls(self, value: Any) -> None:

        self._doc_type = doc_type_of(value)
        self._docs = None

    def to_dict(self) -> dict[str, Any]:
        """Header, parameters, routes and documents (under `data`) as plain values."""
        from google.protobuf.json_format import MessageToDict

        def plain(message: Any) -> Any:
            return MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)

        docs = self.docs
        return {
            "header": plain(self.header),
            "parameters": self.parameters,
            "routes": [plain(route) for route in self.routes],
            "data": json.loads(codec_of(self._return_type if self.is_one_value else self._doc_type).encode_json(docs)),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), default=str)

    def json(self) -> str:
        """`to_json` under its other name of Jina 3."""
        return self.to_json()

    def __repr__(self) -> str:
        state = "ok" if self.error is None else f"failed: {self.error.message}"
        return f"<Response {self.request_id} {self.exec_endpoint} {state}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """The rule of `post`'s `max_attempts`; durations are in seconds.

    A second attempt may run a handler twice, so nothing is retried unless the caller raises `max_attempts`. Writes to
    stateful Executors are an exception: they are applied once.
    """

    max_attempts: int = 1
    initial_backoff: float = 0.5
    max_backoff: float = 2.0
    backoff_multiplier: float = 1.5

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts: {self.max_attempts} is less than 1")
        for name in ("initial_backoff", "max_backoff", "backoff_multiplier"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is not above 0")

    def again(self, attempt: int, error: JinaError) -> bool:
        """True when attempt `attempt` (from 1), which ended in `error`, is to be followed by another."""
        return attempt < self.max_attempts and self.is_passing(error)

    @staticmethod
    def is_passing(error: JinaError) -> bool:
        """True for failures that may be over at the next attempt."""
        return error.retryable or isinstance(error, InternalError)

    def wait(self, attempt: int, error: JinaError) -> float:
        """Seconds to wait after attempt `attempt`: the back-off, at least what the server asks for."""
        if attempt == 1:
            backoff = self.initial_backoff
        else:
            ceiling = self.initial_backoff * self.backoff_multiplier ** (attempt - 1)
            backoff = random.uniform(0, min(ceiling, self.max_backoff))  # noqa: S311 - jitter, not a secret
        return max(backoff, error.retry_after) if isinstance(error, Overloaded | Unavailable) else backoff


ACCEPTED = "a document, a list, tuple, DocList or generator of documents, a function that returns one of these, or None"

HOW_TO_SEND_VALUES = "for a method that takes plain values, write {'value': ...}"


class Inputs:
    """The `inputs` of one call.

    `total` is the number of documents where it is known before they are read, else None. None and an empty
    container (list, tuple, `DocList`) make one request without documents, which may have parameters, as in Jina 3; a
    generator that yields nothing makes no request.
    """

    def __init__(self, inputs: Any, request_size: int) -> None:
        if callable(inputs) and not isinstance(inputs, BaseDoc | type) and not _has_fields(inputs):
            inputs = inputs()
        self._source = _iterable(inputs)
        self._size = request_size if request_size > 0 else None
        self.total = len(self._source) if isinstance(self._source, Sized) else None
        self._empty = self.total == 0

    @property
    def requests(self) -> int | None:
        """The number of requests where it is known before the documents are read."""
        if self.total is None:
            return None
        return max(1, -(-self.total // (self._size or max(self.total, 1))))

    @property
    def is_async(self) -> bool:
        """True for an async generator."""
        return isinstance(self._source, AsyncIterable)

    @property
    def is_single_request(self) -> bool:
        """True when all is known to fit one request."""
        return self.requests == 1

    def payloads(self) -> Iterator[Payload]:
        """A payload per request; an async generator runs on a loop and thread of its own meanwhile."""
        if self._empty:
            yield payload_of([])
            return
        items = _from_async(self._source) if self.is_async else self._source
        documents = (as_document(item, index) for index, item in enumerate(items))
        while batch := list(islice(documents, self._size)):
            yield payload_of(batch)

    def read(self, *, blocking: bool) -> Payloads:
        """A payload per request, read one by one."""
        return Payloads(self.payloads() if blocking or not self.is_async else Held(self._batches_async()))

    async def _batches_async(self) -> AsyncGenerator[list[BaseDoc], None]:
        batch: list[BaseDoc] = []
        index = 0
        async for item in self._source:
            batch.append(as_document(item, index))
            index += 1
            if len(batch) == self._size:
                yield batch
                batch = []
        if batch:
            yield batch


class Payloads:
    """Payloads for coroutines. A `next` that is cancelled loses nothing: the following one gives what it awaited."""

    def __init__(self, source: Iterator[Payload] | Held[list[BaseDoc]]) -> None:
        self._source: Iterator[Payload] = iter(()) if isinstance(source, Held) else source
        self._batches = source if isinstance(source, Held) else None
        self._reading: asyncio.Future[list[BaseDoc] | None] | None = None
        self.lock: AbstractContextManager[Any] = nullcontext() if self._batches is not None else threading.Lock()
        """For threads of blocking code; coroutines of a loop wait for `next`, and must not hold a lock meanwhile."""

    async def next(self) -> Payload | None:
        """The next payload, or None after the last."""
        if self._batches is None:
            return next(self._source, None)
        if self._reading is None:
            self._reading = asyncio.ensure_future(_following(self._batches))
        batch = await asyncio.shield(self._reading)
        self._reading = None
        return None if batch is None else payload_of(batch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._batches is not None:
            await self._batches.aclose()


async def _following(batches: Held[list[BaseDoc]]) -> list[BaseDoc] | None:
    return await anext(batches, None)


def _iterable(inputs: Any) -> Any:
    if inputs is None:
        return ()
    if isinstance(inputs, BaseDoc | Mapping | str | bytes) or _has_fields(inputs):
        return [inputs]
    if isinstance(inputs, DocVec):
        return list(inputs)
    if isinstance(inputs, Iterable | AsyncIterable):
        return inputs
    raise BadClientInput(f"inputs: {_shown(inputs)} is not {ACCEPTED}", help=HOW_TO_SEND_VALUES)


def _from_async(source: AsyncIterable[Any]) -> Iterator[Any]:
    iterator = aiter(source)
    end = object()

    async def following() -> Any:
        return await anext(iterator, end)

    runner = asyncio.Runner()
    with ThreadPoolExecutor(1, "jina-inputs") as thread:
        try:
            while (item := thread.submit(lambda: runner.run(following())).result()) is not end:
                yield item
        finally:
            thread.submit(runner.close).result()


def as_document(item: Any, index: int) -> Any:
    """One element of the inputs as a document; an object of a plain class stays what it is.

    Mappings, text and bytes become schemaless documents: their fields, `text` and `blob`.
    """
    if isinstance(item, BaseDoc) or _has_fields(item):
        return item
    try:
        if isinstance(item, Mapping):
            return Document(**item)
        if isinstance(item, str):
            return Document(text=item)
        if isinstance(item, bytes):
            return Document(blob=item)
    except (ValueError, TypeError) as error:
        raise BadClientInput(f"inputs: element {index}, {_shown(item)}, cannot be made a document: {error}") from error
    hint = "call the generator function without `await`" if inspect.isawaitable(item) else HOW_TO_SEND_VALUES
    raise BadClientInput(f"inputs: element {index} is {_shown(item)}, not a document", help=hint)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def payload_of(documents: list[BaseDoc]) -> Payload:
    """The documents, not yet encoded; each class has its own codec."""
    kinds = set(map(type, documents)) or {Document}
    if len(kinds) == 1:
        return DocsPayload(documents, codec_of(kinds.pop()))
    return _MixedPayload(documents)


class _MixedPayload(HeldPayload):
    """Documents of several classes."""

    def __init__(self, documents: list[BaseDoc]) -> None:
        self._documents = documents

    def __len__(self) -> int:
        return len(self._documents)

    def decode(self, codec: Any) -> Any:
        documents = pb.DocListProto()
        self.write_proto(documents)
        return codec.decode(documents)

    def write_proto(self, into: Any) -> None:
        for document in self._documents:
            codec_of(type(document)).encode_doc(document, into.docs.add())

    def to_bytes(self) -> bytes:
        documents = pb.DocListProto()
        self.write_proto(documents)
        return bytes(documents.SerializeToString())

    def to_json(self) -> bytes:
        return b"[" + b",".join(self.json_items()) + b"]"

    def json_items(self) -> list[bytes]:
        return [codec_of(type(document)).encode_json_doc(document) for document in self._documents]


_ROOM = 1000
"""Requests of which the documents are held before the first answer; a server that took more has begun the call."""


class PendingRequests:
    """Requests on their way.

    `keep` holds the documents of unanswered requests for another attempt; without it they are held until the first
    answer, as a server that stops may end a call that it has not begun, and their ids from then on.
    `ordered` remembers in which order they were made, as `in_order` needs.
    A transport may take requests on a thread of its own, and still be taking one when its attempt has failed
    already: what it takes then is remembered like any other and sent again by the next attempt.
    """

    def __init__(self, make: Callable[[Payload], Request], *, keep: bool, ordered: bool) -> None:
        self._make = make
        self._keep = keep
        self._begun = False
        self._ordered = ordered
        self._lock = threading.Lock()
        self._attempt = 0
        self._pending: dict[str, Request | None] = {}
        self._order: deque[str] = deque()
        self._early: dict[str, Answer] = {}

    async def attempt(self, payloads: Payloads) -> AsyncGenerator[Request]:
        """Unanswered requests again, then new ones from `payloads`, which all attempts share."""
        with payloads.lock, self._lock:
            self._attempt = attempt = self._attempt + 1
            again = deque(request for request in self._pending.values() if request is not None)
        while True:
            with payloads.lock:
                if attempt != self._attempt:
                    return
                if again:
                    request = again.popleft()
                else:
                    payload = await payloads.next()
                    if payload is None:
                        return
                    request = self.remember(payload)
            yield request

    def remember(self, payload: Payload) -> Request:
        """The request of a payload, which is on its way from now on."""
        request = self._make(payload)
        with self._lock:
            held = self._keep or (not self._begun and len(self._pending) < _ROOM)
            self._pending[request.request_id] = request if held else None
        if self._ordered:
            self._order.append(request.request_id)
        return request

    @property
    def whole(self) -> bool:
        """Whether all requests that are not answered can be sent again."""
        return None not in self._pending.values()

    @property
    def unanswered(self) -> int:
        """Number of requests sent and not answered."""
        return len(self._pending)

    def answered(self, answer: Answer) -> None:
        """Forget the request of an answer. Raises `BadServer` when it was not asked for."""
        request_id = answer.request_id
        if request_id not in self._pending:
            raise BadServer(f"the server answered request {request_id!r}, which was never sent or is answered already")
        with self._lock:
            del self._pending[request_id]
            if not self._begun and not self._keep:
                self._pending = dict.fromkeys(self._pending)
            self._begun = True

    def in_order(self, answer: Answer) -> Iterator[Answer]:
        """The answers that are due after this one: those of requests in the order of sending."""
        self._early[answer.request_id] = answer
        while self._order and (due := self._early.pop(self._order[0], None)) is not None:
            self._order.popleft()
            yield due


class Bar:
    """Counts answered requests, and calls `counted` for each."""

    def __init__(self, counted: Callable[[], None] = lambda: None) -> None:
        self.advance = counted


@contextmanager
def progress_of(call: PostCall) -> Iterator[Bar]:
    """A bar for the time of one call."""
    if not call.show_progress or not sys.stderr.isatty():
        yield Bar()
        return
    if terminal.shared:
        with terminal.counted(call.on, call.source.requests, "answered") as advance:
            yield Bar(advance)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(call.on, total=call.source.requests)
        yield Bar(lambda: progress.advance(task))


NO_LIMIT = 1_000_000


@dataclass(kw_only=True)
class PostCall:
    """The arguments of `post`; see `jina.client.client.SyncClient.post` for their meaning."""

    on: str
    inputs: Any = None
    on_done: Callable[..., Any] | None = None
    on_error: Callable[..., Any] | None = None
    on_always: Callable[..., Any] | None = None
    parameters: Any = None
    target_executor: str | None = None
    request_size: int = 100
    show_progress: bool = False
    continue_on_error: bool = False
    return_responses: bool = False
    max_attempts: int = 1
    initial_backoff: float = 0.5
    max_backoff: float = 2
    backoff_multiplier: float = 1.5
    results_in_order: bool = False
    stream: bool = True
    prefetch: int | None = None
    return_type: Any = None
    default_type: Any = None
    transport: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.on, str):
            raise BadClientInput(f"on: {self.on!r} is not the name of an endpoint such as '/search'")
        self.on = self.on or "/default"  # which is what a request without an endpoint asks Jina 3 for
        if self.target_executor:
            check_pattern(self.target_executor)
        self.parameters = plain_parameters(self.parameters)
        self.doc_type = doc_type_of(self.return_type if self.return_type is not None else self.default_type)
        self.retries = Retries(
            max_attempts=self.max_attempts,
            initial_backoff=self.initial_backoff,
            max_backoff=self.max_backoff,
            backoff_multiplier=self.backoff_multiplier,
        )
        self.options = call_options(
            self.transport,
            window=self.prefetch or NO_LIMIT,
            results_in_order=self.results_in_order,
            others=arguments_of_post,
        )
        self.trace = trace_of(self.options)
        self.source = Inputs(self.inputs, self.request_size)
        self.inputs = None  # so that a generator's documents are not held

    def request(self, payload: Payload) -> Request:
        """A request that carries the payload."""
        return Request(
            endpoint=self.on,
            payload=payload,
            parameters=self.parameters,
            request_id=os.urandom(16).hex(),
            target_executor=self.target_executor or "",
            headers=self.trace,
        )


def arguments_of_post() -> Iterable[str]:
    """The names of the arguments of `post`."""
    return PostCall.__dataclass_fields__


def post_call(arguments: Mapping[str, Any], kwargs: Mapping[str, Any], prefetch: int) -> PostCall:
    """The call of `post(**arguments, **kwargs)`; `prefetch` is the client's default.

    `_default_type` is for who knows the endpoint's own class, such as a Deployment: it holds unless the caller
    gives a `return_type`.
    """
    transport = dict(kwargs)
    default_type = transport.pop("_default_type", None)
    given = {**arguments, "prefetch": prefetch if arguments.get("prefetch") is None else arguments["prefetch"]}
    if "docs" in transport:
        given["inputs"] = _one_of(given.get("inputs"), transport.pop("docs"))
    return PostCall(**given, default_type=default_type, transport=transport)


def _one_of(inputs: Any, docs: Any) -> Any:
    """What was given as `inputs`, as `docs`, or as both: programs of Jina 3, which passed over `docs`, do the last."""
    if inputs is not None and docs is not None and inputs is not docs:
        raise BadClientInput("docs: the same argument as 'inputs'; give one of them")
    return docs if inputs is None else inputs


def failed(error: JinaError, endpoint: str, request_id: str = "") -> Answer:
    """What stands for the answer to a request, or to a whole call, that failed on the way."""
    return FailedAnswer(error, request_id, endpoint)


def check_pattern(target_executor: str) -> None:
    """Raise when `target_executor` is not a regular expression."""
    try:
        re.compile(target_executor)
    except re.error as error:
        raise BadClientInput(f"target_executor: {target_executor!r} is not a regular expression: {error}") from error


def plain_parameters(parameters: Any) -> dict[str, Any]:
    """Parameters as a dict; a pydantic model gives its fields."""
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return dict(parameters)
    if hasattr(parameters, "model_dump"):
        return dict(parameters.model_dump(mode="json"))
    raise BadClientInput(f"parameters: {parameters!r} is neither a mapping nor a pydantic model")


class Run:
    """What becomes of the answers of one call."""

    def __init__(self, call: PostCall, session_state: SessionState) -> None:
        self.call = call
        self._session = CallSession(session_state)
        self.pending = PendingRequests(self._request, keep=call.max_attempts > 1, ordered=call.results_in_order)
        self._responses: list[Response] = []
        self._documents: list[Any] = []
        self._list_type: Any = None
        self._are_whole = False
        """An answer was one value of the `return_type`, not the items of a list."""
        self._last_failure: JinaError | None = None

    def _request(self, payload: Payload) -> Request:
        return self._session.take(self.call.request(payload))

    def close(self) -> None:
        """No request is sent again, whatever came of it."""
        self._session.close()

    def arrived(self, answer: Answer, attempt: int) -> Iterator[Answer]:
        """The answers to hand out now; none when this one is a failure that another attempt may mend."""
        if answer.error is not None and not answer.request_id:
            raise answer.error  # of a request that the server could not read, so that it does not know which
        if answer.error is not None and self.call.retries.again(attempt, answer.error):
            self._last_failure = answer.error
            return
        self.pending.answered(answer)
        self._session.over(answer)
        if self.call.results_in_order and not self.call.source.is_single_request:
            yield from self.pending.in_order(answer)
        else:
            yield answer

    def check_complete(self) -> None:
        """Raise when the peer ended the call and left requests unanswered: results are never partial silently."""
        if count := self.pending.unanswered:
            failure, self._last_failure = self._last_failure, None
            raise failure or BadServer(f"the server ended the call with {count} requests unanswered")

    def deliver(self, answer: Answer) -> Response | None:
        """Hand the answer to the callbacks; give it back when the caller is to see it too.

        Raises the failure of the answer when no callback takes it, that of a call that reached no server in any case,
        and `BadClientCallback` when a callback raises.
        """
        response = Response(answer, self.call.doc_type, self.call.return_type)
        error = answer.error
        taken = error is None
        if error is None:
            self._callback("on_done", response)
        elif self.call.on_error is not None:
            self._callback("on_error", *((response, error) if _needs_error(self.call.on_error) else (response,)))
            taken = True
        elif self.call.continue_on_error and answer.request_id:
            get_logger("jina.client").error("%s failed: %s", self.call.on, error)
            taken = True
        self._callback("on_always", response)
        if error is not None and (not taken or (isinstance(error, Unavailable) and not error.reached)):
            raise with_header(error, response.header)
        return response if error is None or self.call.return_responses else None

    def _callback(self, name: str, *arguments: Any) -> None:
        function = getattr(self.call, name)
        if function is None:
            return
        try:
            result = function(*arguments)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"{name} is an async function; callbacks are plain functions")
        except Exception as error:
            if not self.call.continue_on_error:
                raise BadClientCallback(f"{name} raised {error!r}") from error
            get_logger("jina.client").exception("%s raised", name)

    def collect(self, response: Response) -> None:
        """Keep what `post` returns; nothing where callbacks take the answers."""
        if self.call.on_done is not None or self.call.on_always is not None:
            return
        if self.call.return_responses:
            self._responses.append(response)
            return
        documents = response.docs
        self._are_whole = self._are_whole or response.is_one_value
        if self._list_type is None:
            self._list_type, self._documents = type(documents), documents
        else:
            self._documents.extend(documents)

    def result(self) -> Any:
        """What `post` returns."""
        if self.call.on_done is not None or self.call.on_always is not None:
            return None
        if self.call.return_responses:
            return self._responses
        if self._list_type is None:
            self._documents = codec_of(self.call.doc_type).decode(pb.DocListProto())
        return self.shaped(self._documents)

    def shaped(self, documents: Any) -> Any:
        """One document where one was asked for and came, else the list."""
        one = is_single(self.call.return_type) or self._are_whole
        return documents[0] if one and len(documents) == 1 else documents


def _needs_error(function: Callable[..., Any]) -> bool:
    """Whether a callback cannot be called with the response alone, as every callback of Jina 3 can."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return len([one for one in parameters if one.kind in positional and one.default is one.empty]) > 1


class _Message(str):
    """The message of an error, with what Jina 3 put in its place: `error.args[0].status.description`."""

    __slots__ = ("_header",)
    _header: Any

    @property
    def request_id(self) -> str:
        """Id of the request that failed."""
        return str(self._header.request_id)

    @property
    def status(self) -> Any:
        """Code, description and exception of the failure."""
        return self._header.status


def with_header(error: JinaError, header: Any) -> JinaError:
    """The error; where Jina 3 raised `BadServer(header)`, `args[0]` has the header's fields too."""
    if isinstance(error, BadServer):
        message = _Message(error.message)
        message._header = header  # noqa: SLF001 - built here
        error.args = (message,)
    return error
