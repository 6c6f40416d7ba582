"""What a Flow and a Deployment have in common: read from YAML, started, reloaded, waited for, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, TextIO

from jina.errors import RuntimeFailToStart, Unavailable, UsageError
from jina.orchestration import configuration
from jina.orchestration.calls import Requests
from jina.orchestration.display import address, announce, network_host, notifier, progress, reachable
from jina.orchestration.resolve import OwnKey
from jina.plan.plans import WorkerPlan
from jina.supervisor.ports import PortReservations

if TYPE_CHECKING:
    from jina.config import DeploymentSpec, FlowSpec
    from jina.orchestration.changes import Changes
    from jina.plan.plans import DeploymentPlan, FlowPlan, ListenerPlan, ProcessPlan
    from jina.supervisor.autoscaling import AutoscaleThread
    from jina.supervisor.group import ProcessGroup
    from jina.supervisor.reloading import Reloader
    from jina.supervisor.status import ServiceStatus

_LOOK = 0.1
"""Seconds between looks at a stop event, which may be of any kind and cannot be waited for beside a signal."""


class StopEvent(Protocol):
    """`threading.Event`, `multiprocessing.Event` and their like."""

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        ...


class Signals:
    """SIGTERM and SIGINT while a service blocks: the first asks to drain, the second ends everything.

    `at_once` is called by the second, before the program exits. Signals reach only the main thread of a
    program; in any other thread nothing is installed.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._at_once = at_once
        self._received: int | None = None
        self._woken = False
        self._before: dict[int, Any] = {}
        self._wakeup_before: int | None = None
        self._readable, self._writable = socket.socketpair()
        self._writable.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._on_signal)
            # A signal that another thread receives does not interrupt the main thread's wait; this does.
            self._wakeup_before = signal.set_wakeup_fd(self._writable.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._wakeup_before is not None:
            signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._readable.close()
        self._writable.close()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._received is not None:
            self._at_once()
            os._exit(128 + number)
        self._received = number

    def wake(self) -> None:
        """End `wait`; from any thread."""
        self._woken = True
        with contextlib.suppress(OSError):
            self._writable.send(b"!")

    def wait(self, stop_event: StopEvent | None) -> None:
        """Block until a signal, `wake` or the event comes."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._readable, selectors.EVENT_READ)
            while self._received is None and not self._woken:
                if selector.select(None if stop_event is None else _LOOK):
                    self._readable.recv(64)
                if stop_event is not None and stop_event.is_set():
                    return


_WHOLE = ""
"""In the place of the name of a Deployment: all of a service."""
_ABORT = 1.0
"""Seconds that the others get to end when one of them failed to start."""


class Definition(NamedTuple):
    """The file that describes a whole service, and what reads it into a spec, also again."""

    file: str
    read: Callable[[str], Any]


class Lifecycle(Requests):
    """Owns the processes of one plan, and the ports that jina chose for them."""

    kind: ClassVar[str]
    _state: Any
    """What it is, besides its processes: a `DeploymentState` or a `FlowState`."""

    def __init__(self) -> None:
        self._own_key = OwnKey()
        self._reservations = PortReservations()
        self._processes = []  # none or one, two while one takes the other's place; see the finalizer
        self._on_end: Callable[[], None] = lambda: None
        self._reloader: Reloader | None = None
        self._autoscaler: AutoscaleThread | None = None
        self.files: set[str] = set()
        """With `reload`: the files of the user's code that the processes were loaded from when they last ran."""
        self._changing = threading.Lock()
        """Held while the processes are changed: each change starts from what the one before has made."""
        self._definition: Definition | None = None
        self._finalizer = weakref.finalize(self, _abandon, self._processes, self._reservations)

    # --- what a Flow and a Deployment say of themselves ---------------------------------------------------

    @property
    @abstractmethod
    def spec(self) -> DeploymentSpec | FlowSpec:
        """The options, validated."""

    @property
    @abstractmethod
    def plan(self) -> DeploymentPlan | FlowPlan:
        """What will run."""

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: Any) -> Self:
        """One of a spec that was validated already."""

    @property
    @abstractmethod
    def _shares_ports(self) -> bool:
        """Whether a server of the user's own opens the ports, which knows nothing of SO_REUSEPORT."""

    @property
    @abstractmethod
    def _ready_seconds(self) -> float | None:
        """How long a start may take; None for as long as the processes live."""

    @abstractmethod
    def _recall(self) -> None:
        """Plan what is on the disk, as far as that decides anything."""

    @abstractmethod
    def _blobs(self) -> Mapping[str, bytes]:
        """By Deployment: what `jina.supervisor.pickling.dumps` made of what the plan cannot hold."""

    @abstractmethod
    def _reloaded(self) -> Mapping[str, set[str]]:
        """The Deployments that follow changes of their files, with files that their workers do not name."""

    @abstractmethod
    def _restart(self, name: str) -> None:
        """Restart a Deployment whose files have changed."""

    @abstractmethod
    def _changes_of(self, name: str) -> Changes:
        """The changes of a Deployment while it runs."""

    @property
    @abstractmethod
    def _autoscales(self) -> bool:
        """Whether replicas come and go with the load."""

    @abstractmethod
    def _with_ports(self, spec: Any) -> Any:
        """The spec with the ports that are served now, unless it has its own."""

    @abstractmethod
    def _client_options(self) -> dict[str, Any]:
        """The options of `jina.Client` for the first protocol and port."""

    def _failure(self, error: BaseException) -> BaseException:
        """What to raise for an error while starting."""
        return error

    def _behind(self) -> list[tuple[str, str]]:
        """What the board lists besides addresses: (label, text)."""
        return []

    @property
    def name(self) -> str:
        """Name in logs and process names, and of the file of `save_config`."""
        return self.spec.name

    @property
    def address_private(self) -> str | None:
        """The address of this machine in its network; None without a network."""
        return network_host()

    @property
    def _listeners(self) -> list[ListenerPlan]:
        return self.plan.listeners

    # --- configuration ------------------------------------------------------------------------------------

    @classmethod
    def load_config(
        cls,
        source: str | TextIO | Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        substitute: bool = True,
        **options: Any,
    ) -> Self:
        """What YAML describes: a path, text, an open file, a mapping or a URL.

        `options` count instead of the file's. `context` gives the variables of `${{ CONTEXT.name }}`;
        `substitute=False` leaves all variables as they are.
        """
        options |= {"context": context, "substitute": substitute}
        return cls._defined(source, lambda source: configuration.read(cls.kind, source, **options))

    @classmethod
    def _from_options(cls, options: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Any]) -> Self:
        """Of the options of a command line, where `uses` may be the file that describes all of it."""
        uses = options.get("uses")
        return cls._defined(uses, lambda uses: read(options if uses is None else {**options, "uses": uses}))

    @classmethod
    def _defined(cls, source: Any, read: Callable[[Any], Any]) -> Self:
        """The service of what `read(source)` gives; where `source` is a path, that file is its definition."""
        spec = read(source)
        service = cls.from_spec(spec)
        if isinstance(source, str | os.PathLike) and spec.folder is not None:
            file = os.path.join(os.path.abspath(spec.folder), os.path.basename(source))
            if os.path.isfile(file):
                service._definition = Definition(file, read)  # noqa: SLF001 - one of ours
        return service

    def save_config(self, filename: str | None = None) -> None:
        """Write what differs from the defaults as YAML, to `<name>.yml` unless a name is given."""
        configuration.write(self.spec, filename or f"{self.name}.yml")

    def to_dict(self) -> dict[str, Any]:
        """What `save_config` writes, as `{"jtype": ..., "with": {...}}`."""
        return configuration.as_dict(self.spec)

    # --- start --------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the processes and wait until they serve; with `noblock_on_start` return at once.

        Raises `RuntimeFailToStart` with the exception that an Executor raised, `PortAlreadyUsed`, or `ConfigError`
        for a class that cannot be sent to its process. Nothing is left running then.
        """
        self._launch()
        if not self.spec.noblock_on_start:
            self.wait_start_success()
        return self

    def wait_start_success(self) -> None:
        """Wait until the processes that `start` started serve; raises what `start` raises."""
        running = self._running_or_raise()
        try:
            with progress(self.name, quiet=self.spec.quiet) as notify:
                running.wait_ready(self._ready_seconds, on_wait=notify)
        except BaseException as error:
            self._end(within=_ABORT)
            failure = self._failure(error)
            _exit_early(failure)
            if failure is error:
                raise
            raise failure from error.__cause__
        self._announce()
        self._watch()
        self._follow_load()

    def _follow_load(self) -> None:
        """Add and remove replicas as the gateway asks for them, from a thread."""
        if not self._autoscales or self._autoscaler is not None:
            return
        from jina.supervisor.autoscaling import AutoscaleThread

        me = weakref.ref(self)  # as above
        notify = notifier(self.name, quiet=self.spec.quiet)

        def wanted() -> dict[str, int] | None:
            service = me()
            return None if service is None or not service._processes else service._processes[0].autoscaled  # noqa: SLF001 - ourselves

        def scale(name: str, replicas: int) -> None:
            if (service := me()) is not None:
                service._changes_of(name).autoscale(replicas)  # noqa: SLF001 - ourselves

        self._autoscaler = AutoscaleThread(
            wanted, scale, lambda name, error: notify("error", f"autoscale of {name}: {error}; tried again")
        )

    def _watch(self) -> None:
        """Restart what is to be reloaded when its files change, from a thread."""
        if not self._followed():
            return
        from jina.supervisor.reloading import Reloader

        me = weakref.ref(self)  # watching the files of a service must not keep it alive

        def reload(name: str) -> None:
            if (service := me()) is not None:
                service._reload(name)  # noqa: SLF001 - ourselves

        def files() -> dict[str, set[str]] | None:
            return None if (service := me()) is None else service._followed()  # noqa: SLF001 - ourselves

        self._reloader = Reloader(files, reload)

    def _followed(self) -> dict[str, set[str]]:
        """By Deployment, or `_WHOLE`: the files whose changes are followed."""
        loaded = self._processes[0].files if self._processes else {}
        found = {name: files | loaded.get(name, set()) for name, files in self._reloaded().items()}
        if self._definition is not None and self.spec.reload:
            found[_WHOLE] = {self._definition.file}
        return found

    def _reload(self, name: str) -> None:
        """Restart a Deployment because its files have changed; a failure is shown, and what runs stays."""
        notify = notifier(self.name, quiet=self.spec.quiet)
        which = "" if name in {self.name, _WHOLE} else f"{name}: "
        notify("warning", f"{which}files have changed")
        try:
            if name == _WHOLE:
                self._restart_all()
            else:
                self._restart(name)
        except Exception as error:  # noqa: BLE001 - whatever the user's new code raises is shown
            if self._ends:
                return
            for note in getattr(error.__cause__, "__notes__", ()):
                notify("error", str(note))
            notify("error", f"{error}; waiting for the next change")
        else:
            notify("warning", f"{which}reloaded")

    def _restart_all(self) -> None:
        """Serve what the service's file describes now, on the same ports; what runs goes on until that is ready.

        Where the two cannot run at the same time, what runs ends before, and is started again if the new one fails.
        """
        assert self._definition is not None
        with self._changing:
            was = self._running_or_raise()
            new = type(self).from_spec(self._with_ports(self._definition.read(self._definition.file)))
            alone = self._must_stop_before(new)
            if alone:
                was.stop()
            try:
                running = self._ready(new)
            except BaseException:
                if alone and not self._ends:
                    self._processes.remove(was)
                    self._ready(self)
                raise
            self._become(new)
            self._processes[:] = [running, was]
        self._announce()
        was.stop()
        self._processes[:] = [one for one in self._processes if one is not was]

    def _must_stop_before(self, service: Self) -> bool:
        """Give a service our key and ports; returns whether our processes have to end before its own start."""
        service._own_key = self._own_key
        self._reservations.take_over(service._reservations)
        return self._runs_alone or service._runs_alone

    def _ready(self, service: Self) -> ProcessGroup:
        """The processes of a service beside those that run, once they serve; they are ended where they do not."""
        running = self._launched(service)
        try:
            if not self._ends:
                running.wait_ready(service._ready_seconds)
            if self._ends:
                raise Unavailable(
                    f"{self.name} is stopping", help="change it while it runs: within its `with`, before `close()`"
                )
        except BaseException:
            running.stop(within=_ABORT)
            self._processes[:] = [one for one in self._processes if one is not running]
            raise
        return running

    @property
    def _ends(self) -> bool:
        return self._reloader is None or self._reloader.halted

    @property
    def _runs_alone(self) -> bool:
        """Whether nothing can run beside it on its ports and folders."""
        from jina.supervisor.group import processes_of

        plans = processes_of(self.plan)
        return self._shares_ports or any(isinstance(plan, WorkerPlan) and plan.consensus for plan in plans)

    def _become(self, other: Self) -> None:
        """Be what another service of this kind is."""
        before, after = self._listeners, other._listeners
        ours, theirs = (
            [(listener.protocol, listener.host, listener.port, listener.tls) for listener in listeners]
            for listeners in (before, after)
        )
        if ours != theirs:
            self._release_client()
        for name in other._state.__struct_fields__:  # in place: changes that wait for their turn have it, too
            setattr(self._state, name, getattr(other._state, name))

    async def async_wait_start_success(self) -> None:
        """`wait_start_success` without blocking the running loop."""
        try:
            await asyncio.to_thread(self.wait_start_success)
        except asyncio.CancelledError:
            self._end(now=True)
            raise

    def _announce(self) -> None:
        announce(self.name, self._listeners, behind=self._behind(), quiet=self.spec.quiet)

    def _launch(self) -> None:
        if self._processes:
            return
        try:
            self._launched(self)
        except BaseException:
            self._end()
            raise

    def _launched(self, service: Self) -> ProcessGroup:
        """Start the processes of this service, or of one that is to take its place."""
        from jina.plan.consensus import even_groups
        from jina.runtime.process import check_open_files
        from jina.supervisor import group
        from jina.supervisor.ports import all_shared

        check_open_files()
        service._recall()
        planned: Any = service.plan
        plan: Any = service._own_key.admitted(planned)
        service._reloaded()  # raises before anything starts
        for listener in service._listeners:
            if listener.share_port:
                self._reservations.hold(listener.port)
                if service._shares_ports:
                    self._reservations.share(listener.port)
        plan = all_shared(plan, self._hold_given(group.processes_of(plan)))
        notify = notifier(service.name, quiet=service.spec.quiet)
        for line in even_groups(group.processes_of(plan)):
            notify("warning", line)
        started = group.start(plan, service._blobs(), notify)
        me = weakref.ref(self)  # as above

        def on_end() -> None:
            if (ours := me()) is not None:
                ours._on_end()  # noqa: SLF001 - ourselves

        started.on_end = on_end
        self._processes.append(started)
        return started

    def _hold_given(self, plans: Sequence[ProcessPlan]) -> set[int]:
        """Keep others from the ports that the user gave; gives those that our servers bind beside our holder."""
        from jina.supervisor.ports import given_listeners, given_peers, listeners_of_users, port_of_peer

        for listener in listeners_of_users(plans):
            self._reservations.claim(listener)
        held = {listener.port for listener in given_listeners(plans) if self._reservations.hold_given(listener)}
        return held | {port_of_peer(plan) for plan in given_peers(plans) if self._reservations.hold_peer(plan)}

    # --- end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop: requests in flight get their grace time, `close()` of Executors is called, ports are given back.

        May be called again, and before the start.
        """
        self._end()

    def _end(self, *, now: bool = False, within: float | None = None) -> None:
        self._release_client()
        reloader, self._reloader = self._reloader, None
        autoscaler, self._autoscaler = self._autoscaler, None
        if reloader is not None:
            reloader.halt()
        if autoscaler is not None:
            autoscaler.halt()
        try:
            for running in list(self._processes):
                running.stop(now=now, within=within)
                self.files = set().union(*running.files.values())
        finally:
            self._processes.clear()
            self._reservations.close()
            if reloader is not None:
                reloader.stop()
            if autoscaler is not None:
                autoscaler.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._launch()
        if not self.spec.noblock_on_start:
            await self.async_wait_start_success()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_client()
        await asyncio.to_thread(self.close)

    def block(self, stop_event: StopEvent | None = None) -> None:
        """Serve until SIGTERM, Ctrl+C or `stop_event.is_set()`, then close; a second signal ends at once.

        Processes that end by themselves are started again. Raises `CrashLoop` (or `Unavailable` where `restart_limit`
        is 0) when all of a Deployment, or the gateway, are given up. Signals are handled where this runs in the main
        thread.
        """
        self._running_or_raise()
        with Signals(self._kill) as signals:

            def on_end() -> None:
                if self._lost() is not None:
                    signals.wake()

            self._on_end = on_end
            if (down := self._lost()) is None:
                signals.wait(stop_event)
                down = self._lost()
            self._on_end = lambda: None
            self.close()
        if down is not None:
            raise down

    def _lost(self) -> Unavailable | None:
        return self._processes[0].lost() if self._processes else None

    def _kill(self) -> None:
        for running in list(self._processes):
            running.kill()

    def join(self) -> None:
        """Wait until all processes have ended."""
        for running in list(self._processes):
            running.join()

    # --- state --------------------------------------------------------------------------------------------

    def _new_client(self, *, asyncio: bool) -> Any:
        from jina.client import Client

        self._running_or_raise()
        made: Any = Client
        return made(**self._client_options(), asyncio=asyncio)

    def status(self) -> ServiceStatus:
        """What each process does: its state, requests in work, restarts. Print it, or see `to_dict()`."""
        return self._running_or_raise().status()

    def _html(self, drawn: str, *words: str) -> str:
        """What a notebook shows: what it is, its state and addresses, and what is `drawn` as HTML."""
        from jina import notebook

        title, state = f"{self.kind} {self.name}", "not started"
        if self._processes:
            state = self._processes[0].known_status().state
        served = [address(listener, reachable(listener.host)) for listener in self._listeners]
        return notebook.box(title, state, notebook.lines([*words, *served]), drawn)

    def _running_or_raise(self) -> ProcessGroup:
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


def _abandon(processes: list[ProcessGroup], reservations: PortReservations) -> None:
    """Clean-up of a service that was not closed: when it is garbage collected, and when the program ends."""
    for running in processes:
        running.stop()
    processes.clear()
    reservations.close()
