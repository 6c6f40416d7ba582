"""`python -m bench [CASE...]`: run, print, and write the results as JSON and as a plot beside it."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import platform
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import environments
from bench.batching import batching
from bench.builds import BATCHING, BUILDS
from bench.cases import CASES, Case
from bench.clients import client_latency, portal
from bench.codecs import codec, plain
from bench.flows import FLOW_OTHERS, FLOWS
from bench.image import image
from bench.link import link
from bench.memory import grpc_16mib
from bench.paced import sse_paced
from bench.plot import svg
from bench.procs import ROOT
from bench.replicas import REPLICAS
from bench.report import Check, Section, table
from bench.runs import compare
from bench.starts import ready, start
from bench.stateful import stateful

OTHERS = {
    "sse_paced": sse_paced,
    "grpc_16mib": grpc_16mib,
    "start": start,
    "ready": ready,
    "client_latency": client_latency,
    "portal": portal,
    "codec": codec,
    "plain": plain,
    "link": link,
    "batching": batching,
    **FLOW_OTHERS,
    **REPLICAS,
    "stateful": stateful,
    "image": image,
}
"""Cases that measure something else than CPU per request; each is called with the number of rounds."""


def beside_itself(case: Case, revision: str) -> Case:
    """The same case with two arms: ours, and the package as it was at a commit, with a bound of 1.05."""
    ours = case.arms()[0]
    server = dataclasses.replace(
        ours.server, name=f"before-{ours.server.name}", source=environments.source_at(revision)
    )
    before = dataclasses.replace(ours, server=server, cpu_us=[], loads=[])
    return dataclasses.replace(case, arms=lambda: [ours, before], bounds=((server.name, 1.05),))


def compared(name: str, case: Case, rounds: int, part: float) -> Section:
    """Run one comparison of CPU per request; `part` is the part of the requests to send."""
    requests = max(1, int(case.requests * part))
    result = compare(name, case.arms(), rounds=rounds, requests=requests, concurrency=case.concurrency)
    unit = "us of CPU per token" if case.items > 1 else "us of CPU per request"
    rows = [
        [r["name"], r["cpu_us"] / case.items, 1e6 * case.items / r["cpu_us"], r["per_second"], r["p50_ms"],
         r["p99_ms"], r["pss_mb"], r["requests"]]
        for r in result.rows
    ]  # fmt: skip
    head = ["server", unit, unit.replace("us of CPU per ", "") + "s per CPU second", "requests/s", "p50 (ms)",
            "p99 (ms)", "PSS (MB)", "requests"]  # fmt: skip
    bounds = dict(case.bounds)
    checks = [Check(f"our CPU / {peer}", found, bounds.get(peer)) for peer, found in result.ratios.items()]
    return Section(
        case.title,
        head,
        rows,
        checks,
        f"Concurrency {case.concurrency}.",
        unit,
        {row[0]: row[1] for row in rows},
        {"rows": result.rows},
    )


def main() -> int:
    """Run the chosen cases."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # else its servers would stay
    cases = {**CASES, **FLOWS}
    known = [*cases, *OTHERS]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(known)}; all by default")
    parser.add_argument("--rounds", type=int, default=11, help="interleaved rounds [default: 11]")
    parser.add_argument("--quick", action="store_true", help="3 rounds with a tenth of the requests; decides nothing")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load of `stateful` [default: 3]")
    parser.add_argument("--alone", action="store_true", help="`stateful` without Jina 3")
    parser.add_argument("--against", metavar="REV", help="instead of peers, the package as it was at this commit")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bench" / "results.json")
    options = parser.parse_args()
    others: dict[str, Callable[[int], Section]] = OTHERS
    rounds, part = (3, 0.1) if options.quick else (options.rounds, 1.0)
    OTHERS["stateful"] = functools.partial(stateful, seconds=options.seconds, alone=options.alone)
    if options.against:
        environments.without_peers = True
        cases = {name: beside_itself(case, options.against) for name, case in {**cases, "batching": BATCHING}.items()}
        before = environments.source_at(options.against)
        others = {name: functools.partial(case, source=before) for name, case in BUILDS.items()}
        if unknown := sorted({*options.cases} - {*cases} - {*others}):
            known = ", ".join([*cases, *others])
            parser.error(f"--against: {', '.join(unknown)} cannot be compared so; give some of {known}")
        options.cases = options.cases or [*cases, *others]
        options.out = options.out.with_name(f"against-{options.against}.json")
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.cases or [name for name in known if name != "image"]:  # that one needs a container engine
        began = time.monotonic()
        section = compared(name, cases[name], rounds, part) if name in cases else others[name](rounds)
        print(f"\n### {section.title}\n\n{section.note}\n\n{table(section)}", flush=True)
        found[name] = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "rounds": rounds,
            "seconds": round(time.monotonic() - began, 1),
            **section.recorded(),
        }
        found = {one: found[one] for one in known if one in found}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        options.out.with_suffix(".svg").write_text(svg(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
