"""How a service is: what each of its processes does, and how often it was restarted."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from jina.config.paths import absolute
from jina.observe.metrics import BUCKETS
from jina.plan.plans import ConsensusPlan, ListenerPlan, ProcessPlan, WorkerPlan
from jina.runtime.process import ProcessStats
from jina.supervisor.supervisor import SILENT, ProcessSlot, owner

if TYPE_CHECKING:
    from jina.supervisor.observing import Observer

_PATIENCE = 1.0
"""Seconds that an agent gets to answer."""
State = Literal["ready", "degraded", "starting", "down", "hung"]


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a service.

    `state` is starting, ready, hung, draining, restarting, failed (given up) or stopped; `seconds` is how long it has
    been so. `in_flight` requests are in work or wait, `queued` of them wait for a thread; `answered` are those before
    since the process started, `failed` of them with an error.
    """

    name: str
    deployment: str
    pid: int
    state: str
    seconds: float
    in_flight: int = 0
    queued: int = 0
    answered: int = 0
    failed: int = 0
    latencies: list[int] = []
    """How many of those answered took up to each bound of `jina.observe.metrics.BUCKETS`, and how many longer."""
    restarts: int = 0
    version: str = ""
    """Of the jina in it; empty before it was ready, and for an image that does not tell."""
    executor_version: str = ""
    """Of the Executor: the `__version__` of its class, its module or the package around that, else that of the package
    of a registry or of git that it came in; empty where none states one."""
    image: str = ""
    """The image of the container that it runs in, where jina has started that."""
    addresses: list[str] = []
    """Where it listens itself, such as `grpc://0.0.0.0:51000`; nowhere, where a gateway reaches it by links alone."""
    metrics: str = ""
    """Where its metrics are, such as `http://0.0.0.0:9090/metrics`; empty where they have no port."""
    probes: str = ""
    """Where it is asked whether it is well, such as `http://0.0.0.0:8081/readyz`, by a small process beside it."""
    last_end: str = ""
    """How the process before ended, or why it was given up."""
    group: str = ""
    """Of a stateful Executor: the replicas that it agrees with, and the socket of its consensus agent."""
    agent: str = ""
    consensus: dict[str, Any] = {}
    """What the agent of a replica of a stateful Executor tells, see `Deployment.consensus_status`."""


class StepStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a Deployment behind a gateway is.

    `waiting` requests were not begun by a replica, each waits `wait` seconds at present; `wanted` is the number of
    replicas that `autoscale` asks for, if there is such.
    """

    waiting: int
    wait: float
    wanted: int | None = None


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A service: `ready` with all processes, `degraded` where each Deployment still has one, else `down`.

    `hung` is one that does not answer.
    """

    name: str
    state: State
    pid: int
    version: str
    python: str
    processes: list[ProcessStatus]
    addresses: list[str] = []
    """Where it is served, such as `grpc://0.0.0.0:51000`."""
    log_dir: str = ""
    """The folder of its logs, where it writes files."""
    steps: dict[str, StepStatus] = {}
    """By Deployment, where there is a gateway."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from jina import notebook

        rows = [
            (
                one.name, one.state, f"{one.seconds:.0f} s", one.in_flight, one.queued, one.restarts, _version(one),
                _ports(one),
            )
            for one in self.processes
        ]  # fmt: skip
        heads = ("process", "state", "for", "in flight", "queued", "restarts", "version", "ports")
        table = notebook.table(heads, rows)
        ends = [f"{one.name}: {one.last_end}" for one in self.processes if one.last_end]
        return notebook.box(self.name, self.state, notebook.lines(self.addresses), table, notebook.lines(ends))

    def __str__(self) -> str:
        head = f"{self.name}: {self.state} (process {self.pid}, jina {self.version}, Python {self.python})"
        metrics = (f"  {one.metrics} of {one.name}" for one in self.processes if one.metrics)
        probes = (f"  {one.probes} of {one.name}" for one in self.processes if one.probes)
        addresses = (f"  {address}" for address in self.addresses)
        steps = (_step_line(name, one) for name, one in self.steps.items() if one.waiting or one.wanted is not None)
        return "\n".join([head, *addresses, *metrics, *probes, _table(self.processes), *steps])


def _step_line(name: str, step: StepStatus) -> str:
    wanted = "" if step.wanted is None else f"; autoscale asks for {step.wanted}"
    return f"  {name}: {step.waiting} requests wait, for {step.wait:.3f} s{wanted}"


def status_of(name: str, pid: int, slots: Sequence[ProcessSlot]) -> ServiceStatus:
    """The status of the processes in `slots`, by what is known of them now."""
    stats = [slot.process.stats for slot in slots if slot.process.is_gateway and slot.process.running]
    return _whole(name, pid, [_process(slot) for slot in slots], [slot.plan for slot in slots], stats)


def with_agents(status: ServiceStatus) -> ServiceStatus:
    """The status with what the agents of its processes tell."""
    if not any(one.agent for one in status.processes):
        return status
    from jina.replication.admin import agent_status

    agent = {one.name: agent_status(one.agent, _PATIENCE) for one in status.processes if one.agent}
    processes = [replace(one, consensus=agent.get(one.name, {})) for one in status.processes]
    return replace(status, processes=processes)


def _addresses(plans: Sequence[ProcessPlan]) -> list[str]:
    """The listeners of the gateway, or of the workers that have ports of their own."""
    plans = sorted(plans, key=lambda one: isinstance(one, WorkerPlan))
    return [address for plan in plans for address in _listening(plan)]


def _listening(plan: ProcessPlan) -> list[str]:
    return [_address(listener) for listener in plan.listeners if listener.port]


def _address(listener: ListenerPlan) -> str:
    from jina.net.channel import Target

    return str(Target(_SCHEMES[listener.protocol, listener.tls is not None], listener.host, listener.port))


def _metrics(plan: ProcessPlan) -> str:
    return f"{_address(plan.monitoring)}/metrics" if plan.monitoring else ""


def _probes(plan: ProcessPlan) -> str:
    listener = plan.probes if isinstance(plan, WorkerPlan) else None
    return f"{_address(listener)}/readyz" if listener else ""


_SCHEMES = {
    ("grpc", False): "grpc", ("grpc", True): "grpcs", ("http", False): "http", ("http", True): "https",
    ("websocket", False): "ws", ("websocket", True): "wss",
}  # fmt: skip


def _whole(
    name: str,
    pid: int,
    processes: list[ProcessStatus],
    plans: Sequence[ProcessPlan],
    stats: Sequence[Mapping[str, int]] = (),
) -> ServiceStatus:
    from jina.version import __version__

    return ServiceStatus(
        name=name,
        state=_state(processes),
        pid=pid,
        version=__version__,
        python=platform.python_version(),
        processes=processes,
        addresses=_addresses(plans),
        log_dir=next((absolute(plan.log.folder) for plan in plans if plan.log.folder), ""),
        steps={name: step for one in stats for name, step in _steps(one).items()},
    )


def _steps(stats: Mapping[str, int]) -> dict[str, StepStatus]:
    """What a gateway told of its steps, see `GatewayService.stats`."""
    prefix = "waiting:"
    names = [key.removeprefix(prefix) for key in stats if key.startswith(prefix)]
    return {
        name: StepStatus(
            waiting=stats[prefix + name],
            wait=stats.get(f"wait_ms:{name}", 0) / 1000,
            wanted=stats.get(f"wanted:{name}"),
        )
        for name in names
    }


class ForegroundStatus:
    """The status of this very process, which serves one worker or gateway; told its phases."""

    def __init__(self, plan: ProcessPlan) -> None:
        self.stats = ProcessStats()
        self._plan = plan
        self._state, self._since = "starting", time.monotonic()
        self._observer: Observer | None = None
        self._last_line = 0
        self._versions: Mapping[str, str] = {}
        self._lock = threading.Lock()

    def answer(self, question: bytes) -> bytes:
        """The `ServiceStatus` as JSON, or what `Observer.answer` says to a question."""
        if not question:
            return msgspec.json.encode(self.status())
        with self._lock:
            if self._observer is None:
                from jina.supervisor.observing import Observer

                self._observer = Observer(self._observed)
        return self._observer.answer(question)

    def _observed(self) -> tuple[ServiceStatus, dict[str, dict[str, Any]], list[dict[str, Any]]]:
        observed = self.stats.observe({"logs": self._last_line})
        lines = [{"process": self._plan.name, **line} for line in observed.pop("logs", [])]
        if lines:
            self._last_line = lines[-1]["seq"]
        return with_agents(self.status()), {self._plan.name: observed}, lines

    def report(self, phase: str, versions: Mapping[str, str]) -> None:
        """It has come so far; `versions` as in `ChildProcess`."""
        self._versions = versions or self._versions
        self._state = phase if phase in {"ready", "draining"} else "starting"
        self._since = time.monotonic()

    def status(self) -> ServiceStatus:
        """How it is now."""
        stats = self.stats.read()
        process = ProcessStatus(
            name=self._plan.name,
            deployment=owner(self._plan),
            pid=os.getpid(),
            state="hung" if self._state == "ready" and stats.get("silent_ms", 0) >= 1000 * SILENT else self._state,
            seconds=round(time.monotonic() - self._since, 1),
            **_work(stats),
            addresses=_listening(self._plan),
            **_versions(self._versions),
            image=_image(self._plan),
            group=_consensus(self._plan).group,
            agent=_consensus(self._plan).socket,
            metrics=_metrics(self._plan),
            probes=_probes(self._plan),
        )
        return _whole(owner(self._plan), os.getpid(), [process], [self._plan], [stats])


def _process(slot: ProcessSlot) -> ProcessStatus:
    process = slot.process
    down = slot.down() if slot.restarts.given_up else slot.last_end
    running = process.exit_status is None
    hung = process.ready and (process.silent >= SILENT or (slot.hang is not None and slot.hang.reported))
    return ProcessStatus(
        name=slot.name,
        deployment=slot.owner,
        pid=process.pid if running else 0,
        state="hung" if hung else slot.state,
        seconds=round(time.monotonic() - process.since, 1),
        **_work(process.stats if running else {}),
        addresses=_listening(slot.plan),
        **_versions(process.versions if running else {}),
        image=_image(slot.plan),
        restarts=slot.restarts.count,
        last_end="" if down is None else down.message,
        group=_consensus(slot.plan).group,
        agent=_consensus(slot.plan).socket,
        metrics=_metrics(slot.plan),
        probes=_probes(slot.plan),
    )


def _versions(stated: Mapping[str, str]) -> dict[str, Any]:
    """What a process stated of itself when it was ready."""
    return {name: stated.get(name, "") for name in ("version", "executor_version")}


def _image(plan: ProcessPlan) -> str:
    container = plan.executor.container if isinstance(plan, WorkerPlan) else None
    return container.image if container is not None else ""


def _work(stats: Mapping[str, int]) -> dict[str, Any]:
    """The fields of a `ProcessStatus` that tell of requests, see `ProcessStats`."""
    latencies = [stats.get(f"took:{place}", 0) for place in range(len(BUCKETS) + 1)]
    numbers = {name: stats.get(name, 0) for name in ("in_flight", "queued", "answered", "failed")}
    return {**numbers, "latencies": latencies if any(latencies) else []}


def _consensus(plan: ProcessPlan) -> ConsensusPlan:
    found = plan.consensus if isinstance(plan, WorkerPlan) else None
    return found or ConsensusPlan(group="", replica=0, peers=[], directory="")


def _state(processes: Sequence[ProcessStatus]) -> State:
    if all(process.state == "ready" for process in processes):
        return "ready"
    serving = {_part(process) for process in processes if process.state in {"ready", "hung"}}
    if serving == set(map(_part, processes)):
        return "degraded"
    return "starting" if any(process.state == "starting" for process in processes) else "down"


def _part(process: ProcessStatus) -> str:
    """What its replicas have in common: the name without the number."""
    return process.name.rpartition("-")[0] if "/" in process.name else process.name


_HEADS = ("process", "pid", "state", "for", "in flight", "queued", "restarts", "version", "ports")


def _table(processes: Sequence[ProcessStatus]) -> str:
    rows: list[tuple[str, ...]] = [_HEADS]
    for one in processes:
        counts = (str(one.in_flight), str(one.queued), str(one.restarts), _version(one))
        rows.append((one.name, str(one.pid or "-"), one.state, f"{one.seconds:.0f} s", *counts, _ports(one)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"  {one.name}: {one.last_end}" for one in processes if one.last_end]
    lines += [f"  {one.name}: {_consensus_line(one.consensus)}" for one in processes if one.consensus]
    return "\n".join(lines)


def _ports(one: ProcessStatus) -> str:
    return " ".join(address.rpartition(":")[2] for address in one.addresses) or "-"


def _version(one: ProcessStatus) -> str:
    """That of the Executor, with the image that it is in, else that of jina."""
    number = one.executor_version
    # A digest or a commit is told by how it begins.
    own = " of ".join(filter(None, (number[:19] if len(number) >= 40 else number, one.image)))
    return own or (f"jina {one.version}" if one.version else "-")


def _consensus_line(entry: Mapping[str, Any]) -> str:
    if "error" in entry:
        return str(entry["error"])
    parts = [f"{entry['role'].lower()} of term {entry['term']}", f"applied {entry['applied']} of {entry['committed']}"]
    parts += [
        f"rep-{peer} is silent" if lag is None else f"rep-{peer} is {lag} entries behind"
        for peer, lag in entry.get("lag", {}).items()
        if lag != 0
    ]
    return ", ".join(parts)


def _silent(pid: int) -> ServiceStatus:
    """A service of which the process runs and does not answer; its versions are not known."""
    name = f"process {pid}"
    process = ProcessStatus(name=name, deployment="", pid=pid, state="hung", seconds=0.0)
    return ServiceStatus(name=name, state="hung", pid=pid, version="?", python="?", processes=[process])


def services() -> list[ServiceStatus]:
    """How the services of this user on this machine are; one that ends while it answers is left out."""
    from jina.supervisor.status_socket import ask_all

    found = []
    for pid, data in ask_all():
        if data is None:
            found.append(_silent(pid))
            continue
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(data, type=ServiceStatus))
    return found
