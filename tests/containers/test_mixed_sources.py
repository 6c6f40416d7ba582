"""A Flow of a container, a package of a registry, a package in git and a class, ended in every way."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from jina import Client, Document
from tests.acceptance.test_mixed_sources import OTHER, ended_under_load, serving, sources  # noqa: F401 - a fixture
from tests.containers.packages import IMAGE, containers, until
from tests.processes import gone

GONE_WITHIN = 5.0
TOLD = {"hub": OTHER, "git": np.__version__, "ours": np.__version__}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),
]


def answer(client: Client) -> tuple[dict, str]:
    """The numpy of each Executor that has one, and what the container made of the text."""
    (doc,) = client.post("/upper", Document(text="a"), timeout=60)
    return dict(doc.tags), doc.text


def answers(client: Client) -> bool:
    try:
        return answer(client) == (TOLD, "A")
    except Exception:
        return False


def test_all_four_kinds_in_one_flow(running, sources):  # noqa: F811
    """They answer; a container that is killed is started again; SIGTERM under load fails no request."""
    with serving(sources, f"docker://{IMAGE}") as (child, told):
        with Client(host="127.0.0.1", port=told["ports"][0]) as client:
            assert answer(client) == (TOLD, "A")
            (first,) = containers(running)
            os.kill(int(running.docker("container", "inspect", "--format", "{{.State.Pid}}", first)), signal.SIGKILL)
            until(lambda: containers(running) not in ([], [first]), "a new container")
            until(lambda: answers(client), "an answer of the new container")
        answered, code = ended_under_load(child, told["ports"])
        assert code == 0, child.stderr.read()
    assert min(answered) >= 1
    assert containers(running) == []
    until(lambda: all(map(gone, told["processes"].values())), "the end of all processes", GONE_WITHIN)


def test_nothing_is_left_when_the_program_is_killed(running, sources):  # noqa: F811
    with serving(sources, f"docker://{IMAGE}") as (child, told):
        with Client(host="127.0.0.1", port=told["ports"][0]) as client:
            assert answer(client) == (TOLD, "A")
        assert len(containers(running)) == 1
        child.kill()
        until(lambda: containers(running) == [], "the end of the container", GONE_WITHIN)
    until(lambda: all(map(gone, told["processes"].values())), "the end of all processes", GONE_WITHIN)
