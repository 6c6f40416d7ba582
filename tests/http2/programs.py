"""Programs of these tests: a server of ours in a process of its own, and foreign ones built from Go modules."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".cache/env-grpc"
PATIENCE = 30


def program(name):
    """The path of a foreign program; the test is skipped where it was not built."""
    found = BUILT / name
    if not found.exists():
        pytest.skip(f"{name} is not built: scripts/env_grpc.sh")
    return str(found)


@contextlib.contextmanager
def serving(engine, what, *files):
    """A server of ours in a process of its own: the process, and its port."""
    words = [sys.executable, "-m", "tests.http2.serve", engine, what, *files]
    with subprocess.Popen(
        words, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            line = process.stdout.readline()
            assert line, process.communicate(timeout=PATIENCE)[1][-3000:]
            yield process, int(line)
        finally:
            process.kill()
