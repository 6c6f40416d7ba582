"""Paths that users name, from the working folder or from the folder of the file that names them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, Final

_known_folders: dict[str, None] = {}


_OURS: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


def working_folder() -> str:
    """The working folder of this process; empty where it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def absolute(path: str) -> str:
    """The path from the root on; as it is where it is relative to a working folder that was deleted."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return os.path.normpath(path)


def callers_folders() -> list[str]:
    """Folders of the source files of the program that calls, the nearest caller first.

    Relative paths that lead nowhere from the working directory may start there, as in Jina 3. A thread of ours, such as
    that of a reload, has no caller: it gets all folders that were given before.
    """
    folders: dict[str, None] = {}
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - `inspect.stack` would read the sources of all callers
    while frame is not None:
        file = absolute(frame.f_code.co_filename)
        if not file.startswith(_OURS) and os.path.isfile(file):
            folders[os.path.dirname(file)] = None
        frame = frame.f_back
    _known_folders.update(folders)
    return list(folders or _known_folders)


_NAMING: Final = frozenset({"gateway", "py_modules", "uses", "uses_after", "uses_before"})


_ENDS: Final = (".py", ".yml", ".yaml", ".json")


_PACKAGES: Final = ("config.yml", "config.yaml", "__init__.py")


def located(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call, with absolute paths where relative ones lead only beside the files of who calls.

    What they name may be read much later, at the start of a Flow, where another module calls.
    """
    if _NAMING.isdisjoint(options):
        return dict(options)
    extra = options.get("extra_search_paths") or ()
    searched = ["", *([extra] if isinstance(extra, str) else extra)]
    return {name: _located(value, searched) if name in _NAMING else value for name, value in options.items()}


def user_cache() -> str:
    """The folder in which jina keeps what it can make or fetch again, and Executors without a workspace their files."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.path.abspath(home), "jina")


def _located(value: Any, searched: list[str]) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return _beside_caller(value, searched)
    if isinstance(value, list | tuple):
        return [_located(one, searched) for one in value]
    return located(value) if isinstance(value, Mapping) else value


def _beside_caller(text: str, searched: list[str]) -> str:
    path = os.path.expanduser(text.strip())
    if not path or "\n" in path or os.path.isabs(path) or any(os.path.exists(os.path.join(s, path)) for s in searched):
        return text
    found = (os.path.join(folder, path) for folder in callers_folders())
    return next((place for place in found if _is_source(place)), text)


def _is_source(path: str) -> bool:
    """Whether `uses` or `py_modules` can name it by its path."""
    if path.endswith(_ENDS) and os.path.isfile(path):
        return True
    return any(os.path.isfile(os.path.join(path, name)) for name in _PACKAGES)
