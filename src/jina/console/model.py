"""What the console shows, computed from what the processes of a service told at two points of time. Pure.

Counts are those since a process started, so the numbers of an interval are differences. Values that are not known are
left out, and so are those that are None: a merge patch (RFC 7396) has no other meaning for these than removal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

COLUMNS: Final = (
    "rate", "errors", "p50", "p90", "p99", "queue_p50", "queue_p99", "batch", "in_flight", "cpu", "rss",
)  # fmt: skip
"""What is kept of each point of a track, beside its time."""
WINDOW: Final = 900.0
"""Seconds that are kept."""
STEP: Final = 5.0
"""Seconds between two points that are kept."""
MOST_TRACKS: Final = 300
MOST_SLOW: Final = 25
_SAME: Final = 2.0
"""Seconds by which what is told of one point of time may differ."""
_STILL: Final = 0.2
"""Seconds below which two points of time are too near to each other for a rate."""
Numbers = dict[str, Any]


class Counted(NamedTuple):
    """What was counted from one point of time to another, of one endpoint or of several.

    Each histogram is its sum and the counts of its buckets, whose upper bounds are `bounds`; none that is not kept.
    """

    bounds: Sequence[float]
    histograms: Mapping[str, Sequence[float]]
    failed: int

    def sum_of(self, name: str) -> float:
        """The sum of the samples of a histogram."""
        return next(iter(self.histograms.get(name, ())), 0.0)

    def counts_of(self, name: str) -> Sequence[float]:
        """The counts of its buckets."""
        return self.histograms.get(name, ())[1:]


_HISTOGRAMS: Final = ("seconds", "queue", "handler", "batch", "batch_wait")
_NOTHING: Final = Counted((), {}, 0)
_OF_WORKERS: Final = ("queue_p50", "queue_p99", "handler_p50", "handler_p99", "batch", "batch_wait")


def quantile(counts: Sequence[float], bounds: Sequence[float], share: float) -> float | None:
    """An estimate of a quantile of what was counted in buckets; None where nothing was.

    Between the bounds of a bucket its samples are taken to be spread evenly; above the last bound it is that bound.
    """
    wanted = share * sum(counts)
    if wanted <= 0:
        return None
    below, low = 0.0, 0.0
    for count, high in zip(counts, bounds, strict=False):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return bounds[-1]


def merge_patch(before: Any, after: Any) -> Any:
    """What makes `after` of `before` as a JSON merge patch; for two objects that are equal `{}`."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        if key not in before:
            patch[key] = value
        elif (old := before[key]) != value:
            patch[key] = merge_patch(old, value)
    return patch


def known(value: Any) -> Any:
    """The value without the entries of objects that are None."""
    if isinstance(value, dict):
        return {key: known(one) for key, one in value.items() if one is not None}
    return value


class Track:
    """Points of one line of a chart: at most one each `STEP` seconds, of the last `WINDOW` seconds."""

    def __init__(self) -> None:
        self.points: deque[tuple[float | None, ...]] = deque(maxlen=int(WINDOW / STEP))

    def add(self, now: float, numbers: Numbers, cpu: float | None, rss: float | None) -> None:
        """Keep a point, unless one was kept just before."""
        points = self.points
        if points and now - (points[-1][0] or 0.0) < STEP - _STILL:
            return
        values = {**numbers, "cpu": cpu, "rss": rss}
        points.append((round(now, 1), *(values.get(name) for name in COLUMNS)))
        while points and now - (points[0][0] or 0.0) > WINDOW:
            points.popleft()


class Model:
    """The state of one service, brought up to date by what its processes tell."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self._before: dict[str, dict[str, Any]] = {}
        """By process, the last that it told."""
        self._tracks: dict[str, Track] = {}
        self._since: dict[str, tuple[tuple[int, str], float]] = {}
        """By process: its id and state, and when it came into it."""

    def history(self, track: str) -> dict[str, Any]:
        """The points of a track."""
        found = self._tracks.get(track)
        points = list(found.points) if found is not None else []
        return {"track": track, "step": STEP, "columns": ["time", *COLUMNS], "points": points}

    def update(self, now: float, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The state at a time, in seconds since the epoch, by the answer of `jina.supervisor.observing`."""
        status, observed = answer["status"], answer["observed"]
        processes: dict[str, Any] = {}
        counted: dict[str, dict[str, Counted]] = {}
        spans: dict[str, float] = {}
        for entry in status["processes"]:
            name, sample = entry["name"], observed.get(entry["name"]) or {}
            before = self._before.get(name)
            if sample:
                spans[name], counted[name] = _difference(before, sample)
            processes[name] = _process(entry, sample, before, spans.get(name, 0.0), counted.get(name, {}))
            processes[name]["since"] = self._came(now, entry)
        self._before = {
            name: sample if spans.get(name) or name not in self._before else self._before[name]
            for name, sample in observed.items()
            if sample
        }
        gateways = [name for name, entry in processes.items() if entry["gateway"]]
        workers = [name for name in processes if name not in gateways]
        graph = next((observed[name]["graph"] for name in gateways if (observed.get(name) or {}).get("graph")), None)
        front = gateways if graph is not None else workers
        deployments = _deployments(processes, graph)
        for name, entry in deployments.items():
            those = [one for one in workers if processes[one]["deployment"] == name]
            entry["numbers"] = _numbers_of(those, counted, spans, processes)
        total = _numbers_of(front, counted, spans, processes)
        if front is gateways:  # which queue nothing and make no batches
            behind = _numbers_of(workers, counted, spans, processes)
            total |= {key: behind[key] for key in _OF_WORKERS if key in behind}
        state = {
            "time": round(now, 3),
            "service": {key: value for key, value in status.items() if key != "processes"},
            "processes": processes,
            "total": total,
            "deployments": deployments,
            "graph": _graph(graph, gateways, deployments, observed, self._last_upstreams(observed)),
            "groups": _groups(status["processes"]),
            "slow": _slow(observed, gateways),
        }
        self._keep(now, processes, deployments, total, workers)
        self._upstreams = {name: (observed[name]["time"], observed[name]["upstreams"]) for name in gateways
                           if observed.get(name)}  # fmt: skip
        self.state = known(state)
        return self.state

    _upstreams: Mapping[str, tuple[float, Any]] = {}

    def _last_upstreams(self, observed: Mapping[str, Any]) -> Mapping[str, tuple[float, Any]]:
        return {name: last for name, last in self._upstreams.items() if observed.get(name)}

    def _keep(
        self,
        now: float,
        processes: Mapping[str, Any],
        deployments: Mapping[str, Any],
        total: Numbers,
        workers: Iterable[str],
    ) -> None:
        for name, entry in processes.items():
            self._track(f"process:{name}").add(now, entry["numbers"], entry.get("cpu"), entry.get("rss"))
        for name, entry in deployments.items():
            those = [processes[one] for one in workers if processes[one]["deployment"] == name]
            self._track(f"deployment:{name}").add(now, entry["numbers"], _sum(those, "cpu"), _sum(those, "rss"))
        every = list(processes.values())
        self._track("total").add(now, total, _sum(every, "cpu"), _sum(every, "rss"))

    def _came(self, now: float, entry: Mapping[str, Any]) -> float:
        """When a process came into its state; the same in each message while it stays there."""
        state = entry["pid"], entry["state"]
        at = round(now - entry["seconds"], 1)
        before = self._since.get(entry["name"])
        if before is None or before[0] != state or abs(before[1] - at) > _SAME:
            self._since[entry["name"]] = state, at
        return self._since[entry["name"]][1]

    def _track(self, name: str) -> Track:
        found = self._tracks.pop(name, None)
        self._tracks[name] = found = found or Track()  # the one that was written last is last
        if len(self._tracks) > MOST_TRACKS:
            del self._tracks[next(iter(self._tracks))]
        return found


def _sum(entries: Iterable[Mapping[str, Any]], key: str) -> float | None:
    values = [entry[key] for entry in entries if entry.get(key) is not None]
    return sum(values) if values else None


def _difference(before: Mapping[str, Any] | None, sample: Mapping[str, Any]) -> tuple[float, dict[str, Counted]]:
    """Seconds, and what each endpoint counted in them; since its start where nothing is known from before."""
    if before is None or before["started"] != sample["started"]:
        return 0.0, {}
    seconds = sample["time"] - before["time"]
    if seconds < _STILL:
        return 0.0, {}
    found = {}
    for path, now in sample["endpoints"].items():
        old = before["endpoints"].get(path, {})
        parts = {name: _less(now[name], old.get(name)) for name in _HISTOGRAMS if name in now}
        failed = sum(now["failures"].values()) - sum(old.get("failures", {}).values())
        found[path] = Counted(sample["bounds"], parts, failed)
    return seconds, found


def _less(now: Sequence[float], before: Sequence[float] | None) -> list[float]:
    return list(now) if before is None else [one - other for one, other in zip(now, before, strict=True)]


def _plus(rows: Iterable[Sequence[float]]) -> list[float]:
    return [sum(values) for values in zip(*rows, strict=True)]


def _added(counted: Iterable[Counted]) -> Counted:
    rows = list(counted)
    if not rows:
        return _NOTHING
    if len(rows) == 1:
        return rows[0]
    summed = {name: _plus(row.histograms[name] for row in rows if name in row.histograms) for name in _HISTOGRAMS}
    return Counted(rows[0].bounds, summed, sum(row.failed for row in rows))


def numbers(counted: Counted, seconds: float) -> Numbers:
    """Rates, means and quantiles of what was counted in so many seconds."""
    if seconds <= 0:
        return {}
    if not any(any(counted.counts_of(name)) for name in _HISTOGRAMS):
        return {"rate": 0.0, "errors": round(counted.failed / seconds, 3)}
    ended, batches = sum(counted.counts_of("seconds")), sum(counted.counts_of("batch"))
    waits = sum(counted.counts_of("batch_wait"))
    found: Numbers = known({
        "rate": round(ended / seconds, 3),
        "errors": round(counted.failed / seconds, 3),
        "mean": _digits(counted.sum_of("seconds") / ended) if ended else None,
        **_quantiles("p", counted, "seconds", (50, 90, 99)),
        **_quantiles("queue_p", counted, "queue", (50, 99)),
        **_quantiles("handler_p", counted, "handler", (50, 99)),
        "batch": round(counted.sum_of("batch") / batches, 2) if batches else None,
        "batch_wait": _digits(counted.sum_of("batch_wait") / waits) if waits else None,
    })  # fmt: skip
    return found


def _quantiles(prefix: str, counted: Counted, name: str, of: Iterable[int]) -> Numbers:
    counts = counted.counts_of(name)
    return {f"{prefix}{one}": _digits(quantile(counts, counted.bounds, one / 100)) for one in of}


def _digits(value: float | None) -> float | None:
    """Four of them: more are noise, and each costs a byte for each viewer."""
    return None if value is None else float(f"{value:.4g}")


def _numbers_of(
    names: Iterable[str],
    counted: Mapping[str, Mapping[str, Counted]],
    spans: Mapping[str, float],
    processes: Mapping[str, Any],
) -> Numbers:
    names = list(names)
    seconds = max((spans.get(name, 0.0) for name in names), default=0.0)
    found = numbers(_added(one for name in names for one in counted.get(name, {}).values()), seconds)
    ends = [processes[name]["numbers"] for name in names]
    return {
        **found,
        "in_flight": sum(one.get("in_flight", 0) for one in ends),
        "count": sum(one.get("count", 0) for one in ends),
        "failed": sum(one.get("failed", 0) for one in ends),
    }


def _process(
    entry: Mapping[str, Any],
    sample: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    seconds: float,
    counted: Mapping[str, Counted],
) -> dict[str, Any]:
    name = entry["name"]
    found = {key: value for key, value in entry.items() if key not in {"name", "consensus", "agent", "seconds"}}
    part = name.rpartition("/")[2].split("-") if "/" in name else ["rep", "0"]
    found |= {"replica": int(part[-1]) if part[-1].isdigit() else 0, "shard": _shard(name)}
    found["gateway"] = entry["deployment"] == "gateway"
    if not sample:
        return {**found, "endpoints": {}, "numbers": {"in_flight": entry.get("in_flight", 0)}}
    cpu = None
    if seconds and before is not None:
        cpu = round(max(0.0, sample["cpu"] - before["cpu"]) / seconds, 4)
    endpoints = {path: _endpoint(one, counted.get(path), seconds) for path, one in sample["endpoints"].items()}
    whole = numbers(_added(counted.values()), seconds)
    for key in ("in_flight", "count", "failed"):
        whole[key] = sum(one[key] for one in endpoints.values())
    return {
        **found,
        **{key: sample[key] for key in ("executor", "place", "rss", "files", "threads")},
        "started": round(sample["started"], 1),
        "cpu": cpu,
        "endpoints": endpoints,
        "numbers": whole,
    }


def _shard(name: str) -> int:
    """The shard in a name such as `executor/shard-1/rep-0`."""
    parts = [part for part in name.split("/") if part.startswith("shard-")]
    return int(parts[0].removeprefix("shard-")) if parts and parts[0].removeprefix("shard-").isdigit() else 0


def _endpoint(endpoint: Mapping[str, Any], counted: Counted | None, seconds: float) -> Numbers:
    failed = sum(endpoint["failures"].values())
    found = {} if counted is None else numbers(counted, seconds)
    return {
        **found,
        "in_flight": endpoint["in_flight"],
        "count": endpoint["succeeded"] + failed,
        "failed": failed,
        **({"failures": endpoint["failures"]} if failed else {}),
    }


def _deployments(processes: Mapping[str, Any], graph: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in processes.values():
        if entry["gateway"]:
            continue
        one = found.setdefault(entry["deployment"], {"replicas": 0, "ready": 0, "shards": 1, "stateful": False})
        one["replicas"] += 1
        one["ready"] += entry["state"] == "ready"
        one["shards"] = max(one["shards"], entry["shard"] + 1)
        one["stateful"] = one["stateful"] or bool(entry.get("group"))
        if (version := _version(entry)) not in one.setdefault("versions", []):
            one["versions"].append(version)
    for name, node in (graph or {}).items():
        if node["kind"] != "join" and name not in found:
            found[name] = {"replicas": 0, "ready": 0, "shards": node["shards"], "stateful": False, "external": True}
    for one in found.values():
        one["versions"] = sorted(filter(None, one.get("versions", ())))
        one["state"] = "ready" if one["ready"] == one["replicas"] else "degraded" if one["ready"] else "down"
    return found


def _version(entry: Mapping[str, Any]) -> str:
    """That of the Executor, or of the image that it is in."""
    return str(entry.get("executor_version") or entry.get("image") or "")


def _graph(
    graph: Mapping[str, Any] | None,
    gateways: Sequence[str],
    deployments: dict[str, Any],
    observed: Mapping[str, Any],
    before: Mapping[str, tuple[float, Any]],
) -> dict[str, Any]:
    if graph is None:
        return {"nodes": {name: {"kind": "deployment"} for name in deployments}, "edges": {}}
    nodes: dict[str, Any] = {"gateway": {"kind": "gateway"}}
    edges: dict[str, Any] = {}
    for name, node in graph.items():
        nodes[name] = {"kind": node["kind"]}
        numbers_of_edge = _edge(name, gateways, observed, before)
        for need in node["needs"] or ["gateway"]:
            edge = {"from": need, "to": name, "floating": node["floating"], **numbers_of_edge}
            if name in deployments and "errors" in deployments[name].get("numbers", {}):
                edge["errors"] = deployments[name]["numbers"]["errors"]
            edges[f"{need}>{name}"] = edge
        if name in deployments and deployments[name].get("external"):
            one = deployments[name]
            one["replicas"], one["ready"] = numbers_of_edge.get("of", 0), numbers_of_edge.get("up", 0)
            one["state"] = "ready" if one["ready"] == one["replicas"] else "degraded" if one["ready"] else "down"
    return {"nodes": nodes, "edges": edges}


def _edge(
    name: str, gateways: Sequence[str], observed: Mapping[str, Any], before: Mapping[str, tuple[float, Any]]
) -> dict[str, Any]:
    """What the gateways counted of the requests that they sent to a step; those around shards count as the step."""
    seconds, parts, bounds, up, of = 0.0, list[list[float]](), (), 0, 0
    for gateway in gateways:
        sample = observed.get(gateway)
        if not sample:
            continue
        at, last = before.get(gateway, (0.0, {}))
        for upstream, load in sample["upstreams"].items():
            if upstream.partition("/")[0] != name:
                continue
            up, of = up + load["up"], of + load["of"]
            if upstream in last and sample["time"] - at >= _STILL:
                seconds = max(seconds, sample["time"] - at)
                parts.append(_less(load["seconds"], last[upstream]["seconds"]))
                bounds = sample["bounds"]
    found: dict[str, Any] = {"up": up, "of": of}
    if seconds:
        total, *counts = _plus(parts)
        ended = sum(counts)
        found["rate"] = round(ended / seconds, 3)
        found["latency"] = _digits(total / ended) if ended else None
        found["p99"] = _digits(quantile(counts, bounds, 0.99))
    return known(found)  # type: ignore[no-any-return]


def _groups(processes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The groups of stateful Executors, by what their agents tell."""
    groups: dict[str, Any] = {}
    for entry in processes:
        member = entry.get("consensus")
        if not entry.get("group") or not member:
            continue
        replicas = groups.setdefault(entry["group"], {"replicas": {}})["replicas"]
        number = entry["name"].rpartition("-")[2]
        replicas[number] = {"process": entry["name"], **member}
        if "lag" in member:
            lag = member["lag"] or {}
            replicas[number]["lag"] = {peer: entries for peer, entries in lag.items() if entries is not None}
            replicas[number]["silent"] = sorted(peer for peer, entries in lag.items() if entries is None)
    for group in groups.values():
        every = group["replicas"]
        leaders = [number for number, one in every.items() if one.get("role") == "Leader"]
        leader = max(leaders, key=lambda number: int(every[number]["term"]), default=None)
        group["leader"] = None if leader is None else int(leader)
        group["term"] = None if leader is None else every[leader]["term"]
        group["healthy"] = leader is not None and all(one.get("serving") for one in every.values())
    return groups


def _slow(observed: Mapping[str, Any], gateways: Sequence[str]) -> list[dict[str, Any]]:
    """The slowest requests with what each process did for them; where there is a gateway, those that it had."""
    rows = [(name, one) for name, sample in observed.items() for one in (sample or {}).get("slow", ())]
    front = [(name, one) for name, one in rows if name in gateways] or rows
    behind: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, one in rows:
        if name not in gateways and one.get("id"):
            behind.setdefault(one["id"], []).append((name, one))
    front.sort(key=lambda row: -row[1]["seconds"])
    return [_request(name, one, behind, gateway=name in gateways) for name, one in front[:MOST_SLOW]]


def _request(
    name: str, one: Mapping[str, Any], behind: Mapping[str, list[tuple[str, dict[str, Any]]]], *, gateway: bool
) -> dict[str, Any]:
    began = one["at"]
    spans: list[dict[str, Any]] = []
    if gateway:
        spans.append(_span("gateway", "gateway", name, 0.0, one["seconds"]))
        spans += [_span(hop, "hop", name, start - began, end - start) for hop, start, end in one.get("hops", ())]
        for worker, its in behind.get(one.get("id", ""), ()):
            spans += _of_worker(worker, its, its["at"] - began)
    else:
        spans += _of_worker(name, one, 0.0)
    return {
        "id": one.get("id", ""), "endpoint": one["endpoint"], "at": round(began, 3), "seconds": _digits(one["seconds"]),
        "error": one["error"], "stream": bool(one.get("stream")), "spans": spans,
    }  # fmt: skip


def _of_worker(name: str, one: Mapping[str, Any], start: float) -> list[dict[str, Any]]:
    spans = [_span(one["endpoint"], "worker", name, start, one["seconds"])]
    if "queue" not in one:
        return spans
    wait = "batch" if "batch" in one else "queue"
    spans.append(_span(f"wait for the {wait}" if wait == "batch" else "queue", wait, name, start, one["queue"]))
    ran = one.get("handler", max(0.0, one["seconds"] - one["queue"]))
    text = f"handler, batch of {one['batch']}" if "batch" in one else "handler"
    return [*spans, _span(text, "handler", name, start + one["queue"], ran)]


def _span(name: str, kind: str, process: str, start: float, seconds: float) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "process": process,
        "start": round(max(0.0, start), 6),
        "seconds": round(seconds, 6),
    }
