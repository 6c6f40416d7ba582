"""One child process: started, listened to, ended."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import time
import traceback
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

from jina import errors
from jina.config.paths import absolute
from jina.errors import JinaError, RuntimeFailToStart, Unavailable, ending_of
from jina.observe import terminal
from jina.plan.plans import ChildPlan, ForkServerPlan, GatewayPlan, WorkerPlan, to_json
from jina.supervisor.control import WIDTH, FrameReader, send_frame, send_link
from jina.supervisor.init import reap_orphans

_DURING = {
    "importing": "to import",
    "class": "to load the class",
    "init": "in __init__",
    "joining": "to join its group",
    "setup": "in setup_server",
}
MOST_LINES = 1000
"""Log records of a process that wait to be taken."""
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def describe(exc: BaseException, phase: str) -> dict[str, Any]:
    """The report of a start that failed in `phase`."""
    during = "class" if phase == "init" and not _ran_init(exc) else phase
    report: dict[str, Any] = {
        "phase": "failed",
        "during": during,
        "module": type(exc).__module__,
        "name": type(exc).__qualname__,
        "text": _text_of(exc),
        "where": _where(exc),
        "stacks": [] if during == "class" else _lines(exc),  # the message names the line of the user's
    }
    arguments = list(getattr(exc, "args", ()))
    if all(isinstance(value, str | int | float | bool | None) for value in arguments):
        report["args"] = arguments
    if isinstance(exc, errors.JinaError):
        report["details"] = {key: value for key, value in exc.details().items() if isinstance(value, str | int | float)}
    return report


def _ran_init(exc: BaseException) -> bool:
    """Whether a constructor of the user's ran; our own checks of the class come before and after it."""
    frames = traceback.extract_tb(exc.__traceback__)
    ran = any(frame.name == "__init__" and not _is_ours(frame.filename) for frame in frames)
    return ran or not isinstance(exc, errors.ConfigError)


def files_of_user(error: BaseException | None = None) -> list[str]:
    """The files of the modules of this process that are neither libraries' nor ours, and that of a syntax error."""
    modules = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {absolute(file) for file in modules if isinstance(file, str)}
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            files.add(absolute(error.filename))
        error = error.__cause__ or error.__context__
    return sorted(file for file in files if file.endswith(".py") and not _is_ours(file) and not _is_library(file))


def rebuild(worker: str, report: dict[str, Any]) -> errors.JinaError:
    """The error to raise for a report of `describe`: `RuntimeFailToStart`, or `PortAlreadyUsed` as it is."""
    cause = _cause(report)
    if isinstance(cause, errors.PortAlreadyUsed):
        return cause
    if stacks := "".join(report.get("stacks", ())).rstrip():
        # On the cause, which is printed first, so that the last line of a program's output is the one below.
        cause.add_note(f"traceback of {worker}:\n{stacks}")
    error = errors.RuntimeFailToStart(_line(worker, report, cause), help=str(getattr(cause, "help", "")))
    error.__cause__ = cause
    return error


def _line(worker: str, report: dict[str, Any], cause: BaseException) -> str:
    during = _DURING.get(report["during"], "to start")
    if isinstance(cause, errors.JinaError) and not isinstance(cause, errors.ExecutorError):
        return f"{worker} failed {during}: {report['text']}"  # our own errors name their place
    where = f" ({report['where']})" if report.get("where") else ""
    text = f": {report['text']}" if report.get("text") else ""
    return f"{worker} failed {during}{where}: {report['name']}{text}"


def _text_of(exc: BaseException) -> str:
    try:
        return exc.message if isinstance(exc, errors.JinaError) else str(exc)
    except Exception as failure:  # noqa: BLE001 - __str__ of user code
        return f"(its __str__ raised {type(failure).__name__})"


def _where(exc: BaseException) -> str:
    """`file.py:6`: the deepest frame in the user's own code, else the deepest outside jina."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{os.path.basename(exc.filename)}:{exc.lineno}"
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not _says_nothing(frame.filename)]
    own = [frame for frame in frames if not _is_library(frame.filename)] or frames
    return f"{os.path.basename(own[-1].filename)}:{own[-1].lineno}" if own else ""


def _lines(exc: BaseException) -> list[str]:
    """The traceback from the user's first frame on; whole where there is none.

    A file with bad syntax has none, nor has an error of ours in what the user wrote.
    """
    if isinstance(exc.__cause__, SyntaxError):
        exc = exc.__cause__
    if isinstance(exc, SyntaxError):
        return traceback.format_exception_only(exc)
    users = _users_part(exc.__traceback__)
    if users is None and isinstance(exc, errors.UsageError):
        return []  # it says itself what is to be changed, and where
    return traceback.format_exception(type(exc), exc, users or exc.__traceback__)


def _users_part(tb: TracebackType | None) -> TracebackType | None:
    below_ours = None  # an Executor that is installed as a library has no frames of the user's own
    while tb is not None:
        filename = tb.tb_frame.f_code.co_filename
        if _is_ours(filename):
            below_ours = tb.tb_next
        elif not _is_library(filename):
            return tb
        tb = tb.tb_next
    return below_ours


def _is_ours(filename: str) -> bool:
    return filename.startswith((_HERE + os.sep, "<frozen "))


def _says_nothing(filename: str) -> bool:
    return _is_ours(filename) or _is_compiled(filename)


def _is_compiled(filename: str) -> bool:
    return filename.endswith((".pyx", ".pxd"))  # uvloop's, named relative to nothing that is here


def _is_library(filename: str) -> bool:
    roots = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return _is_compiled(filename) or any(filename.startswith(root + os.sep) for root in roots)


def _cause(report: dict[str, Any]) -> BaseException:
    """The exception itself where its class is at hand, else an ExecutorError that describes it."""
    arguments = report.get("args")
    cls = _class_at_hand(report["module"], report["name"])
    if cls is not None and issubclass(cls, errors.JinaError):
        return cls.from_details(report["text"], report.get("details", {}))
    if cls is not None and arguments is not None:
        try:
            return cls(*arguments)
        except Exception:  # noqa: BLE001 - constructors of users may take anything
            cls = None
    return errors.ExecutorError(
        f"{report['name']}: {report['text']}",
        name=report["name"],
        exception_args=[repr(value) for value in arguments or ()],
    )


def _class_at_hand(module: str, name: str) -> type[BaseException] | None:
    """The exception class if its module is loaded here; nothing is imported for an error."""
    home: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        home = getattr(home, part, None)
    return home if isinstance(home, type) and issubclass(home, Exception) else None


_PHASES = {
    "installing": "installing its requirements",
    "importing": "importing",
    "init": "in __init__",
    "joining": "joining its group",
}
_YOUNG = 10.0
"""Seconds after which a child that still imports is taken to wait for something else than the processor."""


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


class ChildProcess:
    """The child that runs one plan, a worker's or a gateway's. All methods belong to the thread that called `spawn`.

    The fields may be read from any thread: `phase` (what the child reported last), `since` (monotonic seconds
    of that report), `ready`, `steps` (what a gateway told of the endpoints behind it, see
    `GatewayService.step_endpoints`), `linked` (the workers whose links a gateway uses), `stats` (what it reported last
    about itself, see `jina.runtime.process`) and `answered` (to which question), `versions` (what it told when it was
    ready: `version` of jina, `executor_version`), `failure` (why it did not start) and `exit_status` (None while it
    runs).
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
        self.wanted: dict[str, int] = {}
        """By Deployment: how many replicas a gateway wants, of those with `autoscale`."""
        self.files: set[str] = set()
        """Those of the user's code that it loaded, where the plan wants them watched."""
        self.stats: dict[str, int] = {}
        self.versions: dict[str, str] = {}
        self.observed: dict[str, Any] = {}
        """What it told last to those who look closely, see `jina.observe.observation`; without its log records."""
        self.lines: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)
        """Its log records, for who takes them."""
        self._last_line = 0
        self._asked_at = 0.0
        self.asked = self.answered = 0
        self.cause = ""
        """Why it ended, where more is known than its exit status."""
        self._asked_to_stop = False
        """Whether we asked it to end."""
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
        """True while it needs the processor for its own start, before any code of the user's runs."""
        young = time.monotonic() - self.since < _YOUNG
        return self.running and young and self.phase in {"starting", "importing"}

    def spawn(self, fork: Callable[[socket.socket], Sibling | None] | None = None) -> None:
        """Start the child and send it its plan; a failure is kept in `failure`.

        `fork` may start it with its end of the control socket, or leave that to this method.
        """
        try:
            if fork is not None:
                with self._new_control() as theirs:
                    self._process = fork(theirs)
            if self._process is None:
                with self._new_control() as theirs:
                    self._process = self._opened(theirs)
        except OSError as error:
            self.failure = RuntimeFailToStart(f"{self.name} cannot be started: {error}")
            self.exit_status = -1
            return
        terminal.shared = True
        assert self.control is not None
        if hasattr(os, "pidfd_open"):
            self.pidfd = os.pidfd_open(self._process.pid)
        # A child that died already is told by its exit, not by the broken pipe.
        with contextlib.suppress(OSError):
            send_frame(self.control, to_json(self.plan))
            send_frame(self.control, self.blob)

    def _new_control(self) -> socket.socket:
        """The child's end of a new control socket; what a broken fork server has forked ends with the one before."""
        if self.control is not None:
            self.control.close()
        self.control, theirs = socket.socketpair()
        return theirs

    def _opened(self, control: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, *_flags(), "-m", "jina.supervisor.child", str(control.fileno()), self._title],
            pass_fds=[control.fileno()],
            stdin=subprocess.DEVNULL,
            env=_environment(self.plan.env),
            start_new_session=True,  # a terminal's Ctrl+C goes to the orchestrator, which drains its children
        )

    @property
    def _title(self) -> str:
        """What is seen of it in lists of processes; one that others are forked from leaves room for their names."""
        return self.plan.name.ljust(WIDTH) if isinstance(self.plan, ForkServerPlan) else self.plan.name

    def send_link(self, name: str, link: socket.socket) -> None:
        """Give the child a copy of its end of the local link to the worker `name`, or from it."""
        if self.control is not None:
            with contextlib.suppress(OSError):  # as above
                send_link(self.control, name, link)

    def send_message(self, **message: Any) -> None:
        """Send a control message to the child, see `jina.supervisor.control`."""
        if self.control is not None:
            with contextlib.suppress(OSError):  # as above
                send_frame(self.control, msgspec.json.encode(message))

    @property
    def silent(self) -> float:
        """Seconds for which its event loops have not turned, or for which it owes the answer to a question."""
        owing = time.monotonic() - self._asked_at if self.asked != self.answered else 0.0
        return max(owing, self.stats.get("silent_ms", 0) / 1000)

    def ask(self, *, closely: bool = False) -> bool:
        """Send a health question, unless one is unanswered; returns whether it was sent.

        `closely` also asks for what `observed` and `lines` hold.
        """
        if self.asked != self.answered or not self.running:
            return False
        self.asked += 1
        self._asked_at = time.monotonic()
        if closely:
            self.send_message(ask=self.asked, observe={"logs": self._last_line})
        else:
            self.send_message(ask=self.asked)
        return True

    def give_up(self) -> None:
        """End it before its process was started."""
        self.phase, self.exit_status = "stopped", 0

    def read(self) -> bool:
        """Read reports after the control socket became readable; False at its end."""
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
        elif "wanted" in report:
            self.wanted = dict(report["wanted"])
        elif "answer" in report:
            self.stats, self.answered = dict(report["stats"]), int(report["answer"])
            if "observed" in report:
                self._on_observed(report["observed"])
        elif "files" in report:
            self.files = set(report["files"])
        elif "crash" in report:
            self.cause = str(report["crash"])

    def _on_observed(self, observed: dict[str, Any]) -> None:
        lines = observed.pop("logs", [])
        if lines:
            self._last_line = int(lines[-1]["seq"])
            self.lines.extend(lines)
        self.observed = observed

    def _on_phase(self, report: dict[str, Any]) -> None:
        self.phase = str(report["phase"])
        self.since = time.monotonic()
        self.ready = self.phase == "ready"
        if self.ready and self.ready_at is None:
            self.ready_at = self.since
        self.waits_for = str(report.get("for", ""))
        self.steps = report.get("steps", self.steps)
        self.versions = report.get("versions", self.versions)
        if not self._asked_to_stop and "reason" in report:
            self.cause = str(report["reason"])
        if self.phase == "failed":
            self.failure = rebuild(self.name, report)
            self.cause = self.failure.message.removeprefix(f"{self.name} ")

    def terminate(self, signum: int) -> None:
        """Send a signal to the child, or to its whole process group with SIGKILL."""
        if self._process is None or self.exit_status is not None:
            return
        self._asked_to_stop = True
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
        # Where waitid is, before the process id is given back, so that the group cannot belong to another process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        while self.read_rest():
            pass
        was_ready, during = self.ready, self.progress
        self.ready = False
        status = self._process.wait()
        reap_orphans(self._process.pid)
        self.exit_status = status
        if not was_ready and self.failure is None and self.phase != "stopped":
            self.failure = RuntimeFailToStart(f"{self.name} died while {during}: {self.ending}", help=self._advice)

    def read_rest(self) -> bool:
        """Read reports that the child wrote just before it ended."""
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
