"""What a gateway of an exported Flow takes beside that of Jina 3.34: both started with the same command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.running import JINA, serving
from tests.interop.programs import PYTHONS, free_ports

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]
STEP = """
from jina import Executor, requests

class Step(Executor):
    @requests
    def step(self, docs, **kwargs): ...
"""
READY_WITHIN = 90.0
AT_MOST = 0.7
"""Of the memory of the gateway of Jina 3.34; it was 0.54."""


@contextlib.contextmanager
def gateway(side: str, step: str, folder: Path) -> Iterator[psutil.Process]:
    """As a pod starts it; ready, and asked once."""
    ports = free_ports(2)
    graph = json.dumps({"a": ["end-gateway"], "start-gateway": ["a"]})
    words = ["gateway", "--k8s-namespace", "ns", "--expose-endpoints", "{}", "--uses", "CompositeGateway"]
    words += ["--graph-description", graph, "--deployments-addresses", json.dumps({"a": [step]})]
    words += ["--port", *map(str, ports), "--protocol", "GRPC", "HTTP"]
    program = PYTHONS[side].with_name("jina") if side == "theirs" else Path(sys.executable).with_name("jina")
    environment = {**os.environ, "JINA_OPTOUT_TELEMETRY": "1", "JINA_HIDE_SURVEY": "1", "HOME": str(folder)}
    with (folder / f"{side}.log").open("w") as log:
        process = subprocess.Popen([str(program), *words], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        end, ping = time.monotonic() + READY_WITHIN, [JINA, "ping", "gateway", f"grpc://127.0.0.1:{ports[0]}"]
        while subprocess.run(ping, capture_output=True, timeout=60, check=False).returncode:
            assert process.poll() is None, (folder / f"{side}.log").read_text()[-2000:]
            assert time.monotonic() < end, f"the gateway is not ready: {(folder / f'{side}.log').read_text()[-2000:]}"
        asked = [JINA, "client", "--port", str(ports[0]), "--text", "x"]
        subprocess.run(asked, capture_output=True, timeout=60, check=True)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def taken(process: psutil.Process) -> float:
    """Megabytes of a process and of those that it started."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


def test_a_gateway_takes_less_memory(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "config.yml").write_text("jtype: Step\npy_modules: [step.py]\n")
    (port,) = free_ports(1)
    found = {}
    with serving("executor", "--uses", "config.yml", "--port", str(port), cwd=tmp_path) as step:
        step.address("grpc")
        for side in ("ours", "theirs"):
            with gateway(side, f"grpc://127.0.0.1:{port}", tmp_path) as process:
                found[side] = taken(process)
    sys.stderr.write(f"resident megabytes of a gateway: {found}\n")
    assert found["ours"] < AT_MOST * found["theirs"], found
