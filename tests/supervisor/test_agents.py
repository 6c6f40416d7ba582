"""Agents that do not start, or end at once: they are started again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from jina.plan.plans import ConsensusPlan
from jina.supervisor import agents
from jina.supervisor.agents import Agent

_PATIENCE = 20.0


def _until(done) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def started(tmp_path):
    running = []

    def start(program: Path, kind: type[Agent] = Agent) -> Agent:
        plan = ConsensusPlan(group="g", peers=["127.0.0.1:1"], socket=str(tmp_path / "s"), directory=str(tmp_path))
        running.append(kind(str(program), plan, "ERROR"))
        return running[-1]

    yield start
    for agent in running:
        agent.ask_to_stop()
        agent.join(5.0)


def _write(program: Path, body: str) -> Path:
    part = program.with_suffix(".part")
    part.write_text(f"#!/bin/sh\n{body}\n")
    part.chmod(0o700)
    return part.rename(program)


def test_one_that_cannot_be_started_is_tried_again(tmp_path, started):
    program, ran, tried = tmp_path / "agent", tmp_path / "ran", threading.Event()

    class Noted(Agent):
        def _run_once(self, *, again: bool) -> tuple[int, str]:
            try:
                return super()._run_once(again=again)
            finally:
                tried.set()

    started(program, Noted)
    assert tried.wait(_PATIENCE)
    _write(program, f"read line; echo x > {shlex.quote(str(ran))}; read line")
    _until(ran.exists)


def test_one_that_dies_before_it_is_told_anything_is_started_again(tmp_path, started):
    runs = tmp_path / "runs"

    class Late(Agent):
        def _configuration(self, *, again: bool) -> bytes:
            assert self._process is not None
            if not runs.exists() or len(runs.read_text().split()) < 2:
                self._process.wait(_PATIENCE)
            return super()._configuration(again=again)

    started(_write(tmp_path / "agent", f"echo x >> {shlex.quote(str(runs))}"), Late)
    _until(lambda: runs.exists() and len(runs.read_text().split()) > 1)


STARTING = """
import sys
from jina import Deployment, DocumentArray, Executor, requests, write

class Slow(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        sys.stdout.write("loading\\n")
        sys.stdout.flush()
        if sys.argv[1] == "slow":
            sys.stdin.read()
            __import__("threading").Event().wait(600)

    @write
    @requests(on="/kept")
    def kept(self, docs: DocumentArray, **kwargs):
        pass

with Deployment(uses=Slow, stateful=True, host="127.0.0.1", workspace=sys.argv[2], quiet=True):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary():
    """A short path: agents listen in it."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)


def _start(temporary: Path, tmp_path: Path, how: str) -> subprocess.Popen[str]:
    program = tmp_path / "starting.py"
    program.write_text(STARTING)
    command = [sys.executable, str(program), how, str(tmp_path / how)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _said(program: subprocess.Popen[str]) -> list[str]:
    return [program.stdout.readline() for _ in range(2)]


def _folders(temporary: Path) -> set[Path]:
    return set(temporary.glob("jina-agents-*"))


@pytest.mark.slow
@pytest.mark.timeout(600)  # three starts in a row, which take a minute where everything is compiled and others work
def test_the_next_start_removes_the_folder_of_one_that_was_killed(temporary, tmp_path):
    first = _start(temporary, tmp_path, "slow")
    assert first.stdout.readline() == "loading\n"
    (abandoned,) = _folders(temporary)
    live = _start(temporary, tmp_path, "live")
    assert _said(live) == ["loading\n", "ready\n"]
    (kept,) = _folders(temporary) - {abandoned}
    assert abandoned.exists()  # its program still starts
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert abandoned.exists()
    last = _start(temporary, tmp_path, "last")
    assert _said(last) == ["loading\n", "ready\n"]
    assert not abandoned.exists()
    assert kept in _folders(temporary)
    for each in (live, last):
        each.communicate("")
        assert each.returncode == 0
    assert _folders(temporary) == set()


def test_the_sweep_leaves_what_is_of_others(temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    target = temporary / "target"
    target.mkdir()
    (target / "precious").touch()
    (temporary / "jina-agents-link").symlink_to(target)
    (temporary / "jina-agents-file").touch()
    abandoned, other = temporary / "jina-agents-old", temporary / "jina-agents-other"
    abandoned.mkdir()
    (abandoned / "link").symlink_to(target)
    other.mkdir()
    if os.getuid() == 0:
        os.chown(other, 1, 1)
    agents._sweep()
    assert not abandoned.exists()
    assert (target / "precious").exists()
    assert (temporary / "jina-agents-link").is_symlink()
    assert (temporary / "jina-agents-file").exists()
    assert other.exists() == (os.getuid() == 0)


def test_folders_that_are_made_while_others_sweep_are_kept(temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    made: list[tuple[str, int]] = []
    ended = threading.Event()

    def sweep() -> None:
        while not ended.is_set():
            agents._sweep()

    sweeping = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in sweeping:
        thread.start()
    try:
        made += [agents._locked_folder() for _ in range(100)]
    finally:
        ended.set()
        for thread in sweeping:
            thread.join()
    assert all(os.path.isdir(folder) for folder, _ in made)
    for _, lock in made:
        os.close(lock)
    agents._sweep()
    assert _folders(temporary) == set()
