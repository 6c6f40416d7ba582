"""The fork server: imports once what workers need, and forks a process for each control socket that it receives."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import platform
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from jina.codec import pb
from jina.errors import NotSupportedError
from jina.plan.plans import ForkServerPlan

_CLONE_PARENT = 0x8000
_CLONE_CHILD_CLEARTID = 0x200000
_CLONE_CHILD_SETTID = 0x1000000
_PR_GET_TID_ADDRESS = 40
_SYSTEM_CALLS = {"x86_64": (56, 274, 273), "aarch64": (220, 100, 99)}
"""Numbers of clone, get_robust_list and set_robust_list, by machine."""


class Sibling:
    """A child that another process forked for this one; has what is used of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        """Collect it; the exit code, or the negative number of the signal that ended it."""
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # the program reaps every child itself
            return 0

    def send_signal(self, signum: int) -> None:
        """Send a signal; not to be called after `wait`."""
        os.kill(self.pid, signum)


def is_supported() -> bool:
    """Whether `fork_sibling` can be expected to work here."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and platform.machine() in _SYSTEM_CALLS


def threads() -> int:
    """How many threads this process has, those of C libraries too."""
    return len(os.listdir("/proc/self/task"))


def require_one_thread() -> None:
    """Raise `NotSupportedError` where a fork would not be sound."""
    if threads() > 1:
        raise NotSupportedError(
            "a process with several threads cannot be forked", help="workers are started one by one instead"
        )


def fork_sibling() -> int:
    """Fork; 0 in the child, its process id here.

    Raises `NotSupportedError` where this process has several threads or its C library is not glibc, `OSError` when
    the kernel refuses.
    """
    require_one_thread()
    # PyDLL keeps the GIL: between these calls nothing else may run.
    library, python = ctypes.PyDLL(None, use_errno=True), ctypes.pythonapi
    clone, get_robust, set_robust = _SYSTEM_CALLS[platform.machine()]
    thread_id = _thread_id_address(library)
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.syscall(get_robust, 0, ctypes.byref(head), ctypes.byref(size))
    flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID | signal.SIGCHLD
    # The places of the fourth and fifth argument differ between machines; the flags use the thread id's only.
    arguments = [ctypes.c_long(clone), ctypes.c_long(flags), None, None, thread_id, thread_id]
    python.PyOS_BeforeFork()
    pid = int(library.syscall(*arguments))
    if pid == 0:
        library.syscall(set_robust, head, size)
        python.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def _thread_id_address(library: ctypes.PyDLL) -> ctypes.c_void_p:
    """Where glibc keeps the id of this thread: the kernel is to write the child's there, as `fork` has it do."""
    address = ctypes.c_void_p()
    found = library.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0)
    known = found == 0 and address.value and struct.calcsize("P") == 8
    if not known or ctypes.c_int.from_address(address.value or 0).value != threading.get_native_id():
        raise NotSupportedError(
            "the C library does not say where it keeps the id of a thread",
            help="workers are started one by one instead",
        )
    return address


_COMMON = (
    "concurrent.futures.thread",
    "jina.observe.exporters",
    "jina.observe.traces",
    "jina.runtime.process",
    "jina.runtime.admission",
    "jina.server.server",
    "jina.codec.session_headers",
)
"""What gateways import and workers as well; each brings what it needs itself."""
_OF_WORKERS = (
    "docarray",
    "docarray.computation.numpy_backend",
    "jina.documents.document",
    "jina.documents.docarray_patches",
    "jina.supervisor.loading",
    "jina.supervisor.pickling",
    "jina.worker.process",
    "jina.ipc.server",
)
"""What every worker behind a gateway imports beside that."""


def serve_forks(
    plan: ForkServerPlan, report: Callable[[dict[str, Any]], None], control: socket.socket
) -> socket.socket | None:
    """Fork a process for each socket that comes over `control`; None at its end.

    Those that come in the phase `common` have what gateways need, then a message without a socket moves on to `ready`.
    Returns in each of them too, with its own control socket. Raises where forking is not possible here.
    """
    for phase, import_all in (("common", _import_common), ("ready", partial(_import_rest, plan.sys_path))):
        import_all()
        _prepare_to_fork()
        report({"phase": phase})
        while own := _receive_socket(control):
            try:
                pid = fork_sibling()
            except OSError:
                return None  # the end of the control socket says enough
            if pid == 0:
                _reset_after_fork()
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


def _receive_socket(control: socket.socket) -> socket.socket | Literal[False] | None:
    """A socket; False for a message without one, None at the end."""
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


def _reset_after_fork() -> None:
    """Give the forked process its own session and random numbers."""
    os.setsid()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]  # noqa: SLF001 - Python 3.11 leaves the old
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()
