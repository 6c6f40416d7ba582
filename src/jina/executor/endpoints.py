"""The endpoint table of an Executor: which method answers which path, with which types and options of batching."""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import msgspec
from msgspec.structs import replace

from jina.errors import ConfigError, EndpointNotFound, ExecutorDefinitionError, nearest, quoted
from jina.executor import binding
from jina.executor.chat import answering, chat_parameter, takes_chat
from jina.executor.decorators import (
    DEFAULT_ENDPOINT,
    ContinuousBatching,
    Marks,
    accepts,
    check_handler,
    clock_and_seed_of,
    describe,
    kind_of,
    location,
    marks_of,
    named,
    streams,
)
from jina.executor.offers import OfferedMethod, offers_of
from jina.executor.signatures import PlainCall, Types, types_of
from jina.plan.plans import is_offer


class Batching(msgspec.Struct, frozen=True):
    """How documents of several requests are gathered; `timeout` is in milliseconds.

    `isolate_errors`: a batch that failed is run again in halves; None for that except where the method is a `@write`.
    """

    preferred_batch_size: int = 4
    timeout: float = 10_000
    flush_all: bool = False
    custom_metric: Callable[[Any], float | int] | None = None
    use_custom_metric: bool = False
    isolate_errors: bool | None = None


_SWITCH = "use_dynamic_batching"
_NAMES = frozenset({*Batching.__struct_fields__, _SWITCH})


def batching_for(options: Mapping[str, Mapping[str, Any]], path: str, method: str, where: str) -> Batching | None:
    """The options of an endpoint: those of its method, those of its path on top; None without batching."""
    if path not in options and method not in options:
        return None
    merged = {**options.get(method, {}), **options.get(path, {})}
    for name in merged.keys() - _NAMES:
        near = nearest(name, _NAMES)
        hint = f"; did you mean {near!r}?" if near else f"; known: {', '.join(sorted(_NAMES))}"
        raise ConfigError(f"dynamic_batching of {where}: unknown option {name!r}{hint}")
    if not merged.pop(_SWITCH, True):
        return None
    merged = {name: value for name, value in merged.items() if value is not None}
    _check(merged, where)
    return Batching(**merged)


def check_keys(options: Mapping[str, Any], paths: Iterable[str], methods: Iterable[str], cls: type) -> None:
    """Raise `ConfigError` for options of an endpoint or method that `cls` does not have."""
    known = {*paths, *methods}
    for key in options:
        if key not in known:
            near = nearest(key, known)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(sorted(known)) or 'none'}"
            where = f"{cls.__name__} ({location(cls)})"
            raise ConfigError(f"dynamic_batching of {where}: no endpoint or method {key!r}{hint}")


def _check(options: Mapping[str, Any], where: str) -> None:
    size, timeout = options.get("preferred_batch_size", 1), options.get("timeout", 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"dynamic_batching of {where}: preferred_batch_size is a number from 1 on, not {size!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
        raise ConfigError(f"dynamic_batching of {where}: timeout is in milliseconds, not {timeout!r}")
    for name in ("flush_all", "use_custom_metric", "isolate_errors"):
        if not isinstance(options.get(name, False), bool):
            raise ConfigError(f"dynamic_batching of {where}: {name} is true or false, not {options[name]!r}")
    metric = options.get("custom_metric")
    if metric is not None and not callable(metric):
        raise ConfigError(f"dynamic_batching of {where}: custom_metric is a function, not {metric!r}")
    if options.get("use_custom_metric") and metric is None:
        raise ConfigError(f"dynamic_batching of {where}: use_custom_metric needs a custom_metric in the decorator")


RESERVED = frozenset({"/docs", "/redoc", "/openapi.json", "/metrics", "/livez", "/readyz", "/startupz"})
"""Paths that every server of ours answers itself."""
RESERVED_FOR_GET = frozenset({"/", "/status", "/dry_run"})
"""Paths that we answer for GET only: endpoints called by POST may have them, generators are called by GET too."""


class Endpoint(msgspec.Struct, frozen=True, eq=False):
    """One path and the method that answers it.

    `input_type` and `output_type` are document classes (`jina.documents.Document` where nothing is known); with
    `plain` they may be any types.
    `accepts` are the keywords that the method takes, None for all; `names` those that it names itself.
    `methods` are those of HTTP that serve it, none where it does not say. `concurrency` is how many calls the method
    allows at once, None where it does not say. `is_single`: called with
    `doc`, one document after the other. `is_async` holds for coroutines and asynchronous generators.
    """

    path: str
    method_name: str
    function: Callable[..., Any]
    is_async: bool
    is_generator: bool
    is_single: bool
    input_type: Any
    output_type: Any
    parameters_model: Any | None
    parameters_optional: bool
    is_write: bool
    is_safe: bool
    methods: tuple[str, ...]
    concurrency: int | None
    batching: Batching | None
    accepts: frozenset[str] | None
    names: frozenset[str]
    description: str
    clock_and_seed: frozenset[str] = frozenset()
    """Those of `now` and `seed` that the method asks for."""
    plain: PlainCall | None = None
    """How the method is called where it takes or gives something else than documents."""
    slots: ContinuousBatching | None = None
    """Where it is a step over all running streams. It is a generator for all who call it."""
    offer: Mapping[str, Any] | None = None
    """What agents are told of a resource or prompt; None for all other endpoints."""
    gives_deltas: bool = False
    """Whether it continues a conversation, and answers with pieces of text and others instead of documents."""

    def takes(self, keyword: str) -> bool:
        """Whether the method can be called with that keyword."""
        return self.accepts is None or keyword in self.accepts

    @property
    def where(self) -> str:
        """The method with file and line, for messages."""
        return describe(self.function)


class FunctionWithSchema(NamedTuple):
    """What an Executor's `_requests` holds for an endpoint; assign another one in `__init__` to change its types.

    `request_schema` and `response_schema` are `DocList[...]` (or DocumentArray) for a method that takes `docs`, a
    document class for one that takes `doc`, and the class of one input or answer for a method of plain types. Class
    and fields are those of Jina 3.
    """

    fn: Callable[..., Any]
    is_generator: bool
    is_batch_docs: bool
    is_singleton_doc: bool
    parameters_is_pydantic_model: bool
    parameters_model: Any
    request_schema: Any = None
    response_schema: Any = None

    @classmethod
    def get_function_with_schema(cls, fn: Callable[..., Any]) -> Self:
        """What the annotations of a method say."""
        return cls.of(fn, marks_of(fn) or Marks())

    @classmethod
    def of(cls, function: Callable[..., Any], marks: Marks) -> Self:
        """What annotations and decorator say."""
        is_generator = streams(function, marks)
        is_single = is_generator or "doc" in named(function)
        found = types_of(function, marks)

        def schema(kind: Any) -> Any:
            from docarray import DocList

            from jina.documents import Document, DocumentArray

            if found.plain is not None:
                return kind
            return kind if is_single else DocumentArray if kind is Document else DocList[kind]

        return cls(
            fn=function,
            is_generator=is_generator,
            is_batch_docs=not is_single,
            is_singleton_doc=is_single,
            parameters_is_pydantic_model=found.parameters_model is not None,
            parameters_model=found.parameters_model,
            request_schema=schema(found.input_type),
            response_schema=schema(found.output_type),
        )


def functions_with_schemas(executor: binding.Bound) -> dict[str, FunctionWithSchema]:
    """The methods of an Executor by endpoint, with their types."""
    notes = binding.marked(type(executor))
    return {path: FunctionWithSchema.of(*_function_of(method, notes)) for path, method in executor.requests.items()}


class EndpointTable:
    """All endpoints of one Executor instance.

    Made once, after construction. Raises `ExecutorDefinitionError` or `ConfigError` for whatever is wrong with
    the class, naming method, file and line.
    """

    def __init__(self, executor: binding.Bound) -> None:
        self._name = type(executor).__name__
        self._endpoints = _build(executor)
        self.offers = {one.path: _offered_endpoint(one) for one in offers_of(executor)}
        """The resources and prompts, which are no part of the table's endpoints."""

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints.values())

    def __len__(self) -> int:
        return len(self._endpoints)

    def __contains__(self, path: object) -> bool:
        return path in self._endpoints

    @property
    def passthrough(self) -> bool:
        """True for an Executor without any endpoint: documents come back as they are."""
        return not self._endpoints

    def resolve(self, path: str) -> Endpoint:
        """The endpoint that answers `path`: its own, else `/default`.

        Raises `EndpointNotFound`, which lists what exists and names the nearest.
        """
        if is_offer(path):
            if (offer := self.offers.get(path)) is not None:
                return offer
            raise EndpointNotFound(f"{self._name} has no resource or prompt {quoted(path)}")
        found = self._endpoints.get(path) or self._endpoints.get(path.removeprefix("/"))
        found = found or self._endpoints.get(DEFAULT_ENDPOINT)
        if found is not None:
            return found
        if self.passthrough:
            return _passthrough_endpoint()
        near = nearest(path, self._endpoints)
        hint = f"; did you mean {near!r}?" if near else ""
        raise EndpointNotFound(
            f"{self._name} has no endpoint {quoted(path)}{hint}",
            help=f"endpoints: {', '.join(sorted(self._endpoints))}",
        )


def check_types(cls: type) -> None:
    """Read the annotations of all endpoints of a class, so that mistakes show before the constructor runs."""
    for name, marks in binding.marked(cls).items():
        if marks.on is not None:
            types_of(getattr(cls, name), marks)


def _build(executor: binding.Bound) -> dict[str, Endpoint]:
    cls = type(executor)
    notes = binding.marked(cls)
    options = executor.dynamic_batching
    declared: Mapping[str, FunctionWithSchema] = vars(executor).get("_requests") or {}
    requests = {**executor.requests, **_other_functions(executor, declared)}
    methods = {getattr(method, "__name__", "") for method in requests.values()}
    check_keys(options, requests, methods | notes.keys(), cls)
    table: dict[str, Endpoint] = {}
    for path, method in requests.items():
        if not inspect.ismethod(method):
            raise ExecutorDefinitionError(f"requests[{path!r}] is {method!r}; bind it to a method of the Executor")
        table[path] = _endpoint(path, method, notes, options, declared.get(path))
    return table


def _other_functions(executor: binding.Bound, declared: Mapping[str, FunctionWithSchema]) -> dict[str, Any]:
    """The endpoints that `_requests` gives other functions than `requests`."""
    others = {}
    for path, entry in declared.items():
        if not isinstance(entry, FunctionWithSchema):
            raise ExecutorDefinitionError(
                f"_requests[{path!r}] of {type(executor).__name__} is {entry!r}; it has to be a _FunctionWithSchema"
            )
        if getattr(executor.requests.get(path), "__func__", None) is not entry.fn:
            others[path] = types.MethodType(entry.fn, executor)
    return others


def _function_of(method: Any, notes: Mapping[str, Marks]) -> tuple[Callable[..., Any], Marks]:
    function = method.__func__
    return function, marks_of(function) or notes.get(getattr(method, "__name__", "")) or Marks()


def _types(function: Any, marks: Marks, declared: FunctionWithSchema | None) -> Types:
    """What annotations and decorator say, or what the Executor has put into `_requests` instead."""
    if declared is None:
        return types_of(function, marks)
    own = FunctionWithSchema.of(function, marks)
    schemas = {"request_schema": declared.request_schema, "response_schema": declared.response_schema}
    given = {name: one for name, one in schemas.items() if one is not None and not _is_same(one, getattr(own, name))}
    found = types_of(function, replace(marks, **given))
    model = declared.parameters_model if declared.parameters_is_pydantic_model else None
    return replace(found, parameters_model=model)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two types are the same; models of arguments are made each time that a signature is read."""
    if one == other:
        return True
    fields, others = getattr(one, "model_fields", None), getattr(other, "model_fields", ())
    return fields is not None and one.__qualname__ == other.__qualname__ and repr(fields) == repr(others)


def _endpoint(
    path: str,
    method: Any,
    notes: dict[str, Marks],
    options: dict[str, dict[str, Any]],
    declared: FunctionWithSchema | None,
) -> Endpoint:
    name = getattr(method, "__name__", "")
    function, marks = _function_of(method, notes)
    check_handler(function)
    found = _types(function, marks, declared)
    is_async, is_generator = kind_of(function)[0], streams(function, marks)
    chat = chat_parameter(function)
    taken, accepted = named(function), accepts(function)
    if chat is not None:
        method = answering(method, chat, is_async=is_async, is_generator=is_generator)
        is_generator, taken = True, (taken - {chat}) | {"doc"}
        accepted = None if accepted is None else (accepted - {chat}) | {"doc"}
    is_single = not found.plain.takes_many if found.plain is not None else is_generator or "doc" in taken
    _check_reserved(path, function, by_get="GET" in marks.methods or (is_generator and not marks.methods))
    batching = batching_for(options, path, name, f"{path!r} of {describe(function)}")
    if batching is not None:
        _check_batching(function, found.plain, is_generator=is_generator)
    return Endpoint(
        path=path,
        method_name=name,
        function=method,
        is_async=is_async,
        is_generator=is_generator,
        is_single=is_single,
        input_type=found.input_type,
        output_type=found.output_type,
        parameters_model=found.parameters_model,
        parameters_optional=found.parameters_optional,
        is_write=binding.is_write(notes, method),
        is_safe=marks.safe,
        methods=marks.methods,
        concurrency=marks.concurrency,
        batching=batching,
        accepts=accepted,
        names=taken,
        clock_and_seed=clock_and_seed_of(function),
        description=inspect.getdoc(function) or "",
        plain=found.plain,
        slots=marks.slots,
        gives_deltas=chat is not None or (marks.slots is not None and takes_chat(found.input_type)),
    )


def _check_batching(function: Any, plain: PlainCall | None, *, is_generator: bool) -> None:
    """Raise `ExecutorDefinitionError` for a method whose requests cannot be gathered."""
    if is_generator:
        raise ExecutorDefinitionError(
            f"{describe(function)} yields; batches cannot be made of streams", help="leave out @dynamic_batching"
        )
    if plain is not None:
        _check_batched(function, plain)
    if "headers" in named(function):
        raise ExecutorDefinitionError(
            f"{describe(function)} takes `headers`, but a batch is made of several requests, each with its own",
            help="leave out `headers`, or @dynamic_batching",
        )


def _check_batched(function: Any, plain: PlainCall) -> None:
    """Raise for a method of plain types that cannot answer a batch: a list for a list, with one for each."""
    if not plain.takes_many:
        what = (
            f"`docs: list[...]` instead of {plain.keyword!r}"
            if plain.keyword
            else "`docs: list[Input]`, with a class of the arguments"
        )
        raise ExecutorDefinitionError(
            f"{describe(function)} has @dynamic_batching, but gets one input after the other",
            help=f"write {what}, and `-> list[...]` with one answer for each",
        )
    if plain.gives == "one" and not plain.gives_none:
        raise ExecutorDefinitionError(
            f"{describe(function)} has @dynamic_batching, but gives one answer for a list of inputs, which belong to"
            " several requests",
            help="write `-> list[...]`, with one answer for each input",
        )


def _check_reserved(path: str, function: Any, *, by_get: bool) -> None:
    slashed = path if path.startswith("/") else f"/{path}"
    if slashed in RESERVED or (by_get and slashed in RESERVED_FOR_GET):
        raise ExecutorDefinitionError(
            f"the endpoint {path!r} of {describe(function)} collides with the route {slashed!r} that every server"
            " answers itself",
            help="choose another `on=`, or bind the method elsewhere with uses_requests",
        )


def _offered_endpoint(offer: OfferedMethod) -> Endpoint:
    from jina.documents import Document

    return Endpoint(
        path=offer.path,
        method_name=offer.method_name,
        function=offer.function,
        is_async=offer.is_async,
        is_generator=False,
        is_single=True,
        input_type=Document,
        output_type=Document,
        parameters_model=None,
        parameters_optional=False,
        is_write=False,
        is_safe=True,
        methods=(),
        concurrency=None,
        batching=None,
        accepts=frozenset({"doc", "parameters", "headers"}),
        names=frozenset({"doc", "parameters", "headers"}),
        description=str(offer.description.get("description", "")),
        offer=offer.description,
    )


@functools.cache
def _passthrough_endpoint() -> Endpoint:
    from jina.documents import Document

    def unchanged(docs: Any, **_: Any) -> None:
        """Documents come back as they are."""
        del docs

    return Endpoint(
        path=DEFAULT_ENDPOINT,
        method_name="",
        function=unchanged,
        is_async=False,
        is_generator=False,
        is_single=False,
        input_type=Document,
        output_type=Document,
        parameters_model=None,
        parameters_optional=False,
        is_write=False,
        is_safe=True,
        methods=(),
        concurrency=None,
        batching=None,
        accepts=None,
        names=frozenset({"docs"}),
        description=unchanged.__doc__ or "",
    )
