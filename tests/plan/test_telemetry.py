"""Ports for metrics, and where spans and numbers go."""

import pytest

from jina.config import DeploymentSpec, parse
from jina.plan.deployment import plan_deployment
from jina.plan.flow import plan_flow
from jina.plan.plans import ExecutorPlan, process_from_json, to_json
from tests.plan.flows import CountingPorts, executors, flow

EXECUTOR = ExecutorPlan(module="shop", qualname="Shop")


def deployment(**options):
    return plan_deployment(parse(DeploymentSpec, options), EXECUTOR, CountingPorts())


def ports(plan):
    """Port of the gateway's metrics, and those of the workers'; None without one."""
    found = [one.monitoring and one.monitoring.port for one in plan.workers]
    return (plan.gateway.monitoring and plan.gateway.monitoring.port if plan.gateway else None), found


def test_without_monitoring_there_is_no_port():
    assert ports(deployment()) == (None, [None])
    assert ports(deployment(port_monitoring=9090)) == (None, [None])


def test_a_worker_alone_has_the_port_that_is_given_or_a_free_one():
    assert ports(deployment(monitoring=True, port_monitoring=9090)) == (None, [9090])
    assert ports(deployment(monitoring=True)) == (None, [50001])
    (given,) = deployment(monitoring=True, port_monitoring=9090, host="127.0.0.1").workers
    assert (given.monitoring.protocol, given.monitoring.host, given.monitoring.share_port) == (
        "http",
        "127.0.0.1",
        False,
    )
    (chosen,) = deployment(monitoring=True).workers
    assert chosen.monitoring.share_port


def test_the_gateway_of_replicas_has_it_for_all():
    assert ports(deployment(monitoring=True, port_monitoring=9090, replicas=3)) == (9090, [None] * 3)


def test_in_a_flow_each_process_has_one():
    spec = flow(
        {"name": "a", "replicas": 2, "port_monitoring": [9001, 9002]},
        {"name": "b", "replicas": 2, "port_monitoring": 9003},
        {"name": "c", "monitoring": False},
        monitoring=True,
        port_monitoring=9000,
    )
    plan = plan_flow(spec, executors(spec), None, CountingPorts(60000))
    assert plan.gateway.monitoring.port == 9000
    found = [[one.monitoring and one.monitoring.port for one in deployment.workers] for deployment in plan.deployments]
    assert found == [[9001, 9002], [9003, 60001], [None]]


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        (None, None, ""),
        ("collector", None, "http://collector:4317"),
        (None, 4000, "http://localhost:4000"),
        ("https://collector", 443, "https://collector:443"),
    ],
)
def test_collectors_are_addresses(host, port, endpoint):
    options = {"traces_exporter_host": host, "metrics_exporter_port": port, "metrics_exporter_host": host}
    (worker,) = deployment(tracing=True, metrics=True, traces_exporter_port=port, **options).workers
    result = worker.telemetry
    assert (result.tracing, result.traces_endpoint) == (True, endpoint)
    assert (result.metrics, result.metrics_endpoint) == (True, endpoint)
    assert process_from_json(to_json(worker)) == worker


def test_a_flow_tells_all_its_processes():
    spec = flow("a", "b", tracing=True, traces_exporter_port=4000, log_dir="logs", log_config="json")
    plan = plan_flow(spec, executors(spec), None, CountingPorts())
    every = [plan.gateway, *(worker for one in plan.deployments for worker in one.workers)]
    assert {one.telemetry.traces_endpoint for one in every} == {"http://localhost:4000"}
    assert {(one.log.folder, one.log.config) for one in every} == {("logs", "json")}
