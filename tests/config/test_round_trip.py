import contextlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.config import DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, dump_spec, load_spec, parse
from jina.config.changes import with_gateway, with_step
from jina.errors import ConfigError, FlowTopologyError
from jina.plan.topology import topology_of

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NAMES = (
    st.text(string.ascii_letters + string.digits + "-_. äß", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda name: name not in {"", ".", ".."})
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
MAPPINGS = st.dictionaries(TEXT, VALUES, max_size=3)
PORTS = st.integers(1, 65535)
PROTOCOLS = st.lists(st.sampled_from(["grpc", "http", "websocket"]), min_size=1, max_size=3, unique=True)

DEPLOYMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "uses": NAMES.map(lambda name: f"x{name}") | st.just({"jtype": "X", "with": {"a": 1}}),
        "uses_with": MAPPINGS,
        "uses_metas": MAPPINGS,
        "uses_requests": st.dictionaries(TEXT, TEXT, max_size=3),
        "uses_dynamic_batching": st.dictionaries(
            TEXT, st.fixed_dictionaries({"preferred_batch_size": st.integers(1, 100)}, optional={"timeout": PORTS})
        ),
        "env": st.dictionaries(TEXT.filter(lambda name: name and not {"=", "\0"} & {*name}), TEXT, max_size=3),
        "py_modules": st.lists(TEXT, max_size=3),
        "exit_on_exceptions": st.lists(TEXT, max_size=3),
        "port": PORTS,
        "protocol": PROTOCOLS,
        "quiet": st.booleans(),
        "timeout_ready": st.integers(0, 10**9) | st.just(-1) | st.floats(0, 1e6),
        "grace": st.floats(0, 1e6),
        "max_message_size": st.integers(1, 2**40),
        "workspace": TEXT,
        "title": TEXT,
    },
)


@settings(max_examples=60, deadline=None)
@given(DEPLOYMENTS)
def test_a_deployment_is_read_as_it_was_written(options):
    spec = parse(DeploymentSpec, options)
    assert load_spec(DeploymentSpec, dump_spec(spec), substitute=False) == spec


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"jtype": NAMES},
        optional={"with": MAPPINGS, "metas": MAPPINGS, "requests": st.dictionaries(TEXT, TEXT, max_size=3)},
    )
)
def test_an_executor_is_read_as_it_was_written(options):
    if options["jtype"] in {"Deployment", "Flow", "Gateway", "Client"}:
        return
    spec = parse(ExecutorSpec, options)
    assert load_spec(ExecutorSpec, dump_spec(spec), substitute=False) == spec


IDENTIFIERS = st.sampled_from(["a", "b", "enc", "Index", "_x", "été"])
PLACES = st.lists(IDENTIFIERS | st.just("gateway"), min_size=1, max_size=3)
SERVERS = {
    "port": PORTS,
    "protocol": PROTOCOLS,
    "title": TEXT,
    "cors": st.booleans(),
    "prefetch": st.integers(0, 10**6),
    "no_debug_endpoints": st.booleans(),
    "expose_endpoints": st.dictionaries(TEXT, st.dictionaries(TEXT, VALUES, max_size=2), max_size=2),
    "timeout_send": st.integers(0, 10**9) | st.floats(0, 1e6),
    "retries": st.integers(-1, 5),
    "compression": st.sampled_from(["NoCompression", "gzip", "Deflate"]),
    "env": st.dictionaries(TEXT.filter(lambda name: name and not {"=", "\0"} & {*name}), TEXT, max_size=2),
}
FLOWS = st.fixed_dictionaries(
    {},
    optional={
        **SERVERS,
        "name": NAMES,
        "inspect": st.sampled_from(["COLLECT", "hang", "Remove"]),
        "replicas": st.integers(1, 5),
        "workspace": TEXT,
        "asyncio": st.booleans(),
    },
)
GATEWAYS = st.fixed_dictionaries({}, optional={**SERVERS, "uses": NAMES, "uses_with": MAPPINGS})
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "name": IDENTIFIERS,
        "uses": NAMES.map(lambda name: f"x{name}") | st.just({"jtype": "X", "with": {"a": 1}}),
        "uses_with": MAPPINGS,
        "replicas": st.integers(1, 5),
        "when": st.dictionaries(TEXT, st.dictionaries(TEXT, VALUES, max_size=2), max_size=2),
        "floating": st.booleans(),
        "disable_reduce": st.booleans(),
        "grpc_metadata": st.dictionaries(TEXT, TEXT, max_size=2),
        "timeout_ready": st.integers(0, 10**9) | st.just(-1),
    },
)
METHODS = st.sampled_from(["add", "add", "add", "needs", "needs_all", "inspect", "gather_inspect"])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(FLOWS, st.none() | GATEWAYS, st.lists(st.tuples(METHODS, STEPS, PLACES), max_size=5))
def test_a_flow_is_read_as_it_was_written(options, gateway, steps):
    flow = parse(FlowSpec, options)
    flow = flow if gateway is None else with_gateway(flow, **gateway)
    for method, step, needs in steps:
        place = {"needs": needs} if method in {"add", "needs"} else {}
        with contextlib.suppress(FlowTopologyError):  # a place that cannot be
            flow = with_step(flow, method, **step, **place)
    again = load_spec(FlowSpec, dump_spec(flow), substitute=False)
    assert again == flow
    assert again.steps == flow.steps
    assert again.front == flow.front
    assert dump_spec(again) == dump_spec(flow)
    assert graph_of(again) == graph_of(flow)


def graph_of(flow):
    try:
        return [(node.name, node.kind, node.needs, node.floating) for node in topology_of(flow).nodes]
    except ConfigError as error:
        return type(error)


@settings(max_examples=40, deadline=None)
@given(GATEWAYS)
def test_a_gateway_is_read_as_it_was_written(options):
    spec = parse(GatewaySpec, options)
    assert load_spec(GatewaySpec, dump_spec(spec), substitute=False) == spec
