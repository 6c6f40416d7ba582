"""Endpoints of a class and of an instance: which path calls which method."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Protocol

from jina.errors import ExecutorDefinitionError, nearest
from jina.executor.decorators import Marks, check_handler, location, marks_of

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_IGNORED_ENDPOINTS = frozenset({"_jina_dry_run_"})


class Bound(Protocol):
    """What is read of an Executor to know its endpoints: the attributes of `base.Executor`."""

    requests: dict[str, Callable[..., Any]]
    dynamic_batching: dict[str, dict[str, Any]]


def marked(cls: type) -> dict[str, Marks]:
    """Method name -> its notes, of the class and its bases; the most derived notes win."""
    found: dict[str, Marks] = {}
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            marks = marks_of(value)
            if marks is not None and name not in found:
                found[name] = marks
    return found


def endpoints_of(cls: type) -> dict[str, str]:
    """Endpoint -> method name, as decorated; what a subclass binds replaces what its bases bound."""
    table: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        for name, value in vars(owner).items():
            marks = marks_of(value)
            if marks is not None and marks.on is not None:
                table.update(dict.fromkeys(marks.on, name))
    return table


def bind(executor: object, overrides: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Endpoint -> bound method; a method named in `overrides` loses the endpoints it was decorated with.

    Raises `ExecutorDefinitionError` for a method that does not exist or cannot be called.
    """
    cls = type(executor)
    overrides = {path: name for path, name in overrides.items() if path not in _IGNORED_ENDPOINTS}
    for path, name in overrides.items():
        _check_override(cls, path, name)
    moved = set(overrides.values())
    table = {path: name for path, name in endpoints_of(cls).items() if name not in moved}
    return {path: getattr(executor, name) for path, name in {**table, **overrides}.items()}


def check_overrides(cls: type, overrides: Mapping[str, str], places: Mapping[str, str]) -> None:
    """Raise as `bind` does, naming the place in a file where the endpoint is bound."""
    for path, name in overrides.items():
        if path not in _IGNORED_ENDPOINTS:
            _check_override(cls, path, name, places.get(path, ""))


def _check_override(cls: type, path: str, name: Any, place: str = "") -> None:
    function = getattr(cls, name, None) if isinstance(name, str) else None
    if not inspect.isfunction(function):
        known = sorted(marked(cls).keys() | {key for key in vars(cls) if not key.startswith("_")})
        near = nearest(str(name), known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ExecutorDefinitionError(
            f"{place} requests: {path!r} is bound to {name!r}, which is not a method of {cls.__name__} "
            f"({location(cls)}){hint}".lstrip()
        )
    check_handler(function)


def batching_options(cls: type, given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Options of `@dynamic_batching` by method name, with those of the configuration on top."""
    options = {name: dict(marks.batching) for name, marks in marked(cls).items() if marks.batching is not None}
    for key, values in given.items():
        options[key] = {**options.get(key, {}), **values}
    return options


def write_endpoints(executor: Bound) -> list[str]:
    """The endpoints whose methods are decorated with `@write`, in the order of the table."""
    notes = marked(type(executor))
    return [path for path, method in executor.requests.items() if is_write(notes, method)]


def without_effect(executor: Bound) -> Iterator[str]:
    """What a stateful Executor says that nothing comes of."""
    cls = type(executor)
    bound = {getattr(method, "__name__", "") for method in executor.requests.values()}
    for name, marks in marked(cls).items():
        if marks.write and name not in bound:
            yield f"{cls.__name__}.{name} ({location(cls)}) has @write, but no endpoint calls it: @requests is missing"
    if not write_endpoints(executor):
        yield (
            f"no endpoint of {cls.__name__} ({location(cls)}) has @write: nothing is replicated, and what a method "
            "changes is changed on one replica alone"
        )


def is_write(notes: Mapping[str, Marks], method: Any) -> bool:
    """Whether the method, or the one of that name in a base class, is decorated with `@write`."""
    marks = notes.get(getattr(method, "__name__", "")) or marks_of(method)
    return marks is not None and marks.write


def capture_names(cls: type) -> None:
    """Keep the names of enclosing functions that annotations written as text need.

    Python resolves such annotations among the globals only, so that a document class defined inside a
    function would not be found when the endpoint table is made.
    """
    if "<locals>" not in cls.__qualname__ or sys.version_info >= (3, 14):
        return  # from Python 3.14 on annotations are evaluated late, where they stand (PEP 649)
    for value in vars(cls).values():
        marks = marks_of(value)
        if marks is None:
            continue
        wanted = _names_in(getattr(value, "__annotations__", {}))
        wanted -= value.__globals__.keys() | marks.namespace.keys()
        for frame in _frames(6):
            there = frame.f_locals  # from Python 3.13 on a proxy whose keys are a list
            found = {name: there[name] for name in wanted if name in there}
            marks.namespace.update(found)
            wanted -= found.keys()


def _names_in(annotations: Mapping[str, Any]) -> set[str]:
    texts = (str(annotation) for annotation in annotations.values() if not isinstance(annotation, type))
    return {name for text in texts for name in _IDENTIFIER.findall(text)}


def _frames(count: int) -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 - past this generator, capture_names and its caller
    while frame is not None and count:
        yield frame
        frame, count = frame.f_back, count - 1
