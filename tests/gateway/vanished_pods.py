"""A program with a network of its own: a gateway in front of two pods, of which the machine of one vanishes.

unshare --net --mount --pid --fork --mount-proc --kill-child python -m tests.gateway.vanished_pods
prints, as JSON, how each request ended that was in flight when the endpoints of both were taken from the slices, and
how many seconds later: the one that the vanished pod had received, and the one that the other pod goes on with.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from tests.cli import running
from tests.client.dead_peers import GRPC, HERE, THERE, Machine, Server
from tests.gateway.api_server import endpoint, serving
from tests.gateway.gateways import plan_of, request

from jina.errors import JinaError
from jina.gateway.links import UpstreamConnector
from jina.gateway.resolvers import Cluster
from jina.gateway.service import GatewayService
from jina.plan.plans import UpstreamPlan
from jina.runtime.process import LinkInbox

LIMIT = 60.0
SOURCE = """
import asyncio
from pathlib import Path
from jina import DocumentArray, Executor, requests

class Slow(Executor):
    @requests
    async def slow(self, docs: DocumentArray, **kwargs):
        Path(docs[0].text).touch()
        while not Path('answer').exists():
            await asyncio.sleep(0.05)
"""


async def ended(service: GatewayService, note: Path) -> tuple[str, float]:
    """How a request ended, and when."""
    try:
        await service.call(request("/", [str(note)]))
    except JinaError as error:
        return f"{type(error).__name__}: {error.message}", time.monotonic()
    return "answered", time.monotonic()


async def until(condition, what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def main(folder: Path, machine: Machine) -> dict[str, tuple[str, float]]:
    upstream = UpstreamPlan(kind="kubernetes", name="a/rep-0", address=f"echo:{GRPC}")
    plan = plan_of({"a": {"needs": ["gateway"], "external": True, "upstreams": [upstream]}}, timeout_ready=30)
    (folder / "namespace").write_text("shop")
    async with serving() as api:
        cluster = Cluster("127.0.0.1", api.port, folder, tls=False)
        os.environ["KUBERNETES_SERVICE_HOST"] = "127.0.0.1"
        Cluster.of_environment = classmethod(lambda _: cluster)
        await api.put("a", endpoint(THERE, "there"), ports=(GRPC,))
        service = GatewayService(plan, {})
        await UpstreamConnector(plan, LinkInbox(), lambda _: None).connect(service)
        calls = {}

        async def ask(name: str) -> None:
            calls[name] = asyncio.create_task(ended(service, folder / name))
            await until((folder / name).exists, f"{name} is not received")

        await ask("received")
        await api.put("a", endpoint(HERE, "here"), ports=(GRPC,))
        await until(lambda: [HERE in one.name for one in service.steps["a"].upstreams] == [True], "the other one")
        await ask("stays")
        await api.put("a", endpoint(THERE, "there"), ports=(GRPC,))
        await until(lambda: [THERE in one.name for one in service.steps["a"].upstreams] == [True], "the first one")
        machine.cut_power()
        await api.put("a", ports=(GRPC,))
        gone = time.monotonic()
        await asyncio.wait({calls["received"]}, timeout=LIMIT)
        await asyncio.wait({calls["stays"]}, timeout=2.0)
        (folder / "answer").touch()
        await asyncio.wait(calls.values(), timeout=LIMIT)
        ends = {name: task.result() for name, task in calls.items() if task.done()}
        return {name: (how, round(at - gone, 1)) for name, (how, at) in ends.items()}


def isolated() -> None:
    """What runs in the network of its own."""
    machine = Machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        there = Server(machine, folder, SOURCE)
        there.address("grpc")
        options = ["--uses", "Slow", "--py-modules", "slow.py", "--host", HERE, "--port", str(GRPC)]
        with running.serving("executor", *options, "--allow-concurrent", cwd=folder) as here:
            here.address("grpc")
            print(json.dumps(asyncio.run(main(folder, machine))), flush=True)  # noqa: T201
            there.process.kill()
            here.process.kill()
            os._exit(0)  # what is in flight there is awaited by nobody


if __name__ == "__main__":
    isolated()
