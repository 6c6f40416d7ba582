"""Waiting for the end: signals and stop events."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol, Self

_LOOK = 0.1
"""Seconds between looks at a stop event, which may be of any kind and cannot be waited for beside a signal."""


class StopEvent(Protocol):
    """`threading.Event`, `multiprocessing.Event` and their like."""

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        ...


class Signals:
    """SIGTERM and SIGINT while a service blocks: the first asks to drain, the second ends everything.

    `at_once` is called by the second, before the program exits. Signals reach only the main thread of a
    program; in any other thread nothing is installed.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._at_once = at_once
        self._received: int | None = None
        self._woken = False
        self._before: dict[int, Any] = {}
        self._wakeup_before: int | None = None
        self._readable, self._writable = socket.socketpair()
        self._writable.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._on_signal)
            # A signal that another thread receives does not interrupt the main thread's wait; this does.
            self._wakeup_before = signal.set_wakeup_fd(self._writable.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._wakeup_before is not None:
            signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._readable.close()
        self._writable.close()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._received is not None:
            self._at_once()
            os._exit(128 + number)
        self._received = number

    def wake(self) -> None:
        """End `wait`; from any thread."""
        self._woken = True
        with contextlib.suppress(OSError):
            self._writable.send(b"!")

    def wait(self, stop_event: StopEvent | None) -> None:
        """Block until a signal, `wake` or the event comes."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._readable, selectors.EVENT_READ)
            while self._received is None and not self._woken:
                if selector.select(None if stop_event is None else _LOOK):
                    self._readable.recv(64)
                if stop_event is not None and stop_event.is_set():
                    return
