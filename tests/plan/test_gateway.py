import pytest

from jina.config import GatewaySpec, parse
from jina.errors import ConfigError, FlowTopologyError
from jina.plan.gateway import plan_gateway
from tests.plan.flows import CountingPorts

GRAPH = '{"start-gateway": ["a", "b"], "a": ["c"], "b": ["c"], "c": ["end-gateway"], "f": []}'
ADDRESSES = {"a": ["grpc://0.0.0.0:1", "grpcs://x:2"], "b": "y:3", "c": ["grpc://[::1]:4"], "f": ["z:5"]}


def planned(**options):
    return plan_gateway(parse(GatewaySpec, options), None, CountingPorts())


def test_a_gateway_of_a_graph_in_json():
    plan = planned(
        graph_description='{"start-gateway": ["a", "b"], "a": ["c", "f"], "b": ["c"], "c": ["end-gateway"]}',
        deployments_addresses=ADDRESSES,
        graph_conditions={"a": {"text": {"$exists": True}}},
        deployments_metadata='{"a": {"k": 1}}',
        deployments_no_reduce='["c"]',
        timeout_send=500,
        port=9,
    )
    nodes = {node.name: node for node in plan.graph.nodes}
    assert {name: node.needs for name, node in nodes.items()} == {
        "a": ["gateway"], "b": ["gateway"], "c": ["a", "b"], "f": ["a"],
    }  # fmt: skip
    assert plan.graph.ends == ["c"]
    assert [node.name for node in plan.graph.nodes if node.floating] == ["f"]
    assert [(upstream.name, upstream.address, upstream.tls) for upstream in nodes["a"].upstreams] == [
        ("a/rep-0", "127.0.0.1:1", False), ("a/rep-1", "x:2", True),
    ]  # fmt: skip
    assert nodes["b"].upstreams[0].address == "y:3"
    assert nodes["c"].upstreams[0].address == "[::1]:4"
    assert (nodes["a"].when, nodes["a"].grpc_metadata, nodes["a"].timeout_send) == (
        {"text": {"$exists": True}}, {"k": "1"}, 0.5,
    )  # fmt: skip
    assert [node.no_reduce for node in plan.graph.nodes] == [False, False, True, False]
    assert [(listener.protocol, listener.port) for listener in plan.listeners] == [("grpc", 9)]


def test_replicas_that_are_found_behind_a_name():
    addresses = [
        "dns:///x:1",
        "dns+grpcs:///[::1]:2",
        "kubernetes://e.shop:3",
        "kubernetes:///e.shop.svc.cluster.local:4",
    ]
    plan = planned(
        graph_description={"start-gateway": ["a"]}, deployments_addresses={"a": addresses}, resolve_interval="5s"
    )
    (node,) = plan.graph.nodes
    assert node.resolve_interval == 5.0
    assert [(one.kind, one.address, one.tls) for one in node.upstreams] == [
        ("dns", "x:1", False),
        ("dns", "[::1]:2", True),
        ("kubernetes", "e.shop:3", False),
        ("kubernetes", "e.shop.svc.cluster.local:4", False),
    ]


def test_a_gateway_without_a_graph_gives_back_the_request():
    assert planned().graph.ends == ["gateway"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"graph_description": GRAPH, "deployments_addresses": ADDRESSES}, FlowTopologyError, "f: cannot be reached"),
        ({"graph_description": {"start-gateway": ["a"]}}, ConfigError, "deployments_addresses: there is no address"),
        ({"graph_description": {"start-gateway": "a"}}, ConfigError, "graph_description.start-gateway: 'a' is not"),
        ({"deployments_addresses": {"a": "x:1"}}, ConfigError, "'a' is not in graph_description"),
        (
            {"graph_description": {"start-gateway": ["a"]}, "deployments_addresses": {"a": "http://x:1"}},
            ConfigError,
            "deployments_addresses.a: 'http://x:1' is not grpc://host:port",
        ),
        (
            {"graph_description": {"start-gateway": ["a"]}, "deployments_addresses": {"a": "dns://x:1"}},
            ConfigError,
            "deployments_addresses.a: 'dns://x:1': write dns:///x:1, with three slashes",
        ),
        (
            {"graph_description": {"start-gateway": ["a"]}, "deployments_addresses": {"a": "dns:///x"}},
            ConfigError,
            "deployments_addresses.a: 'dns:///x' has no port",
        ),
        (
            {"graph_description": {"start-gateway": ["a"]}, "deployments_addresses": {"a": "kubernetes:///X_Y:1"}},
            ConfigError,
            "'kubernetes:///X_Y:1' is not kubernetes:///service.namespace:port",
        ),
    ],
)
def test_mistakes(options, error, words):
    with pytest.raises(ConfigError) as caught:
        planned(**options)
    assert type(caught.value) is error
    assert words in str(caught.value)
