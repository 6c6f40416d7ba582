import json
import time

import pytest

from jina.config.changes import with_gateway, with_step
from jina.errors import ConfigError, FlowTopologyError, InternalError
from jina.plan.flow import plan_flow, runs
from jina.plan.plans import ExecutorPlan, to_json
from jina.runtime.process import drain_delay
from tests.plan.flows import CountingPorts, executors, flow


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)


def planned(spec, custom=None, start=50000):
    return plan_flow(spec, executors(spec), custom, CountingPorts(start))


def node(spec, name):
    return next(node for node in planned(spec).gateway.graph.nodes if node.name == name)


def workers(spec):
    return {worker.name: worker for part in planned(spec).deployments for worker in part.workers}


def test_workers_stand_behind_links_and_the_gateway_has_the_face():
    plan = planned(flow("a", {"name": "b", "replicas": 2}))
    assert (plan.name, plan.gateway.name) == ("flow", "gateway")
    assert [(one.protocol, one.host, one.port, one.share_port) for one in plan.gateway.listeners] == [
        ("grpc", "0.0.0.0", 50000, True)
    ]
    assert [part.name for part in plan.deployments] == ["a", "b"]
    found = [worker for part in plan.deployments for worker in part.workers]
    assert [(w.name, w.deployment, w.replica_id, w.replicas) for w in found] == [
        ("a/rep-0", "a", 0, 1), ("b/rep-0", "b", 0, 2), ("b/rep-1", "b", 1, 2),
    ]  # fmt: skip
    assert all(not worker.listeners for worker in found)
    assert [worker.executor.qualname for worker in found] == ["a", "b", "b"]
    a, b = plan.gateway.graph.nodes
    assert [(upstream.kind, upstream.name) for upstream in [*a.upstreams, *b.upstreams]] == [
        ("link", "a/rep-0"), ("link", "b/rep-0"), ("link", "b/rep-1"),
    ]  # fmt: skip
    assert (a.needs, b.needs, plan.gateway.graph.ends, plan.gateway.graph.strict) == (["gateway"], ["a"], ["b"], False)


def test_replicas_of_external_steps_are_found_behind_a_name():
    spec = flow(
        {"name": "a", "external": True, "host": "dns:///pool.example", "port": 5, "resolve_interval": "2s"},
        {"name": "b", "external": True, "host": ["kubernetes:///b.shop:7", "dns+grpcs:///c:8"]},
    )
    a, b = plan_flow(spec, {}, None, CountingPorts()).gateway.graph.nodes
    assert [(one.kind, one.name, one.address, one.tls) for one in [*a.upstreams, *b.upstreams]] == [
        ("dns", "a/rep-0", "pool.example:5", False),
        ("kubernetes", "b/rep-0", "b.shop:7", False), ("dns", "b/rep-1", "c:8", True),
    ]  # fmt: skip
    assert (a.resolve_interval, b.resolve_interval) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("given", "in_cluster", "seconds"),
    [(None, False, 0), (None, True, 3), (0, True, 0), (5, False, 5), ("2s", True, 2)],
)
def test_a_server_goes_on_for_as_long_as_its_surroundings_need(given, in_cluster, seconds, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    plan = planned(flow({"name": "a", "port": 5}, "b", **({} if given is None else {"drain_delay": given})))
    if in_cluster:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    served, linked = (deployment.workers[0] for deployment in plan.deployments)
    assert [drain_delay(one) for one in (plan.gateway, served, linked)] == [seconds, seconds, 0]


def test_external_steps_are_addresses_and_have_no_workers():
    spec = flow(
        {"name": "a", "external": True, "port": [5, 6], "grpc_metadata": {"k": "v"}},
        {"name": "b", "external": True, "host": ["grpcs://x:7", "[::1]:8"]},
    )
    plan = plan_flow(spec, {}, None, CountingPorts())
    assert [part.workers for part in plan.deployments] == [[], []]
    a, b = plan.gateway.graph.nodes
    assert [(one.kind, one.name, one.address, one.tls) for one in [*a.upstreams, *b.upstreams]] == [
        ("grpc", "a/rep-0", "127.0.0.1:5", False), ("grpc", "a/rep-1", "127.0.0.1:6", False),
        ("grpc", "b/rep-0", "x:7", True), ("grpc", "b/rep-1", "[::1]:8", False),
    ]  # fmt: skip
    assert (a.external, a.grpc_metadata, b.grpc_metadata) == (True, {"k": "v"}, {})


def test_joins_without_an_executor_have_neither_workers_nor_hops():
    spec = flow("a", ("b", "gateway"), {"method": "needs", "needs": ["a", "b"]})
    plan = planned(spec)
    assert plan.deployments[2].workers == []
    assert plan.gateway.graph.nodes[2].upstreams == []
    assert [runs(step) for step in spec.executors] == [True, True, False]
    real = flow("a", ("b", "gateway"), {"method": "needs", "needs": ["a", "b"], "uses": "Join"})
    assert [worker.name for worker in planned(real).deployments[2].workers] == ["joiner/rep-0"]


def test_a_plain_add_has_a_worker():
    spec = with_step(flow())
    assert [worker.name for worker in planned(spec).deployments[0].workers] == ["executor0/rep-0"]


def test_options_of_the_flow_are_defaults_of_its_deployments():
    options = {"replicas": 2, "timeout_ready": 5000, "workspace": "w", "quiet": True, "env": {"A": "1", "B": "2"}}
    spec = flow("a", {"name": "b", "replicas": 1, "env": {"B": 3}, "timeout_ready": -1}, **options)
    found = workers(spec)
    assert list(found) == ["a/rep-0", "a/rep-1", "b/rep-0"]
    a, b = found["a/rep-0"], found["b/rep-0"]
    assert (a.timeout_ready, a.workspace, a.log.quiet, a.env) == (5.0, "w", True, {"A": "1", "B": "2"})
    assert (b.timeout_ready, b.workspace, b.env) == (None, "w", {"A": "1", "B": "3"})


def test_name_port_and_protocol_of_the_flow_are_not_those_of_its_deployments():
    spec = flow({}, name="shop", port=[1, 2], protocol=["http", "grpc"])
    plan = planned(spec)
    assert plan.name == "shop"
    assert [worker.name for part in plan.deployments for worker in part.workers] == ["executor0/rep-0"]
    assert plan.deployments[0].workers[0].listeners == []
    assert [(listener.protocol, listener.port, listener.share_port) for listener in plan.gateway.listeners] == [
        ("http", 1, False), ("grpc", 2, False),
    ]  # fmt: skip


def test_options_of_the_gateway_count_before_those_of_the_flow():
    spec = flow(
        "a", host="127.0.0.1", protocol=["grpc", "http"], port=[1, 2], prefetch=5, grace=3, title="T", cors=True
    )
    spec = with_gateway(spec, title="U", env={"X": 1})
    spec = with_gateway(spec, protocol=["http", "grpc", "websocket"], no_debug_endpoints=True)
    gateway = planned(spec).gateway
    assert [(one.protocol, one.host, one.port, one.share_port) for one in gateway.listeners] == [
        ("http", "127.0.0.1", 1, False), ("grpc", "127.0.0.1", 2, False), ("websocket", "127.0.0.1", 50000, True),
    ]  # fmt: skip
    assert (gateway.http.title, gateway.http.cors, gateway.http.no_debug_endpoints) == ("U", True, True)
    assert (gateway.prefetch, gateway.grace, gateway.env) == (5, 3.0, {"X": "1"})


def test_too_many_ports_are_refused_when_the_gateway_is_known():
    spec = flow("a", port=[1, 2])
    with pytest.raises(ConfigError, match=r"Flow: port: 2 ports for 1 protocol\(s\) \(grpc\)"):
        planned(spec)
    listeners = planned(with_gateway(spec, protocol=["grpc", "http"])).gateway.listeners
    assert [listener.port for listener in listeners] == [1, 2]


def test_the_options_of_a_deployment_count_before_those_of_the_gateway():
    upstream = {"timeout_send": 500, "retries": 2, "compression": "Gzip", "grpc_channel_options": {"b": 2}}
    spec = flow("a", {"name": "b", **upstream}, timeout_send=2000, retries=1, grpc_channel_options={"a": 1})
    spec = with_gateway(spec, timeout_send=1000)
    a, b = planned(spec).gateway.graph.nodes
    assert (a.timeout_send, a.retries, a.compression, a.grpc_channel_options) == (1.0, 1, None, {"a": 1})
    assert (b.timeout_send, b.retries, b.compression, b.grpc_channel_options) == (0.5, 2, "Gzip", {"b": 2})
    assert node(flow("a"), "a").timeout_send is None
    assert node(flow({"name": "a", "timeout_send": 0}), "a").timeout_send is None


def test_conditions_floating_and_no_reduce_reach_the_graph():
    when = {"text": {"$eq": "x"}}
    spec = flow(
        {"name": "a", "when": when}, ("b", "gateway"), {"name": "f", "floating": True},
        {"name": "c", "needs": ["a", "b"], "disable_reduce": True},
    )  # fmt: skip
    assert node(spec, "a").when == when
    assert [node(spec, name).floating for name in "abfc"] == [False, False, True, False]
    assert [node(spec, name).no_reduce for name in "abfc"] == [False, False, False, True]
    assert workers(spec)["c/rep-0"].no_reduce


def test_steps_that_were_given_ports_serve_them_as_well():
    spec = flow(
        {"name": "a", "port": [7, 8], "protocol": ["http", "grpc"]},
        {"name": "b", "port": [9, 10], "replicas": 2},
        {"name": "c", "port": 11, "replicas": 2},
    )
    listeners = {
        name: [(listener.protocol, listener.port) for listener in worker.listeners]
        for name, worker in workers(spec).items()
    }
    assert listeners == {
        "a/rep-0": [("http", 7), ("grpc", 8)],
        "b/rep-0": [("grpc", 9)], "b/rep-1": [("grpc", 10)],
        "c/rep-0": [("grpc", 11)], "c/rep-1": [],
    }  # fmt: skip


def test_clashing_ports():
    def problem(*steps, **options):
        with pytest.raises(ConfigError) as caught:
            planned(flow(*steps, **options))
        return str(caught.value)

    assert problem({"name": "a", "port": 5}, port=5) == "Flow: a: port 5 is given to gateway as well"
    assert problem({"name": "a", "port": 5}, {"name": "b", "port": 5}) == "Flow: b: port 5 is given to a as well"
    here = {"name": "a", "external": True, "host": "localhost", "port": 5}
    assert problem(here, port=5) == "Flow: a: port 5 of this machine is given to gateway"
    assert planned(flow({**here, "host": "elsewhere"}, port=5))
    assert planned(flow(here, {**here, "name": "b"}))


def test_a_chosen_port_is_none_of_the_given_ones():
    spec = flow({"name": "a", "port": 50000}, protocol=["grpc", "http"], port=50001)
    assert [listener.port for listener in planned(spec).gateway.listeners] == [50001, 50002]


def test_a_gateway_class_of_the_users_own():
    custom = ExecutorPlan(module="shop", qualname="MyGateway")
    assert planned(flow("a"), custom).gateway.custom is custom


def test_mistakes_of_the_graph_and_of_the_caller():
    with pytest.raises(FlowTopologyError, match="'zzz' is not a step"):
        planned(flow(("a", "zzz")))
    with pytest.raises(InternalError, match="'a'"):
        plan_flow(flow("a"), {}, None, CountingPorts())


def test_a_plan_is_one_json_document_and_the_same_each_time():
    spec = flow("a", {"name": "b", "when": {"text": {"$exists": True}}}, protocol=["grpc", "http"])
    assert json.loads(to_json(planned(spec)))["gateway"]["graph"]["ends"] == ["b"]
    assert planned(spec) == planned(spec)


def test_fifty_executors_with_two_hundred_edges_are_built_in_less_than_100_ms():
    def build():
        spec = flow()
        for number in range(50):
            needs = [f"n{before}" for before in range(max(0, number - 4), number)] or "gateway"
            spec = with_step(spec, uses="Any", name=f"n{number}", needs=needs)
        return planned(spec)

    build()  # compiles the validators
    best = float("inf")
    for _ in range(3):
        before = time.process_time()
        plan = build()
        best = min(best, time.process_time() - before)
    assert len(plan.deployments) == 50
    assert sum(len(node.needs) for node in plan.gateway.graph.nodes) > 185
    assert best < 0.1
