"""What a process tells of itself while somebody looks: its counts now, its slowest requests, its log records.

Imported with the first question. Nothing is kept while nobody asks: what was collected for people who left is dropped
with the next request or record.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from jina.observe import logs
from jina.observe.counters import Buckets, cpu_seconds, open_files, resident_bytes
from jina.observe.metrics import BUCKETS, EndpointMetrics, Histogram, Metrics

MOST_LINES: Final = 1000
"""Log records that are kept until they are asked for."""
MOST_AT_ONCE: Final = 500
"""Log records in one answer."""
LONGEST_LINE: Final = 4096
LONGEST_TRACE: Final = 16384
MOST_REQUESTS: Final = 25
"""Slow requests that are kept."""
WINDOW: Final = 300.0
"""Seconds for which a slow request is kept."""
UNASKED: Final = 15.0
"""Seconds without a question after which nobody looks any more."""
_MOST_HOPS: Final = 50


class SlowRequests:
    """The slowest requests of the last minutes; added to by the loop that serves, read by any thread.

    `clock` gives seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: list[tuple[float, int, dict[str, Any]]] = []
        self._numbers = itertools.count()
        self._oldest = 0.0
        self.asked = clock()
        """When somebody looked last."""

    def ended(self, endpoint: str, seconds: float, details: Mapping[str, Any]) -> bool:
        """A request has ended now; returns whether somebody still looks."""
        now = self._clock()
        if now - self.asked > UNASKED:
            self._kept.clear()
            return False
        if len(self._kept) >= MOST_REQUESTS:
            if now - self._oldest > WINDOW:
                self._kept = [one for one in self._kept if now - one[2]["ended"] <= WINDOW]
                heapq.heapify(self._kept)
            elif seconds <= self._kept[0][0]:
                return True
        entry = {"endpoint": endpoint, "at": now - seconds, "ended": now, "seconds": seconds, **details}
        if len(self._kept) < MOST_REQUESTS:
            heapq.heappush(self._kept, (seconds, next(self._numbers), entry))
        else:
            heapq.heapreplace(self._kept, (seconds, next(self._numbers), entry))
        self._oldest = min(one[2]["ended"] for one in self._kept)
        return True

    def slowest(self) -> list[dict[str, Any]]:
        """Those of the last minutes, the slowest first."""
        self.asked = now = self._clock()
        kept = sorted(self._kept, key=lambda one: one[:2], reverse=True)
        return [entry for _, _, entry in kept if now - entry["ended"] <= WINDOW]


class Ended:
    """Takes the requests to one endpoint as they end; see `EndpointMetrics.on_end`."""

    __slots__ = ("_counts", "_endpoint", "_requests")

    def __init__(self, endpoint: str, counts: EndpointMetrics, requests: SlowRequests) -> None:
        self._endpoint = endpoint
        self._counts = counts
        self._requests = requests

    def __call__(self, seconds: float, failure: str, parts: Mapping[str, Any] | None) -> None:
        """A request has ended; `parts` is what is known of its way, see `Observed.parts`.

        Without them it began before anybody looked. It is not kept: nothing could be told of it but how long it took.
        """
        if parts is not None and not self._requests.ended(self._endpoint, seconds, {"error": failure, **parts}):
            self._counts.on_end = None


class RecentLines:
    """Keeps the newest log records of this process, until nobody asks for them any more.

    Records are seen as they are made: a handler of the root logger would keep Python from printing warnings where there
    is no other handler, and `logging.basicConfig` from adding one.
    """

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)
        self._numbers = itertools.count(1)
        self._asked = time.monotonic()
        self._attached = self._placed = False
        self._make: Callable[..., logging.LogRecord] = logging.LogRecord
        self._formatter = logging.Formatter()

    def attach(self) -> None:
        """See the records of all loggers."""
        self._asked = time.monotonic()
        self._attached = True
        if not self._placed:
            self._placed, self._make = True, logging.getLogRecordFactory()
            logging.setLogRecordFactory(self._made)

    def detach(self) -> None:
        """See them no more. Where others have come in between, what remains of us passes them on."""
        self._attached = False
        self._lines.clear()
        if logging.getLogRecordFactory() == self._made:
            self._placed = False
            logging.setLogRecordFactory(self._make)

    def _made(self, *args: Any, **more: Any) -> logging.LogRecord:
        record = self._make(*args, **more)
        # `logging.makeLogRecord` makes one without a name, and fills it afterwards with what was made elsewhere.
        if self._attached and isinstance(record.name, str):
            self.see(record)
        return record

    def see(self, record: logging.LogRecord) -> None:
        """Keep a record; whatever is wrong with it, the code that logs goes on."""
        if time.monotonic() - self._asked > UNASKED:
            self.detach()
            return
        try:
            message = record.getMessage()
            trace = self._formatter.formatException(record.exc_info) if record.exc_info else ""
        except Exception:  # noqa: BLE001 - arguments of the user's that do not fit their format
            message, trace = record.msg if isinstance(record.msg, str) else type(record.msg).__name__, ""
        level = "SUCCESS" if record.levelno == logs.SUCCESS else record.levelname
        self._lines.append({
            "seq": next(self._numbers), "time": round(record.created, 3), "level": level, "number": record.levelno,
            "logger": _whole(record.name), "message": _whole(message[:LONGEST_LINE]),
            "exception": _whole(trace[-LONGEST_TRACE:]),
            "request_id": _whole(logs.request_id.get()[:200]), "pid": os.getpid(),
        })  # fmt: skip

    def since(self, number: int) -> tuple[list[dict[str, Any]], int]:
        """The records after one, as many as fit into an answer, and how many were lost before them."""
        self.attach()
        found = [line for line in list(self._lines) if line["seq"] > number]
        lost = found[0]["seq"] - number - 1 if found and number else 0
        return found[:MOST_AT_ONCE], lost


class Observation:
    """Answers questions about one process, from any thread; `counts` are its own, `shape` what it is made of."""

    def __init__(self, counts: Metrics, shape: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._counts = counts
        self._shape = shape
        self._place = place()
        self._requests = SlowRequests()
        self._lines = RecentLines()
        counts.on_new = self._watch

    def _watch(self, path: str, one: EndpointMetrics) -> None:
        if one.on_end is None:
            one.on_end = Ended(path, one, self._requests)

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What the process is and did; with `logs`, the number of the last record that is known, those after it."""
        counts = self._counts
        endpoints = dict(counts.endpoints)
        for path, one in endpoints.items():
            self._watch(path, one)
        found: dict[str, Any] = {
            "time": time.time(), "executor": counts.executor, "started": counts.started, "place": self._place,
            "cpu": cpu_seconds(), "rss": resident_bytes(), "files": open_files(), "threads": threading.active_count(),
            "bounds": BUCKETS, "endpoints": {path: _endpoint(one) for path, one in endpoints.items()},
            "upstreams": {name: _upstream(one) for name, one in dict(counts.upstreams).items()},
            "slow": [_hops(one) for one in self._requests.slowest()], **self._shape(),
        }  # fmt: skip
        if question.get("logs") is not None:
            found["logs"], found["lost"] = self._lines.since(int(question["logs"]))
        return found


def _hops(entry: dict[str, Any]) -> dict[str, Any]:
    """A slow request as plain values: of a gateway with what it visited behind itself."""
    if (routes := entry.get("routes")) is None:
        return entry
    hops = [(one.executor, one.start_time, one.end_time) for one in routes[1 : _MOST_HOPS + 1]]
    return {**{key: value for key, value in entry.items() if key != "routes"}, "hops": hops}


def _whole(text: str) -> str:
    """The text as UTF-8 can have it: halves of surrogate pairs, as in names of files, are escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _buckets(one: Histogram | Buckets) -> list[float]:
    return [one.total, *one.counts]


def _endpoint(one: EndpointMetrics) -> dict[str, Any]:
    found: dict[str, Any] = {
        "in_flight": one.in_flight, "succeeded": one.succeeded, "failures": dict(one.failures),
        "documents": one.documents, "seconds": _buckets(one.seconds), "queue": _buckets(one.queue_seconds),
        "handler": _buckets(one.handler_seconds),
    }  # fmt: skip
    if one.batches is not None:
        found["batch"], found["batch_wait"] = _buckets(one.batches.sizes), _buckets(one.batches.waits)
    return found


def _upstream(one: Any) -> dict[str, Any]:
    up = one.up()
    return {"seconds": _buckets(one.seconds), "up": sum(map(bool, up.values())), "of": len(up)}


_MARKS: Final = (".dockerenv", "run/.containerenv", "run/systemd/container")
"""Files that engines put into containers, of which images that were copied from some have the first as well."""
_OF_MACHINE: Final = frozenset({"pid:[4026531836]", "uts:[4026531838]", "ipc:[4026531839]"})
"""The first namespaces of a machine, whose numbers are fixed (include/uapi/linux/nsfs.h). A container has others of
some kind, whichever of them its options take from the machine."""


def place(environment: Mapping[str, str] = os.environ, root: str = "/") -> dict[str, str]:
    """Where this process runs: on a machine, virtual ones too, in a container, or in a pod of Kubernetes."""
    host = socket.gethostname()
    apart = _namespaces(root) != _OF_MACHINE
    if apart and environment.get("KUBERNETES_SERVICE_HOST"):
        return {"kind": "pod", "host": host, "pod": environment.get("HOSTNAME", host)}
    inside = apart and any(os.path.exists(os.path.join(root, mark)) for mark in _MARKS)
    return {"kind": "container" if inside else "process", "host": host}


def _namespaces(root: str) -> set[str]:
    """Those of this process; none where the system does not tell, so that the marks of containers alone count."""
    try:
        return {os.readlink(os.path.join(root, "proc/self/ns", kind)) for kind in ("pid", "uts", "ipc")}
    except OSError:
        return set()
