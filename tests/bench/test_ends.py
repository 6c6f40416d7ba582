"""That a benchmark which is ended leaves none of its servers behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.processes import descendants

ROOT = Path(__file__).parents[2]


def servers_of(process, seconds=60):
    """The servers that the benchmark has started, with what they started; it has to have some within the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        below = [psutil.Process(pid) for pid in descendants(process.pid)]
        if len(below) > 1:
            return below
        try:
            pytest.fail(f"the benchmark ended with {process.wait(0.05)} before it had a server")
        except subprocess.TimeoutExpired:
            continue
    return pytest.fail("the benchmark started no server")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_ended_ends_its_servers(number, tmp_path):
    command = [sys.executable, "-m", "bench", "portal", "--out", tmp_path / "results.json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        servers = servers_of(process)
        process.send_signal(number)
        try:
            assert process.wait(30) != 0
            _, left = psutil.wait_procs(servers, timeout=10)
            assert left == []
        finally:
            for one in [process, *servers]:
                try:
                    one.kill()
                except psutil.NoSuchProcess:
                    continue
