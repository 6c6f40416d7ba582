"""The decorators of the contract: `requests`, `write`, `dynamic_batching`, `continuous_batching`, `monitor`.

All but the last only leave a note on the function, so that `MyExecutor().foo(docs=docs)` is a plain call and
the order of decorators does not matter. What the notes mean is decided when the class is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, overload

import msgspec

from jina.errors import ExecutorDefinitionError, nearest
from jina.executor.chat import chat_parameter

CLOCK_AND_SEED = ("now", "seed")
"""Keywords that only a method is called with that names them and gives no default."""
PASSED = ("docs", "doc", "parameters", "docs_matrix", "docs_map", "tracing_context", "headers", *CLOCK_AND_SEED)
"""Keywords that a method may be called with; `headers` only where the method names it."""
INJECTED = ("metas", "requests", "runtime_args")
"""Keywords that the constructor must take by name when it has no `**kwargs`."""


def location(thing: Any) -> str:
    """`file:line` of a function or class, or `<unknown>`; for errors only, as that of a class reads its source."""
    code = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__code__", None)
    if code is not None:
        return f"{_short(code.co_filename)}:{code.co_firstlineno}"
    try:
        return f"{_short(inspect.getsourcefile(thing) or '<unknown>')}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return "<unknown>"


def _short(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):
        return path
    return path if path.startswith("<") or relative.startswith("..") else relative


def describe(function: Any) -> str:
    """`MyExecutor.foo (file.py:12)`."""
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{name.rpartition('<locals>.')[2]} ({location(function)})"


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """The parameters without `self`; raises `ExecutorDefinitionError` where Python cannot tell them."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ExecutorDefinitionError(f"{describe(function)} has no readable signature: {error}") from None
    return parameters[1:]


def kind_of(function: Any) -> tuple[bool, bool]:
    """Whether the method is asynchronous, and whether it yields; decorators of the user are looked through."""
    layers = [function]
    while (inner := getattr(layers[-1], "__wrapped__", None)) is not None:
        layers.append(inner)
    is_async = any(inspect.iscoroutinefunction(layer) or inspect.isasyncgenfunction(layer) for layer in layers)
    yields = any(inspect.isgeneratorfunction(layer) or inspect.isasyncgenfunction(layer) for layer in layers)
    return is_async, yields


def accepts(function: Any) -> frozenset[str] | None:
    """The keywords that a method takes, or None when it has `**kwargs`."""
    parameters = parameters_of(function)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def named(function: Any) -> frozenset[str]:
    """The parameters that a method names, without `**kwargs`."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(p.name for p in parameters_of(function) if p.kind in kinds)


def takes_slots(function: Any) -> bool:
    """Whether the method is a step over the running streams (`@continuous_batching`)."""
    return "slots" in named(function)


def streams(function: Any, marks: Marks | None = None) -> bool:
    """Whether the method answers one document with many."""
    return kind_of(function)[1] or (marks is not None and marks.slots is not None) or takes_slots(function)


def clock_and_seed_of(function: Any) -> frozenset[str]:
    """Those of `now` and `seed` that a method asks for."""
    return frozenset(p.name for p in parameters_of(function) if p.name in CLOCK_AND_SEED and p.default is p.empty)


def check_handler(function: Any) -> None:
    """Raise `ExecutorDefinitionError` when the method cannot be called with the keywords of a request."""
    _check_self(function)
    if (chat := chat_parameter(function)) is not None:
        _check_chat(function, chat)
        return
    if takes_slots(function):
        _check_step(function)
        return
    names = named(function)
    if {"doc", "docs"} <= names:
        raise ExecutorDefinitionError(
            f"{describe(function)} takes both `doc` and `docs`; `docs` gets all documents of a request, `doc` one"
            " after the other",
            help="leave out one of them",
        )
    if _may_be_plain(function):
        for parameter in parameters_of(function):
            check_keyword(function, parameter)
    else:
        check_documents_handler(function)


def _may_be_plain(function: Any) -> bool:
    """Whether annotations may say that the method takes or gives plain types, which is known once they are resolved."""
    annotations = getattr(inspect.unwrap(function), "__annotations__", {})
    inputs = [one for one in parameters_of(function) if not has_meaning(one) and one.kind is not one.VAR_KEYWORD]
    if not inputs:
        return accepts(function) is not None and "return" in annotations
    marks = marks_of(function)
    if marks is not None and names_plain(marks.request_schema):
        return True
    documents = [one.name for one in inputs if one.name in {"doc", "docs"}]
    if any(name not in annotations or _is_docarrays(annotations[name]) for name in documents):
        return False
    return any(one.name in annotations for one in inputs)


def names_plain(schema: Any) -> bool:
    """Whether `request_schema` or `response_schema` of `@requests` is a type other than documents."""
    is_type = isinstance(schema, type | types.GenericAlias | types.UnionType) or typing.get_origin(schema) is not None
    return is_type and not _is_docarrays(schema)


def _is_docarrays(annotation: Any) -> bool:
    """Whether an annotation is a class of documents, or a list of them; told without importing docarray."""
    if not isinstance(annotation, type) or getattr(annotation, "is_file", False) is True:
        return False
    return any(base.__module__.startswith("docarray.") for base in annotation.__mro__)


def has_meaning(parameter: inspect.Parameter) -> bool:
    """Whether a parameter gets something else than the input of a request, by its name."""
    name = parameter.name
    if name in CLOCK_AND_SEED:
        return parameter.default is parameter.empty
    return name in PASSED and name not in {"doc", "docs"}


def check_documents_handler(function: Any) -> None:
    """Raise `ExecutorDefinitionError` unless a method that takes documents as in Jina 3 takes all that is passed."""
    names, everything = named(function), accepts(function) is None
    for parameter in parameters_of(function):
        _check_parameter(function, parameter)
    expected = {"docs", "parameters", "docs_matrix"} - ({"docs"} if "doc" in names else set())
    if not everything and expected - names:
        missing = ", ".join(sorted(expected - names))
        raise ExecutorDefinitionError(
            f"{describe(function)} lacks **kwargs in its signature (it does not take {missing} either)",
            help=f"write it as `{_with_kwargs(function)}`",
        )


def _check_chat(function: Any, chat: str) -> None:
    for parameter in parameters_of(function):
        if parameter.name != chat:
            _check_parameter(function, parameter)
    if (other := ({"doc", "docs"} - {chat}) & named(function)) != set():
        raise ExecutorDefinitionError(
            f"{describe(function)} takes a conversation as {chat!r}, and {other.pop()!r} besides",
            help="leave out one of them: a request has one conversation, and nothing else",
        )


def _check_self(function: Any) -> None:
    """Methods are called on the Executor, so that a first parameter `docs` would get the Executor."""
    first = next(iter(inspect.signature(function).parameters.values()), None) if callable(function) else None
    is_input = first is not None and (
        first.name in PASSED or (first.name != "self" and first.annotation is not first.empty)
    )
    if first is None or (is_input and first.kind is not first.VAR_KEYWORD):
        others = f"{first.name if first else 'docs'}, **kwargs)"
        if first is not None and first.name not in PASSED:
            others = re.sub(r"\b\w[\w.]*\.(\w+)", r"\1", str(inspect.signature(function))[1:])  # without modules
        raise ExecutorDefinitionError(
            f"{describe(function)} lacks `self`, the Executor that methods are called on: its first parameter is"
            f" {repr(first.name) if first else 'missing'}",
            help=f"write it as `def {function.__name__}(self, {others}`",
        )


def _check_step(function: Any) -> None:
    """A step is called with `slots` alone: each of them has what its request came with."""
    for parameter in parameters_of(function):
        optional = parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if optional or (parameter.name == "slots" and parameter.kind is not parameter.POSITIONAL_ONLY):
            continue
        raise ExecutorDefinitionError(
            f"{describe(function)} is called with `slots` alone, and has a parameter {parameter.name!r}",
            help="leave it out: each slot has the `doc`, `parameters` and `headers` of its request",
        )
    if kind_of(function)[1]:
        raise ExecutorDefinitionError(
            f"{describe(function)} takes `slots` and yields",
            help="call `slot.emit(output)` for each output, and return when the step is done",
        )


def _with_kwargs(function: Any) -> str:
    """The head of the method with `**kwargs`, and with `docs` where it takes no documents."""
    takes = [parameter.name for parameter in parameters_of(function) if parameter.default is parameter.empty]
    documents = [] if {"doc", "docs"} & named(function) else ["docs"]
    return f"def {function.__name__}({', '.join(['self', *documents, *takes, '**kwargs'])})"


def _check_parameter(function: Any, parameter: inspect.Parameter) -> None:
    if parameter.default is not parameter.empty or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return
    name = parameter.name
    check_keyword(function, parameter)
    if name in PASSED:
        return
    near = nearest(name, PASSED)
    hint = f"; did you mean {near!r}?" if near else f"; requests carry {', '.join(PASSED)}"
    raise ExecutorDefinitionError(
        f"parameter {name!r} of {describe(function)} has no default, and no request carries it{hint}",
        help=_where_it_comes_from(function, parameter),
    )


def check_keyword(function: Any, parameter: inspect.Parameter) -> None:
    """Raise `ExecutorDefinitionError` for a parameter that cannot be passed by its name."""
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ExecutorDefinitionError(
            f"parameter {parameter.name!r} of {describe(function)} is positional-only, but methods are called with"
            " keywords",
            help="leave out the `/` in its signature",
        )


def _where_it_comes_from(function: Any, parameter: inspect.Parameter) -> str:
    """What to write for a parameter that is no part of a request."""
    name, annotation = parameter.name, parameter.annotation
    if hasattr(annotation, "model_fields"):  # a document or another model, told without importing pydantic
        return f"a document is the parameter `doc`: write `doc: {annotation.__name__}`, a class of docarray.BaseDoc"
    kind = getattr(annotation, "__name__", None) or str(annotation)
    written = "str" if annotation is parameter.empty else kind
    return (
        f"make it a field of a document, `class Input(docarray.BaseDoc)` with `{name}: {written}`, and write"
        f" `doc: Input`; or write `def {function.__name__}(self, docs, parameters, **kwargs)` and use"
        f" parameters[{name!r}]"
    )


def check_init(cls: type) -> None:
    """Raise `ExecutorDefinitionError` unless the constructor takes what is injected."""
    init: Any = getattr(cls, "__init__")  # noqa: B009 - mypy distrusts the plain access
    if not hasattr(init, "__code__"):
        return
    parameters = parameters_of(init)
    if any(p.kind is p.VAR_KEYWORD for p in parameters) or set(INJECTED) <= {p.name for p in parameters}:
        return
    written = ", ".join(["self", *(str(p) for p in parameters), "**kwargs"])
    raise ExecutorDefinitionError(
        f"{describe(init)} lacks **kwargs in its signature: metas, requests and runtime_args of {cls.__name__} are"
        " passed through it",
        help=f"write `def __init__({written})` and call `super().__init__(**kwargs)`",
    )


DEFAULT_ENDPOINT = "/default"
_ATTRIBUTE = "__jina_marks__"
F = TypeVar("F", bound=Callable[..., Any])


class ContinuousBatching(msgspec.Struct, frozen=True):
    """How streams share the steps of a method; `stall_timeout` is in milliseconds."""

    slots: int
    admit_per_step: int | None = None
    stall_timeout: float = 10_000


class Marks(msgspec.Struct):
    """What the decorators noted on one function.

    `on` is None for a function that is no endpoint. `namespace` holds the names of enclosing functions that
    the annotations need, filled when the class is created.
    """

    on: tuple[str, ...] | None = None
    request_schema: Any = None
    response_schema: Any = None
    write: bool = False
    safe: bool = False
    methods: tuple[str, ...] = ()
    concurrency: int | None = None
    batching: dict[str, Any] | None = None
    slots: ContinuousBatching | None = None
    namespace: dict[str, Any] = msgspec.field(default_factory=dict)


def marks_of(function: Any) -> Marks | None:
    """The notes on a function, or None."""
    marks = getattr(function, _ATTRIBUTE, None)
    return marks if isinstance(marks, Marks) else None


def _mark(function: Any, decorator: str) -> Marks:
    if isinstance(function, (staticmethod, classmethod)) or not callable(function):
        kind = type(function).__name__
        raise ExecutorDefinitionError(f"@{decorator} decorates methods of an Executor, not a {kind}")
    marks = marks_of(function)
    if marks is None:
        marks = Marks()
        try:
            setattr(function, _ATTRIBUTE, marks)
        except AttributeError:
            raise ExecutorDefinitionError(f"@{decorator} cannot decorate {describe(function)}") from None
    return marks


def _endpoints(on: Any, function: Any) -> tuple[str, ...]:
    if on is None:
        return (DEFAULT_ENDPOINT,)
    names = (on,) if isinstance(on, str) else tuple(on) if isinstance(on, (list, tuple, set, frozenset)) else None
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ExecutorDefinitionError(
            f"@requests(on={on!r}) of {describe(function)}: `on` is an endpoint such as '/index', or a list of them"
        )
    return names


def _count(concurrency: Any, function: Any) -> int:
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise ExecutorDefinitionError(
            f"@requests(concurrency={concurrency!r}) of {describe(function)}: it is a whole number, 1 or more"
        )
    return concurrency


HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""By which an endpoint can be served."""


def _http_methods(methods: Any, function: Any) -> tuple[str, ...]:
    given = (methods,) if isinstance(methods, str) else methods
    if isinstance(given, (list, tuple, set, frozenset)) and given:
        upper = {name.upper() if isinstance(name, str) else name for name in given}
        if upper <= set(HTTP_METHODS):
            return tuple(name for name in HTTP_METHODS if name in upper)
    raise ExecutorDefinitionError(
        f"@requests(methods={methods!r}) of {describe(function)}: `methods` is one of {', '.join(HTTP_METHODS)}, or a"
        " list of them"
    )


@overload
def requests(func: F) -> F: ...


@overload
def requests(
    func: None = None,
    *,
    on: Any = None,
    request_schema: Any = None,
    response_schema: Any = None,
    safe: bool = False,
    methods: str | Iterable[str] | None = None,
    concurrency: int | None = None,
) -> Callable[[F], F]: ...


def requests(
    func: Any = None,
    *,
    on: Any = None,
    request_schema: Any = None,
    response_schema: Any = None,
    safe: bool = False,
    methods: str | Iterable[str] | None = None,
    concurrency: int | None = None,
) -> Any:
    """Serve the method at an endpoint: `@requests`, `@requests(on='/index')` or `@requests(on=['/a', '/b'])`.

    Without `on` the method answers `/default`, and with it every endpoint that has no method of its own.
    The method may be `def`, `async def` or a generator of either kind. It takes `docs` (all documents of a
    request) or `doc` (one after the other), `parameters` and `**kwargs`. `request_schema` and
    `response_schema` are types that win over the annotations. `safe` says that a request may run twice,
    so that a gateway gives it to another replica when the one that had begun it dies, and that GET serves it over HTTP
    beside POST. `methods` are the HTTP methods that serve it instead, such as `['GET', 'PUT']`. `concurrency` is how
    many calls of the method may run at once in one replica; unset, `def` methods of an Executor run one at a time,
    `async def` ones all at once.

    Raises `ExecutorDefinitionError` (a `TypeError`) when the signature cannot take what is passed.
    """

    def decorate(function: F) -> F:
        if isinstance(on, type) or (callable(on) and not isinstance(on, str)):
            raise ExecutorDefinitionError(f"@requests of {describe(function)}: write @requests(on='/endpoint')")
        marks = _mark(function, "requests")
        marks.request_schema = marks.request_schema if request_schema is None else request_schema
        marks.response_schema = marks.response_schema if response_schema is None else response_schema
        check_handler(function)
        marks.on = (*(marks.on or ()), *_endpoints(on, function))
        marks.safe = marks.safe or safe
        if methods is not None:
            marks.methods = _http_methods(methods, function)
        if concurrency is not None:
            marks.concurrency = _count(concurrency, function)
        return function

    if isinstance(func, str):
        raise ExecutorDefinitionError(f"@requests({func!r}): the endpoint is a keyword, @requests(on={func!r})")
    return decorate if func is None else decorate(func)


@overload
def write(func: F) -> F: ...


@overload
def write(func: None = None) -> Callable[[F], F]: ...


def write(func: Any = None) -> Any:
    """Declare that the method changes the state of the Executor: `@write` or `@write()`, above or below `@requests`.

    Calls of such endpoints are applied in one order on every replica of a stateful Deployment.
    """

    def decorate(function: F) -> F:
        _mark(function, "write").write = True
        return function

    return decorate if func is None else decorate(func)


@overload
def dynamic_batching(func: F) -> F: ...


@overload
def dynamic_batching(
    func: None = None,
    *,
    preferred_batch_size: int | None = None,
    timeout: float | None = 10_000,
    flush_all: bool = False,
    custom_metric: Callable[[Any], float | int] | None = None,
    use_custom_metric: bool = False,
    isolate_errors: bool | None = None,
    use_dynamic_batching: bool = True,
) -> Callable[[F], F]: ...


def dynamic_batching(
    func: Any = None,
    *,
    preferred_batch_size: int | None = None,
    timeout: float | None = 10_000,
    flush_all: bool = False,
    custom_metric: Callable[[Any], float | int] | None = None,
    use_custom_metric: bool = False,
    isolate_errors: bool | None = None,
    use_dynamic_batching: bool = True,
) -> Any:
    """Gather the documents of several requests before the method is called.

    A batch goes out when `preferred_batch_size` documents (4 by default) wait, or when the first waited `timeout`
    milliseconds. With `flush_all` everything that waits goes out at once. `custom_metric(doc)` gives a number
    that is counted instead of 1 for each document when `use_custom_metric` is set.

    A batch whose call raises is run again in halves, so that only the requests that fail alone fail;
    `isolate_errors=False` answers all of them with the error instead, as is the rule for `@write` methods.
    """
    options: dict[str, Any] = {
        "timeout": timeout,
        "flush_all": flush_all,
        "custom_metric": custom_metric,
        "use_custom_metric": use_custom_metric,
        "isolate_errors": isolate_errors,
        "use_dynamic_batching": use_dynamic_batching,
    }
    if preferred_batch_size is not None:
        options["preferred_batch_size"] = preferred_batch_size

    def decorate(function: F) -> F:
        _mark(function, "dynamic_batching").batching = options
        return function

    return decorate if func is None else decorate(func)


@overload
def continuous_batching(func: F) -> F: ...


@overload
def continuous_batching(
    func: None = None, *, slots: int = 8, admit_per_step: int | None = None, stall_timeout: float = 10_000
) -> Callable[[F], F]: ...


def continuous_batching(
    func: Any = None, *, slots: int = 8, admit_per_step: int | None = None, stall_timeout: float = 10_000
) -> Any:
    """Let the streams that run share each call of the method, which goes one step further with all of them.

    The method takes `slots: list[Slot[Input, Output]]`, one for each stream that runs, and is called again and again:
    it emits what is ready by `slot.emit(output)`, and ends a stream by `slot.finish()`. New streams join between two
    calls, in the order in which they came, while fewer than `slots` run; at most `admit_per_step` join at once, so that
    what a new stream costs does not hold up the others. A stream whose client does not read is in no step until it
    reads; after `stall_timeout` milliseconds its slot goes to one that waits, if any does.
    """

    def decorate(function: F) -> F:
        where = f"@continuous_batching of {describe(function)}"
        for name, value in (("slots", slots), ("admit_per_step", admit_per_step)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ExecutorDefinitionError(f"{where}: {name} is a whole number, 1 or more, not {value!r}")
        if isinstance(stall_timeout, bool) or not isinstance(stall_timeout, int | float) or not stall_timeout >= 0:
            raise ExecutorDefinitionError(f"{where}: stall_timeout is in milliseconds, not {stall_timeout!r}")
        _mark(function, "continuous_batching").slots = ContinuousBatching(slots, admit_per_step, stall_timeout)
        if not takes_slots(function):
            raise ExecutorDefinitionError(
                f"{where}: the method does not take `slots`",
                help=f"write `def {function.__name__}(self, slots: list[Slot[Input, Output]]) -> None`",
            )
        return function

    return decorate if func is None else decorate(func)


def monitor(*, name: str | None = None, documentation: str | None = None) -> Callable[[F], F]:
    """Measure how long each call of the method takes, as a metric of the process.

    `name` defaults to `<method>_seconds`. A generator is measured from its first to its last document.
    """

    def decorate(function: F) -> F:
        if not inspect.isfunction(function):
            raise ExecutorDefinitionError(f"@monitor decorates methods of an Executor, not {describe(function)}")
        label = name or f"{function.__name__}_seconds"
        text = documentation or f"Time spent in {function.__qualname__} ({location(function)})"
        return cast("F", _timed(function, label, text))

    if callable(name):
        raise ExecutorDefinitionError("@monitor takes keywords: write @monitor() or @monitor(name='...')")
    return decorate


def _timed(function: Any, name: str, documentation: str) -> Any:
    from jina.observe.metrics import timer

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def stream_async(*args: Any, **kwargs: Any) -> Any:
            with timer(name, documentation):
                async with contextlib.aclosing(function(*args, **kwargs)) as items:
                    async for item in items:
                        yield item

        return stream_async
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def stream(*args: Any, **kwargs: Any) -> Any:
            with timer(name, documentation):
                yield from function(*args, **kwargs)

        return stream
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with timer(name, documentation):
                return await function(*args, **kwargs)

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with timer(name, documentation):
            return function(*args, **kwargs)

    return call
