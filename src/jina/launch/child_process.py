"""One child process: started, listened to, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from jina.errors import JinaError, RuntimeFailToStart, Unavailable, ending_of
from jina.launch import failures, titles
from jina.launch.first_process import collect_orphans
from jina.launch.frames import FrameReader, send_frame, send_link, send_word
from jina.launch.siblings import Sibling
from jina.plan.plans import ChildPlan, GatewayPlan, NurseryPlan, WorkerPlan, to_json

_PHASES = {
    "importing": "importing",
    "init": "in __init__",
    "joining": "joining its group",
    "serving": "binding its ports",
}
_YOUNG = 10.0
"""Seconds after which a child that still imports is taken to wait for something else than the processor."""


class ChildProcess:
    """The child that runs one plan, a worker's or a gateway's. All methods belong to the thread that called `spawn`.

    The fields may be read from any thread: `phase` (what the child reported last), `since` (monotonic seconds
    of that report), `ready`, `steps` (what a gateway told of the endpoints behind it, see `GatewayService.told`),
    `linked` (the workers whose links a gateway uses), `vitals` (what it said last of itself, see `jina.runtime.vitals`)
    and `answered` (to which question), `failure` (why it did not start) and `exit_status` (None while it runs).
    """

    def __init__(self, plan: ChildPlan, blob: bytes = b"") -> None:
        self.plan = plan
        self.name = _shown(plan)
        self.phase = "starting"
        self.since = time.monotonic()
        self.ready = False
        self.ready_at: float | None = None
        self.waits_for = ""
        self.steps: dict[str, list[list[Any]]] = {}
        self.linked: set[str] = set()
        self.files: set[str] = set()
        """Those of the user's code that it loaded, where the plan wants them watched."""
        self.vitals: dict[str, int] = {}
        self._asked_at = 0.0
        self.asked = self.answered = 0
        self.cause = ""
        """Why it ended, where more is known than its exit status."""
        self._told = False
        """Whether it is to end because we said so."""
        self.failure: JinaError | None = None
        self.exit_status: int | None = None
        self.control: socket.socket | None = None
        self.pidfd: int | None = None
        self.blob = blob
        self._process: subprocess.Popen[bytes] | Sibling | None = None
        self._frames = FrameReader()

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def progress(self) -> str:
        """What the child does and for how long: `in __init__ 34 s`."""
        phase = _PHASES.get(self.phase, self.phase)
        if self.waits_for:
            phase = f"waiting for {self.waits_for}"
        return f"{phase} {time.monotonic() - self.since:.0f} s"

    @property
    def is_gateway(self) -> bool:
        """Whether it takes requests from outside for others to answer."""
        return isinstance(self.plan, GatewayPlan)

    @property
    def watched(self) -> list[socket.socket | int]:
        """What becomes readable when the child reports something or ends."""
        return [handle for handle in (self.control, self.pidfd) if handle is not None]

    @property
    def running(self) -> bool:
        """True from the start of the process to its end."""
        return self._process is not None and self.exit_status is None

    @property
    def busy_starting(self) -> bool:
        """True while it needs the processor for its own start, before any code of the user's has the say."""
        young = time.monotonic() - self.since < _YOUNG
        return self.running and young and self.phase in {"starting", "importing"}

    def spawn(self, fork: Callable[[socket.socket], Sibling | None] = lambda _: None) -> None:
        """Start the child and send it its plan; a failure is kept in `failure`.

        `fork` may start it with its end of the control socket, or leave that to this method.
        """
        ours, theirs = socket.socketpair()
        self.control = ours
        try:
            with theirs:
                self._process = fork(theirs) or self._opened(theirs)
        except OSError as error:
            self.failure = RuntimeFailToStart(f"{self.name} cannot be started: {error}")
            self.exit_status = -1
            return
        if hasattr(os, "pidfd_open"):
            self.pidfd = os.pidfd_open(self._process.pid)
        # A child that died already is told by its exit, not by the broken pipe.
        with contextlib.suppress(OSError):
            send_frame(ours, to_json(self.plan))
            send_frame(ours, self.blob)

    def _opened(self, control: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, *_flags(), "-m", "jina.launch.child", str(control.fileno()), self._title],
            pass_fds=[control.fileno()],
            stdin=subprocess.DEVNULL,
            env=_environment(self.plan.env),
            start_new_session=True,  # a terminal's Ctrl+C goes to the orchestrator, which drains its children
        )

    @property
    def _title(self) -> str:
        """What is seen of it in lists of processes; one that others are forked from leaves room for their names."""
        return self.plan.name.ljust(titles.WIDTH) if isinstance(self.plan, NurseryPlan) else self.plan.name

    def send_link(self, name: str, link: socket.socket) -> None:
        """Give the child a copy of its end of the local link to the worker `name`, or from it."""
        if self.control is not None:
            with contextlib.suppress(OSError):  # as above
                send_link(self.control, name, link)

    def send_word(self, **word: Any) -> None:
        """Say something to the child, see `jina.launch.frames`."""
        if self.control is not None:
            with contextlib.suppress(OSError):  # as above
                send_word(self.control, word)

    @property
    def silent(self) -> float:
        """Seconds for which its event loops have not turned, or for which it owes the answer to a question."""
        owing = time.monotonic() - self._asked_at if self.asked != self.answered else 0.0
        return max(owing, self.vitals.get("silent_ms", 0) / 1000)

    def ask(self) -> bool:
        """Ask how it is, unless it still owes an answer; says whether it was asked."""
        if self.asked != self.answered or not self.running:
            return False
        self.asked += 1
        self._asked_at = time.monotonic()
        self.send_word(ask=self.asked)
        return True

    def give_up(self) -> None:
        """End it before its process was started."""
        self.phase, self.exit_status = "stopped", 0

    def read(self) -> bool:
        """Take in reports after the control socket became readable; False at its end."""
        assert self.control is not None
        try:
            data = self.control.recv(1 << 16)
        except OSError:
            data = b""
        for frame in self._frames.feed(data):
            self._on_report(msgspec.json.decode(frame))
        return bool(data)

    def _on_report(self, report: dict[str, Any]) -> None:
        if "phase" in report:
            self._on_phase(report)
        elif "linked" in report:
            self.linked.add(str(report["linked"]))
        elif "answer" in report:
            self.vitals, self.answered = dict(report["vitals"]), int(report["answer"])
        elif "files" in report:
            self.files = set(report["files"])
        elif "crash" in report:
            self.cause = str(report["crash"])

    def _on_phase(self, report: dict[str, Any]) -> None:
        self.phase = str(report["phase"])
        self.since = time.monotonic()
        self.ready = self.phase == "ready"
        if self.ready and self.ready_at is None:
            self.ready_at = self.since
        self.waits_for = str(report.get("for", ""))
        self.steps = report.get("steps", self.steps)
        if not self._told and "reason" in report:
            self.cause = str(report["reason"])
        if self.phase == "failed":
            self.failure = failures.rebuild(self.name, report)
            self.cause = self.failure.message.removeprefix(f"{self.name} ")

    def terminate(self, signum: int) -> None:
        """Send a signal to the child, or to its whole process group with SIGKILL."""
        if self._process is None or self.exit_status is not None:
            return
        self._told = True
        if signum == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):  # one that was just forked has no group yet
                os.killpg(self._process.pid, signum)
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)

    def reap(self) -> None:
        """Collect the child, which has ended or is about to, and whatever it left in its process group."""
        assert self._process is not None
        if hasattr(os, "waitid"):  # not on macOS before Python 3.13
            with contextlib.suppress(ChildProcessError):  # the program reaps every child itself
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        # Where waitid is, before the process id is given back, so that the group can be nobody else's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        while self.read_rest():
            pass
        was_ready, during = self.ready, self.progress
        self.ready = False
        status = self._process.wait()
        collect_orphans(self._process.pid)
        self.exit_status = status
        if not was_ready and self.failure is None and self.phase != "stopped":
            self.failure = RuntimeFailToStart(f"{self.name} died while {during}: {self.ending}", help=self._advice)

    def read_rest(self) -> bool:
        """Take in reports that the child wrote just before it ended."""
        if self.control is None:
            return False
        self.control.setblocking(False)  # noqa: FBT003 - the standard library's signature
        return self.read()

    def release(self) -> None:
        """Close the descriptors."""
        if self.control is not None:
            self.control.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.control = self.pidfd = None

    @property
    def ending(self) -> str:
        """How the process ended: `exited with code 3`, `was killed by signal 9 (SIGKILL): out of memory`."""
        if self.exit_status is None:
            return "still runs"
        return ending_of(self.exit_status) + (f": {self.cause}" if self.cause else "")

    @property
    def _advice(self) -> str:
        if self.exit_status == -signal.SIGKILL and not self.cause:
            return "signal 9 often comes from the kernel when memory runs out (see dmesg)"
        return ""

    def down(self) -> Unavailable | None:
        """Why a request cannot be served by this worker, or None while it runs."""
        if self.exit_status is None:
            return None
        return Unavailable(f"{self.name} (process {self.pid}) {self.ending}", help=self._advice)


def _shown(plan: ChildPlan) -> str:
    """The name that users gave where that is one process, the process's own otherwise."""
    if not isinstance(plan, WorkerPlan):
        return plan.name
    return plan.deployment if plan.replicas == plan.shards == 1 and not plan.part else plan.name


def _flags() -> list[str]:
    """-P: the working directory must not hide modules of the standard library from the child."""
    return ["-P", *(f"-W{option}" for option in sys.warnoptions)]


def _environment(extra: dict[str, str]) -> dict[str, str]:
    environment = {**os.environ, **extra}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root not in site.getsitepackages():
        # jina was found by this program's own sys.path, which the child gets only with its plan.
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join([*filter(None, paths), root])
    return environment
