import ast
import json
import sys
from pathlib import Path

import pytest

import jina.plan
from jina.config import DeploymentSpec, parse
from jina.errors import ConfigError
from jina.plan.deployment import plan_deployment
from jina.plan.plans import ExecutorPlan, process_from_json, to_json
from tests.plan.flows import CountingPorts

EXECUTOR = ExecutorPlan(module="shop", qualname="Shop")

GRPC = {"grpc.max_concurrent_streams": 1}


def planned(start=50000, **options):
    return plan_deployment(parse(DeploymentSpec, options), EXECUTOR, CountingPorts(start))


def worker(**options):
    (only,) = planned(**options).workers
    return only


def listeners(**options):
    return [(listener.protocol, listener.port, listener.share_port) for listener in worker(**options).listeners]


def test_defaults_give_one_worker_with_one_grpc_face(monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)
    plan = planned()
    assert plan.name == "executor"
    (only,) = plan.workers
    assert (only.name, only.deployment) == ("executor/rep-0", "executor")
    (listener,) = only.listeners
    assert (listener.protocol, listener.host, listener.port, listener.share_port, listener.tls) == (
        "grpc",
        "0.0.0.0",
        50000,
        True,
        None,
    )
    assert only.executor is EXECUTOR
    assert (only.timeout_ready, only.grace, only.max_message_size) == (600.0, 30.0, 64 * 1024 * 1024)


def test_given_ports_are_bound_alone_and_missing_ones_chosen():
    assert listeners(protocol=["GRPC", "http", "Websocket"], port=[1234]) == [
        ("grpc", 1234, False),
        ("http", 50000, True),
        ("websocket", 50001, True),
    ]


def test_a_chosen_port_never_equals_a_given_one():
    plan = planned(start=1234, protocol=["grpc", "http"], port=1234)
    assert [listener.port for listener in plan.workers[0].listeners] == [1234, 1235]


def test_host_of_the_environment_and_of_the_option(monkeypatch):
    monkeypatch.setenv("JINA_DEFAULT_HOST", "127.0.0.9")
    assert worker().listeners[0].host == "127.0.0.9"
    assert worker(host="127.0.0.1").listeners[0].host == "127.0.0.1"


def test_a_certificate_serves_every_face_by_tls():
    for listener in worker(protocol=["grpc", "http"], ssl_certfile="c.pem", ssl_keyfile="k.pem").listeners:
        assert (listener.tls.certfile, listener.tls.keyfile) == ("c.pem", "k.pem")


@pytest.mark.parametrize(
    ("option", "value", "field", "planned_value"),
    [
        ("name", "shop", "name", "shop/rep-0"),
        ("workspace", Path("ws"), "workspace", "ws"),
        ("timeout_ready", 1500, "timeout_ready", 1.5),
        ("timeout_ready", "2min", "timeout_ready", 120.0),
        ("timeout_ready", -1, "timeout_ready", None),
        ("grace", 2.5, "grace", 2.5),
        ("env", {"A": 1, "B": "x"}, "env", {"A": "1", "B": "x"}),
        (
            "grpc_server_options",
            GRPC,
            "grpc_server_options",
            GRPC,
        ),
        ("max_message_size", 5, "max_message_size", 5),
        ("allow_concurrent", True, "allow_concurrent", True),
        ("exit_on_exceptions", ["ValueError"], "exit_on_exceptions", ["ValueError"]),
        ("output_array_type", "numpy", "output_array_type", "numpy"),
    ],
)
def test_options_reach_the_worker(option, value, field, planned_value):
    assert getattr(worker(**{option: value}), field) == planned_value


def test_http_and_log_options_reach_the_worker():
    only = worker(title="T", description="D", cors=True, uvicorn_kwargs={"backlog": 5})
    assert (only.http.title, only.http.description, only.http.cors, only.http.uvicorn_kwargs) == (
        "T", "D", True, {"backlog": 5},
    )  # fmt: skip
    log = worker(quiet=True, quiet_error=True, log_level="debug", log_format="JSON").log
    assert (log.level, log.format, log.quiet, log.quiet_error) == ("DEBUG", "json", True, True)


def test_a_plan_is_one_json_document():
    only = worker(protocol=["grpc", "http"], ssl_certfile="c", ssl_keyfile="k", env={"A": "1"})
    assert json.loads(to_json(only))["name"] == "executor/rep-0"
    assert process_from_json(to_json(only)) == only


def test_planning_twice_gives_equal_plans():
    options = {"protocol": ["grpc", "http"], "name": "x"}
    assert planned(**options) == planned(**options)


def test_the_room_imports_nothing_that_decides_by_chance():
    modules = set()
    for file in Path(jina.plan.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add((node.module or "").partition(".")[0])
    third_party = {name for name in modules if name not in sys.stdlib_module_names}
    assert third_party == {"jina", "msgspec"}
    assert not modules & {"time", "random", "socket", "os", "uuid", "secrets"}


def test_several_replicas_stand_behind_a_gateway_that_has_the_faces():
    plan = planned(
        name="shop", replicas=3, protocol=["grpc", "http"], port=[5], title="T", cors=True, env={"A": 1},
        timeout_send=1500, retries=2, grpc_server_options=GRPC, grace=3, workspace="w",
    )  # fmt: skip
    assert [(worker.name, worker.replica_id, worker.replicas, worker.listeners) for worker in plan.workers] == [
        ("shop/rep-0", 0, 3, []), ("shop/rep-1", 1, 3, []), ("shop/rep-2", 2, 3, []),
    ]  # fmt: skip
    gateway = plan.gateway
    assert [(listener.protocol, listener.port, listener.share_port) for listener in gateway.listeners] == [
        ("grpc", 5, False), ("http", 50000, True),
    ]  # fmt: skip
    assert (gateway.name, gateway.http.title, gateway.http.cors, gateway.env) == ("gateway", "T", True, {"A": "1"})
    assert (gateway.grpc_server_options, gateway.grace, gateway.workspace) == (
        GRPC,
        3.0,
        "w",
    )
    (node,) = gateway.graph.nodes
    assert (node.name, node.needs, node.timeout_send, node.retries) == ("shop", ["gateway"], 1.5, 2)
    assert [(upstream.kind, upstream.name) for upstream in node.upstreams] == [
        ("link", worker.name) for worker in plan.workers
    ]
    assert (gateway.graph.ends, gateway.graph.strict) == (["shop"], True)
    assert process_from_json(to_json(gateway)) == gateway


def test_replicas_without_a_gateway():
    with pytest.raises(ConfigError, match="include_gateway: 2 replicas need a gateway in front"):
        planned(replicas=2, include_gateway=False)
    assert planned(include_gateway=False).gateway is None


def test_an_external_deployment_has_no_processes():
    plan = planned(external=True, host=["a", "b"], port=5)
    assert (plan.workers, plan.gateway) == ([], None)


def test_a_place_in_a_flow_means_nothing_alone():
    options = {"needs": ["x"], "floating": True, "when": {"text": {"$eq": "x"}}}
    assert planned(**options) == planned()
    assert planned(replicas=2, **options) == planned(replicas=2)
