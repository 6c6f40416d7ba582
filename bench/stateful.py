"""A stateful Deployment of three replicas on loopback: writes, reads, start, memory, beside the same on Jina 3.

Each round starts either side again, on an empty workspace, and measures it while the other one is off.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cases import UNARY
from bench.environments import python_of, scripts_at, versions
from bench.procs import Server, free_port
from bench.report import Check, Section
from bench.runs import bench_server, send
from bench.stats import interval, ratio
from jina.codec import pb

KB, MB = 1000, 1_000_000
LARGE = 30 * MB
WRITES = 4000
"""As many on either side before memory is looked at: that of Jina 3 grows for some thousands, then no more."""
LINEARIZABLE = [("jina-consistency", "linearizable")]


def request(endpoint: str, size: int) -> bytes:
    """A DataRequestProto with one text of that size, and with a request id to replace."""
    message = pb.DataRequestProto()
    message.header.request_id = "0" * 32
    message.header.exec_endpoint = endpoint
    doc = message.data.docs.docs.add()
    doc.data["id"].text = "a"
    doc.data["text"].text = "x" * size
    return message.SerializeToString()


@dataclass
class Side:
    """One running Deployment, and the figures of it by name."""

    server: Server
    workspace: Path
    ports: list[int]
    seconds: float
    found: dict[str, float | None]
    errors: dict[str, int]

    @property
    def ours(self) -> bool:
        """Whether it is ours."""
        return self.server.name.startswith("ours")

    def statuses(self) -> list[dict[str, Any]]:
        """What our agents tell."""
        with (self.workspace / "status").open() as file:
            return json.loads(file.readline())

    def leader(self) -> int:
        """The number of the replica that leads."""
        if self.ours:
            return next(one["replica"] for one in self.statuses() if one["role"] == "Leader")
        return next(n for n, port in enumerate(self.ports) if not self.load(port, 1, 1, requests=1)["bad"])

    def load(self, port: int, size: int, clients: int, *, read: bool = False, **options: Any) -> dict:
        """One load; its errors are counted."""
        body = request("/count" if read else "/add", size)
        job = {
            "kind": "unique", "port": port, "method": UNARY, "request": base64.b64encode(body).decode(),
            "expected": base64.b64encode(b"holds " if read else b"stored ").decode(), "concurrency": clients,
            **({} if "requests" in options else {"requests": 0, "seconds": self.seconds}), **options,
        }  # fmt: skip
        return send(job)

    def measure(self, name: str, port: int, size: int, clients: int, **options: Any) -> None:
        """Latency, throughput and CPU of one load."""
        before = self.server.cpu_ns()
        load = self.load(port, size, clients, **options)
        cpu = self.server.cpu_ns() - before
        for text, count in load.get("failed", {}).items():
            self.errors[f"{name}: {text}"] = self.errors.get(f"{name}: {text}", 0) + count
        good = load["requests"] - (load["bad"] - sum(load.get("failed", {}).values()))
        self.found[f"{name}, p50 (ms)"] = load["p50_ms"]
        self.found[f"{name}, p99 (ms)"] = load["p99_ms"]
        self.found[f"{name}, /s"] = good / load["seconds"]
        self.found[f"{name}, MB/s"] = good * size / MB / load["seconds"]
        self.found[f"{name}, CPU (ms)"] = cpu / good / 1e6 if good else None

    def all(self, large: int) -> None:
        """Every figure of this round."""
        leader, gateway = self.leader(), self.server.port
        self.found["PSS with a port each, at the start (MB)"] = self.server.pss_mb()
        self.load(gateway, KB, 16, seconds=min(self.seconds, 1.0))  # not counted: everything is imported after it
        direct = self.ports[leader]
        self.measure("1 KB at the leader", direct, KB, 1)
        self.measure("1 KB through the gateway", gateway, KB, 1)
        self.measure("1 KB at the leader, 16 clients", direct, KB, 16)
        self.measure("1 KB through the gateway, 16 clients", gateway, KB, 16)
        self.measure("100 KB through the gateway, 16 clients", gateway, 100 * KB, 16)
        if self.ours:
            follower = self.ports[(leader + 1) % 3]
            self.measure("1 KB at a follower", follower, KB, 1)
            self.measure("read through the gateway", gateway, 1, 1, read=True, metadata=LINEARIZABLE)
            self.measure("read at a follower", follower, 1, 1, read=True, metadata=LINEARIZABLE)
        else:
            self.measure("read through the gateway", gateway, 1, 1, read=True)
        self._rest()
        self._large(large)
        self.found["PSS with a port each, after 30 MB (MB)"] = self.server.pss_mb()
        self.server.stop()
        (self.workspace / "ready").unlink()
        self.found["ready again (s)"] = self.begin()

    def weigh(self, writes: int) -> None:
        """The memory of the Deployment as users have it: all of it, and that of the replicas without what is around."""
        self._weigh("at the start")
        self.load(self.server.port, KB, 16, requests=writes)
        self._weigh("under load")
        time.sleep(self.seconds)
        self._weigh("after the load")

    def _weigh(self, when: str) -> None:
        self.found[f"PSS of 3 replicas {when} (MB)"] = self.server.behind_mb()
        self.found[f"PSS of all {when} (MB)"] = self.server.pss_mb()

    def begin(self) -> float:
        """Start it; gives the seconds until it is ready."""
        began = time.monotonic()
        self.server.start()
        ready = self.workspace / "ready"
        while not (ready.exists() and (result := ready.read_text())):
            if time.monotonic() - began > 90:
                raise RuntimeError(f"{self.server.name} is not ready")
            time.sleep(0.005)
        return float(result) - began

    def _rest(self) -> None:
        before, began = self.server.cpu_ns(), time.perf_counter()
        time.sleep(self.seconds)
        self.found["idle, % of a core"] = (self.server.cpu_ns() - before) / (time.perf_counter() - began) / 1e7
        self.found["PSS with a port each (MB)"] = self.server.pss_mb()

    def _large(self, size: int) -> None:
        terms = [one["term"] for one in self.statuses()] if self.ours else []
        times = []
        for _ in range(3):
            load = self.load(self.server.port, size, 1, requests=1)
            for text in load.get("failed", {}):
                self.errors[f"30 MB: {text}"] = self.errors.get(f"30 MB: {text}", 0) + 1
            if load["p50_ms"] is not None:
                times.append(load["p50_ms"] / 1000)
        self.found["30 MB, slowest of 3 (s)"] = max(times) if len(times) == 3 else None
        if self.ours:
            self.found["30 MB, elections"] = max(one["term"] for one in self.statuses()) - max(terms)


@contextlib.contextmanager
def running(name: str, seconds: float, errors: dict[str, int], source: str = "", **options: str) -> Iterator[Side]:
    """A side that is ready; ours is imported from a folder where one is given."""
    workspace = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    ports = [free_port() for _ in range(3)]
    python = sys.executable if name == "ours" else python_of(name)
    given = {"workspace": str(workspace), "ports": ",".join(map(str, ports)), **options}
    server = bench_server(f"{name}-stateful", "stateful.py", python, **given)
    if source:
        server.source, server.scripts = source, scripts_at(source)
    side = Side(server, workspace, ports, seconds, {}, errors)
    try:
        side.found["ready (s)"] = side.begin()
        yield side
    finally:
        server.stop()
        shutil.rmtree(workspace, ignore_errors=True)


BOUNDS = {
    "ready again (s)": 3.0,
    "1 KB at the leader, p50 (ms)": 4.0,
    "1 KB through the gateway, p50 (ms)": 6.0,
    "1 KB at a follower, p50 (ms)": 6.0,
    "1 KB through the gateway, 16 clients, /s": 700.0,
    "1 KB through the gateway, 16 clients, CPU (ms)": 2.0,
    "100 KB through the gateway, 16 clients, MB/s": 20.0,
    "30 MB, slowest of 3 (s)": 2.0,
    "30 MB, elections": 0.0,
    "read through the gateway, p50 (ms)": 2.0,
    "read at a follower, p50 (ms)": 2.0,
}
WEIGHED = [
    f"PSS of {what} {when} (MB)"
    for what in ("3 replicas", "all")
    for when in ("at the start", "under load", "after the load")
]
SHOWN = [
    "ready (s)",
    "ready again (s)",
    *(f"1 KB {where}, {what}" for where in ("at the leader", "through the gateway", "at a follower")
      for what in ("p50 (ms)", "p99 (ms)")),
    *(f"1 KB {where}, 16 clients, {what}" for where in ("at the leader", "through the gateway")
      for what in ("/s", "CPU (ms)", "p50 (ms)", "p99 (ms)")),
    "100 KB through the gateway, 16 clients, MB/s", "100 KB through the gateway, 16 clients, CPU (ms)",
    "30 MB, slowest of 3 (s)", "30 MB, elections",
    "read through the gateway, p50 (ms)", "read at a follower, p50 (ms)",
    "idle, % of a core", *WEIGHED,
    "PSS with a port each, at the start (MB)", "PSS with a port each (MB)", "PSS with a port each, after 30 MB (MB)",
]  # fmt: skip


def stateful(
    rounds: int, seconds: float = 3.0, *, alone: bool = False, large: int = LARGE, writes: int = WRITES
) -> Section:
    """All figures of both sides, or with `alone` of ours; `large` bytes take the place of 30 MB, `writes` of 4,000."""
    names = ["ours"] if alone else ["ours", "jina3"]
    found: dict[str, list[dict[str, float | None]]] = {name: [] for name in names}
    errors: dict[str, dict[str, int]] = {name: {} for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else names[::-1]:
            with running(name, seconds, errors[name]) as side:
                side.all(large)
            with running(name, seconds, errors[name], plain="1") as plain:
                plain.weigh(writes)
            found[name].append({**plain.found, **side.found})
    rows = [[what, *(_middle(found[name], what) for name in names)] for what in SHOWN]
    checks = []
    for what, bound in BOUNDS.items():
        values = _values(found["ours"], what)
        if len(values) == rounds:
            checks.append(Check(what, interval(values), bound, least=what.endswith("/s")))
    if not alone:
        compared = (
            ("PSS of 3 replicas after the load (MB)", 0.4),
            ("PSS of all after the load (MB)", 0.4),
            ("PSS of 3 replicas under load (MB)", None),
            ("PSS with a port each (MB)", None),
            ("1 KB through the gateway, 16 clients, CPU (ms)", None),
        )
        for what, bound in compared:
            series = [_values(found[name], what) for name in names]
            if len(series[0]) == len(series[1]):
                checks.append(Check(f"{what}, ours / jina3", ratio(*series), bound))
    note = f"{seconds:g} s a load, a fresh start of either side each round; ready again: with the log of that round."
    note += f" Memory: of the Deployment as users have it, 16 clients writing {writes:,} x 1 KB at its gateway."
    note += " With a port each: of that of all other figures, where each replica of ours is a gRPC server, too."
    if not alone:
        note += f" {versions('jina3')}, whose reads are not linearizable."
    for name, texts in errors.items():
        note += "".join(f" {name}: {count} x {text}." for text, count in texts.items())
    what = "1 KB through the gateway, 16 clients, /s"
    bars = {name: _middle(found[name], what) or 0.0 for name in names}
    title = "A stateful Executor, three replicas"
    return Section(title, ["figure", *names], rows, checks, note, "writes/s", bars, {"found": found, "errors": errors})


def _values(series: list[dict[str, float | None]], what: str) -> list[float]:
    return [value for one in series if (value := one.get(what)) is not None]


def _middle(series: list[dict[str, float | None]], what: str) -> float | None:
    values = _values(series, what)
    return float(statistics.median(values)) if values else None
