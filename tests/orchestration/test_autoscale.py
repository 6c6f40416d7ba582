"""Replicas that come and go with the load: real processes, real requests."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import elastic
import pytest
from tests.acceptance.flow_asking import until

from jina import Client, Deployment, Document, Flow
from jina.errors import ConfigError, DeadlineExceeded, JinaError, Overloaded

LOCAL = {"host": "127.0.0.1", "quiet": True}


class Load:
    """Requests at a rate that can be changed, whether others are answered or not."""

    def __init__(self, port, rate):
        self.rate, self.answered, self.failures = rate, 0, []
        self._port, self._over = port, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _run(self):
        async with Client(host="127.0.0.1", port=self._port, asyncio=True) as client:
            asked = set()
            due = time.monotonic()
            while not self._over.is_set():
                asked.add(asyncio.create_task(self._ask(client)))
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*asked)

    async def _ask(self, client):
        try:
            await client.post("/work", Document(), timeout=60)
            self.answered += 1
        except JinaError as error:
            self.failures.append(error)


def replicas(served, name="executor"):
    return [one for one in served.status().processes if one.deployment == name and one.state == "ready"]


@pytest.mark.slow
def test_replicas_follow_ten_times_the_load_up_and_down():
    """Each within ten seconds, and no request fails."""
    scaled = {"min": 1, "max": 4, "target_wait": 0.1}
    served = Deployment(uses=elastic.Working, uses_with={"seconds": 0.1}, autoscale=scaled, **LOCAL)
    with served as deployment, Load(deployment.port, rate=2) as load:
        until(lambda: load.answered >= 4, 20)
        assert len(replicas(deployment)) == 1
        load.rate, began = 20, time.monotonic()  # two replicas do nothing else
        until(lambda: len(replicas(deployment)) >= 3, 20)
        up = time.monotonic() - began
        until(lambda: deployment.status().steps["executor"].wait <= 0.1, 20)
        load.rate, began = 2, time.monotonic()
        until(lambda: len(replicas(deployment)) == 1, 20)
        down = time.monotonic() - began
    assert load.failures == []
    assert (up <= 10, down <= 10) == (True, True), (up, down)


@pytest.mark.slow
def test_from_zero_the_first_request_waits_and_is_answered():
    scaled = {"min": 0, "max": 2, "idle": 0.5}
    with Deployment(uses=elastic.Working, autoscale=scaled, monitoring=True, **LOCAL) as deployment:
        until(lambda: not replicas(deployment), 20)
        assert deployment.status().state == "ready"
        assert deployment.is_ready
        began = time.monotonic()
        first = deployment.post("/work", Document(), timeout=60).texts
        took = time.monotonic() - began
        started = [one for one in deployment.status().processes if one.deployment == "executor"]
        assert len(started) >= 1
        assert took < 10, took
        until(lambda: not replicas(deployment), 20)
        assert deployment.post("/work", Document(), timeout=60).texts != first


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads when a process began")
def test_from_zero_the_first_answer_comes_within_the_start_of_a_replica_and_a_second():
    """The least of three: what else runs here can only add to it."""
    more = []
    with Deployment(uses=elastic.Timed, autoscale={"min": 0, "max": 1, "idle": 0.2}, **LOCAL) as deployment:
        for _ in range(3):
            until(lambda: not replicas(deployment), 30)
            began = time.monotonic()
            (start,) = deployment.post("/took", Document(), timeout=60).texts
            more.append(time.monotonic() - began - float(start))
    assert min(more) <= 1.0, more


@pytest.mark.slow
def test_a_step_of_a_flow_scales_and_the_others_stay():
    flow = (
        Flow(**LOCAL, monitoring=True)
        .add(uses=elastic.Working, name="first", uses_with={"seconds": 0.0})
        .add(uses=elastic.Working, name="second", autoscale={"min": 0, "max": 3, "idle": 0.5})
    )
    with flow:
        until(lambda: not replicas(flow, "second"), 20)
        before, held = replicas(flow, "first")[0].pid, len(flow._reservations.held)
        with Load(flow.port, rate=40) as load:
            until(lambda: len(replicas(flow, "second")) >= 2, 30)
        assert load.failures == []
        assert replicas(flow, "first")[0].pid == before
        until(lambda: not replicas(flow, "second"), 30)
        until(lambda: len(flow._reservations.held) <= held)  # ports of metrics come and go with their replicas
        with pytest.raises(ConfigError, match="second: autoscale decides how many replicas there are"):
            flow.scale("second", 2)


@pytest.mark.slow
def test_requests_that_wait_for_a_replica_are_bounded_and_keep_their_deadline():
    scaled = {"min": 0, "max": 1, "idle": 0.2, "max_held": 3}

    async def ask(port, count, timeout):
        async with Client(host="127.0.0.1", port=port, asyncio=True) as client:
            asked = (client.post("/work", Document(), timeout=timeout) for _ in range(count))
            return await asyncio.gather(*asked, return_exceptions=True)

    with Deployment(uses=elastic.Working, autoscale=scaled, **LOCAL) as deployment:
        until(lambda: not replicas(deployment), 20)
        results = asyncio.run(ask(deployment.port, 10, 60))
        refused = [one for one in results if isinstance(one, Overloaded)]
        assert len(refused) == 7, results
        assert "has no replica, and 3 requests wait for one, which is its limit (max_held of autoscale)" in str(refused)
        until(lambda: not replicas(deployment), 20)
        (late,) = asyncio.run(ask(deployment.port, 1, 0.05))
        assert isinstance(late, DeadlineExceeded)
        until(lambda: replicas(deployment) or not deployment.status().steps["executor"].waiting, 20)


@pytest.mark.slow
def test_a_gateway_that_is_killed_while_there_is_no_replica_comes_back():
    with Deployment(uses=elastic.Working, autoscale={"min": 0, "max": 1, "idle": 0.5}, **LOCAL) as deployment:
        until(lambda: not replicas(deployment), 20)
        (gateway,) = deployment.status().processes
        os.kill(gateway.pid, signal.SIGKILL)
        until(lambda: deployment.status().processes[0].restarts == 1 and deployment.is_ready, 30)
        assert deployment.post("/work", Document(), timeout=60).texts


PROGRAM = """
import sys
import threading

sys.path.append(sys.argv[1])
import elastic

from jina import Client, Deployment, Document

if __name__ == "__main__":
    scaled = {"min": 1, "max": 3, "target_wait": 0.05}
    served = Deployment(uses=elastic.Starting, autoscale=scaled, host="127.0.0.1", workspace=sys.argv[2])

    def ask():
        while True:
            try:
                Client(host="127.0.0.1", port=served.port).post("/work", Document())
            except Exception:
                return

    with served:
        for _ in range(8):
            threading.Thread(target=ask, daemon=True).start()
        served.block()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_replicas_are_added_leaves_nothing_behind(number, tmp_path):
    """The second replica is in its constructor when the program is told to end."""
    words = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(tmp_path)]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: len(list(tmp_path.glob("started-*"))) >= 2, 60)
        child.send_signal(number)
        _, complaints = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0, complaints
    started = [int(one.name.removeprefix("started-")) for one in tmp_path.glob("started-*")]
    until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], 10)
    assert "Traceback" not in complaints, complaints
    assert "tried again" not in complaints, complaints
