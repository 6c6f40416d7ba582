"""Executor classes by name, as YAML (`jtype`) and `uses='MyExecutor'` name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jina.errors import ExecutorNotFound, nearest

if TYPE_CHECKING:
    from jina.executor.base import Executor

_CLASSES: dict[str, type[Executor]] = {}
BASE_NAMES = frozenset({"Executor", "BaseExecutor"})


def register(cls: type[Executor]) -> None:
    """Make the class known by its name; a later class of the same name takes the place."""
    _CLASSES[cls.__name__] = cls


def find(name: str) -> type[Executor] | None:
    """The class of that name, or None."""
    return _CLASSES.get(name)


def names() -> list[str]:
    """All known names, sorted."""
    return sorted(_CLASSES)


def unknown(name: str, where: str = "", among: Iterable[str] | None = None) -> ExecutorNotFound:
    """The error for a name that no class has."""
    known = sorted(set(names() if among is None else among) - BASE_NAMES)
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else ""
    place = f"{where}: " if where else ""
    help_text = f"known classes: {', '.join(known)}" if known else "no Executor class has been imported"
    return ExecutorNotFound(
        f"{place}no Executor class is named {name!r}{hint}",
        help=f"{help_text}; list the files that define it under py_modules",
    )
