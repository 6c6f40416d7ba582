"""The services, started when the first attack needs one, and the table at the end."""

import importlib.util
import time

import pytest

from tests.attacks.world import MIB, Local, World, part
from tests.fuzz.mutations import SEED

HEAD = ["attack", "inputs", "answers", "slowest", "memory", "most", "after", "readyz p50", "p99", "max", "idle p99"]
SLACK = 0.1
"""Seconds by which `/readyz` may answer later than a service that does nothing."""
KEEPS = 128 * MIB
"""Bytes that a service may have more after all attacks than before them: what its allocators keep for later requests."""


@pytest.fixture(scope="session")
def worlds(tmp_path_factory):
    """Running services by kind; at the end each must be as it was, apart from what was measured."""
    found = {}

    def world(kind):
        if kind not in found:
            if kind == "stateful" and importlib.util.find_spec("jina_raft") is None:
                pytest.skip("the consensus agent is not built: make agent")
            found[kind] = Local() if kind == "local" else World(kind, tmp_path_factory.mktemp(kind))
        return found[kind]

    yield world
    wrong = []
    for one in found.values():
        try:
            one.alive()
            wrong += ended_well(one) if one.kind != "local" else []
        finally:
            one.end()
    assert not wrong, f"seed {SEED}: " + "\n".join(wrong)


def ended_well(world):
    """What prober and customer have to complain about, and memory that was not given back."""
    lines = world.asked_since(world.began)
    service, idle = ([line[2] for line in lines if line[1] == name] for name in ("service", "idle"))
    if part(service, 0.99) > SLACK + part(idle, 0.99):
        yield f"{world.kind}: /readyz took {part(service, 0.99):.3f} s (p99 of {len(service)}), idle {part(idle, 0.99):.3f} s"
    deadline = time.monotonic() + 10
    while (kept := world.memory() - world.base) > KEEPS and time.monotonic() < deadline:
        time.sleep(0.1)
    if kept > KEEPS:
        yield f"{world.kind}: {kept / MIB:.0f} MiB more after all attacks"


def pytest_terminal_summary(terminalreporter):
    """The table, a line for each kind of attack."""
    lines, inputs, fives = [], 0, 0
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, result in getattr(report, "user_properties", []):
                if name == "attack" and report.when == "call":
                    lines.append(result["cells"])
                    inputs += result["inputs"]
                    fives += result["blaming"]
    if not lines:
        return
    lines.sort(key=lambda cells: cells[0])
    widths = [max(len(cells[at]) for cells in [HEAD, *lines]) for at in range(len(HEAD))]
    terminalreporter.section(f"attacks, seed {SEED}")
    for cells in [HEAD, *lines]:
        terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    terminalreporter.line(f"{inputs} inputs of {len(lines)} kinds; {fives} answers blame the server")
