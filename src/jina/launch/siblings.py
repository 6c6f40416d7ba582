"""A fork whose child is a sibling of this process: its parent is the one that started this process.

So the orchestrator has the child as its own, with its end, its exit status and the parent-death signal, though
another process forked it. `os.fork` has no such flag, so this makes the system call itself, with what `os.fork` and
the C library do around it (https://docs.python.org/3/c-api/sys.html#c.PyOS_BeforeFork,
https://man7.org/linux/man-pages/man2/clone.2.html). Linux with glibc only.

Handlers that libraries gave to `pthread_atfork` are not called: see `jina.launch.nursery` for what stands in.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
import threading

from jina.errors import NotSupportedError

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


def possible() -> bool:
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
