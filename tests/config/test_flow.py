import inspect
import time

import pytest

from jina.config import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec, parse
from jina.config.base import default_of, descriptions
from jina.config.changes import set_at_gateway, with_gateway, with_step
from jina.config.signature import signature_of
from jina.errors import ConfigError, FlowTopologyError, NotSupportedError

GATEWAY_OF_JINA_3 = {
    "name": "gateway", "host": "0.0.0.0", "port": None, "protocol": "grpc", "uses": None, "uses_with": None,
    "py_modules": None, "replicas": 1, "prefetch": 1000, "title": None, "description": None, "cors": False,
    "uvicorn_kwargs": None, "ssl_certfile": None, "ssl_keyfile": None, "no_debug_endpoints": False,
    "no_crud_endpoints": False, "apis": [], "expose_endpoints": None, "expose_graphql_endpoint": False, "proxy": False,
    "grpc_server_options": None, "grpc_channel_options": None, "graph_description": {}, "graph_conditions": {},
    "deployments_addresses": {}, "deployments_metadata": {}, "deployments_no_reduce": [], "compression": None,
    "timeout_send": None, "timeout_ctrl": 60, "retries": -1, "timeout_ready": 600000, "env": None,
    "env_from_secret": None, "image_pull_secrets": None, "reload": False, "monitoring": False,
    "port_monitoring": None, "tracing": False, "traces_exporter_host": None, "traces_exporter_port": None,
    "metrics": False, "metrics_exporter_host": None, "metrics_exporter_port": None, "entrypoint": None,
    "docker_kwargs": None, "provider": "NONE", "workspace": None, "log_config": "default", "quiet": False,
    "quiet_error": False, "runtime_cls": "GatewayRuntime", "pod_role": "GATEWAY", "shard_id": 0, "replica_id": 0,
}  # fmt: skip
FLOW_OF_JINA_3 = {
    "name": "flow", "workspace": None, "log_config": "default", "quiet": False, "quiet_error": False,
    "workspace_id": None, "uses": None, "reload": False, "env": None, "inspect": "COLLECT",
    "suppress_root_logging": False, "asyncio": False, "host": "0.0.0.0", "port": None, "protocol": "grpc",
    "tls": False, "prefetch": 1000, "proxy": False, "reuse_session": False, "grpc_channel_options": None,
    "replicas": 1, "shards": 1, "polling": "ANY", "timeout_ready": 600000, "monitoring": False, "tracing": False,
    "metrics": False, "cors": False, "title": None, "no_debug_endpoints": False, "expose_endpoints": None,
    "timeout_send": None, "retries": -1, "compression": None, "no_reduce": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("JINA_DEFAULT_HOST", "JINA_DEFAULT_TIMEOUT_CTRL", "JINA_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def problem(call, /, *args, error=ConfigError, **options):
    with pytest.raises(ConfigError) as caught:
        call(*args, **options)
    assert type(caught.value) is error
    return str(caught.value)


def names(flow):
    return [step.name for step in flow.executors]


def added(*steps):
    flow = FlowSpec()
    for options in steps:
        flow = with_step(flow, **options)
    return flow


def test_every_option_of_a_gateway_of_jina_3_with_its_default():
    fields = GatewaySpec.model_fields
    assert {name: default_of(fields[name]) for name in GATEWAY_OF_JINA_3} == GATEWAY_OF_JINA_3


def test_options_of_a_flow_with_the_defaults_of_jina_3():
    fields = FlowSpec.model_fields
    assert {name: default_of(fields[name]) for name in FLOW_OF_JINA_3} == FLOW_OF_JINA_3


@pytest.mark.parametrize("model", [FlowSpec, GatewaySpec, StepSpec])
def test_every_option_has_a_text_that_ends_as_a_sentence(model):
    texts = descriptions(model)
    assert set(texts) == set(model.model_fields)
    assert all(text.endswith(".") for text in texts.values())


def test_a_flow_is_not_given_its_steps_as_options():
    parameters = inspect.Signature.from_callable(lambda: None).parameters | dict(signature_of(FlowSpec).parameters)
    assert not {"executors", "gateway"} & set(parameters)
    assert {"port", "inspect", "prefetch"} <= set(parameters)
    assert "method" not in signature_of(StepSpec).parameters
    for option in ("executors", "gateway"):
        text = problem(parse, FlowSpec, {option: []})
        assert text == f"Flow: {option}: [] is not an option: call config_gateway or add instead"
    assert "did you mean 'executors'" not in problem(parse, FlowSpec, {"executor": 1})


def test_json_is_taken_where_jina_3_took_json():
    spec = parse(
        GatewaySpec,
        {
            "expose_endpoints": '{"/foo": {"methods": ["POST"]}}',
            "graph_description": '{"start-gateway": ["a"]}',
            "deployments_no_reduce": '["a"]',
        },
    )
    assert spec.expose_endpoints == {"/foo": {"methods": ["POST"]}}
    assert spec.graph_description == {"start-gateway": ["a"]}
    assert spec.deployments_no_reduce == ["a"]
    assert "is not JSON" in problem(parse, GatewaySpec, {"expose_endpoints": "{oops"})


def test_steps_are_added_to_a_copy():
    empty = FlowSpec()
    flow = with_step(with_step(empty, uses="A"), uses="B", needs="gateway")
    assert names(empty) == []
    assert [(step.name, step.uses, step.needs) for step in flow.executors] == [
        ("executor0", "A", None), ("executor1", "B", ["gateway"]),
    ]  # fmt: skip


def test_names_that_are_taken_get_a_number():
    flow = added({"name": "q"}, {"name": "q"}, {"name": "q1"}, {}, {"name": "executor3"})
    assert names(flow) == ["q", "q1", "q12", "executor3", "executor34"]


def test_default_names_of_the_ways_of_adding():
    flow = with_step(with_step(FlowSpec(), "inspect"), "needs", needs=["a", "b"])
    flow = with_step(with_step(flow, "needs_all"), "gather_inspect")
    assert names(flow) == ["inspect", "joiner", "joiner3", "gather_inspect"]
    assert names(with_step(flow)) == [*names(flow), "executor5"]  # an inspection counts twice, as in Jina 3


def test_a_deployment_as_a_step():
    alone = parse(DeploymentSpec, {"uses": "X", "replicas": 2, "needs": "gateway"}).in_folder("/somewhere")
    step = with_step(FlowSpec(), "add", alone, replicas=3).executors[0]
    assert (step.name, step.uses, step.replicas, step.needs, step.folder) == (
        "executor", "X", 3, ["gateway"], "/somewhere",
    )  # fmt: skip
    assert names(with_step(FlowSpec(), "add", parse(DeploymentSpec, {"name": "shop"}))) == ["shop"]
    assert "shop-1 is invalid" in problem(with_step, FlowSpec(), "add", parse(DeploymentSpec, {"name": "shop-1"}))


def test_mistakes_name_the_method():
    flow = FlowSpec()
    assert problem(with_step, flow, replicass=2) == "Flow.add: unknown option 'replicass', did you mean 'replicas'?"
    assert problem(with_step, flow, name="a", needs="a", error=FlowTopologyError) == (
        "Flow.add: needs: the income/output of a deployment can not be itself"
    )
    assert problem(with_step, flow, "needs", needs=["a"], error=FlowTopologyError) == (
        "Flow.needs: needs: no need to wait for a single service, need len(needs) > 1"
    )
    assert problem(with_step, flow, method="needs") == "Flow.add: unknown option 'method'"
    assert problem(with_step, flow, "need").startswith("Flow.need: method: 'need' is not one of add, needs")
    text = problem(with_step, flow, shard_id=2, error=NotSupportedError)
    assert text.startswith("Flow.add: shard_id: 2 is not available yet; Deployment(...) and Flow.add(...) decide it")
    assert problem(with_gateway, flow, prot="grpc") == (
        "Flow.config_gateway: unknown option 'prot', did you mean 'protocol'?"
    )


def test_what_is_given_to_the_gateway_adds_up():
    flow = with_gateway(with_gateway(FlowSpec(), port=5, title="T"), ports=6, cors=True)
    assert (flow.gateway.port, flow.gateway.title, flow.gateway.cors) == (6, "T", True)
    assert flow.gateway.model_fields_set == {"port", "title", "cors"}


def test_the_front_has_the_options_of_the_flow_and_its_own_before_them():
    flow = parse(FlowSpec, {"port": 5, "title": "T", "replicas": 3, "env": {"A": 1}, "name": "f"})
    front = with_gateway(flow, title="U", uses="G").front
    assert (front.port, front.title, front.uses, front.replicas, front.env, front.name) == (
        5, "U", "G", 1, {"A": "1"}, "gateway",
    )  # fmt: skip


def test_the_steps_have_the_options_of_the_flow_where_they_say_nothing():
    flow = parse(FlowSpec, {"replicas": 2, "protocol": "http", "port": 5, "no_reduce": True, "grace": 3})
    flow = with_step(with_step(flow, name="a", replicas=1), name="b")
    assert [(step.replicas, step.protocol, step.port, step.no_reduce, step.grace) for step in flow.steps] == [
        (1, "grpc", None, True, 3), (2, "grpc", None, True, 3),
    ]  # fmt: skip
    assert [step.replicas for step in flow.executors] == [1, 1]


def test_replicas_of_the_flow_are_not_those_of_external_steps():
    flow = with_step(parse(FlowSpec, {"replicas": 2, "tls": True}), external=True, host="a", port=5)
    assert flow.steps[0].targets == [("grpc", "a", 5, True)]


def test_flows_are_equal_when_they_ask_for_the_same():
    one, other = added({"name": "a"}, {"name": "b"}), added({"name": "a"}, {"name": "b"})
    assert one == other
    assert one != added({"name": "a"}, {"name": "c"})
    assert one.executors[0] == other.executors[0].at("flow.yml:3")
    assert one != one.in_folder("/elsewhere")
    assert one != "flow"


def test_hundreds_of_steps_are_added_fast():
    added({})
    before = time.process_time()
    flow = added(*({"name": f"n{number}", "needs": "gateway"} for number in range(200)))
    assert len(flow.steps) == 200
    assert time.process_time() - before < 0.4


def test_ports_of_the_gateway_count_with_protocols_of_the_flow():
    flow = with_gateway(parse(FlowSpec, {"protocol": ["grpc", "http"]}), port=[1, 2])
    assert flow.gateway.model_fields_set == {"port"}
    assert (flow.front.protocols, flow.front.ports) == (["grpc", "http"], [1, 2])
    flow = with_gateway(parse(FlowSpec, {"port": [1, 2]}), protocol=["grpc", "http"])
    assert flow.gateway == parse(GatewaySpec, {"protocol": ["grpc", "http"]})
    assert (flow.front.protocols, flow.front.ports) == (["grpc", "http"], [1, 2])
    with pytest.raises(ConfigError, match=r"3 ports for 2 protocol"):
        with_gateway(parse(FlowSpec, {"protocol": ["grpc", "http"]}), port=[1, 2, 3])


def test_one_option_of_the_gateway_is_validated_alone():
    flow = set_at_gateway(FlowSpec(), "port", [1, 2])
    assert flow.gateway.model_fields_set == {"port"}
    assert set_at_gateway(flow, "protocol", ["grpc", "http"]).front.protocols == ["grpc", "http"]
    with pytest.raises(ConfigError, match="Flow: port: 'x' is not a port"):
        set_at_gateway(flow, "port", "x")
