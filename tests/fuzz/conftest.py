"""What is given garbage: a worker, and a gateway with branches; checked before and after."""

import http.client
import threading
import time

import psutil
import pytest

PROTOCOLS = ("grpc", "http", "websocket")
PAUSE = threading.Event()


class Target:
    """A running service and what can be seen of it from outside."""

    def __init__(self, name, running):
        self.name = name
        self.running = running
        self.ports = dict(zip(PROTOCOLS, running.ports, strict=True))
        self.processes = sorted(
            (one for one in psutil.Process().children(recursive=True) if one.is_running()), key=lambda one: one.pid
        )

    def is_ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=20)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def census(self):
        """Files of each process, and tasks of each worker, once connections have ended."""
        (response,) = self.running.post("/census", return_responses=True)
        tasks = {name: found["tasks"] for name, found in response.parameters["__results__"].items()}
        return {**tasks, **{str(one.pid): one.num_fds() for one in self.processes}}

    def is_well(self, before):
        """The same processes, ready, and nothing left behind."""
        assert all(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in self.processes)
        assert self.is_ready()
        deadline = time.monotonic() + 20
        now = self.census()
        while any(found > before[name] + 1 for name, found in now.items()):
            assert time.monotonic() < deadline, f"{self.name}: {before} before, {now} now"
            PAUSE.wait(0.1)
            now = self.census()


@pytest.fixture(scope="session", params=["worker", "gateway"])
def running(request):
    from jina import Deployment, Flow
    from tests.fuzz.targets import Behind, Beside, Taker

    options = {"protocol": list(PROTOCOLS), "host": "127.0.0.1", "quiet": True, "timeout_read": 1,
               "max_message_size": 1_000_000}  # fmt: skip
    if request.param == "worker":
        made = Deployment(uses=Taker, **options)
    else:
        made = Flow(**options).add(name="first", uses=Taker).add(name="left", uses=Taker, needs="first")
        made = made.add(name="right", uses=Beside, needs="first").add(name="last", uses=Behind, needs=["left", "right"])
    with made as service:
        target = Target(request.param, service)
        for _ in range(3):
            target.census()  # what is loaded and opened with the first requests
        yield target


@pytest.fixture
def target(running):
    """The service, which must be as well afterwards as it was before."""
    before = running.census()
    yield running
    running.is_well(before)
