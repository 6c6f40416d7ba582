"""Flows of real processes: gateway, links, workers, and what happens when one of them goes."""

import asyncio
import json
import os
import signal
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.gateway.gateways import plan_of

from jina.plan.plans import DeploymentPlan, ExecutorPlan, FlowPlan, ListenerPlan, LogPlan, WorkerPlan
from jina.supervisor.group import start
from jina.supervisor.ports import PortReservations

DATA = {"data": [{"text": "x"}]}
LOG = LogPlan(level="DEBUG")


def executor(qualname, **arguments):
    return ExecutorPlan(
        module="tests.gateway.flow_executors", qualname=qualname, with_args=arguments, sys_path=sys.path
    )


def flow_of(executors, nodes, port, **options):
    deployments = []
    for name, plan in executors.items():
        worker = WorkerPlan(name=f"{name}/rep-0", deployment=name, executor=plan, listeners=[], log=LOG, grace=3)
        deployments.append(DeploymentPlan(name=name, workers=[worker]))
    listener = ListenerPlan(protocol="http", host="127.0.0.1", port=port, share_port=True)
    return FlowPlan(
        name="flow", deployments=deployments, gateway=plan_of(nodes, listeners=[listener], log=LOG, grace=3, **options)
    )


@contextmanager
def running(executors, nodes, **options):
    """Gives the running processes and the address of the gateway."""
    with closing(PortReservations()) as ports:
        port = ports.port()
        processes = start(flow_of(executors, nodes, port, **options))
        try:
            processes.wait_ready(50)
            yield processes, f"http://127.0.0.1:{port}"
        finally:
            processes.stop()


LETTERS = {"a": executor("Letter", letter="a"), "b": executor("Letter", letter="b")}
CHAIN = {"a": ["gateway"], "b": ["a"]}


async def asked(session, path, **body):
    """Status and body of a POST."""
    async with session.post(path, json={**DATA, **body}) as answer:
        return answer.status, await answer.json()


async def pending(session, count):
    """Wait until so many requests are in the gateway."""
    while True:
        async with session.get("/metrics") as answer:
            text = await answer.text()
        if f'jina_number_of_pending_requests{{runtime_name="gateway/rep-0"}} {count}.0' in text:
            return
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_dies_fails_only_the_requests_inside_it():
    async def main(processes, address):
        async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=0)) as session:
            status, body = await asked(session, "/add")
            assert (status, body["data"][0]["text"]) == (200, "xab"), body
            async with session.post("/tokens", json={**DATA, "parameters": {"count": 2}}) as answer:
                lines = (await answer.text()).splitlines()
            assert [json.loads(line[6:])["text"] for line in lines if line.startswith("data: {")] == ["x0", "x1"]
            gateway, worker = processes.front[0], processes.workers[1]
            loaded = Path(f"/proc/{gateway.pid}/maps").read_text()
            assert not [name for name in ("numpy", "pydantic", "grpc") if f"site-packages/{name}" in loaded]
            inside = [asyncio.create_task(asked(session, "/wait", parameters={"b__seconds": 60})) for _ in range(100)]
            beside = [
                asyncio.create_task(asked(session, "/wait", parameters={"seconds": 3}, targetExecutor="a"))
                for _ in range(100)
            ]
            await pending(session, 200)
            os.kill(worker.pid, signal.SIGKILL)
            failed = await asyncio.gather(*inside)
            assert {status for status, _ in failed} == {503}
            assert "b/rep-0" in failed[0][1]["detail"]
            async with session.get("/readyz") as answer:
                assert answer.status == 503
            assert {status for status, _ in await asyncio.gather(*beside)} == {200}

    executors = {name: executor("Letter", letter=name) for name in "ab"}
    nodes = {"a": ["gateway"], "b": ["a"], "c": ["b"]}
    with running({**executors, "c": executor("Tokens")}, nodes) as (processes, address):
        asyncio.run(main(processes, address))
