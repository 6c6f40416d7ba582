"""Each kind of process is killed at each phase of the start, of serving and of the end.

Whatever was killed: the program does not hang, no process is left of it, and it serves, or says what ended its start.
`JINA_CHAOS` tries the whole table, `JINA_KILLS` times each; without it a part of it is tried once.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.flow_asking import until

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
TRIES = int(os.environ.get("JINA_KILLS", "3")) if AT_LENGTH else 1
WITHIN = 300
"""Seconds that a program may take for all that it does: starts are slow on machines that do much else."""
GONE_WITHIN = 30
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(WITHIN * TRIES + 60),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]

STARTING = ["spawned", "importing", "init", "ready"]
ENDING = ["told to end", "draining", "stopped"]
WORKER = [*STARTING, "serving", *ENDING]
GATEWAY = ["spawned", "starting", "waiting", "ready", "serving", *ENDING]
SPARE = {"forkserver", "agent", "prober"}
"""Without which a start goes on, as they are started again, or are done without."""


@dataclass(frozen=True)
class Cell:
    kind: str
    event: str
    victim: str
    number: signal.Signals

    def __str__(self):
        return f"{self.kind}-{self.victim} at {self.event}-{self.number.name}"

    @property
    def fatal(self):
        """Whether the start has to fail."""
        who, phase = self.event.split(":")
        settled = {"serving", *ENDING} | ({"ready"} if who == "gateway" else set())  # it is the last one
        return self.victim not in {*SPARE, "main"} and phase not in settled


def rows():
    """(kind, process, phases): the process is killed in each phase, and the main one when the process is in it."""
    yield "alone", "worker", ["serving" if phase == "ready" else phase for phase in WORKER]
    yield "alone", "prober", ["spawned"]
    yield "replicas", "forkserver", ["spawned", "common", "ready"]
    yield "replicas", "worker", WORKER
    yield "replicas", "gateway", GATEWAY
    yield "reloading", "forkserver", ["spawned", "common", "ready"]
    yield "reloading", "worker", ["init", "serving"]
    yield "around", "worker", ["init", "serving", "told to end"]
    yield "flow", "gateway", ["waiting", "serving", "told to end"]
    yield "stateful", "agent", ["spawned", "ready", "serving"]
    yield "stateful", "worker", ["init", "joining", "serving", "told to end"]
    yield "stateful", "gateway", ["serving"]


def cells():
    for kind, process, phases in rows():
        for phase, number in itertools.product(phases, (signal.SIGKILL, signal.SIGTERM)):
            yield Cell(kind, f"{process}:{phase}", process, number)
            yield Cell(kind, f"{process}:{phase}", "main", number)


PART = {
    ("alone", "worker:init", "worker"),
    ("replicas", "forkserver:common", "main"),
    ("replicas", "forkserver:ready", "forkserver"),
    ("replicas", "worker:importing", "worker"),
    ("replicas", "gateway:waiting", "gateway"),
    ("replicas", "worker:told to end", "main"),
    ("stateful", "agent:spawned", "agent"),
    ("stateful", "worker:joining", "main"),
}
CELLS = [cell for cell in cells() if AT_LENGTH or (cell.kind, cell.event, cell.victim) in PART]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_kill(cell, tmp_path):
    for number in range(TRIES):
        try_it(cell, tmp_path / str(number))


def try_it(cell, folder):
    folder.mkdir()
    mark = f"JINA_KILL_TABLE={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-m", "tests.chaos.killing", cell.kind, cell.event, cell.victim, str(int(cell.number))]
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        program = subprocess.Popen(
            [*command, str(folder / "workspace")], stdin=subprocess.PIPE, stdout=out, stderr=err,
            env={**os.environ, name: value}, start_new_session=True,
        )  # fmt: skip
        try:
            ends_by(program, lambda: "serving" in (folder / "out").read_text())
            program.stdin.close()
            code = program.wait(WITHIN)
        finally:
            left = still_there(mark)
            if program.poll() is None:
                program.kill()
                program.wait()
    said, complained = (folder / "out").read_text(), (folder / "err").read_text()
    everything = f"{cell}: exit code {code}\n{said}\n{complained}"
    assert "killed" in said, f"the event never came: {everything}"
    assert left == [], f"left over: {left}; {everything}"
    judge(cell, code, said, complained, everything)


def ends_by(program, serves):
    deadline = time.monotonic() + WITHIN
    until(lambda: program.poll() is not None or serves(), deadline - time.monotonic())


def judge(cell, code, said, complained, everything):
    if cell.victim == "main":
        assert code in ({-signal.SIGKILL} if cell.number == signal.SIGKILL else {-signal.SIGTERM, 0, 143}), everything
    elif cell.fatal:
        assert code == 1, everything
        assert "serving" not in said, everything
        (why,) = (line for line in complained.splitlines() if line.startswith("jina.errors.RuntimeFailToStart: "))
        assert cell.number.name in why, everything
    else:
        assert (code, said.split()[-1]) == (0, "ended"), everything


def still_there(mark):
    """Processes that were started by the program, directly or not, and do not end."""
    deadline = time.monotonic() + GONE_WITHIN
    until(lambda: not list(marked(mark)) or time.monotonic() > deadline, GONE_WITHIN + 60)
    return list(marked(mark))


def marked(mark):
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            if mark.encode() in (place / "environ").read_bytes().split(b"\0"):
                yield place.name, (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
