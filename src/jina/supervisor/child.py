"""A child process: `python -m jina.supervisor.child <fd> <name>`, started by `jina.supervisor.group` only.

Reads its plan from the control socket `<fd>`, reports each phase and every failure over it, and serves. The name is
for process lists. A worker whose package has requirements becomes the Python of the environment for them, started with
`<fd>:<file>`: the file holds the plan, which was read already.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from jina.plan.plans import ExecutorPlan, ForkServerPlan, GatewayPlan, ProcessPlan, WorkerPlan, process_from_json
from jina.supervisor.control import die_with_parent, recv_frame, reset_signals, send_frame, show, watch

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.runtime.process import Parent, Stop


class Control:
    """The child's end of the control socket; reports may come from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self.phase = "importing"
        self.was_ready = False
        self.watched = False
        """Whether the files that the user's code came from are wanted."""

    def report(self, report: dict[str, Any]) -> None:
        """Report a phase to the orchestrator; does nothing when it has ended, which the thread `lifeline` handles."""
        self.phase = str(report["phase"])
        self.was_ready = self.was_ready or self.phase == "ready"
        self.send(report)

    def send(self, message: dict[str, Any]) -> None:
        """Send the orchestrator any other message; does nothing when it has ended."""
        with self._lock:
            try:
                send_frame(self._sock, msgspec.json.encode(message))
            except OSError:
                return

    def send_files(self, error: BaseException | None = None) -> None:
        """Send the names of the user's files that were loaded."""
        from jina.supervisor.process import files_of_user

        self.send({"files": files_of_user(error)})

    def crashed(self, error: BaseException) -> None:
        """Report what ends the process after it was ready."""
        self.send({"crash": f"{type(error).__name__}: {error}" if str(error) else type(error).__name__})

    def fail(self, error: BaseException) -> None:
        """Report why the start failed."""
        from jina.supervisor.process import describe

        if self.watched:
            self.send_files(error)
        self.report(describe(error, self.phase))


def main(argv: list[str]) -> int:
    """Serve until told to stop; the exit code."""
    gc.disable()  # until our own libraries are there, see `_connect_parent`
    number, _, handed = argv[1].partition(":")
    sock = socket.socket(fileno=int(number))
    del argv[2:]
    sock.set_inheritable(False)
    _write_lines_at_once()
    reset_signals()
    data, blob = _handed_over(int(handed)) if handed else (recv_frame(sock), recv_frame(sock))
    if data is None or blob is None:
        return 1
    die_with_parent(sock)  # now that it has a parent for good: a forked process gets its plan when it was adopted
    plan = process_from_json(data)
    show(plan.name)
    control = Control(sock)
    try:
        if isinstance(plan, WorkerPlan) and plan.executor.requirements and not handed:
            _enter_environment(plan, (data, blob), control, sock)
        control.report({"phase": "importing"})
        if not isinstance(plan, ForkServerPlan):
            return _serve(plan, blob, control, sock)
        from jina.supervisor.forkserver import serve_forks

        forked = serve_forks(plan, control.report, sock)
    except BaseException as error:  # whatever user code raises, SystemExit too, is the report
        if control.was_ready:
            control.crashed(error)
            raise
        control.fail(error)
        _leave(1)
    if forked is None:
        return 0
    # A worker from here on, as if it had been started with this socket.
    argv[1:] = [str(forked.detach())]
    return main(argv)


def _enter_environment(
    plan: WorkerPlan, frames: tuple[bytes, bytes], control: Control, sock: socket.socket
) -> NoReturn:
    """Make the environment of the worker's package, unless it is there, and become its Python."""
    from jina.supervisor.environments import Environment, become

    control.phase = "installing"
    environment = Environment.read(plan.executor.requirements)
    lock = environment.make(
        offline=plan.executor.offline,
        apart=False,
        check=partial(_end_with_parent, sock),
        on_wait=lambda: control.report({"phase": "installing"}),
    )
    with tempfile.TemporaryFile() as file:
        for frame in frames:
            file.write(len(frame).to_bytes(8, "big") + frame)
        file.flush()
        for inherited in (file.fileno(), sock.fileno()):
            os.set_inheritable(inherited, True)  # noqa: FBT003 - the standard library's signature
        become(environment, lock, ["-m", "jina.supervisor.child", f"{sock.fileno()}:{file.fileno()}", plan.name])


def _handed_over(descriptor: int) -> tuple[bytes, bytes]:
    """The plan and the pickle that this process has read before it became another Python."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        data, blob = (file.read(int.from_bytes(file.read(8), "big")) for _ in range(2))
    return data, blob


def _end_with_parent(sock: socket.socket) -> None:
    """End this process and what it has started, which is its group, once the orchestrator has ended."""
    poller = select.poll()
    poller.register(sock, 0)  # the end is told in any case
    if poller.poll(0):
        os.killpg(0, signal.SIGKILL)


def _write_lines_at_once() -> None:
    """Give files and pipes each line of user code as it ends, as terminals get it: no end of the process loses one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _serve(plan: ProcessPlan, blob: bytes, control: Control, sock: socket.socket) -> int:
    if isinstance(plan, GatewayPlan):
        code, stop = _serve_gateway(plan, blob, control, sock)
    else:
        code, stop = _serve_worker(plan, blob, control, sock)
    control.report({"phase": "stopped", "reason": stop.reason})
    return code


def _serve_worker(plan: WorkerPlan, blob: bytes, control: Control, sock: socket.socket) -> tuple[int, Stop]:
    if plan.executor.container is not None:
        return _serve_container(plan, control, sock)
    _prepare(plan.executor)
    if plan.watch:
        control.watched = sys.dont_write_bytecode = True  # bytecode is told apart by whole seconds
    from jina.worker.process import run_worker

    parent = _connect_parent(sock, control)
    # The default from CPython 3.13 on. What 32 requests hold at one moment is more than 700 objects: the collector
    # looked at them again and again, for 3 % of the CPU of a short request.
    gc.set_threshold(2000)

    def loaded() -> Executor:
        from jina.supervisor.loading import load

        executor = load(plan, *_unpickled(blob), control.report)
        if plan.watch:
            control.send_files()
        return executor

    return run_worker(plan, loaded, parent), parent.stop


def _serve_container(plan: WorkerPlan, control: Control, sock: socket.socket) -> tuple[int, Stop]:
    from jina.supervisor.container import Guard, run_container

    guard = Guard()  # while there is one thread
    parent = _connect_parent(sock, control)
    return run_container(plan, parent, guard), parent.stop


def _serve_gateway(plan: GatewayPlan, blob: bytes, control: Control, sock: socket.socket) -> tuple[int, Stop]:
    custom = plan.custom
    if custom is not None:
        _prepare(custom)
    from jina.gateway.process import run_gateway

    parent = _connect_parent(sock, control)

    def loaded() -> tuple[type, dict[str, Any]]:
        from jina.supervisor.loading import load_gateway

        control.report({"phase": "importing"})
        assert custom is not None
        return load_gateway(custom, *_unpickled(blob))

    # Requests wait here while workers compute: the usual 700 would have the collector look at each of them many times.
    gc.set_threshold(10_000)
    control.report({"phase": "starting"})
    return run_gateway(plan, parent, None if custom is None else loaded), parent.stop


def _connect_parent(sock: socket.socket, control: Control) -> Parent:
    """The orchestrator as the parent of this process, once our own libraries are imported."""
    from jina.runtime.process import Parent, Stop, tune

    # What these imports leave lives as long as the process: the collector need not look at it, now or ever again.
    gc.freeze()
    gc.enable()
    tune()
    parent = Parent(control.report, Stop(orchestrated=True))
    parent.tell = control.send
    parent.ask_service = _ask_supervisor
    parent.links.on_use = lambda name: control.send({"linked": name})

    def on_message(message: dict[str, Any], link: socket.socket | None) -> None:
        if link is not None:
            parent.links.add(str(message["link"]), link)
        elif "unlink" in message:
            parent.links.add(str(message["unlink"]), None)
        elif "ask" in message:
            answer = {"answer": message["ask"], "stats": parent.stats.read()}
            if "observe" in message:
                answer["observed"] = _observed(parent, message["observe"])
            control.send(answer)

    watch(sock, parent.stop.abandon, on_message)
    return parent


def _observed(parent: Parent, question: dict[str, Any]) -> msgspec.Raw:
    """What this process tells of itself. Whatever is wrong with it, the thread that answers must go on."""
    try:
        return msgspec.Raw(msgspec.json.encode(parent.stats.observe(question)))
    except Exception as error:  # noqa: BLE001 - it may hold anything that code of the user's has made
        from jina.observe.logs import get_logger

        get_logger("jina.console").warning("the console is not told of this process: %r", error)
        return msgspec.Raw(b"{}")


def _ask_supervisor(question: bytes) -> bytes:
    """See `Parent.ask_service`."""
    from jina.supervisor.observing import ask_supervisor

    return ask_supervisor(question)


def _prepare(plan: ExecutorPlan) -> None:
    if plan.requirements:  # what this environment has comes first
        sys.path += [entry for entry in plan.sys_path if entry not in sys.path]
    elif plan.sys_path:
        sys.path[:] = plan.sys_path
    if plan.cwd:
        # Deleted meanwhile: what started this one lives on in it, and so does this one. Paths that are relative fail.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.chdir(plan.cwd)


def _unpickled(blob: bytes) -> tuple[Any, dict[str, Any]]:
    """What came beside the plan: a class that cannot be imported, or None, and arguments that are no JSON."""
    if not blob:
        return None, {}
    from jina.documents import repair_docarray
    from jina.supervisor.pickling import loads

    repair_docarray()
    return loads(blob)


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
