"""The harness finds mistakes that are made on purpose; without them the same runs find nothing."""

import os

import pytest

from tests.nemesis.planted import PLANTED
from tests.nemesis.running import nemesis

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("JINA_CHAOS"), reason="make nemesis"),
]

RUNS = {
    "early-acknowledgement": {"kinds": "everything-killed", "seconds": 4},
    "unverified-reads": {"kinds": "slow-disks=1,stop-leader=2", "seconds": 8},
    "lost-chunks": {"kinds": "snapshot=3,kill-workers=1", "seconds": 8, "large": 0.5, "disk": 256},
    "forgotten-window": {"kinds": "snapshot=2,kill-workers=1", "seconds": 8, "repeated": 0.5},
    "forgotten-sessions": {"kinds": "snapshot=2,kill-workers=1", "seconds": 8, "repeated": 0.5},
    "surviving-window": {"kinds": "kill-workers", "seconds": 3},
    "surviving-workspace": {"kinds": "kill-workers", "seconds": 3},
}
ATTEMPTS = 15
"""Those that are found least often are in one run of three."""


@pytest.mark.parametrize("mistake", sorted(PLANTED))
def test_the_harness_finds(mistake, tmp_path):
    for seed in range(1, ATTEMPTS + 1):
        report = nemesis(seed, folder=tmp_path / str(seed), planted=mistake, settle=10, **RUNS[mistake])
        if report["wrong"]:
            return
    pytest.fail(f"{ATTEMPTS} runs with the mistake look well")


@pytest.mark.parametrize("mistake", sorted(PLANTED))
def test_without_the_mistake_the_same_run_finds_nothing(mistake, tmp_path):
    report = nemesis(1, folder=tmp_path, **RUNS[mistake])
    assert report["wrong"] == report["late"] == [], report
