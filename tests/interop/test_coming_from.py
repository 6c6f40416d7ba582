"""The programs before and after on the pages for users of other frameworks: both answer alike."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from bench.environments import python_of

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
PROGRAM = re.compile(r'^```python title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
WITHIN = 300.0

CASES = {
    "litserve": (["litserve_server.py", "{port}"], "/predict", {"text": "hello"}, {"text": "HELLO"}, None),
    "bentoml": (
        ["-m", "bentoml", "serve", "bento_service:Upper", "--host", "127.0.0.1", "--port", "{port}"],
        "/upper",
        {"texts": ["hello"]},
        ["HELLO"],
        ["hello"],
    ),
    "fastapi": (["fastapi_app.py", "{port}"], "/upper", {"text": "hello"}, {"text": "HELLO"}, None),
}
"""Command, path, body and answer, and the body afterwards where it is another one."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def programs(peer, folder):
    """Write the programs of a page into a folder."""
    for name, code in PROGRAM.findall((PAGES / f"coming-from-{peer}.md").read_text()):
        (folder / name).write_text(code)


def answer(process, port, path, body):
    """What a server that is being started says to its first request."""
    limit = time.monotonic() + WITHIN
    while True:
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < limit, "the server does not answer"
        try:
            found = httpx.post(f"http://127.0.0.1:{port}{path}", json=body, timeout=20)
        except httpx.TransportError:
            process_waits(process)
            continue
        if found.status_code == 200:
            return found.json()
        process_waits(process)


def process_waits(process):
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return


@pytest.mark.interop
@pytest.mark.timeout(900)
@pytest.mark.parametrize("peer", CASES)
def test_the_program_before_answers_as_the_one_after(peer, tmp_path):
    words, path, body, expected, afterwards = CASES[peer]
    programs(peer, tmp_path)
    port = free_port()
    command = [word.format(port=port) for word in words]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [python_of(peer), *command], cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
        try:
            assert answer(process, port, path, body) == expected, (tmp_path / "log").read_text()
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers, which outlive it
    code = (
        "from jina import Deployment; import httpx, json; from upper import Upper\n"
        "with Deployment(uses=Upper, protocol='http', quiet=True) as service:\n"
        f"    url = f'http://127.0.0.1:{{service.port}}{path}'\n"
        f"    print(json.dumps(httpx.post(url, json={afterwards or body!r}, timeout=60).json()))\n"
    )
    words = [sys.executable, "-c", code]
    after = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert after.stdout.splitlines()[-1:] == [json.dumps(expected)], after.stderr
