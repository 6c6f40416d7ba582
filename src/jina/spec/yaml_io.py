"""Configurations from files, text, mappings and URLs."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from jina.errors import BadConfigSource, nearest
from jina.spec.paths import Path, callers_folders, dotted
from jina.spec.text import read_json
from jina.spec.variables import substitute as fill_in
from jina.spec.yaml_nodes import plain, read_yaml

_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_SUFFIXES: Final = (".yml", ".yaml", ".json")
_SECONDS: Final = 10.0
_MOST_BYTES: Final = 10 * 1024 * 1024


class Origin(NamedTuple):
    """Where a configuration came from: its name in messages, its folder, the line of each value."""

    name: str
    folder: str | None
    lines: Mapping[Path, int]
    ignored: list[tuple[str, Path]] | None = None
    """Where given, what is without effect is noted here, with its place, instead of in the log."""

    def place(self, path: Path) -> str:
        """`deployment.yml:7`, by the nearest line that is known; the bare name where there are no lines."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return f"{self.name}:"

    def at(self, path: Path) -> str:
        """`deployment.yml:7 with.replicas`."""
        return f"{self.place(path)} {dotted(path)}" if path else self.place(path).removesuffix(":")


class Loaded(NamedTuple):
    """A configuration: plain values, and where they came from."""

    data: Any
    origin: Origin


def load(
    source: Any,
    context: Mapping[str, Any] | None = None,
    *,
    substitute: bool = True,
    search_paths: Sequence[str] = (),
) -> Loaded:
    """Read a configuration, with its variables filled in (`jina.spec.variables`) unless `substitute` is False.

    `source` is the path of a YAML or JSON file (looked up here, then below `search_paths`, then beside the files of the
    calling program), YAML or JSON text, a mapping, an object with `read()`, or an http(s) URL (10 s, at most 10 MiB).

    Raises BadConfigSource for what cannot be found or read, ConfigError for unknown variables.
    """
    if isinstance(source, Mapping):
        data, origin = plain(source), Origin("mapping", None, {})
    else:
        text, name, folder = _text_of(source, search_paths)
        data, lines = _parsed(text, name)
        origin = Origin(name, folder, lines)
    if substitute:
        data = fill_in(data, context, origin.at)
    return Loaded(data, origin)


def _parsed(text: str, name: str) -> tuple[Any, Mapping[Path, int]]:
    try:
        return read_yaml(text, name)
    except BadConfigSource:
        # JSON may hold tabs and escapes that YAML refuses.
        if text.lstrip()[:1] in {"{", "["}:
            try:
                return read_json(text), {}
            except ValueError:
                pass
        raise


def _text_of(source: Any, search_paths: Sequence[str]) -> tuple[str, str, str | None]:
    """The text, its name in messages, and its folder."""
    if callable(getattr(source, "read", None)):
        return _from_file_object(source)
    if isinstance(source, os.PathLike):
        return _from_file(os.fspath(source), search_paths)
    if not isinstance(source, str):
        raise BadConfigSource(f"{source!r} is neither a path, YAML text, a mapping, an open file nor a URL")
    if _URL.match(source):
        return _from_url(source)
    return (source, "YAML text", None) if is_inline(source) else _from_file(source, search_paths)


def is_inline(source: str) -> bool:
    """Whether `source` is YAML or JSON itself rather than the path of a file."""
    text = source.strip()
    if "\n" in text or text[:1] in {"{", "!"} or re.match(r"[\w-]+:(\s|$)", text):
        return True
    return not text


def _from_file_object(source: Any) -> tuple[str, str, str | None]:
    content = source.read()
    text = content.decode("utf-8") if isinstance(content, bytes) else str(content)
    name = getattr(source, "name", None)
    if not isinstance(name, str) or not os.path.isfile(name):
        return text, "YAML text", None
    return text, os.path.basename(name), os.path.dirname(os.path.abspath(name))


def _from_file(path: str, search_paths: Sequence[str]) -> tuple[str, str, str | None]:
    expanded = os.path.expanduser(path)
    for folder in ("", *search_paths, *callers_folders()):
        candidate = os.path.join(folder, expanded)
        if os.path.isfile(candidate):
            try:
                with open(candidate, encoding="utf-8") as file:
                    return file.read(), path, os.path.dirname(os.path.abspath(candidate))
            except (OSError, UnicodeDecodeError) as exc:
                raise BadConfigSource(f"{path}: cannot be read: {exc}") from exc
    raise BadConfigSource(_missing(path, expanded, search_paths))


def _missing(path: str, expanded: str, search_paths: Sequence[str]) -> str:
    looked = [os.path.dirname(os.path.abspath(os.path.join(folder, expanded))) for folder in ("", *search_paths)]
    message = f"can not find {path!r} in {', '.join(dict.fromkeys(looked))}"
    here = looked[0]
    names = [name for name in os.listdir(here) if name.endswith(_SUFFIXES)] if os.path.isdir(here) else []
    near = nearest(os.path.basename(path), names)
    return message + (f", did you mean '{os.path.join(os.path.dirname(path), near)}'?" if near else "")


def _from_url(url: str) -> tuple[str, str, None]:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:  # noqa: S310 - only http and https come here
            content = response.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise BadConfigSource(f"{url}: cannot be fetched: {exc}") from exc
    except (OSError, ValueError) as exc:
        raise BadConfigSource(f"{url}: cannot be fetched: {exc}") from exc
    if len(content) > _MOST_BYTES:
        raise BadConfigSource(f"{url}: larger than {_MOST_BYTES} bytes")
    try:
        return content.decode("utf-8"), url, None
    except UnicodeDecodeError as exc:
        raise BadConfigSource(f"{url}: not UTF-8 text: {exc}") from exc
