"""Flows of real processes: gateway, links, workers, and what happens when one of them goes."""

import asyncio
import sys
from contextlib import closing, contextmanager

import aiohttp
import pytest
from tests.runtime.gateways import plan_of

from jina.launch.ports import PortReservations
from jina.launch.running import start
from jina.plan.plans import DeploymentPlan, ExecutorPlan, FacePlan, FlowPlan, LogPlan, WorkerPlan

DATA = {"data": [{"text": "x"}]}
LOG = LogPlan(level="DEBUG")


def executor(qualname, **arguments):
    return ExecutorPlan(
        module="tests.runtime.flow_executors", qualname=qualname, with_args=arguments, sys_path=sys.path
    )


def flow_of(executors, nodes, port, **options):
    deployments = []
    for name, plan in executors.items():
        worker = WorkerPlan(name=f"{name}/rep-0", deployment=name, executor=plan, faces=[], log=LOG, grace=3)
        deployments.append(DeploymentPlan(name=name, workers=[worker]))
    face = FacePlan(protocol="http", host="127.0.0.1", port=port, share_port=True)
    return FlowPlan(
        name="flow", deployments=deployments, gateway=plan_of(nodes, faces=[face], log=LOG, grace=3, **options)
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


@pytest.mark.timeout(120)
def test_a_chain_of_processes():
    async def main(address):
        async with aiohttp.ClientSession(address) as session, session.post("/add", json=DATA) as answer:
            body = await answer.json()
            assert (answer.status, body["data"][0]["text"]) == (200, "xab"), body

    with running(LETTERS, CHAIN) as (_, address):
        asyncio.run(main(address))
