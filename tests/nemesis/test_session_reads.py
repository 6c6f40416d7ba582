"""Session reads over two shards of three replicas, whose processes are killed and stopped: none is stale."""

import json
import os
import subprocess
import sys

import pytest

from tests.nemesis.planted import PLANTED_IN_READS

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]

READS = 50_000 if os.environ.get("JINA_CHAOS") else 1_500


def session_reads(*, reads, planted="", seed=1, seconds=900):
    """What a run found."""
    options = {"reads": reads, "planted": planted, "seed": seed, "seconds": seconds}
    command = [sys.executable, "-m", "tests.nemesis.session_reads"]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_no_session_read_is_stale():
    report = session_reads(reads=READS)
    assert report["stale"] == 0, report
    counts = report["counts"]
    assert sum(count for what, count in counts.items() if what.startswith("reads")) >= READS, report
    assert counts["reads Plain"] > 0 < counts["reads Ours"], report


@pytest.mark.parametrize("mistake", sorted(PLANTED_IN_READS))
def test_the_harness_finds_stale_session_reads(mistake):
    for seed in range(1, 11):
        if session_reads(reads=2_000, planted=mistake, seed=seed, seconds=60)["stale"]:
            return
    pytest.fail("ten runs with the mistake look well")
