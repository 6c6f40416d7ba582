"""Schemathesis makes requests of our OpenAPI documents: no server error, no hang, and answers as they are described."""

import re
import subprocess
from pathlib import Path

import pytest

from jina import Deployment, Flow
from tests.interop.documented_executors import Models, Plain, Tensors, WithFiles

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("env-schemathesis"), pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".cache" / "env-schemathesis" / "bin" / "st"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 4
"""Requests that are made of each operation, beside those for each limit that it names."""
SERVICES = {
    "plain": lambda: Deployment(uses=Plain, protocol="http"),
    "files": lambda: Deployment(uses=WithFiles, protocol="http"),
    "openai": lambda: Deployment(uses=Models, protocol="http", apis="openai"),
    "oip": lambda: Deployment(uses=Tensors, protocol="http", apis="oip"),
    "mcp": lambda: Deployment(uses=Plain, protocol="http", apis="mcp"),
    "gateway": lambda: Flow(protocol="http").add(uses=Plain).add(uses=WithFiles),
}


@pytest.fixture(scope="module", autouse=True)
def environment():
    """The environment with the program."""
    subprocess.run(["sh", "scripts/env.sh", "schemathesis"], cwd=ROOT, check=True, timeout=500)


@pytest.mark.parametrize("name", SERVICES)
def test_answers_are_as_described(name, tmp_path):
    with SERVICES[name]() as service:
        address = f"http://127.0.0.1:{service.port}/openapi.json"
        command = [PROGRAM, "run", address, "--checks", CHECKS, "--max-examples", str(EXAMPLES), "--seed", "1"]
        command += ["--phases", "examples,coverage,fuzzing", "--request-timeout", "30", "--no-shrink"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert generated is not None, done.stdout[-2000:]
    assert int(generated[1]) > 100
