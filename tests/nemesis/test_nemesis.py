"""Seeded runs with real processes: nothing is lost or doubled, no read is stale, all replicas agree in the end.

To run one again: `.venv/bin/python -m tests.nemesis.run --seed 7 --seconds 20 --folder /tmp/seven`.
"""

import os

import pytest

from tests.nemesis.running import nemesis, porcupine

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(400)]

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
RUNS = int(os.environ.get("JINA_NEMESIS_RUNS", "200" if AT_LENGTH else "3"))
SECONDS = float(os.environ.get("JINA_NEMESIS_SECONDS", "20" if AT_LENGTH else "10"))
FIRST = int(os.environ.get("JINA_NEMESIS_SEED", "1"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_nothing_is_lost(seed, tmp_path):
    report = nemesis(seed, SECONDS, tmp_path)
    assert report["wrong"] == report["late"] == [], report
    assert porcupine(tmp_path) in {"linearizable", None}
    assert report["acknowledged"] > 50
    assert report["writes_unanswered"] == 0
