"""What notebooks show: tables and boxes as HTML, and errors without the frames that are not the user's.

Nothing here touches the notebook: IPython asks objects for `_repr_html_`, and errors for `_render_traceback_`
(https://ipython.readthedocs.io/en/stable/config/integrating.html). All text is escaped, and nothing is fetched.
"""

from __future__ import annotations

import html
import linecache
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

LINES = 15
"""Of an error at most."""
_WIDTH = 200
"""Characters of a line at most."""
_FRAME = re.compile(r'\s*File "([^"]*)", line ([0-9]{1,9}), in (.*)')
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_BORDER = "border:1px solid rgba(128,128,128,.35)"
_BOX = f'<div style="display:inline-block;max-width:100%;overflow-x:auto;{_BORDER};border-radius:6px;padding:8px 12px">'
_COLOURS = {"ready": "#1a7f37", "running": "#1a7f37", "not started": "#6e7781", "starting": "#9a6700",
            "degraded": "#9a6700", "draining": "#9a6700"}  # fmt: skip
MOST_ROWS = 20
"""Of a table."""


def box(title: str, state: str, *parts: str) -> str:
    """A title with a state, and parts, which are HTML, below it."""
    colour = _COLOURS.get(state, "#cf222e")
    badge = f' <span style="color:{colour};white-space:nowrap">● {escaped(state)}</span>' if state else ""
    return f"{_BOX}<div><b>{escaped(title)}</b>{badge}</div>{''.join(parts)}</div>"


def lines(texts: Iterable[str]) -> str:
    """Lines of text below each other."""
    return "".join(f'<div style="opacity:.8">{escaped(text)}</div>' for text in texts)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], count: int = 0) -> str:
    """A table of texts; of many rows the first, and how many more there are, of `count` in all."""
    cell = "padding:2px 10px 2px 0;text-align:left;white-space:nowrap;max-width:32em;overflow:hidden"
    head = "".join(f'<th style="{cell};opacity:.7;font-weight:normal">{escaped(name)}</th>' for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td style={chr(34)}{cell}{chr(34)}>{escaped(str(value))}</td>' for value in row)}</tr>"
        for row in rows[:MOST_ROWS]
    )
    left = max(count, len(rows)) - MOST_ROWS
    more = f'<div style="opacity:.7">and {left} more</div>' if left > 0 else ""
    return f'<table style="border-collapse:collapse;margin:4px 0"><tr>{head}</tr>{body}</table>{more}'


def escaped(text: str) -> str:
    """The text as HTML shows it; a long one is cut."""
    return html.escape(_cut(text))


def error_html(error: BaseException) -> str:
    """An error that is the value of a cell."""
    name, message, help_text = type(error).__name__, str(getattr(error, "message", error)), getattr(error, "help", "")
    shown = [_cut(line) for line in (*message.splitlines()[:3], *([f"help: {help_text}"] if help_text else []))]
    remote = _remote(error)[-6:]
    block = f'<pre style="margin:4px 0">{html.escape(chr(10).join(remote))}</pre>' if remote else ""
    return box(name, "error", lines(shown), block)


def traceback_lines(error: BaseException) -> list[str]:
    """The traceback of an error in at most `LINES` lines: the user's frames, those of the Executor, the message."""
    message = [
        f"{type(error).__name__}: {line}" if not place else line for place, line in enumerate(str(error).splitlines())
    ]
    message = [_cut(line) for line in (message or [type(error).__name__])]
    if len(message) > 5:
        message = [*message[:4], "  ..."]
    room = LINES - len(message) - 1  # the last is for how to see all
    remote = _remote(error)
    frames = _frames(error)
    below = remote if len(remote) <= max(4, room - 4) else [remote[0], "  ...", *remote[-(max(4, room - 4) - 2) :]]
    above = frames if len(frames) <= room - len(below) else ["  ...", *frames[-(room - len(below) - 1) :]]
    end = "(all of it: import sys, traceback; traceback.print_exception(sys.last_value))"
    return [*above, *below, *message, end]


def _frames(error: BaseException) -> list[str]:
    """Two lines for each frame of the user's, and one for those between."""
    found: list[str] = []
    hidden = 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if _is_library(code.co_filename):
            hidden += 1
            continue
        if hidden and found:
            found.append(f"  ({hidden} frames of libraries)")
        hidden = 0
        line = linecache.getline(code.co_filename, number, frame.f_globals).strip()
        found += [_cut(f"{_place(code.co_filename)}, line {number}, in {code.co_name}"), _cut(f"    {line}")]
    if hidden and found:
        found.append(f"  ({hidden} frames of jina)")
    return found


def _place(filename: str) -> str:
    """`Cell In[3]` for the code of a cell, else the file."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    name = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(filename)
    return " ".join(name) if name else f'File "{filename}"'


def _is_library(filename: str) -> bool:
    roots = {sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")}
    return filename.startswith((_HERE, "<frozen ", *roots))


def _remote(error: BaseException) -> list[str]:
    """The traceback of another process, which is a note of the error or of its cause."""
    cause = error.__cause__
    notes: list[Any] = [*getattr(cause, "__notes__", ()), *getattr(error, "__notes__", ())]
    text_lines = [line for note in notes for line in str(note).splitlines() if line.strip(" ^~")]
    found: list[str] = []
    for line, following in zip(text_lines, [*text_lines[1:], ""], strict=False):
        if line.strip() == "Traceback (most recent call last):":
            continue
        frame = _FRAME.fullmatch(line)
        if frame is None:
            found.append(_cut(line))
            continue
        found.append(_cut(f"  {_place(frame[1])}, line {frame[2]}, in {frame[3]}"))
        if not following.startswith("    "):  # that process had no source at hand, as of a class that came from a cell
            source = linecache.getline(frame[1], int(frame[2])).strip()
            found += [_cut(f"    {source}")] if source else []
    return found


def _cut(line: str) -> str:
    """The line without what a terminal obeys, or shows in another order, instead of showing it; a long one is cut."""
    shown = line.expandtabs(4)[: _WIDTH + 1]
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in shown)
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"
