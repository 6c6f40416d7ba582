"""One call of `post`: its arguments checked, its answers handed to callbacks and collected. Does no I/O."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jina.client.inputs import Inputs
from jina.client.outbox import Outbox
from jina.client.response import Response
from jina.client.retries import Retries
from jina.client.standing import Standing, Turns
from jina.client.types import doc_type_of, is_single
from jina.errors import BadClientCallback, BadClientInput, BadServer, ConfigError, Unavailable, nearest
from jina.observe import traces
from jina.observe.logs import get_logger
from jina.transport.base_channel import CallOptions, FailedAnswer
from jina.wire import pb
from jina.wire.codec import codec_for
from jina.wire.messages import Payload, Request

if TYPE_CHECKING:
    from jina.errors import JinaError
    from jina.transport.base_channel import Answer

DEFAULT_WINDOW = 1000
NO_LIMIT = 1_000_000
_TRANSPORT = ("metadata", "headers", "timeout", "compression", "credentials", "api_key")
Metadata = tuple[tuple[str, str | bytes], ...]
_HTTP = ("auth", "cookies", "ssl", "proxy", "proxy_auth", "params", "allow_redirects", "max_redirects")


@dataclass(kw_only=True)
class PostCall:
    """The arguments of `post`; see `jina.client.sync_client.SyncClient.post` for their meaning."""

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
            self.transport, window=self.prefetch or NO_LIMIT, results_in_order=self.results_in_order
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
    """Raise when `target_executor` is no regular expression."""
    try:
        re.compile(target_executor)
    except re.error as error:
        raise BadClientInput(f"target_executor: {target_executor!r} is no regular expression: {error}") from error


def plain_parameters(parameters: Any) -> dict[str, Any]:
    """Parameters as a dict; a pydantic model gives its fields."""
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return dict(parameters)
    if hasattr(parameters, "model_dump"):
        return dict(parameters.model_dump(mode="json"))
    raise BadClientInput(f"parameters: {parameters!r} is neither a mapping nor a pydantic model")


def call_options(
    given: Mapping[str, Any], *, window: int = DEFAULT_WINDOW, results_in_order: bool = False
) -> CallOptions:
    """The arguments that only the transport reads. Raises `ConfigError` for an unknown one."""
    known = (*_TRANSPORT, *_HTTP)
    for name in given:
        if name not in known:
            near = nearest(name, [*known, *PostCall.__dataclass_fields__])
            raise ConfigError(f"post has no argument {name!r}", help=f"did you mean {near!r}?" if near else "")
    timeout = given.get("timeout")
    timeout = getattr(timeout, "total", timeout)  # aiohttp.ClientTimeout, as Jina 3's HTTP client took it
    if timeout is not None and (not isinstance(timeout, int | float) or timeout <= 0):
        raise ConfigError(f"timeout: {timeout!r} is not a number of seconds above 0")
    metadata = _with_key(_pairs(given.get("metadata")) + _pairs(given.get("headers")), given.get("api_key"))
    return CallOptions(
        timeout=timeout,
        metadata=_traced(metadata) if traces.active() else metadata,
        compression=given.get("compression"),
        credentials=given.get("credentials"),
        window=window,
        results_in_order=results_in_order,
        extra={name: given[name] for name in _HTTP if name in given},
    )


def trace_of(options: CallOptions) -> dict[str, str]:
    """What identifies the caller's span."""
    return {name: str(value) for name, value in options.metadata if name in traces.HEADERS}


def _traced(metadata: Metadata) -> Metadata:
    """With the caller's span as the parent of what the server does, unless the caller gives one."""
    found = dict(metadata)
    return (*metadata, *((name, value) for name, value in traces.outgoing({}).items() if name not in found))


def _pairs(metadata: Any) -> Metadata:
    items = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
    return tuple((str(name).lower(), value if isinstance(value, bytes) else str(value)) for name, value in items)


def _with_key(metadata: Metadata, key: str | None) -> Metadata:
    """The metadata with the key, unless it has one already."""
    if not key or any(name == "x-api-key" for name, _ in metadata):
        return metadata
    return (*metadata, ("x-api-key", key))


class Run:
    """What becomes of the answers of one call."""

    def __init__(self, call: PostCall, standing: Standing) -> None:
        self.call = call
        self._turns = Turns(standing)
        self.outbox = Outbox(self._request, keep=call.max_attempts > 1, ordered=call.results_in_order)
        self._responses: list[Response] = []
        self._documents: list[Any] = []
        self._list_type: Any = None
        self._last_failure: JinaError | None = None

    def _request(self, payload: Payload) -> Request:
        return self._turns.take(self.call.request(payload))

    def close(self) -> None:
        """No request is sent again, whatever came of it."""
        self._turns.close()

    def arrived(self, answer: Answer, attempt: int) -> Iterator[Answer]:
        """The answers to hand out now; none when this one is a failure that another attempt may mend."""
        if answer.error is not None and not answer.request_id:
            raise answer.error  # of a request that the server could not read, so that it does not know which
        if answer.error is not None and self.call.retries.again(attempt, answer.error):
            self._last_failure = answer.error
            return
        self.outbox.answered(answer)
        self._turns.over(answer)
        if self.call.results_in_order and not self.call.source.is_single_request:
            yield from self.outbox.in_order(answer)
        else:
            yield answer

    def check_complete(self) -> None:
        """Raise when the peer ended the call and left requests unanswered: results are never partial silently."""
        if count := self.outbox.unanswered:
            failure, self._last_failure = self._last_failure, None
            raise failure or BadServer(f"the server ended the call with {count} requests unanswered")

    def deliver(self, answer: Answer) -> Response | None:
        """Hand the answer to the callbacks; give it back when the caller is to see it too.

        Raises the failure of the answer when no callback takes it, that of a call that reached no server in any case,
        and `BadClientCallback` when a callback raises.
        """
        response = Response(answer, self.call.doc_type)
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
            self._documents = codec_for(self.call.doc_type).decode(pb.DocListProto())
        return self.shaped(self._documents)

    def shaped(self, documents: Any) -> Any:
        """One document where one was asked for and came, else the list."""
        return documents[0] if is_single(self.call.return_type) and len(documents) == 1 else documents


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
