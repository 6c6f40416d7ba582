"""The official clients of OpenAI's and Anthropic's APIs call a worker and a Flow."""

import json
import subprocess
from pathlib import Path

import pytest

from jina import Deployment, Flow
from tests.apis.language_model import LanguageModel, SteppingModel

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("env-openai")]
ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("openai_program.py")


@pytest.fixture(scope="module")
def python():
    """The interpreter that has the clients."""
    subprocess.run(["sh", "scripts/env.sh", "openai"], cwd=ROOT, check=True, timeout=500)
    return ROOT / ".cache" / "env-openai" / "bin" / "python"


@pytest.mark.parametrize("model", [LanguageModel, SteppingModel])
@pytest.mark.parametrize("kind", ["Deployment", "Flow"])
def test_official_clients(python, kind, model, tmp_path):
    closed = tmp_path / "closed"
    options = {"protocol": "http", "apis": "openai"}
    env = {"CLOSED_FILE": str(closed)}
    keys = {"all": "key-of-tests", "lesser": {"key": "key-for-embeddings", "endpoints": ["/embed"]}}
    limits = {"api_keys": keys, "max_message_size": 4_000_000}
    if kind == "Flow":
        made = Flow(**limits, **options).add(uses=model, env=env)
    else:
        made = Deployment(uses=model, env=env, **limits, **options)
    with made, Deployment(uses=LanguageModel, rate_limit="5/s burst 2", **options) as limited:
        servers = [f"http://127.0.0.1:{one.port}/v1" for one in (made, limited)]
        done = subprocess.run(
            [python, PROGRAM, *servers, closed], capture_output=True, text=True, timeout=500, check=True
        )
    results = json.loads(done.stdout.splitlines()[-1])
    assert len({name.partition("-")[2] for name in results if "OpenAI-" in name}) >= 60
    assert len(results) >= 140
    assert not {name: failure for name, failure in results.items() if failure}
