"""`jina mcp`: an agent's calls on standard input, answers alone on standard output."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import asyncio
from docarray import BaseDoc
from jina import Executor, requests

class Sum(BaseDoc):
    a: int
    b: int

class Total(BaseDoc):
    total: int

class Calculator(Executor):
    @requests(on='/add')
    def add(self, doc: Sum, **kwargs) -> Total:
        print('printed by the Executor')
        return Total(total=doc.a + doc.b)

    @requests(on='/wait')
    async def wait(self, doc: Sum, **kwargs) -> Total:
        await asyncio.Event().wait()
"""


def test_calls_are_answered_until_the_input_ends(tmp_path):
    (tmp_path / "calculator.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "jina", "mcp", "--uses", "Calculator", "--py-modules", "calculator.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:

        def send(content):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **content}) + "\n")
            server.stdin.flush()

        send({"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}})
        assert json.loads(server.stdout.readline())["result"]["protocolVersion"] == "2025-11-25"
        send({"id": "never", "method": "tools/call", "params": {"name": "wait", "arguments": {"a": 1, "b": 2}}})
        send({"method": "notifications/cancelled", "params": {"requestId": "never"}})
        server.stdin.write("{\n")
        send({"id": 2, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}})
        output, complaints = server.communicate(timeout=60)
    messages = [json.loads(line) for line in output.splitlines()]
    assert messages[0]["error"]["code"] == -32700
    assert messages[1]["result"]["structuredContent"]["total"] == 3
    assert len(messages) == 2
    assert "printed by the Executor" in complaints
    assert server.returncode == 0
