"""Variables of YAML files.

`${{ ENV.X }}` and, as formerly, `$X` are the environment's; `${{ CONTEXT.x }}` and `${{ x }}` are given by the program;
`${{ root.a.b[0] }}` is a value of the file, and `${{ this.x }}` one of the mapping around.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jina.config.parsing import MISSING, Path, child, step_of
from jina.config.types import value_of
from jina.errors import ConfigError, nearest

_REFERENCE: Final = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
_OLD_FORM: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def substitute(data: Any, context: Mapping[str, Any] | None, place: Callable[[Path], str]) -> Any:
    """`data` with every variable filled in.

    Text that a variable changed is read again, so that `'1'` becomes a number, but a JSON object stays text; a
    reference that is the whole text keeps the type of what it refers to. `$X` of an unknown X stays as it is; every
    other unknown name is a ConfigError that begins with `place(path)`.
    """
    return _Filler(data, context or {}, place).fill(data, ())


class _Filler:
    """Fills in variables; references within the file are followed first, cycles refused."""

    def __init__(self, root: Any, context: Mapping[str, Any], place: Callable[[Path], str]) -> None:
        self.root = root
        self.context = context
        self.place = place
        self.following: list[Path] = []

    def fill(self, value: Any, path: Path) -> Any:
        if isinstance(value, Mapping):
            return {key: self.fill(item, (*path, step_of(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, (*path, index)) for index, item in enumerate(value)]
        return self._fill_text(value, path) if isinstance(value, str) and "$" in value else value

    def _fill_text(self, text: str, path: Path) -> Any:
        if path in self.following:
            chain = " -> ".join(self.place(step) for step in [*self.following, path])
            raise ConfigError(f"{self.place(path)}: refers to itself: {chain}")
        self.following.append(path)
        try:
            return self._filled(text, path)
        finally:
            self.following.pop()

    def _filled(self, text: str, path: Path) -> Any:
        whole = _REFERENCE.fullmatch(text.strip())
        if whole is not None:
            found, from_file = self._look_up(whole[1], path)
            return _read(found) if isinstance(found, str) and not from_file else found
        # One pass over the text as it was written: what a variable holds is never searched for variables.
        parts: list[str] = []
        end = 0
        for match in sorted([*_REFERENCE.finditer(text), *_OLD_FORM.finditer(text)], key=lambda found: found.start()):
            parts += [text[end : match.start()], self._part(match, path)]
            end = match.end()
        filled = "".join([*parts, text[end:]])
        return text if filled == text else _read(filled)

    def _part(self, match: re.Match[str], path: Path) -> str:
        if match.re is _OLD_FORM:
            return os.environ.get(match[1], match[0])
        found, _ = self._look_up(match[1], path)
        if isinstance(found, Mapping | list):
            raise self._error(path, match[0], "is not a plain value and cannot be part of a text")
        return "" if found is None else str(found)

    def _look_up(self, name: str, path: Path) -> tuple[Any, bool]:
        """What the variable holds, and whether that is a value of the file itself."""
        scope, _, rest = name.partition(".")
        if scope.upper() == "ENV" and rest:
            if rest not in os.environ:
                raise self._unknown(path, name, "the environment has no variable", rest, os.environ)
            return os.environ[rest], False
        if scope == "root" and rest:
            return self._refer(name, rest, (), path), True
        if scope == "this" and rest:
            return self._refer(name, rest, path[:-1], path), True
        inside = rest if scope.upper() == "CONTEXT" and rest else name
        return self._from_context(name, inside, path), False

    def _from_context(self, name: str, inside: str, path: Path) -> Any:
        if inside in self.context:
            return self.context[inside]
        found: Any = self.context
        for step in _steps(inside):
            inner = child(found, step)
            if inner is MISSING:
                raise self._unknown(path, name, "the context has no value", str(step), _keys(found))
            found = inner
        return found

    def _refer(self, name: str, rest: str, start: Path, path: Path) -> Any:
        found = self.root
        at: Path = ()
        for step in (*start, *_steps(rest)):
            # A step on the way may be the value of a variable itself.
            here = self._fill_text(found, at) if isinstance(found, str) and "$" in found else found
            found, at = child(here, step), (*at, step)
            if found is MISSING:
                raise self._unknown(path, name, "the file has no value", str(step), _keys(here))
        return self.fill(found, at)

    def _unknown(self, path: Path, name: str, problem: str, missing: str, known: Iterable[str]) -> ConfigError:
        near = nearest(missing, known)
        hint = f", did you mean '{near}'?" if near else ""
        return self._error(path, "${{ " + name + " }}", f"{problem} '{missing}'{hint}")

    def _error(self, path: Path, reference: str, text: str) -> ConfigError:
        return ConfigError(f"{self.place(path)}: {reference}: {text}")


def _read(text: str) -> Any:
    """The value of text; a JSON object stays text, as in Jina 3: options that are mappings read it themselves."""
    return text if text.strip()[:1] == "{" else value_of(text)


def _keys(value: Any) -> list[str]:
    return [str(key) for key in value] if isinstance(value, Mapping) else []


def _steps(text: str) -> list[str | int]:
    """`a.b[0]` as `["a", "b", 0]`."""
    return [int(index) if index else name for name, index in _STEP.findall(text)]
