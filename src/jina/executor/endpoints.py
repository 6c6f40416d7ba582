"""The endpoint table of an Executor: which method answers which path, with which types and options of batching."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from jina.errors import ConfigError, EndpointNotFound, ExecutorDefinitionError, nearest, quoted
from jina.executor import binding
from jina.executor.decorators import (
    DEFAULT_ENDPOINT,
    Marks,
    accepts,
    check_handler,
    clock_and_seed_of,
    describe,
    kind_of,
    location,
    marks_of,
    named,
)

_GENERATORS: tuple[Any, ...] = (
    collections.abc.Generator,
    collections.abc.AsyncGenerator,
    collections.abc.Iterator,
    collections.abc.AsyncIterator,
    collections.abc.Iterable,
    collections.abc.AsyncIterable,
)
_NOTHING = (inspect.Parameter.empty, Any, object)


@dataclass(frozen=True, slots=True)
class Types:
    """Document classes of an endpoint, and the pydantic model of its parameters if it has one."""

    input_type: Any
    output_type: Any
    parameters_model: Any | None
    parameters_optional: bool


def types_of(function: Any, marks: Marks) -> Types:
    """The types of a handler; raises `ExecutorDefinitionError` naming the method and what is wrong."""
    from jina.documents import Document

    names = named(function)
    is_generator = kind_of(function)[1]
    if is_generator and "docs" in names:
        raise ExecutorDefinitionError(
            f"{describe(function)} yields, so it answers one document with many: name its parameter `doc`, not `docs`"
        )
    reader = _Reader(function, marks)
    is_single = "doc" in names or is_generator
    given = marks.request_schema
    if given is not None:
        input_type = reader.schema_argument("request_schema", given)
    elif "doc" in names:
        input_type = reader.document("doc", reader.annotation("doc"), Document)
    else:
        input_type = reader.documents("docs", reader.annotation("docs"), Document)
    if marks.response_schema is not None:
        output_type = reader.schema_argument("response_schema", marks.response_schema)
    else:
        returned = reader.annotation("return")
        if is_generator:
            returned = _yielded(returned)
        output_type = reader.returned(returned, input_type, Document, is_single=is_single)
    model, optional = reader.parameters(reader.annotation("parameters"))
    return Types(input_type, output_type, model, optional)


class _Reader:
    def __init__(self, function: Any, marks: Marks) -> None:
        self._function = inspect.unwrap(function)
        self._where = describe(function)
        self._marks = marks

    def annotation(self, name: str) -> Any:
        """The annotation with all text in it resolved, or `inspect.Parameter.empty`."""
        try:
            raw = getattr(self._function, "__annotations__", {}).get(name, inspect.Parameter.empty)
        except NameError as error:
            raise self._unresolved("the annotations", error) from None
        if raw is inspect.Parameter.empty or isinstance(raw, type):
            return raw
        if type(raw) is types.GenericAlias and any(isinstance(part, str) for part in raw.__args__):
            # typing hands all arguments to DocList as one tuple, which docarray refuses.
            origin = typing.cast("type", raw.__origin__)
            return types.GenericAlias(origin, tuple(self._resolved(name, part) for part in raw.__args__))
        return self._resolved(name, raw)

    def _resolved(self, name: str, raw: Any) -> Any:
        carrier = types.SimpleNamespace(__annotations__={name: raw})
        namespace = {**vars(typing), **self._function.__globals__}
        try:
            return typing.get_type_hints(carrier, globalns=namespace, localns=self._marks.namespace)[name]
        except NameError as error:
            raise self._unresolved(f"the annotation {raw!r} of {name!r}", error) from None
        except Exception as error:
            raise ExecutorDefinitionError(
                f"{self._where}: the annotation {raw!r} of {name!r} cannot be read: {error}"
            ) from error

    def _unresolved(self, what: str, error: NameError) -> ExecutorDefinitionError:
        return ExecutorDefinitionError(
            f"{self._where}: {what} cannot be resolved: {error}",
            help="import the name at the top of the module, not under `if TYPE_CHECKING:`",
        )

    def document(self, name: str, annotation: Any, schemaless: Any) -> Any:
        """The class of one document."""
        for kind in _alternatives(annotation):
            if kind in _NOTHING:
                return schemaless
            if _is_document(kind):
                return kind
            if _item_type(kind, schemaless) is not None:
                raise ExecutorDefinitionError(
                    f"{self._where}: {name!r} gets one document after the other, but is annotated {_show(annotation)};"
                    " name it `docs` to get all of a request"
                )
        raise self._no_document(name, annotation, "a document class (docarray.BaseDoc)")

    def documents(self, name: str, annotation: Any, schemaless: Any) -> Any:
        """The class of the documents of a list."""
        for kind in _alternatives(annotation):
            if kind in _NOTHING:
                return schemaless
            if (item := _item_type(kind, schemaless)) is not None:
                return item
            if _is_document(kind):
                raise ExecutorDefinitionError(
                    f"{self._where}: {name!r} gets all documents of a request, but is annotated {_show(annotation)};"
                    f" write `{name}: DocList[{_show(kind)}]`, or name it `doc`"
                )
        raise self._no_document(name, annotation, "DocList[...] or DocumentArray")

    def schema_argument(self, name: str, given: Any) -> Any:
        """The class that `@requests(request_schema=...)` names, as such or inside a DocList."""
        from jina.documents import Document

        item = given if _is_document(given) else _item_type(given, Document)
        if item is None:
            where = f"@requests({name}=...)"
            raise self._no_document(where, given, "a document class (docarray.BaseDoc) or DocList[...]")
        return item

    def returned(self, annotation: Any, input_type: Any, schemaless: Any, *, is_single: bool) -> Any:
        """The class of the documents that come back.

        Without an annotation nothing is known, so anything may; None and dictionaries leave the input in place.
        """
        if annotation in _NOTHING:
            return schemaless
        for kind in _alternatives(annotation):
            item = _item_type(kind, schemaless)
            if is_single and _is_document(kind):
                return kind
            if not is_single and item is not None:
                return item
            if _is_document(kind) or item is not None:
                raise self._wrong_number(annotation, kind if item is None else item, is_single=is_single)
        if all(_is_mapping(kind) or kind is type(None) for kind in (_alternatives(annotation) or [type(None)])):
            return input_type
        raise self._no_document("return", annotation, "a document" if is_single else "DocList[...], dict or None")

    def parameters(self, annotation: Any) -> tuple[Any | None, bool]:
        """The pydantic model of the parameters (or None) and whether it may be absent."""
        kinds = _alternatives(annotation)
        for kind in kinds:
            if _is_model(kind):
                return kind, kind is not annotation and type(None) in _members(annotation)
        if all(kind in _NOTHING or _is_mapping(kind) for kind in kinds):
            return None, False
        made, what = _class_like_a_document(kinds[0]) if len(kinds) == 1 else ("", "")
        raise ExecutorDefinitionError(
            f"{self._where}: parameters is annotated {_show(annotation)}{what}; it has to be dict or a pydantic model",
            help=f"write `class {made or 'Parameters'}(pydantic.BaseModel)` with"
            f" {'the same fields' if made else 'a field for each parameter'}, and `parameters: {made or 'Parameters'}`",
        )

    def _wrong_number(self, annotation: Any, item: Any, *, is_single: bool) -> ExecutorDefinitionError:
        """One document instead of a list, or the other way round."""
        shown = _show(item)
        if is_single:
            wanted, instead = "one document (or None)", f"write `-> {shown}`, or name the parameter `docs`"
        else:
            wanted, instead = "DocList[...], dict or None", f"write `-> DocList[{shown}]`, or name the parameter `doc`"
        return ExecutorDefinitionError(
            f"{self._where}: return is annotated {_show(annotation)}; it has to be {wanted}", help=instead
        )

    def _no_document(self, name: str, annotation: Any, wanted: str) -> ExecutorDefinitionError:
        """What is annotated is neither a document nor a list of documents."""
        kinds = _alternatives(annotation)
        item, is_list = _item_of_list(kinds[0] if len(kinds) == 1 else Any)
        made, what = _class_like_a_document(item)
        steps = []
        if made:
            steps.append(f"declare `class {made}(docarray.BaseDoc)`, with the same fields")
        elif not _is_document(item):
            made = "Output" if name == "return" else "Input"
            steps.append(f"declare `class {made}(docarray.BaseDoc)` with a field such as `text: str`")
        one, many = made or _show(item), f"DocList[{made or _show(item)}]"
        if name == "doc" and is_list:
            steps.append(f"write `docs: {many}` for all documents of a request, `doc: {one}` for one after the other")
        elif name in {"doc", "docs"}:
            steps.append(f"write `{name}: {many if name == 'docs' else one}`")
        elif name == "return":
            steps.append(f"write `-> {many if 'DocList' in wanted else one}`")
        else:
            steps.append(f"write `{name.replace('...', many if is_list else one)}`")
        origin = " (from docarray import DocList)" if "DocList" in steps[-1] else ""
        return ExecutorDefinitionError(
            f"{self._where}: {name} is annotated {_show(annotation)}{what}; it has to be {wanted}",
            help="; ".join(steps) + origin,
        )


_LISTS = (list, tuple, set, frozenset, collections.abc.Iterable)


def _item_of_list(kind: Any) -> tuple[Any, bool]:
    """The class of the items of a list class that holds no documents for us, such as `list[X]`, and that it is one."""
    from docarray import DocVec

    origin = typing.get_origin(kind) or kind
    if not isinstance(origin, type) or issubclass(origin, (str, bytes, Mapping)) or typing.is_typeddict(origin):
        return kind, False
    if issubclass(origin, DocVec):
        return getattr(origin, "doc_type", Any), True
    if origin in _LISTS or (typing.get_origin(kind) is not None and issubclass(origin, _LISTS)):
        return (typing.get_args(kind) or (Any,))[0], True
    return kind, False


def _class_like_a_document(kind: Any) -> tuple[str, str]:
    """The name of a class with fields that is no document, and what it is; nothing for all others."""
    if not isinstance(kind, type) or _is_document(kind):
        return "", ""
    if _is_model(kind):
        return kind.__name__, f" ({kind.__name__} is a pydantic model)"
    if dataclasses.is_dataclass(kind):
        return kind.__name__, f" ({kind.__name__} is a dataclass)"
    if typing.is_typeddict(kind):
        return kind.__name__, f" ({kind.__name__} is a TypedDict)"
    return "", ""


def _members(annotation: Any) -> list[Any]:
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return [part for kind in typing.get_args(annotation) for part in _members(kind)]
    return [annotation]


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None; a plain annotation alone."""
    return [kind for kind in _members(annotation) if kind is not type(None) and kind is not None]


def _yielded(annotation: Any) -> Any:
    if typing.get_origin(annotation) in _GENERATORS:
        return (typing.get_args(annotation) or (Any,))[0]
    if annotation in _GENERATORS or annotation in {typing.Generator, typing.AsyncGenerator}:
        return Any
    return annotation


def _is_document(kind: Any) -> bool:
    from docarray import BaseDoc

    return isinstance(kind, type) and issubclass(kind, BaseDoc)


def _is_model(kind: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_mapping(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    return typing.is_typeddict(kind) or (isinstance(origin, type) and issubclass(origin, Mapping))


def _item_type(kind: Any, schemaless: Any) -> Any | None:
    """The document class of a list class such as `DocList[T]` or `DocumentArray`; None for other classes."""
    from docarray import BaseDoc, DocList

    origin = typing.get_origin(kind) or kind
    if not isinstance(origin, type) or not issubclass(origin, DocList):
        return None
    for argument in typing.get_args(kind):
        if isinstance(argument, type) and issubclass(argument, BaseDoc):
            return argument
    item = getattr(origin, "doc_type", None)
    return item if isinstance(item, type) and issubclass(item, BaseDoc) and _has_fields(item) else schemaless


def _has_fields(item: Any) -> bool:
    from docarray.base_doc import AnyDoc

    return item is not AnyDoc


def _show(annotation: Any) -> str:
    """The annotation as it is written, without the modules of its classes."""
    arguments = typing.get_args(annotation)
    if not arguments:
        return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        return " | ".join("None" if part is type(None) else _show(part) for part in arguments)
    if isinstance(origin, type):
        written = ", ".join("..." if part is ... else _show(part) for part in arguments)
        return f"{origin.__qualname__.partition('[')[0]}[{written}]"
    return str(annotation)


@dataclass(frozen=True, slots=True)
class Batching:
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
_NAMES = frozenset({*(field.name for field in fields(Batching)), _SWITCH})


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


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One path and the method that answers it.

    `input_type` and `output_type` are document classes (`jina.documents.Document` where nothing is known).
    `accepts` are the keywords that the method takes, None for all; `names` those that it names itself.
    `concurrency` is how many calls the method allows at once, None where it does not say. `is_single`: called with
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
    concurrency: int | None
    batching: Batching | None
    accepts: frozenset[str] | None
    names: frozenset[str]
    description: str
    clock_and_seed: frozenset[str] = frozenset()
    """Those of `now` and `seed` that the method asks for."""

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
    document class for one that takes `doc`. Class and fields are those of Jina 3.
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
        is_generator = kind_of(function)[1]
        is_single = is_generator or "doc" in named(function)
        found = types_of(function, marks)

        def schema(kind: Any) -> Any:
            from docarray import DocList

            from jina.documents import Document, DocumentArray

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
    schemas = {"request_schema": declared.request_schema, "response_schema": declared.response_schema}
    given = {name: schema for name, schema in schemas.items() if schema is not None}
    found = types_of(function, dataclasses.replace(marks, **given))
    model = declared.parameters_model if declared.parameters_is_pydantic_model else None
    return dataclasses.replace(found, parameters_model=model)


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
    is_async, is_generator = kind_of(function)
    _check_reserved(path, function, is_generator=is_generator)
    batching = batching_for(options, path, name, f"{path!r} of {describe(function)}")
    if batching is not None and is_generator:
        raise ExecutorDefinitionError(f"{describe(function)} yields; batches cannot be made of streams")
    if batching is not None and "headers" in named(function):
        raise ExecutorDefinitionError(
            f"{describe(function)} takes `headers`, but a batch is made of several requests, each with its own",
            help="leave out `headers`, or @dynamic_batching",
        )
    return Endpoint(
        path=path,
        method_name=name,
        function=method,
        is_async=is_async,
        is_generator=is_generator,
        is_single=is_generator or "doc" in named(function),
        input_type=found.input_type,
        output_type=found.output_type,
        parameters_model=found.parameters_model,
        parameters_optional=found.parameters_optional,
        is_write=binding.is_write(notes, method),
        is_safe=marks.safe,
        concurrency=marks.concurrency,
        batching=batching,
        accepts=accepts(function),
        names=named(function),
        clock_and_seed=clock_and_seed_of(function),
        description=inspect.getdoc(function) or "",
    )


def _check_reserved(path: str, function: Any, *, is_generator: bool) -> None:
    slashed = path if path.startswith("/") else f"/{path}"
    if slashed in RESERVED or (is_generator and slashed in RESERVED_FOR_GET):
        raise ExecutorDefinitionError(
            f"the endpoint {path!r} of {describe(function)} collides with the route {slashed!r} that every server"
            " answers itself",
            help="choose another `on=`, or bind the method elsewhere with uses_requests",
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
        concurrency=None,
        batching=None,
        accepts=None,
        names=frozenset({"docs"}),
        description=unchanged.__doc__ or "",
    )
