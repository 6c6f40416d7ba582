"""Agents that do not start, or end at once: they are started again."""

from __future__ import annotations

import shlex
import threading
import time
from pathlib import Path

import pytest

from jina.launch.agents import Agent
from jina.plan.plans import ConsensusPlan

_PATIENCE = 20.0


def _until(done) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def started(tmp_path):
    agents = []

    def start(program: Path, kind: type[Agent] = Agent) -> Agent:
        plan = ConsensusPlan(group="g", peers=["127.0.0.1:1"], socket=str(tmp_path / "s"), directory=str(tmp_path))
        agents.append(kind(str(program), plan, "ERROR"))
        return agents[-1]

    yield start
    for agent in agents:
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
