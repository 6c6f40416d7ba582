"""A project as texts: which files are read, what was found in them, and changes that keep the rest as it is."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from jina.errors import BadConfigSource

Severity = Literal["error", "warning", "note"]

MOST_FILES: Final = 20_000
MOST_BYTES: Final = 1024 * 1024
MOST_BYTES_IN_ALL: Final = 128 * 1024 * 1024
"""Files beyond these limits are not read, and a finding says so."""

_NOT_ENTERED: Final = frozenset({
    "__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist", "site",
})  # fmt: skip
_TESTS: Final = frozenset({"test", "tests"})


@dataclass(frozen=True, slots=True)
class Edit:
    """The characters from `start` to `end` become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will differ; `line` and `column` count from 1."""

    path: str
    line: int
    column: int
    rule: str
    severity: Severity
    message: str
    instead: str = ""
    """What to write."""
    edits: tuple[Edit, ...] = ()
    """The change that `--fix` makes."""


class Source:
    """The text of a file, with places in it.

    Lines end at `\\n` only, as Python's own parser and PyYAML count them for the files that people write.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.name = PurePosixPath(path).name
        self._starts = [len(text) - len(text.removeprefix("\ufeff"))]
        for index, char in enumerate(text):
            if char == "\n":
                self._starts.append(index + 1)

    @property
    def is_test(self) -> bool:
        """Whether it belongs to tests: no service starts from it."""
        parts = PurePosixPath(self.path).parts
        named = self.name == "conftest.py" or self.name.startswith("test_") or self.name.endswith("_test.py")
        return named or not _TESTS.isdisjoint(parts[:-1])

    @property
    def folder(self) -> str:
        """The folder in the project, without a slash at its end; empty for the project itself."""
        return str(PurePosixPath(self.path).parent).removeprefix(".").removeprefix("/")

    def line(self, number: int) -> str:
        """A line without its end, counted from 1."""
        start = self._starts[min(number, len(self._starts)) - 1]
        return (
            self.text[start:].partition("\n")[0]
            if number >= len(self._starts)
            else self.text[start : self._starts[number] - 1]
        )

    def offset(self, line: int, column: int) -> int:
        """Where in the text a line (from 1) and a column in characters (from 0) are."""
        return self._starts[min(max(line, 1), len(self._starts)) - 1] + column

    def offset_utf8(self, line: int, column: int) -> int:
        """`offset` for a column in bytes of UTF-8, as Python's parser counts them."""
        text = self.line(line)
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self.offset(line, column)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of a place in the text."""
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= offset else (low, middle)
        return low + 1, offset - self._starts[low] + 1

    def cut(self, start: int, end: int) -> Edit:
        """The change that removes an item of a list with the comma behind it, and its lines where it has them alone."""
        if comma := re.compile(r"\s*,").match(self.text, end):
            end = comma.end()
        line = self.text.rfind("\n", 0, start) + 1
        rest = re.compile(r"[ \t]*(\r?\n)?").match(self.text, end)
        if rest is None or (rest[1] and self.text[line:start].strip()):
            return Edit(start, end, "")
        return Edit(line if rest[1] else start, rest.end(), "")

    def find(self, offset: int, rule: str, severity: Severity, message: str, *, instead: str = "",
             edits: tuple[Edit, ...] = ()) -> Finding:  # fmt: skip
        """A finding at a place in the text; an error in a test counts as a warning."""
        if severity == "error" and self.is_test:
            severity = "warning"
        line, column = self.place(offset)
        return Finding(self.path, line, column, rule, severity, message, instead, edits)


@dataclass
class Project:
    """The files of a project that could be read."""

    root: Path
    sources: list[Source] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_project(path: Path, wanted: Callable[[str], bool]) -> Project:
    """The texts of the files below a folder whose names are `wanted`, or of one file.

    Links are not followed; folders of environments, builds and hidden ones are not entered. Raises BadConfigSource
    where there is nothing of that name.
    """
    if not path.exists():
        raise BadConfigSource(f"{path}: there is no such file or folder")
    project = Project(path if path.is_dir() else path.parent)
    in_all = 0
    for number, file in enumerate(_files(path, wanted)):
        name = file.relative_to(project.root).as_posix()
        if number >= MOST_FILES or in_all > MOST_BYTES_IN_ALL:
            project.findings.append(
                _skipped(name, "this file and those after it are not read: the project is too large")
            )
            break
        try:
            size = file.stat().st_size
            if size > MOST_BYTES:
                project.findings.append(_skipped(name, f"is not read: {size} bytes are more than {MOST_BYTES}"))
                continue
            # newline="" keeps the line ends, which a fix must not change.
            with file.open(encoding="utf-8", newline="") as opened:
                text = opened.read()
        except (OSError, UnicodeDecodeError) as error:
            project.findings.append(_skipped(name, f"is not read: {error}"))
            continue
        in_all += size
        project.sources.append(Source(name, text))
    return project


def _files(path: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in _NOT_ENTERED and not _is_left_out(folder, name))
        for name in sorted(names):
            file = Path(folder, name)
            if wanted(name) and not file.is_symlink() and file.is_file():
                yield file


def _is_left_out(folder: str, name: str) -> bool:
    return name.startswith(".") or os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))


def _skipped(path: str, message: str) -> Finding:
    return Finding(path, 1, 1, "not-read", "note", message)


def changed(text: str, findings: list[Finding]) -> str:
    """The text with the edits of the findings; of edits that overlap the first counts, whole findings at a time."""
    taken: list[Edit] = []
    for finding in findings:
        free = all(
            edit.end <= other.start or other.end <= edit.start or edit == other
            for edit in finding.edits
            for other in taken
        )
        if free:
            taken += [edit for edit in finding.edits if edit not in taken]
    for edit in sorted(taken, key=lambda edit: (edit.start, edit.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def diff(path: str, before: str, after: str) -> str:
    """The change as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
