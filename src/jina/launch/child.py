"""A worker process: `python -m jina.launch.child <fd>`, started by `jina.launch.running` only.

Reads its plan from the control socket `<fd>`, reports each phase and every failure over it, and serves.
"""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from jina.launch import lifeline
from jina.launch.frames import recv_frame, send_frame
from jina.plan.plans import ExecutorPlan, WorkerPlan, process_from_json

if TYPE_CHECKING:
    from jina.executor import Executor


class Control:
    """The worker's end of the control socket; reports may come from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self.phase = "importing"

    def report(self, report: dict[str, Any]) -> None:
        """Tell the orchestrator; silent when it is gone, which `lifeline` deals with."""
        self.phase = str(report["phase"])
        with self._lock:
            try:
                send_frame(self._sock, msgspec.json.encode(report))
            except OSError:
                return

    def fail(self, error: BaseException) -> None:
        """Report why the start failed."""
        from jina.launch.failures import describe

        self.report(describe(error, self.phase))


def main(argv: list[str]) -> int:
    """Serve until told to stop; the exit code."""
    gc.disable()  # until our own libraries are there, see `_serve`
    sock = socket.socket(fileno=int(argv[1]))
    sock.set_inheritable(False)
    lifeline.reset_signals()
    lifeline.die_with_parent(sock)
    data, blob = recv_frame(sock), recv_frame(sock)
    if data is None or blob is None:
        return 1
    plan = process_from_json(data)
    assert isinstance(plan, WorkerPlan)
    control = Control(sock)
    try:
        return _serve(plan, blob, control, sock)
    except BaseException as error:  # whatever user code raises, SystemExit too, is the report
        if control.phase in {"ready", "draining", "stopped"}:
            raise
        control.fail(error)
        _leave(1)


def _serve(plan: WorkerPlan, blob: bytes, control: Control, sock: socket.socket) -> int:
    control.report({"phase": "importing"})
    _prepare(plan.executor)
    from jina.runtime.stop import Stop
    from jina.runtime.worker import run_worker

    # What these imports leave lives as long as the process: the collector need not look at it, now or ever again.
    gc.freeze()
    gc.enable()
    stop = Stop()
    lifeline.watch(sock, lambda: stop.request_stop("the orchestrator is gone", hard=True))

    code = run_worker(plan, lambda: _load(plan, blob, control), control.report, stop)
    control.report({"phase": "stopped"})
    return code


def _prepare(plan: ExecutorPlan) -> None:
    if plan.sys_path:
        sys.path[:] = plan.sys_path
    if plan.cwd and plan.cwd != os.getcwd():
        os.chdir(plan.cwd)


def _load(plan: WorkerPlan, blob: bytes, control: Control) -> Executor:
    from jina.launch.loading import construct, find

    executor_class: type[Executor] | None = None
    arguments: dict[str, Any] = {}
    if blob:
        from jina.documents import repair_docarray
        from jina.launch.pickling import loads

        repair_docarray()
        executor_class, arguments = loads(blob)
    executor_class = executor_class or find(plan)
    control.report({"phase": "init"})
    return construct(plan, executor_class, arguments)


def _leave(code: int) -> NoReturn:
    """Exit without waiting for threads that user code may have left."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _end(code: int) -> NoReturn:
    """Exit as the interpreter does, but without taking apart every module: that can take longer than the start did."""
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads, as the interpreter does
    atexit._run_exitfuncs()  # noqa: SLF001 - no public name
    _leave(code)


if __name__ == "__main__":
    _end(main(sys.argv))
