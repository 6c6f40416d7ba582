"""Start, wait, block, end: the life of whatever consists of processes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from jina.errors import RuntimeFailToStart, UsageError
from jina.launch.ports import PortReservations
from jina.orchestration import board
from jina.orchestration.blocking import Signals, StopEvent

if TYPE_CHECKING:
    from jina.launch.reloading import Reloader
    from jina.launch.running import Running
    from jina.launch.status import ServiceStatus
    from jina.plan.plans import DeploymentPlan, FacePlan, FlowPlan

_ABORT = 1.0
"""Seconds that the others get to end when one of them failed to start."""


class Lifecycle(ABC):
    """Owns the processes of one plan, and the ports that jina chose for them.

    What is run: `_plan_to_run` with `_blobs`; how it presents itself: `name`, `_faces`, `_quiet`; how long a start
    may take: `_ready_seconds`, None for as long as the processes live.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        self._reservations = PortReservations()
        self._processes: list[Running] = []  # none or one; shared with the finalizer
        self._reloader: Reloader | None = None
        self.files: set[str] = set()
        """With `reload`: the files of the user's code that the processes were loaded from when they last ran."""
        self._changing = threading.Lock()
        """Held while the processes are changed: each change starts from what the one before has made."""
        self._stack = contextlib.ExitStack()
        self._finalizer = weakref.finalize(self, _abandon, self._processes, self._reservations)

    @property
    @abstractmethod
    def name(self) -> str:
        """Name in logs and process names."""

    @property
    @abstractmethod
    def _faces(self) -> Sequence[FacePlan]: ...

    @property
    @abstractmethod
    def _quiet(self) -> bool: ...

    @property
    def _lends_ports(self) -> bool:
        """Whether a server of the user's own opens the ports, which knows nothing of SO_REUSEPORT."""
        return False

    @property
    @abstractmethod
    def _waits_on_start(self) -> bool: ...

    @property
    @abstractmethod
    def _ready_seconds(self) -> float | None: ...

    @abstractmethod
    def _plan_to_run(self) -> DeploymentPlan | FlowPlan: ...

    @abstractmethod
    def _blobs(self) -> Mapping[str, bytes]:
        """By Deployment: what `jina.launch.pickling.dumps` made of classes and arguments that the plan cannot hold."""

    @abstractmethod
    def _release_client(self) -> None: ...

    # --- start --------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the processes and wait until they serve; with `noblock_on_start` return at once.

        Raises `RuntimeFailToStart` with the exception that an Executor raised, `PortAlreadyUsed`, or `ConfigError`
        for a class that cannot be sent to its process. Nothing is left running then.
        """
        self._launch()
        if self._waits_on_start:
            self.wait_start_success()
        return self

    def wait_start_success(self) -> None:
        """Wait until the processes that `start` started serve; raises what `start` raises."""
        running = self._running_or_raise()
        try:
            with board.progress(self.name, quiet=self._quiet) as tell:
                running.wait_ready(self._ready_seconds, on_wait=tell)
        except BaseException as error:
            self._end(within=_ABORT)
            failure = self._failure(error)
            _exit_early(failure)
            if failure is error:
                raise
            raise failure from error.__cause__
        self._announce()
        self._watch(running)

    def _watch(self, running: Running) -> None:
        """Start what is to be reloaded anew when its files change, from a thread."""
        watched = self._reloaded()
        if not watched:
            return
        from jina.launch.reloading import Reloader

        me = weakref.ref(self)  # nobody holds a service only because its files are looked at

        def reload(name: str) -> None:
            if (service := me()) is not None:
                service._reload(name)  # noqa: SLF001 - ourselves

        def files() -> dict[str, set[str]] | None:
            if me() is None:
                return None
            return {name: found | running.files.get(name, set()) for name, found in watched.items()}

        self._reloader = Reloader(files, reload)

    def _reloaded(self) -> Mapping[str, set[str]]:
        """The Deployments that follow changes of their files, with files that their workers do not name."""
        return {}

    def _reload(self, name: str) -> None:
        """Start a Deployment anew because its files have changed; a failure is shown, and what runs stays."""
        tell = board.teller(self.name, quiet=self._quiet)
        which = "" if name == self.name else f"{name}: "
        tell("warning", f"{which}files have changed")
        try:
            self._start_anew(name)
        except Exception as error:  # noqa: BLE001 - whatever the user's new code raises is shown
            if self._reloader is None or self._reloader.halted:
                return  # the service ends
            for note in getattr(error.__cause__, "__notes__", ()):
                tell("error", str(note))
            tell("error", f"{error}; waiting for the next change")
        else:
            tell("warning", f"{which}reloaded")

    def _start_anew(self, name: str) -> None:
        raise NotImplementedError

    async def async_wait_start_success(self) -> None:
        """`wait_start_success` without blocking the running loop."""
        import asyncio

        try:
            await asyncio.to_thread(self.wait_start_success)
        except asyncio.CancelledError:
            self._end(now=True)
            raise

    def _failure(self, error: BaseException) -> BaseException:
        """What to raise for an error while starting."""
        return error

    def _announce(self) -> None:
        board.announce(self.name, self._faces, behind=self._behind(), quiet=self._quiet)

    def _behind(self) -> list[tuple[str, str]]:
        """What the board lists besides addresses: (label, text)."""
        return []

    def _launch(self) -> None:
        if self._processes:
            return
        from jina.launch import running
        from jina.launch.sharing import all_shared, given_faces
        from jina.plan.consensus import even_groups

        plan = self._plan_to_run()
        self._reloaded()  # raises before anything starts
        for face in self._faces:
            if face.share_port:
                self._reservations.hold(face.port)
                if self._lends_ports:
                    self._reservations.lend(face.port)
        given = given_faces(running.processes_of(plan))
        held = {face.port for face in given if self._reservations.hold_given(face.host, face.port)}
        plan = all_shared(plan, held)
        tell = board.teller(self.name, quiet=self._quiet)
        for line in even_groups(running.processes_of(plan)):
            tell("warning", line)
        self._processes.append(running.start(plan, self._blobs(), tell))

    # --- end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop: requests in flight get their grace time, `close()` of Executors is called, ports are given back.

        May be called again, and before the start.
        """
        try:
            self._stack.close()
        finally:
            self._end()

    def _end(self, *, now: bool = False, within: float | None = None) -> None:
        self._release_client()
        reloader, self._reloader = self._reloader, None
        if reloader is not None:
            reloader.halt()
        try:
            for running in self._processes:
                running.stop(now=now, within=within)
                self.files = set().union(*running.files.values())
        finally:
            self._processes.clear()
            self._reservations.close()
            if reloader is not None:
                reloader.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._launch()
        if self._waits_on_start:
            await self.async_wait_start_success()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def block(self, stop_event: StopEvent | None = None) -> None:
        """Serve until SIGTERM, Ctrl+C or `stop_event.is_set()`, then close; a second signal ends at once.

        Processes that end by themselves are started again. Raises `CrashLoop` (or `Unavailable` where `restart_limit`
        is 0) when all of a Deployment, or the gateway, are given up. Signals are handled where this runs in the main
        thread.
        """
        running = self._running_or_raise()
        with Signals(running.kill) as signals:

            def on_end() -> None:
                if running.lost() is not None:
                    signals.wake()

            running.on_end = on_end
            if (down := running.lost()) is None:
                signals.wait(stop_event)
                down = running.lost()
            running.on_end = lambda: None
            self.close()
        if down is not None:
            raise down

    def join(self) -> None:
        """Wait until all processes have ended."""
        for running in list(self._processes):
            running.join()

    # --- state --------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether every process serves requests now."""
        return bool(self._processes) and self._processes[0].alive

    def status(self) -> ServiceStatus:
        """What each process does: its state, requests in work, restarts. Print it, or see `to_dict()`."""
        return self._running_or_raise().status()

    def _running_or_raise(self) -> Running:
        if not self._processes:
            raise UsageError(
                f"{self.kind} {self.name!r} is not started",
                help=f"use it as `with {self.kind}(...) as {self.kind.lower()}:` or call start()",
            )
        return self._processes[0]


def _exit_early(failure: BaseException) -> None:
    """What JINA_EARLY_STOP asks for: end the whole program when a part cannot be started."""
    if os.environ.get("JINA_EARLY_STOP") and isinstance(failure, RuntimeFailToStart):
        traceback.print_exception(failure, file=sys.stderr)
        raise SystemExit(1) from failure


def _abandon(processes: list[Running], reservations: PortReservations) -> None:
    """What is left to do for a service that nobody closed: when it is collected, and when the program ends."""
    for running in processes:
        running.stop()
    processes.clear()
    reservations.close()
