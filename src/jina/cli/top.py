"""`jina top`: what the services of this machine do, again each second."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from jina.cli import live
from jina.errors import NotSupportedError
from jina.observe.metrics import BUCKETS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from jina.supervisor.status import ProcessStatus, ServiceStatus


class Usage(msgspec.Struct, frozen=True):
    """Seconds of processor time that a process has taken, and bytes of memory that it holds."""

    cpu: float
    memory: int


class Look(msgspec.Struct, frozen=True):
    """How the services were at a time; `used` by process id."""

    at: float
    services: Sequence[ServiceStatus]
    used: Mapping[int, Usage]


class ProcessLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One process between two looks. Latencies are in seconds, `cpu` in cores, `memory` in bytes; None is unknown."""

    name: str
    deployment: str
    pid: int
    state: str
    requests_per_second: float
    failures_per_second: float
    p50: float | None
    p99: float | None
    in_flight: int
    queued: int
    cpu: float | None
    memory: int | None
    restarts: int


class ServiceLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A service between two looks; its requests are those of its gateway, or of all workers where it has none."""

    name: str
    state: str
    addresses: Sequence[str]
    requests_per_second: float
    failures_per_second: float
    p50: float | None
    p99: float | None
    in_flight: int
    cpu: float
    memory: int
    processes: Sequence[ProcessLoad]


def look() -> Look:
    """How the services of this user are now."""
    from jina.supervisor.status import services

    found = services()
    pids = {one.pid for service in found for one in service.processes if one.pid}
    used = {pid: usage for pid in pids if (usage := usage_of(pid)) is not None}
    return Look(time.monotonic(), found, used)


def usage_of(pid: int) -> Usage | None:
    """Of a process of this machine (proc(5)); None where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGESIZE"))


def loads(before: Look, after: Look) -> list[ServiceLoad]:
    """What the services did between two looks."""
    seconds = max(after.at - before.at, 1e-9)
    known = {(one.name, one.pid): one for service in before.services for one in service.processes}
    found = []
    for service in after.services:
        counted = [_counted(known.get((one.name, one.pid)), one) for one in service.processes]
        processes = [
            _load(one, count, seconds, before.used.get(one.pid), after.used.get(one.pid))
            for one, count in zip(service.processes, counted, strict=True)
        ]
        fronts = [place for place, one in enumerate(service.processes) if one.addresses]
        places = fronts or range(len(processes))
        took = [sum(column) for column in zip(*(counted[place].took for place in places), strict=True)]
        found.append(
            ServiceLoad(
                name=service.name,
                state=service.state,
                addresses=service.addresses,
                requests_per_second=sum(processes[place].requests_per_second for place in places),
                failures_per_second=sum(processes[place].failures_per_second for place in places),
                p50=quantile(took, 0.5),
                p99=quantile(took, 0.99),
                in_flight=sum(processes[place].in_flight for place in places),
                cpu=sum(one.cpu or 0.0 for one in processes),
                memory=sum(one.memory or 0 for one in processes),
                processes=processes,
            )
        )
    return found


class _Counted(msgspec.Struct, frozen=True):
    answered: int
    failed: int
    took: list[int]


def _counted(before: ProcessStatus | None, after: ProcessStatus) -> _Counted:
    """The requests between two looks; a process that is new was not there at the first."""
    none = [0] * (len(BUCKETS) + 1)
    took = after.latencies or none
    if before is None or before.answered > after.answered:
        return _Counted(after.answered, after.failed, list(took))
    earlier = before.latencies or none
    more = [max(0, now - then) for now, then in zip(took, earlier, strict=True)]
    return _Counted(after.answered - before.answered, max(0, after.failed - before.failed), more)


def _load(
    one: ProcessStatus, count: _Counted, seconds: float, before: Usage | None, after: Usage | None
) -> ProcessLoad:
    return ProcessLoad(
        name=one.name,
        deployment=one.deployment,
        pid=one.pid,
        state=one.state,
        requests_per_second=count.answered / seconds,
        failures_per_second=count.failed / seconds,
        p50=quantile(count.took, 0.5),
        p99=quantile(count.took, 0.99),
        in_flight=one.in_flight,
        queued=one.queued,
        cpu=max(0.0, after.cpu - before.cpu) / seconds if after and before else None,
        memory=after.memory if after else None,
        restarts=one.restarts,
    )


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The value that so large a share of the samples is not above, by the buckets that they are in; None without any.

    Within a bucket samples are taken to lie evenly; what is above the last bound counts as that bound.
    """
    wanted, below = share * sum(counts), 0
    if not wanted:
        return None
    for place, count in enumerate(counts[: len(BUCKETS)]):
        if below + count >= wanted:
            low = BUCKETS[place - 1] if place else 0.0
            return low + (BUCKETS[place] - low) * (wanted - below) / count
        below += count
    return BUCKETS[-1]


def add_top(parser: argparse.ArgumentParser) -> None:
    """Which ones, how often, and in which form."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of Flows and Deployments [default: all]")
    parser.add_argument(
        "--once", action="store_true", help="look for a second and end; the default where the output is no terminal"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array, one a line each second")


def run_top(options: argparse.Namespace) -> int:
    """Show until q or Ctrl+C; 1 where there is no such service."""
    if sys.platform != "linux":
        raise NotSupportedError(
            "jina top finds the services of a machine on Linux only", help="their /metrics tell the same elsewhere"
        )
    before = _chosen(look(), options.names)
    missing = set(options.names) - {one.name for one in before.services}
    if missing or not before.services:
        print(f"no service {', '.join(sorted(missing)) or 'of yours'} runs on this machine", file=sys.stderr)
        return 1
    time.sleep(live.EVERY)

    def found() -> list[ServiceLoad]:
        nonlocal before
        after = _chosen(look(), options.names)
        result, before = loads(before, after), after
        return result

    if options.json:
        _print_json(found())
        while not options.once:
            time.sleep(live.EVERY)
            _print_json(found())
    elif options.once or not sys.stdout.isatty():
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else _ALL_COLUMNS)
        console.print(overview(found(), console.width))
    else:
        live.show(lambda columns, lines: overview(found(), columns, lines))
    return 0


def _chosen(seen: Look, names: Sequence[str]) -> Look:
    if not names:
        return seen
    return Look(seen.at, [one for one in seen.services if one.name in names], seen.used)


def _print_json(found: list[ServiceLoad]) -> None:
    print(json.dumps(msgspec.to_builtins(found)), flush=True)


_ALL_COLUMNS = 160
"""Of an output that is no terminal."""
_COLUMNS = {
    "req/s": 0, "p50": 60, "p99": 50, "fail/s": 98, "in flight": 80, "queue": 90, "cpu": 0, "memory": 70,
    "pid": 108, "restarts": 118,
}  # fmt: skip
"""What is shown of a process beside its name and state, and from how many columns of a terminal on."""


def overview(found: Sequence[ServiceLoad], columns: int, lines: int | None = None) -> RenderableType:
    """The services as text for a terminal of this size."""
    from rich.console import Group
    from rich.text import Text

    shown = [name for name, least in _COLUMNS.items() if columns >= least]
    room = None if lines is None else lines - 1
    parts: list[RenderableType] = []
    for service in found:
        head = _head(service, columns)
        if room is not None:
            room -= len(head) + 2  # the heads of the columns, and a line between services
        rows = service.processes if room is None else service.processes[: max(0, room)]
        left = len(service.processes) - len(rows)
        if left:  # one line tells of those
            rows = rows[:-1]
            left = len(service.processes) - len(rows)
        parts += [Text(line, style="bold" if not place else "", no_wrap=True, overflow="ellipsis")
                  for place, line in enumerate(head)]  # fmt: skip
        parts += [_table(rows, shown), Text(f"  and {left} more processes" if left else "")]
        if room is not None:
            room -= len(rows) + bool(left)
    return Group(*parts) if parts else Text("no service runs")


def _head(service: ServiceLoad, columns: int) -> list[str]:
    whole = (
        f"{_number(service.requests_per_second)} req/s, p50 {_seconds(service.p50)}, p99 {_seconds(service.p99)}, "
        f"{_number(service.failures_per_second)} fail/s, {service.in_flight} in flight, "
        f"cpu {service.cpu:.0%}, {_bytes(service.memory)}"
    )
    lines = [f"{service.name}: {service.state}", *service.addresses, whole]
    if len(", ".join(lines)) <= columns:
        return [", ".join(lines)]
    return [lines[0], *_filled([*service.addresses], columns), *_filled(whole.split(", "), columns, ", ")]


def _filled(words: Iterable[str], columns: int, between: str = " ") -> list[str]:
    """The words in as few lines as hold them, each line two columns in."""
    found: list[str] = []
    for word in words:
        if found and len(found[-1]) + len(between) + len(word) <= columns:
            found[-1] += between + word
        else:
            found.append(f"  {word}")
    return found


_STYLES = {"ready": "green", "starting": "yellow", "draining": "yellow", "restarting": "yellow"}


def _table(processes: Sequence[ProcessLoad], shown: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("  process", no_wrap=True, overflow="ellipsis", min_width=8)
    table.add_column("state", no_wrap=True, overflow="ellipsis", min_width=5)
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for one in processes:
        cells = {
            "req/s": _number(one.requests_per_second),
            "p50": _seconds(one.p50),
            "p99": _seconds(one.p99),
            "fail/s": _number(one.failures_per_second),
            "in flight": str(one.in_flight),
            "queue": str(one.queued),
            "cpu": "-" if one.cpu is None else f"{one.cpu:.0%}",
            "memory": _bytes(one.memory),
            "pid": str(one.pid or "-"),
            "restarts": str(one.restarts),
        }
        state = Text(one.state, style=_STYLES.get(one.state, "red"))
        table.add_row(f"  {one.name}", state, *(cells[name] for name in shown))
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or not value else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _bytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1024 / 1024:.0f} MB"
