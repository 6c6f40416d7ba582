"""What tests of processes that come from a fork server share."""

import pytest
from tests.supervisor.forkservers import DEADLINE, plan_of

from jina.supervisor import group


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts plans and ends what the test left running; `RECORD` is where Executors write."""
    monkeypatch.setenv("RECORD", str(tmp_path))
    started = []

    def begin(*args, ready=True, **options):
        started.append(group.start(plan_of(*args, **options)))
        if ready:
            started[-1].wait_ready(DEADLINE)
        return started[-1]

    yield begin
    for deployment in started:
        deployment.stop(now=True)
