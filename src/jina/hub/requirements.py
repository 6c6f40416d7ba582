"""Files of requirements as pip reads them, with those that they include."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jina.errors import BadConfigSource, ConfigError

_INCLUDE: Final = re.compile(r"(?P<flag>-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>[^\s].*)")


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """One requirement or option of the installer, or a file that is included: then its lines come next."""

    text: str
    """Without comments; lines that a backslash continues are one."""
    place: str
    """FILE:NUMBER."""
    constraint: bool
    """Whether it only limits versions."""
    included: str = ""
    """The path of the file; empty for other lines."""


def requirement_lines(path: str, *, below: str = "") -> Iterator[RequirementLine]:
    """The lines of a file and of all that it includes, each file once.

    Raises `BadConfigSource` naming file and line for one that cannot be read, and `ConfigError` for one that is not in
    the folder `below`, where one is given.
    """
    return _lines(path, _Known(below, {os.path.abspath(path)}), constraint=False)


@dataclass(frozen=True, slots=True)
class _Known:
    below: str
    seen: set[str]


def _lines(path: str, known: _Known, *, constraint: bool, place: str = "") -> Iterator[RequirementLine]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise BadConfigSource(f"{path}: {reason}").prefix(place) from None
    number = 0
    for line, length in _logical(text):
        number += length
        here, match = f"{path}:{number}", _INCLUDE.fullmatch(line)
        if match is None or "://" in match["path"]:
            yield RequirementLine(line, here, constraint)
            continue
        name, limits = match["path"].strip().strip("'\""), constraint or match["flag"] in {"-c", "--constraint"}
        inner = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if known.below and (os.path.isabs(name) or not _is_below(inner, known.below)):
            raise ConfigError(f"{here}: {name} is not in the package", help="write a path below it")
        if os.path.abspath(inner) not in known.seen:
            known.seen.add(os.path.abspath(inner))
            yield RequirementLine(line, here, limits, inner)
            yield from _lines(inner, known, constraint=limits, place=here)


def normal_name(name: str) -> str:
    """The name of a distribution as indexes compare it: in lower case, with one `-` between its words."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project_dependencies(path: str) -> list[str] | None:
    """The dependencies that a pyproject.toml lists; None where only a build of the project tells them.

    Raises `BadConfigSource` for a file that cannot be read.
    """
    try:
        project = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("project", {})
        found = project.get("dependencies", [])
    except (OSError, ValueError, AttributeError) as error:
        raise BadConfigSource(f"{path}: {error}") from None
    return None if "dependencies" in project.get("dynamic", []) else [str(line) for line in found]


def _is_below(path: str, folder: str) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _logical(text: str) -> Iterator[tuple[str, int]]:
    """Lines without comments, those that a backslash continues as one, each with how many it was."""
    whole, length = "", 0
    for line in text.splitlines():
        length += 1
        if line.endswith("\\"):
            whole += line[:-1]
            continue
        whole = re.sub(r"(^|\s)#.*", "", whole + line).strip()
        if whole:
            yield whole, length
            length = 0
        whole = ""
    if whole.strip():
        yield whole.strip(), length
