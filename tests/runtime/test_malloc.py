"""Memory of large requests is kept for the next one, and given back when there is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from jina.runtime import process as heap

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

heap.tune()
heap._QUIET = 0.2

async def main():
    spare = heap.MemoryTrimmer()
    before = resident()
    blocks = [bytearray(16 << 20) for _ in range(4)]
    for block in blocks:
        block[::4096] = bytes(len(block) // 4096)
    del blocks, block
    kept = resident() - before
    spare.used()
    limit = asyncio.get_running_loop().time() + 10
    while resident() - before > 16 << 20 and asyncio.get_running_loop().time() < limit:
        await asyncio.sleep(0.05)
    print(kept >= 48 << 20, resident() - before <= 16 << 20)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there the heap is tuned")
def test_kept_and_given_back():
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=50)
    assert done.stdout.split() == ["True", "True"]
