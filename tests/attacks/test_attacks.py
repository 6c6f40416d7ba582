"""Attacks on everything that takes input from outside, made from the documentation alone.

Each kind is a row of a table that is printed at the end. Each input must be answered, or its connection closed, in time and
without blaming the server; the processes stay, their memory is bounded and goes back, their logs stay short, others
are served, and `/readyz` is answered as quickly as on an idle machine. `JINA_FUZZ_REQUESTS` is the number of inputs
(1200), `JINA_FUZZ_SEED` what chance begins with.
"""

import asyncio
import time
from collections import Counter

import pytest

from tests.attacks import grpc_rows, http_rows, local_rows, socket_rows  # noqa: F401
from tests.attacks.conftest import SLACK
from tests.attacks.rows import ROWS, Try, attempts, blames, verdict
from tests.attacks.world import MIB, Watch, part
from tests.fuzz.mutations import REQUESTS, SEED, rng

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENOUGH = 50
"""Questions for readiness beside a row from which the slowest hundredth says something."""
LOGGED = 600
"""Characters of the log that an input may cost."""


TOTAL = 1.05 * REQUESTS / sum(row.share for row in ROWS)
"""Inputs of a row with share 1: all together are a little more than there are requests."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attack(row, worlds, record_property):
    chance = rng(f"attack {row.name}")
    made = [row.make(chance, number) for number in range(max(5, round(TOTAL * row.share)))]
    tries = [as_try(one) for one in made]
    world = worlds(row.service)
    logged, began = len(world.service.output), time.monotonic()
    with Watch(world) as watch:
        answers = asyncio.run(attempts(row, world, tries))
    record_property("attack", table_row(row, world, watch, answers, lines := world.asked_since(began)))
    wrong = [
        f"{complaint}: {one.data!r:.300} -> {answer.text!r:.300}"
        for one, answer in zip(tries, answers, strict=True)
        if (complaint := verdict(one, answer))
    ]
    wrong += [f"{who} was told {status!r} after {seconds:.1f} s" for _, who, seconds, status in lines
              if status not in {"right", "HTTP/1.1 200 OK"}]  # fmt: skip
    text = world.service.output[logged:]
    if "Traceback" in text or len(text) > LOGGED * len(tries) + 20_000:
        wrong.append(f"{len(text)} characters of log for {len(tries)} inputs: {text[-3000:]}")
    if "\x1b" in text or "\nERROR forged" in text:
        wrong.append(f"a client forged a line of the log: {text[:3000]!r}")
    if watch.most - watch.base > row.grows:
        wrong.append(f"{(watch.most - watch.base) / MIB:.0f} MiB more meanwhile, {row.grows / MIB:.0f} are bearable")
    if (kept := watch.after(row.keeps) - watch.base) > row.keeps:
        wrong.append(f"{kept / MIB:.0f} MiB were not given back, {row.keeps / MIB:.0f} are bearable")
    delays = {name: [line[2] for line in lines if line[1] == name] for name in ("service", "idle")}
    rank = 0.99 if len(delays["service"]) >= ENOUGH else 0.5
    if part(delays["service"], rank) > SLACK + part(delays["idle"], rank):
        wrong.append(f"/readyz took {part(delays['service'], rank):.3f} s ({rank:.0%} of {len(delays['service'])})")
    world.alive()
    if row.check is not None:
        wrong += row.check(world)
    if wrong:
        pytest.fail(f"seed {SEED}, {len(wrong)} complaints:\n" + "\n".join(dict.fromkeys(wrong[:12])), pytrace=False)


def as_try(made):
    """What a row made: bytes, bytes and whether no more will follow, or one of these with the right answers."""
    if isinstance(made, Try):
        return made
    return Try(*made) if isinstance(made, tuple) and isinstance(made[1], frozenset) else Try(made)


def table_row(row, world, watch, answers, lines):
    """The cells of the row, as text."""
    counts = Counter(answer.status for answer in answers)
    service, idle = ([line[2] * 1000 for line in lines if line[1] == name] for name in ("service", "idle"))
    cells = [
        row.name,
        str(len(answers)),
        ", ".join(f"{status} {count}" for status, count in sorted(counts.items())),
        f"{max(answer.seconds for answer in answers):.2f} s",
        *(f"{size / MIB:.0f} MiB" for size in (watch.base, watch.most, world.memory())),
        *(
            f"{ms:.1f} ms"
            for ms in (part(service, 0.5), part(service, 0.99), max(service, default=0), part(idle, 0.99))
        ),
    ]
    return {"cells": cells, "inputs": len(answers), "blaming": sum(map(blames, answers))}
