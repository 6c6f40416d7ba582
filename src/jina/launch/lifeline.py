"""What ties a child to its orchestrator: the control socket and the parent-death signal.

When the orchestrator is gone the socket ends, `close()` of the Executor gets at most one second, and the
worker exits. A handler that holds the GIL cannot be asked; the kernel then ends the worker after that second.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from jina.launch.frames import received_words

CLOSE_LIMIT = 0.9
"""Seconds that `close()` gets once the orchestrator is gone: a little less than the kernel grants."""

OnWord = Callable[[dict[str, Any], socket.socket | None], None]
"""Gets a word of the orchestrator, and the socket of a link where it is one."""

_PR_SET_PDEATHSIG = 1
_ORPHANED = 75  # EX_TEMPFAIL: nobody reads it, but it is told apart in logs of init systems


def reset_signals() -> None:
    """Undo what a worker inherits from the thread that started it: blocked and ignored signals."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with_parent(control: socket.socket) -> None:
    """Let the kernel end this process one second after the orchestrator's death (Linux only).

    No Python code can run while C code holds the GIL, so the handler of the parent-death signal is libc's
    own `alarm`: called with the signal's number, and SIGHUP is 1, it makes the kernel send SIGALRM one second
    later, whose default action ends the process.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(int(signal.SIGHUP), ctypes.cast(libc.alarm, ctypes.c_void_p))
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGHUP), 0, 0, 0)
    if os.getppid() != _creator_of(control):  # it died before the call above
        os._exit(_ORPHANED)


def _creator_of(control: socket.socket) -> int:
    credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def watch(control: socket.socket, abandon: Callable[[], None], on_word: OnWord) -> None:
    """From a thread: give what the orchestrator says to `on_word`, and end when it is gone.

    Then `abandon` is called, which asks the process to stop without waiting for requests in flight and returns at
    once, and the process exits after `CLOSE_LIMIT` seconds.
    """
    threading.Thread(target=_watch, args=(control, abandon, on_word), name="lifeline", daemon=True).start()


def _watch(control: socket.socket, abandon: Callable[[], None], on_word: OnWord) -> None:
    for word, link in received_words(control):
        on_word(word, link)
    deadline = time.monotonic() + CLOSE_LIMIT
    try:
        abandon()
    finally:
        time.sleep(max(0.0, deadline - time.monotonic()))
        # What user code started (data loaders, servers) lives in this process group; nobody else ends it.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(_ORPHANED)
