"""What a terminal shows again each second, until q or Ctrl+C; the terminal is left as it was found."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY = 1.0
"""Seconds from one look to the next."""


def show(frame: Callable[[int, int], RenderableType]) -> None:
    """Show what `frame(columns, lines)` gives on a screen of its own; standard output is a terminal.

    Returns after q. Ctrl+C raises KeyboardInterrupt, SIGTERM ends the program, both with the terminal as it was.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console()
    screen = not console.is_dumb_terminal  # such a terminal has no second screen: what was shown stays above

    def now() -> RenderableType:
        return frame(console.width, console.height)

    with _keys() as pressed:
        if not screen:
            console.print(now())
            while not pressed(EVERY):
                console.print(now())
            return
        with Live(now(), console=console, screen=True, auto_refresh=False) as live:
            while not pressed(EVERY):
                live.update(now(), refresh=True)


@contextmanager
def _keys() -> Generator[Callable[[float], bool]]:
    """Gives a function that waits for so many seconds and says whether q was pressed meanwhile."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        if not sys.stdin.isatty():
            yield _wait
            return
        import termios
        import tty

        settings = termios.tcgetattr(sys.stdin)
        try:
            tty.setcbreak(sys.stdin)
            yield _pressed
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _pressed(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or b"q" in keys.lower():
                return True
    return False
