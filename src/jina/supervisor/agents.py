"""The consensus agents of stateful workers: started before them, ended after them, started again when they die."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from jina.errors import ConfigError, NotSupportedError, UsageError, ending_of
from jina.observe import logs
from jina.plan.plans import ConsensusPlan, ProcessPlan, TlsPlan, WorkerPlan
from jina.replication.admin import cannot_run, cause_of_crash, checked_agent, keep_key, read_key, shared_key

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_SOUND = 10.0
"""Seconds after which an agent counts as well started."""
_PATIENCE = 5.0
"""Seconds that an agent gets to end."""
_LIBRARY = "consensus.raft:"
"""In lines of the consensus library, which logs every connection that the end of another replica breaks."""
_REFUSES = 2
"""Exit code of an agent that cannot work with its configuration or its folder."""
_CRASHED = 1
"""In the place of the exit code of a Go program that died, which is the same."""
_PREFIX = "jina-raft: "
"""Begins the line in which an agent says why it ends."""
_READY = "ready"
"""What an agent says when it listens."""
_MEMBER = "member"
"""What it says when it has a vote."""
_MORE = "JINA_LOG_LEVEL=DEBUG shows all that it says"
_FOLDER = "jina-agents-"
"""How the names of temporary folders begin."""
_KEPT = 50
"""Lines that are remembered of what an agent says, for the one that names the cause of its end."""
Notify = Callable[[str, str], None]
"""See `jina.supervisor.supervisor`; without it, lines are logged."""


class Agent:
    """One agent process, kept running until `stop`.

    One that `joins` is not of the start that all others share: it can only become a member of a group that is there.
    """

    def __init__(
        self,
        program: str,
        plan: ConsensusPlan,
        log_level: str,
        *,
        key: str = "",
        joins: bool = False,
        notify: Notify | None = None,
    ) -> None:
        self.plan = plan
        """As the process is told when it is started again."""
        self._key = key
        self._program = program
        self._log_level = log_level
        self._log = logs.get_logger(f"{plan.group}/rep-{plan.replica}")
        self._say = notify or (lambda _, line: self._log.error("%s", line))
        self._was_ready = False
        """Whether it has ever listened; until then its end is a failure of the start."""
        self._was_member = joins
        """Whether there may be something that it acknowledged: without its disk it must not form the group again."""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"agent-{plan.replica}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now; 0 between two."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    def ask_to_stop(self) -> None:
        """Begin the end."""
        self._stopping.set()
        with self._lock:
            if self._process is not None and self._process.returncode is None:
                self._process.terminate()

    def join(self, seconds: float) -> None:
        """Wait for the end; by SIGKILL after that many seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            with self._lock:
                if self._process is not None:
                    self._process.kill()
            self._thread.join()

    def _keep(self) -> None:
        pause, again = _FIRST_PAUSE, self._was_member
        while not self._stopping.is_set():
            began = time.monotonic()
            code, said = self._run_once(again=again)
            if self._stopping.is_set():
                return
            self._complain(f"the consensus agent ended: {said}".replace("\n", "; "))
            if code == _REFUSES or not self._was_ready:
                with open(f"{self.plan.socket}.failed", "w", encoding="utf-8") as file:
                    file.write(said)
            pause = _FIRST_PAUSE if time.monotonic() - began > _SOUND else min(2 * pause, _LONGEST_PAUSE)
            again = again or (self._was_member and code != _REFUSES)
            self._stopping.wait(pause)

    def _run_once(self, *, again: bool) -> tuple[int | None, str]:
        """Its exit code, None where it could not be started, and why it ended; in a second line what to do."""
        with self._lock:
            if self._stopping.is_set():
                return 0, ""
            try:
                process = self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [self._program],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:  # the machine may be short of something
                return None, "\n".join(cannot_run(self._program, error))
        assert process.stdin is not None
        assert process.stdout is not None
        # Its standard input stays open: its end is how the agent learns that we are gone.
        try:
            with contextlib.suppress(OSError):  # it died already, as its end will tell
                process.stdin.write(self._configuration(again=again))
                process.stdin.flush()
            said: deque[str] = deque(maxlen=_KEPT)
            for data in process.stdout:
                line = data.decode(errors="replace").strip()
                if line == _READY:
                    self._is_ready()
                elif line == _MEMBER:
                    self._was_member = True
                elif line:
                    said.append(line)
                    self._notify(line)
            return self._ended(process.wait(), said)
        finally:
            process.stdout.close()
            with contextlib.suppress(OSError):  # what could not be written is tried again here
                process.stdin.close()

    def _is_ready(self) -> None:
        self._was_ready = True
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"{self.plan.socket}.failed")  # it does not hold any more

    def _ended(self, code: int, said: Sequence[str]) -> tuple[int, str]:
        cause = cause_of_crash(said)
        if code == _REFUSES and cause.startswith(_PREFIX):
            return code, cause.removeprefix(_PREFIX)
        how = f"{self._program} {ending_of(code)}"
        description = f"{how}: {cause}" if cause else how
        return (_CRASHED if code == _REFUSES else code), f"{description}\n{_MORE}"

    def _complain(self, line: str) -> None:
        self._say("error", f"{self.plan.group}/rep-{self.plan.replica}: {line}")

    def _notify(self, line: str) -> None:
        if line.startswith(("panic", "fatal error", _PREFIX)) or ("[ERROR]" in line and _LIBRARY not in line):
            self._complain(line)
        else:
            self._log.debug("%s", line)

    def _configuration(self, *, again: bool) -> bytes:
        plan = self.plan
        configuration: dict[str, Any] = {
            "group": plan.group,
            "replica": plan.replica,
            "peers": plan.peers,
            "dir": plan.directory,
            "socket": plan.socket,
            "nonce": plan.nonce,
            "again": again,
            "whole": not plan.alone,
            "alone": plan.alone,
            "listen": plan.listen,
            **_tls(plan.tls),
            "key": self._key,
            "share_port": plan.share_port,
            "log_level": self._log_level,
            **plan.options,
        }
        return msgspec.json.encode(configuration) + b"\n"


def _tls(plan: TlsPlan | None) -> dict[str, str]:
    return {} if plan is None else {"tls_cert": plan.certfile, "tls_key": plan.keyfile, "tls_ca": plan.ca_file or ""}


class Agents:
    """The agents of all stateful workers of one service."""

    def __init__(self, notify: Notify | None = None) -> None:
        self._say = notify
        self._folder = ""
        """Where the agents listen for the workers."""
        self._locks: list[int] = []
        """Holds the folder, so that others do not take it for one of a program that was killed; at most one."""
        self._program = ""
        self._nonce = ""
        self._keys: dict[str, str] = {}
        """Of the groups; they are in no plan, which other processes are given."""
        self._numbers = itertools.count()
        self.agents: list[Agent] = []

    @staticmethod
    def refuse(plans: Sequence[ProcessPlan]) -> None:
        """Raise `NotSupportedError` for stateful Executors where there are no processes of their own."""
        for plan in plans:
            if isinstance(plan, WorkerPlan) and plan.consensus:
                raise NotSupportedError(
                    f"{plan.deployment}: a stateful Executor needs processes of its own",
                    help="start it (`with deployment:`), or leave out stateful=True in tests of its methods",
                )

    def start(self, plans: Sequence[ProcessPlan]) -> list[ProcessPlan]:
        """Start an agent for each stateful worker; gives the plans with where the agents listen.

        That of a worker in a container is started there: its folder is mounted, with the key of its group.
        """
        if not any(isinstance(plan, WorkerPlan) and plan.consensus for plan in plans):
            return list(plans)
        if any(_is_ours_to_start(plan) for plan in plans):
            self._program = checked_agent()
        for plan in plans:
            if isinstance(plan, WorkerPlan) and plan.consensus:
                _make_folder(plan.consensus)
        self._keys |= _keys_of([plan.consensus for plan in plans if isinstance(plan, WorkerPlan) and plan.consensus])
        _sweep()
        self._folder, lock = _locked_folder()
        self._locks.append(lock)
        self._nonce = os.urandom(8).hex()
        return [self._with_agent(plan) if isinstance(plan, WorkerPlan) else plan for plan in plans]

    def _with_agent(self, plan: WorkerPlan, *, joins: bool = False) -> WorkerPlan:
        if plan.consensus is None:
            return plan
        if not _is_ours_to_start(plan):
            nonce, folder = plan.consensus.nonce or self._nonce, folder_of(plan.consensus)
            inside = replace(plan.consensus, directory=folder, nonce=nonce)
            return replace(plan, consensus=inside)
        socket = os.path.join(self._folder, str(next(self._numbers)))
        nonce = plan.consensus.nonce or self._nonce
        directory = folder_of(plan.consensus)
        consensus = replace(plan.consensus, directory=directory, socket=socket, nonce=nonce)
        level = "DEBUG" if plan.log.level == "DEBUG" else "ERROR"
        key = self._keys[consensus.group]
        self.agents.append(Agent(self._program, consensus, level, key=key, joins=joins, notify=self._say))
        return replace(plan, consensus=consensus)

    def add(self, plan: WorkerPlan) -> WorkerPlan:
        """Start the agent of one more replica, on a blank disk; gives the plan with where it listens."""
        assert plan.consensus is not None
        folder = folder_of(plan.consensus)
        _put_aside(folder)
        _make_folder(plan.consensus)
        if key := self._keys[plan.consensus.group]:
            keep_key(folder, key)
        started = self._with_agent(plan, joins=True)
        self._share_peers(plan.consensus.group, plan.consensus.peers)
        return started

    def remove(self, group: str, replica: int) -> None:
        """End the agent of a replica that is no longer a member, and put its folder aside."""
        agent = next(one for one in self.agents if one.plan.group == group and one.plan.replica == replica)
        self.agents.remove(agent)
        agent.ask_to_stop()
        agent.join(_PATIENCE)
        peers = list(agent.plan.peers)
        peers[replica] = ""
        self._share_peers(group, peers)
        _put_aside(agent.plan.directory)

    def _share_peers(self, group: str, peers: list[str]) -> None:
        """Where all are: what an agent is told when it is started again."""
        for agent in self.agents:
            if agent.plan.group == group:
                agent.plan = replace(agent.plan, peers=peers)

    def stop(self) -> None:
        """End all; to be called when the workers have ended."""
        for agent in self.agents:
            agent.ask_to_stop()
        deadline = time.monotonic() + _PATIENCE
        for agent in self.agents:
            agent.join(max(0.0, deadline - time.monotonic()))
        self.agents.clear()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(IndexError):  # stopped already, or by a signal handler at this moment
            os.close(self._locks.pop())


def _is_ours_to_start(plan: ProcessPlan) -> bool:
    return isinstance(plan, WorkerPlan) and plan.consensus is not None and plan.executor.container is None


def _locked_folder() -> tuple[str, int]:
    """A new folder, and the descriptor whose lock on it ends with this process, however that ends."""
    while True:
        folder = tempfile.mkdtemp(prefix=_FOLDER)
        try:
            lock = _opened(folder)
        except FileNotFoundError:
            continue  # another start found it before it was locked
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_there(folder, lock):
            return folder, lock
        os.close(lock)


def _sweep() -> None:
    """Remove the folders of programs of this user that were killed: nothing holds a lock on them."""
    for folder in glob.glob(os.path.join(glob.escape(tempfile.gettempdir()), f"{_FOLDER}*")):
        with contextlib.suppress(OSError):  # it is not a folder, was removed, or its program runs
            lock = _opened(folder)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.getuid() and _is_there(folder, lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _opened(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_there(folder: str, descriptor: int) -> bool:
    """Whether the path leads to what was opened: all users can write to the temporary folder."""
    try:
        return os.path.samestat(os.lstat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _make_folder(consensus: ConsensusPlan) -> None:
    """Raise `ConfigError` before anything is started where a replica cannot keep its log."""
    folder = folder_of(consensus)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"workspace: {folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"workspace: {folder} cannot be written to")


def _keys_of(plans: Sequence[ConsensusPlan]) -> dict[str, str]:
    """The keys by which the agents of each group know each other; empty where certificates tell."""
    keys: dict[str, str] = {}
    for plan in plans:
        if plan.group in keys:
            continue
        folders = [folder_of(one) for one in plans if one.group == plan.group]
        try:
            if plan.key_file:
                keys[plan.group] = read_key(plan.key_file)
            else:
                keys[plan.group] = "" if plan.tls else shared_key(folders)
        except UsageError as error:
            raise ConfigError(f"{plan.group}: {error.message}", help=error.help) from None
    return keys


def folder_of(consensus: ConsensusPlan) -> str:
    """The folder of a replica, absolute."""
    try:
        return os.path.abspath(os.path.expanduser(consensus.directory))
    except FileNotFoundError:
        raise ConfigError(
            f"workspace: {consensus.directory} is relative to a working folder that was deleted",
            help="give an absolute path",
        ) from None


def _put_aside(folder: str) -> None:
    """Rename a replica's folder to `<folder>.removed`, in the place of one of that name.

    What is in a folder that is a disk of its own, which cannot be renamed, goes to `<folder>/removed`.
    """
    if os.path.ismount(folder):
        names = [name for name in os.listdir(folder) if name not in {"removed", "lost+found"}]
        moved = [name for name in names if not os.path.ismount(os.path.join(folder, name))]
        if moved:
            aside = os.path.join(folder, "removed")
            shutil.rmtree(aside, ignore_errors=True)
            os.mkdir(aside, mode=0o700)
            for name in moved:
                os.rename(os.path.join(folder, name), os.path.join(aside, name))
    elif os.path.isdir(folder):
        shutil.rmtree(f"{folder}.removed", ignore_errors=True)
        os.rename(folder, f"{folder}.removed")
