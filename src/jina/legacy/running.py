"""Helpers of `jina.helper` about calling functions."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from functools import cached_property
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from jina.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def run_async(
    func: Callable[..., Coroutine[Any, Any, T]], *args: Any, any_event_loop: bool = False, **kwargs: Any
) -> T:
    """The result of a coroutine function, from synchronous code; inside a running loop it runs in a thread."""
    del any_event_loop
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(func(*args, **kwargs))
    outcome: list[T] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.append(asyncio.run(func(*args, **kwargs)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=context.run, args=(work,), name="jina-run-async")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def get_or_reuse_loop() -> asyncio.AbstractEventLoop:
    """The running loop, else the thread's current one, else a new one that becomes it."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
        except RuntimeError:
            loop = None
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


def deprecated_alias(**aliases: str | tuple[str, int]) -> Callable[[F], F]:
    """Take keywords under old names as well: `@deprecated_alias(old='new')`.

    A tuple `('new', 1)` makes the old name an error, `('new', 0)` a warning, which is the default.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in aliases.keys() & kwargs.keys():
                target = aliases[old]
                new, level = target if isinstance(target, tuple) else (target, 0)
                if level or new in kwargs:
                    raise ConfigError(f"{function.__name__} takes {new!r} in place of {old!r}")
                warnings.warn(f"{old!r} is now {new!r}", DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast("F", call)

    return decorate


def deprecated_method(new_function_name: str) -> Callable[[F], F]:
    """Warn that another method takes the place of the decorated one."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(f"{function.__name__!r} is now {new_function_name!r}", DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        return cast("F", call)

    return decorate


def retry(
    num_retry: int = 3, message: str = "Calling {func_name} failed, retry attempt {attempt}/{num_retry}: {error!r}"
) -> Callable[[F], F]:
    """Call the function again when it raises, `num_retry` times in all, with growing pauses."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(1, num_retry + 1):
                try:
                    return function(*args, **kwargs)
                except Exception as error:
                    if attempt == num_retry:
                        raise
                    text = message.format(
                        func_name=function.__name__, attempt=attempt, num_retry=num_retry, error=error
                    )
                    warnings.warn(text, stacklevel=2)
                    time.sleep(0.05 * attempt)
            return None

        return cast("F", call)

    return decorate


@contextlib.contextmanager
def change_cwd(path: str) -> Iterator[None]:
    """Work in another folder for the time of the block."""
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def change_env(key: str, val: str | None) -> Iterator[None]:
    """Set an environment variable within the block; None removes it."""
    before = os.environ.get(key)
    _set_env(key, val)
    try:
        yield
    finally:
        _set_env(key, before)


def _set_env(key: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(key, None)
    else:
        os.environ[key] = value


def get_ci_vendor() -> str | None:
    """Name of the continuous integration that runs this process, if it says so."""
    return next((name for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS") if os.environ.get(name)), None)


def is_jupyter() -> bool:
    """Whether this is a cell of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" or type(shell).__module__.startswith("google.colab")


def is_generator(func: Any) -> bool:
    """Whether the function yields."""
    return inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)


def send_telemetry_event(event: str, obj_cls_name: str, **kwargs: Any) -> None:
    """Do nothing: jina sends nothing to anybody."""
    del event, obj_cls_name, kwargs


def extend_rest_interface(app: T) -> T:
    """The application as it is."""
    return app


__all__ = [
    "cached_property", "change_cwd", "change_env", "deprecated_alias", "deprecated_method", "extend_rest_interface",
    "get_ci_vendor", "get_or_reuse_loop", "is_generator", "iscoroutinefunction", "is_jupyter", "retry", "run_async",
    "send_telemetry_event",
]  # fmt: skip
