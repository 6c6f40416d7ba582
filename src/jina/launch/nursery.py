"""A process that imports once what every worker needs, and forks a worker whenever it gets a control socket.

It never runs user code and never has a second thread when it forks, so its forks are sound, which those of the
user's own process would not be.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from jina.launch.siblings import fork_sibling, require_one_thread
from jina.plan.plans import NurseryPlan
from jina.wire import pb

_NEEDED = (
    "docarray",
    "docarray.computation.numpy_backend",
    "concurrent.futures.thread",
    "jina.documents.document",
    "jina.documents.docvec",
    "jina.documents.repairs",
    "jina.launch.loading",
    "jina.launch.pickling",
    "jina.runtime.worker",
    "jina.transport.link_server",
)
"""What every worker behind a gateway imports; each brings what it needs itself."""


def tend(plan: NurseryPlan, report: Callable[[dict[str, Any]], None], control: socket.socket) -> socket.socket | None:
    """Fork a worker for each socket that comes over `control`; None at its end.

    Returns in each worker too, with the worker's own control socket. Raises where forking is not possible here.
    """
    if plan.sys_path:
        sys.path[:] = plan.sys_path
    _import_all()
    # A fresh look at folders for each worker, which would write to all that is known of them in pages of its own.
    importlib.invalidate_caches()
    # Objects that the collector never looks at stay shared between all the workers.
    gc.freeze()
    _end_idle_threads()
    report({"phase": "ready"})
    while (worker := _received(control)) is not None:
        try:
            pid = fork_sibling()
        except OSError:
            return None  # the end of the control socket says enough
        if pid == 0:
            _become_another()
            report({"phase": "ready", "pid": os.getpid()})
            control.close()
            return worker
        worker.close()
    return None


def _import_all() -> None:
    for name in _NEEDED:
        importlib.import_module(name)
    _ = pb.POOL  # the message classes are made when the first of them is asked for
    if not os.environ.get("JINA_DISABLE_UVLOOP"):
        with contextlib.suppress(ImportError):
            importlib.import_module("uvloop")


def _received(control: socket.socket) -> socket.socket | None:
    data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    return socket.socket(fileno=descriptors[0]) if data else None


def _end_idle_threads() -> None:
    """Libraries end their threads before a fork, to start them again when they need them; OpenBLAS is one.

    They are told by the C library, which `fork_sibling` goes around, so there is one fork of the usual kind before.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    require_one_thread()


def _become_another() -> None:
    """What a process of its own has for itself: a session and random numbers."""
    os.setsid()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]  # noqa: SLF001 - Python 3.11 leaves the old
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()
