"""What is counted of batches, of replicas of stateful Executors, and of the process."""

from __future__ import annotations

import os
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def cpu_seconds() -> float:
    """Processor time of all threads, in user code and in the kernel."""
    return time.process_time()


def resident_bytes() -> int:
    """Memory that the process holds now; where the system does not tell, the most that it held."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def open_files() -> int:
    """How many descriptors are open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # the one by which it is read
        except OSError:
            continue
    return 0


SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the sizes of batches, in documents."""
WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the waiting, in seconds."""


class Buckets:
    """How many samples fell between bounds; one more bucket holds what is above."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one sample."""
        self.total += value
        self.counts[bisect_left(self.bounds, value)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Bounds and how many samples were not above each."""
        below, rows = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            rows.append((bound, float(below)))
        return rows


class BatchMetrics:
    """Sizes of batches in documents, how long each request waited for its batch, and how many wait now.

    Written by one thread only.
    """

    __slots__ = ("sizes", "waiting", "waits")

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.sizes = Buckets(SIZES)
        self.waits = Buckets(WAITS)
        self.waiting = waiting

    def observe(self, size: int, waits: Iterable[float]) -> None:
        """One batch has been run."""
        self.sizes.observe(size)
        for wait in waits:
            self.waits.observe(wait)


def batch_families(labels: list[str], endpoints: Iterable[tuple[list[str], BatchMetrics]]) -> Iterator[Metric]:
    """The samples as metric families; `endpoints` holds the values of the labels with the counts."""
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

    sizes = HistogramMetricFamily("jina_batch_size", "Documents in a batch", labels=labels)
    waits = HistogramMetricFamily("jina_batch_wait_seconds", "Seconds that a request waited for its batch to begin",
                                  labels=labels)  # fmt: skip
    waiting = GaugeMetricFamily("jina_batch_queue_depth", "Requests that wait for a batch", labels=labels)
    for values, one in endpoints:
        sizes.add_metric(values, one.sizes.cumulative(), one.sizes.total)
        waits.add_metric(values, one.waits.cumulative(), one.waits.total)
        waiting.add_metric(values, one.waiting())
    yield from (sizes, waits, waiting)


class SlotMetrics:
    """How long each step took, written by the thread of the steps alone; and what the streams of an endpoint do now."""

    __slots__ = ("in_use", "paused", "slots", "steps", "waiting")

    def __init__(
        self, slots: int, *, waiting: Callable[[], int], in_use: Callable[[], int], paused: Callable[[], int]
    ) -> None:
        self.slots = slots
        self.steps = Buckets(SECONDS)
        self.waiting = waiting
        self.in_use = in_use
        self.paused = paused


def slot_families(labels: list[str], endpoints: Iterable[tuple[list[str], SlotMetrics]]) -> Iterator[Metric]:
    """As `batch_families`, of continuous batching."""
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

    steps = HistogramMetricFamily("jina_slot_step_seconds", "Seconds of one step of all streams that run",
                                  labels=labels)  # fmt: skip
    most = GaugeMetricFamily("jina_slots", "Streams that can run at once", labels=labels)
    in_use = GaugeMetricFamily("jina_slots_in_use", "Slots that have a stream", labels=labels)
    paused = GaugeMetricFamily("jina_slots_paused", "Slots whose stream waits for its client to read", labels=labels)
    waiting = GaugeMetricFamily("jina_slot_queue_depth", "Streams that wait for a slot", labels=labels)
    for values, one in endpoints:
        steps.add_metric(values, one.steps.cumulative(), one.steps.total)
        for family, number in ((most, one.slots), (in_use, one.in_use()), (paused, one.paused()),
                               (waiting, one.waiting())):  # fmt: skip
            family.add_metric(values, number)
    yield from (steps, most, in_use, paused, waiting)


SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the times that a write takes on its way; those of the agent are the same."""
ROLES = ("Leader", "Follower", "Candidate", "Shutdown")
_GAUGES = (
    ("term", "term", "The election that the replica knows of, by number"),
    ("committed", "committed_index", "Last entry of the log that a majority has"),
    ("applied", "applied_index", "Last entry that the Executor has applied"),
    ("last", "last_index", "Last entry of the replica's log"),
    ("log_bytes", "log_bytes", "Size of the log on the disk"),
    ("unapplied_bytes", "unapplied_bytes", "Bytes sent to the Executor that it has not applied yet"),
    ("snapshot", "snapshot_index", "Entry up to which the newest snapshot goes"),
    ("snapshot_bytes", "snapshot_bytes", "Size of the newest snapshot"),
    ("snapshot_time", "snapshot_timestamp_seconds", "Unix time of the newest snapshot, 0 without one"),
    ("diverged", "diverged_index", "First entry in which the replica differs from the others, 0 while it does not"),
)
_COUNTERS = (
    ("elections", "elections", "Leaders that the replica got to know since its agent started"),
    ("log_bytes_written", "written_bytes", "Bytes of entries written since its agent started"),
    ("snapshot_failures", "snapshot_failures", "Snapshots that failed since its agent started"),
)


class ConsensusMetrics:
    """Written by one loop only. `told` is the agent's own status, empty while there is none.

    `commit_seconds` is from a write's proposal until a majority has it, `apply_seconds` what the Executor takes for it.
    `repeated` counts requests that came again and were answered from memory, `remembered` are those that could be.
    """

    __slots__ = ("agent_status", "apply_seconds", "commit_seconds", "remembered", "repeated", "waiting")

    def __init__(self) -> None:
        self.agent_status: Mapping[str, Any] = {}
        self.commit_seconds = Buckets(SECONDS)
        self.apply_seconds = Buckets(SECONDS)
        self.repeated = 0
        self.remembered: Callable[[], int] = lambda: 0
        self.waiting: Callable[[], int] = lambda: 0


def consensus_families(process_name: str, metrics: ConsensusMetrics) -> Iterator[Metric]:
    """The samples as metric families; those of the agent only when its status is known."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    label, value = ["runtime_name"], [process_name]
    for name, text, buckets in (
        ("commit_seconds", "Seconds from the proposal of a write until a majority has it", metrics.commit_seconds),
        ("apply_seconds", "Seconds in which the Executor applied a write", metrics.apply_seconds),
    ):
        histogram = HistogramMetricFamily(f"jina_consensus_{name}", text, labels=label)
        histogram.add_metric(value, buckets.cumulative(), buckets.total)
        yield histogram
    repeated = CounterMetricFamily(
        "jina_consensus_repeated_requests", "Writes that came again and were not applied again", labels=label
    )
    repeated.add_metric(value, metrics.repeated)
    yield repeated
    for name, text, number in (
        ("remembered_requests", "Writes that are known should they come again", metrics.remembered()),
        ("waiting_writes", "Writes taken here that are not applied yet", metrics.waiting()),
    ):
        gauge = GaugeMetricFamily(f"jina_consensus_{name}", text, labels=label)
        gauge.add_metric(value, number)
        yield gauge
    if metrics.agent_status:
        yield from _of_the_agent(process_name, metrics.agent_status)


def _of_the_agent(process_name: str, entry: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    label, value = ["runtime_name"], [process_name]
    for key, name, text in _GAUGES:
        gauge = GaugeMetricFamily(f"jina_consensus_{name}", text, labels=label)
        gauge.add_metric(value, entry.get(key, 0))
        yield gauge
    for key, name, text in _COUNTERS:
        counter = CounterMetricFamily(f"jina_consensus_{name}", text, labels=label)
        counter.add_metric(value, entry.get(key, 0))
        yield counter
    role = GaugeMetricFamily("jina_consensus_role", "1 for the role that the replica has", labels=["role", *label])
    for name in ROLES:
        role.add_metric([name.lower(), process_name], int(entry.get("role") == name))
    yield role
    yield from _peers(process_name, entry.get("lag") or {})
    yield _synced(process_name, entry.get("sync") or {})


def _peers(process_name: str, lags: Mapping[str, int | None]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ["peer", "runtime_name"]
    lag = GaugeMetricFamily(
        "jina_consensus_peer_lag_entries",
        "Entries that another replica does not have; told by the leader",
        labels=labels,
    )
    up = GaugeMetricFamily(
        "jina_consensus_peer_up", "1 while another replica answers the leader, 0 otherwise", labels=labels
    )
    for peer, entries in lags.items():
        up.add_metric([peer, process_name], int(entries is not None))
        if entries is not None:
            lag.add_metric([peer, process_name], entries)
    yield from (lag, up)


def _synced(process_name: str, entry: Mapping[str, Any]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    bounds = [*map(str, entry.get("bounds", ())), "+Inf"]
    counts = list(accumulate(entry.get("counts", (0,))))
    family = HistogramMetricFamily(
        "jina_consensus_sync_seconds", "Seconds in which entries were written and synced", labels=["runtime_name"]
    )
    family.add_metric(
        [process_name], [(one, float(n)) for one, n in zip(bounds, counts, strict=True)], entry.get("sum", 0)
    )
    return family
