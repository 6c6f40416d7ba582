"""The decorators of the contract: `requests`, `write`, `dynamic_batching`, `monitor`.

The first three only leave a note on the function, so that `MyExecutor().foo(docs=docs)` is a plain call and
the order of decorators does not matter. What the notes mean is decided when the class is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast, overload

from jina.errors import ExecutorDefinitionError
from jina.executor.signatures import check_handler, describe, location

DEFAULT_ENDPOINT = "/default"
_ATTRIBUTE = "__jina_marks__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Marks:
    """What the decorators noted on one function.

    `on` is None for a function that is no endpoint. `namespace` holds the names of enclosing functions that
    the annotations need, filled when the class is created.
    """

    on: tuple[str, ...] | None = None
    request_schema: Any = None
    response_schema: Any = None
    write: bool = False
    safe: bool = False
    concurrency: int | None = None
    batching: dict[str, Any] | None = None
    namespace: dict[str, Any] = field(default_factory=dict)


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
    concurrency: int | None = None,
) -> Callable[[F], F]: ...
def requests(
    func: Any = None,
    *,
    on: Any = None,
    request_schema: Any = None,
    response_schema: Any = None,
    safe: bool = False,
    concurrency: int | None = None,
) -> Any:
    """Serve the method at an endpoint: `@requests`, `@requests(on='/index')` or `@requests(on=['/a', '/b'])`.

    Without `on` the method answers `/default`, and with it every endpoint that has no method of its own.
    The method may be `def`, `async def` or a generator of either kind. It takes `docs` (all documents of a
    request) or `doc` (one after the other), `parameters` and `**kwargs`. `request_schema` and
    `response_schema` are document classes that win over the annotations. `safe` says that a request may run twice,
    so that a gateway gives it to another replica when the one that had begun it dies. `concurrency` is how many calls
    of the method may run at once in one replica; unset, `def` methods of an Executor run one at a time, `async def`
    ones all at once.

    Raises `ExecutorDefinitionError` (a `TypeError`) when the signature cannot take what is passed.
    """

    def decorate(function: F) -> F:
        if isinstance(on, type) or (callable(on) and not isinstance(on, str)):
            raise ExecutorDefinitionError(f"@requests of {describe(function)}: write @requests(on='/endpoint')")
        marks = _mark(function, "requests")
        check_handler(function)
        marks.on = (*(marks.on or ()), *_endpoints(on, function))
        marks.request_schema = marks.request_schema if request_schema is None else request_schema
        marks.response_schema = marks.response_schema if response_schema is None else response_schema
        marks.safe = marks.safe or safe
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
