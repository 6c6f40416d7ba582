"""A process that imports once what others need, and forks one of them whenever it gets a control socket.

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
from functools import partial
from typing import Any, Literal

from jina.launch.siblings import fork_sibling, require_one_thread, threads
from jina.plan.plans import NurseryPlan
from jina.wire import pb

_COMMON = (
    "concurrent.futures.thread",
    "jina.observe.exporters",
    "jina.observe.traces",
    "jina.runtime.heap",
    "jina.runtime.link_source",
    "jina.runtime.loops",
    "jina.runtime.room",
    "jina.runtime.stop",
    "jina.runtime.vitals",
    "jina.transport.server",
    "jina.wire.standing",
)
"""What gateways import and workers as well; each brings what it needs itself."""

_OF_WORKERS = (
    "docarray",
    "docarray.computation.numpy_backend",
    "jina.documents.document",
    "jina.documents.docvec",
    "jina.documents.repairs",
    "jina.launch.loading",
    "jina.launch.pickling",
    "jina.runtime.worker",
    "jina.transport.link_server",
)
"""What every worker behind a gateway imports beside that."""


def tend(plan: NurseryPlan, report: Callable[[dict[str, Any]], None], control: socket.socket) -> socket.socket | None:
    """Fork a process for each socket that comes over `control`; None at its end.

    Those that come in the phase `common` have what gateways need, then a word without a socket leads to `ready`.
    Returns in each of them too, with its own control socket. Raises where forking is not possible here.
    """
    for phase, import_all in (("common", _import_common), ("ready", partial(_import_rest, plan.sys_path))):
        import_all()
        _prepare_to_fork()
        report({"phase": phase})
        while own := _received(control):
            try:
                pid = fork_sibling()
            except OSError:
                return None  # the end of the control socket says enough
            if pid == 0:
                _become_another()
                report({"phase": phase, "pid": os.getpid()})
                control.close()
                return own
            own.close()
        if own is None:
            break
    return None


def _import_common() -> None:
    for name in _COMMON:
        importlib.import_module(name)
    if not os.environ.get("JINA_DISABLE_UVLOOP"):
        with contextlib.suppress(ImportError):
            importlib.import_module("uvloop")


def _import_rest(sys_path: list[str]) -> None:
    if sys_path:
        sys.path[:] = sys_path
    for name in _OF_WORKERS:
        importlib.import_module(name)
    _ = pb.POOL  # the message classes are made when the first of them is asked for


def _received(control: socket.socket) -> socket.socket | Literal[False] | None:
    """A socket; False for a word without one, None at the end."""
    data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not data:
        return None
    return socket.socket(fileno=descriptors[0]) if descriptors else False


def _prepare_to_fork() -> None:
    # A fresh look at folders for each process, which would write to all that is known of them in pages of its own.
    importlib.invalidate_caches()
    # Objects that the collector never looks at stay shared between all of them.
    gc.freeze()
    _end_idle_threads()


def _end_idle_threads() -> None:
    """Libraries end their threads before a fork, to start them again when they need them; OpenBLAS is one.

    They are told by the C library, which `fork_sibling` goes around, so there is one fork of the usual kind before.
    """
    if threads() > 1:
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
