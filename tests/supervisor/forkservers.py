"""Services whose processes come from a fork server."""

import sys
import time
from pathlib import Path

from jina.plan.plans import (
    DeploymentPlan,
    ExecutorPlan,
    GatewayPlan,
    GraphPlan,
    ListenerPlan,
    NodePlan,
    UpstreamPlan,
    WorkerPlan,
)
from jina.supervisor.process import Sibling

HERE = Path(__file__).parent
DEADLINE = 40.0


def executor_of(name, module="forkserver_cases"):
    return ExecutorPlan(module=module, qualname=name, sys_path=[str(HERE), *sys.path], cwd=str(HERE))


def plan_of(executor, count=2, *, behind=None, **options):
    """Several workers, and a gateway with the options `behind`, if that is not None."""
    workers = [
        WorkerPlan(
            name=f"d/rep-{number}", deployment="d", executor=executor_of(executor), replica_id=number, replicas=count,
            **{"listeners": [], **options},
        )
        for number in range(count)
    ]  # fmt: skip
    gateway = None if behind is None else _gateway_of(workers, **behind)
    return DeploymentPlan(name="d", workers=workers, gateway=gateway)


def _gateway_of(workers, **options):
    upstreams = [UpstreamPlan(kind="link", name=worker.name) for worker in workers]
    node = NodePlan(name="d", needs=["gateway"], upstreams=upstreams)
    listener = ListenerPlan(protocol="http", host="127.0.0.1", port=0)
    return GatewayPlan(**{"listeners": [listener], "graph": GraphPlan(nodes=[node], ends=["d"]), **options})


def until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def forked(deployment):
    """Workers first, then the gateway."""
    return [isinstance(process._process, Sibling) for process in deployment.processes]


def fork_server_of(deployment):
    return deployment._supervisor._fork_server
