"""A gateway and a worker are killed one shortly after the other, in both orders: the service always serves again."""

import os
import random
import signal
import sys
import time

import pytest

from jina import Deployment, Document, DocumentArray, Executor, Flow, requests, write
from jina.errors import JinaError
from tests.acceptance.flow_asking import until

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(3000 if AT_LENGTH else 300)]

TIMES = int(os.environ.get("JINA_KILLS", "100" if AT_LENGTH else "2"))
BACK_WITHIN = 10 if AT_LENGTH else 40
"""Seconds; test machines are shared, so that only the long run asks for speed."""
LOCAL = {"host": "127.0.0.1", "quiet": True}
FOREVER = {"restart_limit": -1, "restart_backoff": 0}
"""However often it is killed: pauses between restarts, which double, are for what crashes by itself."""


class KilledMark(Executor):
    @requests(on="/mark")
    async def mark(self, docs: DocumentArray, **kwargs):
        docs.texts = [f"{text}m" for text in docs.texts]


class Counter(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    @write
    @requests(on="/mark")
    def mark(self, docs: DocumentArray, **kwargs):
        self.count += 1
        docs.texts = [f"{text}m" for text in docs.texts]


def plain(tmp_path):
    return Deployment(uses=KilledMark, replicas=2, **FOREVER, **LOCAL)


def sharded(tmp_path):
    return Deployment(uses=KilledMark, shards=2, polling="any", **FOREVER, **LOCAL)


def stateful(tmp_path):
    return Deployment(uses=Counter, stateful=True, replicas=3, workspace=str(tmp_path), **FOREVER, **LOCAL)


def flow(tmp_path):
    return Flow(**FOREVER, **LOCAL).add(uses=KilledMark, replicas=2).add(uses=KilledMark)


@pytest.mark.parametrize("made", [plain, sharded, stateful, flow])
def test_it_serves_again(made, tmp_path, capsys):
    """Every try is made, so that the failure of one does not hide how the others went."""
    seed = int(os.environ.get("JINA_KILL_SEED", "0")) or random.randrange(1 << 30)
    chance = random.Random(seed)
    tries = []
    with made(tmp_path) as served:
        slots = served._processes[0].slots
        gateway = next(slot for slot in slots if slot.process.is_gateway)
        workers = [slot for slot in slots if slot is not gateway]
        for number in range(TIMES):
            until(lambda: served.is_ready and answers(served), 60)
            killed = [gateway, chance.choice(workers)]
            chance.shuffle(killed)
            pause = chance.choice([0.0, chance.uniform(0, 0.3), chance.uniform(0.2, 1.7)])
            took = seconds_until_it_serves(served, killed, pause)
            names = " and ".join(slot.name for slot in killed)
            result = f"number {number} of JINA_KILL_SEED={seed}: {names}, {pause:.2f} s apart: {took:.1f} s"
            tries.append((took, result))
    if AT_LENGTH:
        with capsys.disabled():
            sys.stdout.write(f"\n{made.__name__}: served again after {distribution([took for took, _ in tries])}\n")
    assert [result for took, result in tries if took >= BACK_WITHIN] == []


def distribution(seconds):
    ordered = sorted(seconds)
    at = {share: ordered[min(len(ordered) * share // 100, len(ordered) - 1)] for share in (0, 50, 90, 99, 100)}
    return ", ".join(f"{share} %: {took:.2f} s" for share, took in at.items())


def seconds_until_it_serves(served, killed, pause):
    """After the second of two processes was killed, `pause` seconds after the first."""
    restarts = [slot.restarts.count for slot in killed]
    kill(killed[0])
    deadline = time.monotonic() + pause
    until(lambda: time.monotonic() >= deadline, pause + 60)  # the moment of the second kill is what is tried
    kill(killed[1])
    began = time.monotonic()
    until(lambda: all(slot.restarts.count > count for slot, count in zip(killed, restarts, strict=True)), 60)
    until(lambda: served.is_ready and answers(served), 60)
    return time.monotonic() - began


def kill(slot):
    if slot.process.running:
        os.kill(slot.process.pid, signal.SIGKILL)


def answers(served):
    try:
        return served.post("/mark", Document(text="x"), timeout=5).texts[0].startswith("xm")
    except JinaError:
        return False
