"""The fork server, both ends: a process that imports once what workers need, and is forked for each of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any, Literal

from jina.codec import pb
from jina.errors import NotSupportedError
from jina.plan.plans import ChildPlan, ForkServerPlan, GatewayPlan, WorkerPlan
from jina.supervisor.process import ChildProcess, Sibling


def is_supported() -> bool:
    """Whether `fork_sibling` can be expected to work here."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
_adopting = threading.Lock()
"""Held while this process is a subreaper: two services that start in one program take turns."""


@contextlib.contextmanager
def adopting_orphans() -> Generator[None]:
    """Become the parent of each descendant whose parent ends meanwhile; raises `OSError` where that cannot be.

    So the processes that a fork server starts become children of this one. It lasts no longer than a fork, as the
    program may have children of its own whose orphans are to go to init, as ever.
    """
    library = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    with _adopting:
        library.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
        if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "this process cannot adopt others")
        try:
            yield
        finally:
            library.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


_PATIENCE = 10.0
"""Seconds that a fork may take before the fork server counts as broken."""


class ForkServer(ChildProcess):
    """The process that several workers are forked from, and the gateway before it has imported what only they need.

    All methods belong to the thread that called `spawn`. Where it cannot be started or cannot fork, or ends, `fork`
    gives None, and processes are started by themselves. One that `keep_running` forks those that are started later,
    too: they serve sooner, without the time that the imports take.
    """

    def __init__(self, sys_path: list[str], *, keep_running: bool = False) -> None:
        super().__init__(ForkServerPlan(sys_path=sys_path))
        self._keep_running = keep_running
        self._key = tuple(sys_path)
        self._stages = ["common", "ready"]
        """Those of its phases in which it forks that are not over."""
        self._forked = 0

    def can_fork(self, process: ChildProcess) -> bool:
        """Whether a process is to be forked, now or in a later stage, rather than started by itself."""
        return self.phase != "failed" and self.exit_status is None and self._stage_of(process.plan) in self._stages

    def can_fork_now(self, process: ChildProcess) -> bool:
        """Whether it has imported what the process needs."""
        return self.can_fork(process) and self._stage_of(process.plan) == self.phase

    def _stage_of(self, plan: ChildPlan) -> str | None:
        """A gateway comes before the libraries of Executors, unless it is the user's own, which is like an Executor."""
        if not isinstance(plan, GatewayPlan):
            return "ready" if _key(plan) == self._key else None
        if plan.env:
            return None
        return "ready" if plan.custom is not None and tuple(plan.custom.sys_path) == self._key else "common"

    def fork(self, control: socket.socket) -> Sibling | None:
        """A new process with this control socket, or None when it has to be started otherwise."""
        if self.phase not in self._stages or self.control is None:
            return None
        self._forked = 0
        self.control.settimeout(_PATIENCE)
        try:
            with adopting_orphans():
                socket.send_fds(self.control, [b"!"], [control.fileno()])
                while not self._forked and self.read():
                    pass
            # Raises unless it is a child of this process now.
            os.waitid(os.P_PID, self._forked, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except OSError:
            self._forked = 0
        finally:
            self.control.settimeout(None)
        if not self._forked:
            self.phase, self.ready = "failed", False
            self.terminate(signal.SIGKILL)
            return None
        return Sibling(self._forked)

    def advance(self, waiting: Iterable[ChildProcess]) -> None:
        """Move it to its next stage, or stop it, when no queued process needs the current one."""
        if self.phase not in self._stages or self.control is None:
            return
        wanted = {self._stage_of(process.plan) for process in waiting} | ({"ready"} if self._keep_running else set())
        if self.phase in wanted:
            return
        with contextlib.suppress(OSError):  # it has ended
            if self.phase == "common" and "ready" in wanted:
                self._stages.remove("common")
                self.control.send(b".")
            else:
                self._stages.clear()
                self.control.shutdown(socket.SHUT_WR)

    def _on_report(self, report: dict[str, Any]) -> None:
        super()._on_report(report)
        self._forked = int(report.get("pid", 0))


def fork_server_for(processes: Sequence[ChildProcess]) -> ForkServer | None:
    """A fork server, not started, for the processes that can share one; None for one that is never followed by others.

    It keeps running where workers are reloaded, or come and go with the load.
    """
    if not is_supported():
        return None
    keys = Counter(key for process in processes if (key := _key(process.plan)) is not None)
    for found, count in keys.most_common(1):
        keep_running = any(_is_followed(process.plan) for process in processes)
        return ForkServer(list(found), keep_running=keep_running) if count > 1 or keep_running else None
    return None


def _is_followed(plan: ChildPlan) -> bool:
    if isinstance(plan, GatewayPlan):
        return any(node.autoscale is not None for node in plan.graph.nodes)
    return isinstance(plan, WorkerPlan) and plan.watch


def _key(plan: ChildPlan) -> tuple[str, ...] | None:
    """Workers with the same key can be forked from one process; those with None from none.

    Variables of the environment have to be there before libraries are imported, and listeners need libraries of their
    own: that is worth it only where a worker is soon to be replaced. Requirements mean another interpreter, and what
    runs a container needs none of them.
    """
    if not isinstance(plan, WorkerPlan) or plan.env or (plan.listeners and not plan.watch) or plan.executor.container:
        return None
    if plan.executor.requirements:
        return None
    return tuple(plan.executor.sys_path)


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
    """Fork a child of the parent of this process, which is `adopting_orphans`; 0 in the child, its process id here.

    It leads a session of its own by then. Raises `NotSupportedError` where this process has several threads, `OSError`
    when the kernel refuses.
    """
    require_one_thread()
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            if os.fork():
                os._exit(0)
        except OSError:
            os._exit(1)
        os.setsid()
        os.write(writing, str(os.getpid()).encode())
        os.close(reading)
        os.close(writing)
        return 0
    os.close(writing)
    with open(reading, "rb") as file:
        pid = file.read()
    with contextlib.suppress(ChildProcessError):  # the system collects it: this process inherited an ignored SIGCHLD
        os.waitpid(between, 0)  # when it is over, the child has its new parent
    if not pid:
        raise OSError("the system refuses a fork")
    return int(pid)


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
                control.close()
                return own
            own.close()
            report({"phase": phase, "pid": pid})
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
    # Drop cached directory listings: each process would otherwise copy the pages on which they are updated.
    importlib.invalidate_caches()
    # Objects that the collector never looks at stay shared between all of them.
    gc.freeze()
    _end_idle_threads()


def _end_idle_threads() -> None:
    """Libraries end their threads before a fork, to start them again when they need them; OpenBLAS is one.

    So the threads that are left after one are of libraries that do not.
    """
    if threads() > 1:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    require_one_thread()


def _reset_after_fork() -> None:
    """Give the forked process its own random numbers, and correct what it knows of its thread."""
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]  # noqa: SLF001 - Python 3.11 leaves the old
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()
