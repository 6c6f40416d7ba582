"""Counts and times of one process, under the names that Jina 3's dashboards know, and metrics as text."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from jina.observe.counters import BatchMetrics, ConsensusMetrics, SlotMetrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OBSERVATION = "/observation"
"""Where a metrics port tells what the console shows, to who sends `WorkerPlan.observe_key` in that header."""
OBSERVE_KEY = "x-observe-key"
_LABEL = "runtime_name"
_END = "# EOF"


def wants_openmetrics(accept: str) -> bool:
    """Whether to answer in OpenMetrics to this Accept header: unless it names `text/plain` and not OpenMetrics."""
    named = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "application/openmetrics-text" in named or "text/plain" not in named


def written(registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """All families of a registry."""
    generate: Any
    if openmetrics:
        from prometheus_client.openmetrics import exposition

        generate = exposition.generate_latest
    else:
        import prometheus_client

        generate = prometheus_client.generate_latest
    return cast("bytes", generate(registry))


def merged(texts: Iterable[tuple[str, bytes]], *, openmetrics: bool) -> bytes:
    """The text of several processes as one; each has its name before it, which samples without a name get."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for process, text in texts:
        current, head, lines = "", list[str](), list[str]()
        for line in text.decode().splitlines():
            if not line.startswith("# "):
                lines.append(_named(line, process))
            elif line != _END:
                family = line.split(" ", 3)[2]
                if family != current:
                    current, known = family, family in families
                    first, lines = families.setdefault(family, ([], []))
                    head = [] if known else first
                head.append(line)
    parts = [line for head, lines in families.values() for line in (*head, *lines)]
    return "".join(f"{line}\n" for line in [*parts, *([_END] if openmetrics else [])]).encode()


def _named(line: str, process: str) -> str:
    """The sample with the label `runtime_name`, which those of collectors of the user's own do not have."""
    name, brace, rest = line.partition("{")
    if not brace or " " in name:
        name, _, rest = line.partition(" ")
        return f'{name}{{{_LABEL}="{process}"}} {rest}'
    if f'{_LABEL}="' in rest or not name:
        return line
    return f'{name}{{{_LABEL}="{process}"{"" if rest.startswith("}") else ","}{rest}'


BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds; one more bucket holds what is above."""


class Summary:
    """How often and how much in sum; seconds or bytes."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one sample."""
        self.count += 1
        self.total += value


class Histogram(Summary):
    """A summary that also counts per bucket; `bounds` are the upper bounds of the buckets."""

    __slots__ = ("bounds", "counts")

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        super().__init__()
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Add one sample."""
        self.count += 1
        self.total += value
        self.counts[bisect_left(self.bounds, value)] += 1

    def add(self, other: Histogram) -> None:
        """Add all samples of a histogram with the same bounds."""
        self.count += other.count
        self.total += other.total
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]

    def cumulative(self) -> list[tuple[str, float]]:
        """Bounds and how many samples were not above each."""
        below, rows = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            rows.append((bound, float(below)))
        return rows


class EndpointMetrics:
    """What is counted for one endpoint. Written by one thread only, so that no lock is needed.

    `seconds` is from the arrival of a request to its reply, `queue_seconds` what it waited before its handler began,
    `handler_seconds` what the Executor took of it, `failures` counts by the error's class name.
    """

    __slots__ = (
        "batches",
        "documents",
        "failures",
        "handler_seconds",
        "in_flight",
        "on_end",
        "queue_seconds",
        "received",
        "seconds",
        "sent",
        "slots",
        "succeeded",
    )

    def __init__(self) -> None:
        self.batches: BatchMetrics | None = None
        """Of an endpoint that gathers requests."""
        self.slots: SlotMetrics | None = None
        """Of an endpoint whose streams share their steps."""
        self.seconds = Histogram()
        self.queue_seconds = Histogram()
        self.handler_seconds = Histogram()
        self.received = Summary()
        self.sent = Summary()
        self.documents = 0
        self.succeeded = 0
        self.in_flight = 0
        self.failures: dict[str, int] = {}
        self.on_end: Callable[[float, str, Any], None] | None = None
        """While somebody looks at single requests: gets seconds, the class of the error or nothing, and their parts."""

    def ended(self, seconds: float, failure: str | None = None) -> None:
        """One request is answered after `seconds`; `failure` is the class name of the error, if it failed."""
        self.seconds.observe(seconds)
        if failure is None:
            self.succeeded += 1
        else:
            self.failures[failure] = self.failures.get(failure, 0) + 1


class UpstreamMetrics:
    """What a gateway counts for the requests that it sends to one Deployment; written by one thread only.

    `up` tells by replica whether it answers.
    """

    __slots__ = ("received", "seconds", "sent", "up")

    def __init__(self) -> None:
        self.up: Callable[[], Mapping[str, bool]] = dict
        self.seconds = Histogram()
        self.sent = Summary()
        self.received = Summary()


class StepLoad(NamedTuple):
    """How busy a step of a gateway is: requests that wait, for how many seconds, and how many replicas there are.

    `wanted` is how many there should be, where the gateway decides that.
    """

    waiting: int
    wait: float
    replicas: int
    wanted: int | None


class Metrics:
    """All counts of one process; `process_name` is the label `runtime_name`."""

    def __init__(self, process_name: str, executor: str = "") -> None:
        self.process_name = process_name
        self.executor = executor
        self.restarts = 0
        """How often a process was started in the place of one that ended by itself."""
        self.started = time.time()
        self.queued: Callable[[], int] = lambda: 0
        self.ready: Callable[[], bool] = lambda: True
        self.endpoints: dict[str, EndpointMetrics] = {}
        self.on_new: Callable[[str, EndpointMetrics], None] | None = None
        """Gets each endpoint that is counted from now on."""
        self.upstreams: dict[str, UpstreamMetrics] = {}
        self.loads: Callable[[], Mapping[str, StepLoad]] = dict
        """By step, in a gateway."""
        self.consensus: ConsensusMetrics | None = None
        """Of a replica of a stateful Executor."""
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.registry: CollectorRegistry | None = None
        """What is scraped, once `prometheus.registry_of` has made it."""

    def endpoint(self, path: str) -> EndpointMetrics:
        """The counts of one endpoint; the same object each time."""
        found = self.endpoints.get(path)
        if found is None:
            found = self.endpoints.setdefault(path, EndpointMetrics())
            if self.on_new is not None:
                self.on_new(path, found)
        return found

    def upstream(self, deployment: str) -> UpstreamMetrics:
        """The counts of what is sent to one Deployment; the same object each time."""
        found = self.upstreams.get(deployment)
        return found if found is not None else self.upstreams.setdefault(deployment, UpstreamMetrics())

    @property
    def done(self) -> int:
        """Grows whenever a request gets on: with each reply, also those of streams, and each error."""
        return sum(one.seconds.count + one.sent.count for one in list(self.endpoints.values()))

    def totals(self) -> dict[str, int]:
        """Requests that were answered, those of them that failed, and how many took up to each bound of `BUCKETS`.

        The last are under `took:NUMBER`, those that are none left out.
        """
        whole = self.receiving()
        failed = sum(sum(one.failures.copy().values()) for one in list(self.endpoints.values()))
        took = {f"took:{place}": count for place, count in enumerate(whole.counts) if count}
        return {"answered": whole.count, "failed": failed, **took}

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Serve the value that `read` returns, on any thread, as the gauge `jina_<name>`."""
        self.gauges[name] = (documentation, read)

    def receiving(self) -> Histogram:
        """Seconds from arrival to reply, of all endpoints."""
        whole = Histogram()
        for one in list(self.endpoints.values()):
            whole.add(one.seconds)
        return whole

    def timed(self) -> list[tuple[str, str, int, float]]:
        """Name, documentation, count and sum of each block that `timer` measured in this process."""
        with _timers_lock:
            return [(name, text, one.count, one.total) for name, (text, one) in _timers.items()]


users: CollectorRegistry | None = None
"""That of `users_registry`, once it was asked for."""


def users_registry() -> CollectorRegistry | None:
    """The registry of this process for collectors of the user's Executors, which is served with our own counts.

    None where `prometheus_client` is not installed, so that nothing serves metrics.
    """
    global users
    if users is None:
        try:
            from prometheus_client import CollectorRegistry
        except ImportError:
            return None
        users = CollectorRegistry()
    return users


_timers: dict[str, tuple[str, Summary]] = {}
_timers_lock = threading.Lock()


@contextmanager
def timer(name: str, documentation: str = "") -> Generator[None]:
    """Time the block as the summary `jina_<name>` of this process; any thread, nested at will."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        with _timers_lock:
            if (known := _timers.get(name)) is None:
                known = _timers[name] = (documentation, Summary())
            known[1].observe(seconds)
