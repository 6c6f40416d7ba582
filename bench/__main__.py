"""`python -m bench [CASE...]`: run, print, and write the results as JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.cases import CASES
from bench.procs import ROOT
from bench.runs import Comparison, compare


def table(result: Comparison, bounds: tuple[tuple[str, float], ...]) -> str:
    """One case as Markdown."""
    lines = [
        "| server | CPU per request (us) | requests/s | p50 (ms) | p99 (ms) | PSS (MB) | requests |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['name']} | {r['cpu_us']:.0f} | {r['per_second']:.0f} | {r['p50_ms']:.2f} | {r['p99_ms']:.2f} "
        f"| {r['pss_mb']:.0f} | {r['requests']} |"
        for r in result.rows
    ]
    lines += ["", "| our CPU divided by | median (95 % interval) | bound | result |", "| --- | --- | --- | --- |"]
    limits = dict(bounds)
    for name, found in result.ratios.items():
        limit = limits.get(name)
        verdict = f"{limit:.3g} | {found.at_most(limit)}" if limit else "- | -"
        lines.append(f"| {name} | {found} | {verdict} |")
    return "\n".join(lines)


def main() -> int:
    """Run the chosen cases."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=11, help="interleaved rounds [default: 11]")
    parser.add_argument("--quick", action="store_true", help="3 rounds with a tenth of the requests")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bench" / "results.json")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.cases or CASES:
        case = CASES[name]
        requests = case.requests // 10 if options.quick else case.requests
        result = compare(name, case.arms(), rounds=rounds, requests=requests, concurrency=case.concurrency)
        print(f"\n### {case.title}\n\n{table(result, case.bounds)}", flush=True)
        found[name] = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "rounds": rounds,
            "concurrency": case.concurrency,
            **asdict(result),
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
