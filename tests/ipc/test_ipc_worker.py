"""A link to a real worker."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.server.sample_service import run

from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.ipc.client import LinkUpstream
from jina.net.service import UpstreamUnavailable


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs memory that is shared without a name")
def test_a_killed_worker_has_begun_only_what_its_handler_had():
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.ipc.ipc_worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE,
            )  # fmt: skip
        upstream = LinkUpstream("slow/rep-0", ours, 2**20)
        try:
            assert "/block" in await upstream.describe()
            calls = [asyncio.create_task(upstream.call(Request("/block", BytesPayload(b"")))) for _ in range(20)]
            assert await asyncio.to_thread(child.stdout.readline) == b"begun\n"
            await upstream.call(Request("/ping", BytesPayload(b"")))
            child.kill()
            lost = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, UpstreamUnavailable) for one in lost), lost
            assert sum(one.started for one in lost) == 1
        finally:
            await upstream.close()
            child.kill()
            child.wait(10)
            child.stdout.close()

    run(main(), timeout=40)
