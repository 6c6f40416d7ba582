"""Where a value stands inside a configuration, and where the files are that a configuration names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, Final

Path = tuple[str | int, ...]
"""Keys and positions from the outside in."""


MISSING: Final = object()
"""What `child` gives where there is nothing."""


_known_folders: dict[str, None] = {}
_OURS: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


def callers_folders() -> list[str]:
    """Folders of the source files of the program that calls, the nearest caller first.

    Relative paths that lead nowhere from the working directory may start there, as in Jina 3. A thread of ours, such as
    that of a reload, has no caller: it gets all folders that were given before.
    """
    folders: dict[str, None] = {}
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - `inspect.stack` would read the sources of all callers
    while frame is not None:
        file = os.path.abspath(frame.f_code.co_filename)
        if not file.startswith(_OURS) and os.path.isfile(file):
            folders[os.path.dirname(file)] = None
        frame = frame.f_back
    _known_folders.update(folders)
    return list(folders or _known_folders)


def child(value: Any, step: str | int) -> Any:
    """What is in a mapping or list at `step`, else MISSING."""
    if isinstance(value, Mapping):
        return value.get(step, MISSING)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return MISSING


def step_of(key: Any) -> str | int:
    """The step of a path that a mapping's key is."""
    return key if isinstance(key, int) and not isinstance(key, bool) else str(key)


def dotted(path: Path) -> str:
    """`("with", "port", 0)` as `with.port[0]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
