import ast
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

import jina
from jina.config import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec, parse
from jina.config.base import default_of
from jina.config.changes import with_step
from jina.config.options import ServiceOptions
from jina.config.rules import CONTAINER_OPTIONS, IMAGE_SCHEMES, RULES, SANDBOX_SCHEMES, UNAVAILABLE
from jina.errors import BadYAMLVersion, ConfigError, FlowTopologyError, MissingExtra, NotSupportedError, install_command

TESTED: dict[str, str] = {
    "ports_match_protocols": "test_ports_match_protocols",
    "ports_differ": "test_ports_differ",
    "protocols_differ": "test_protocols_differ",
    "websocket_is_installed": "test_websocket_is_installed",
    "grpc_options_have_an_effect": "test_grpc_options_have_an_effect",
    "certificate_and_key": "test_certificate_and_key",
    "authorities_need_certificate": "test_authorities_need_certificate",
    "tls_needs_certificate": "test_tls_needs_certificate",
    "name_is_usable": "test_name_is_usable",
    "one_host": "test_one_host",
    "uses_is_given": "test_uses_is_given",
    "uses_scheme_is_available": "test_uses_scheme_is_available",
    "container_options_need_an_image": "test_container_options_need_an_image",
    "images_do_not_change": "test_images_do_not_change",
    "secrets_have_name_and_key": "test_secrets_have_name_and_key",
    "is_available": "test_is_available",
    "address_is_whole": "test_address_is_whole",
    "address_says_it_once": "test_address_says_it_once",
    "clients_do_not_count": "test_clients_do_not_count",
    "version_is_known": "test_version_is_known",
    "targets_fit": "test_targets_fit",
    "external_steps_speak_grpc": "test_external_steps_speak_grpc",
    "names_are_not_resolved_all_the_time": "test_names_are_not_resolved_all_the_time",
    "name_is_identifier": "test_name_is_identifier",
    "needs_is_a_place": "test_needs_is_a_place",
    "shards_are_started": "test_shards_are_started",
    "shards_have_no_port": "test_shards_have_no_port",
    "gateway_is_in_front": "test_gateway_is_in_front",
    "gateway_serves_http": "test_the_gateway_has_the_http_face",
    "gateway_computes_nothing": "test_gateway_computes_nothing",
    "gateway_is_no_copy": "test_gateway_is_no_copy",
    "gateway_is_not_reloaded": "test_gateway_is_not_reloaded",
    "flow_yaml_is_loaded": "test_flow_yaml_is_loaded",
    "flow_ports_match_protocols": "test_flow_ports_match_protocols",
    "raft_configuration_fits": "test_raft_configuration_fits",
    "stateful_options_are_for_stateful": "test_stateful_options_are_for_stateful",
    "peer_ports_match_replicas": "test_peer_ports_match_replicas",
    "stateful_runs_here": "test_stateful_runs_here",
    "raft_peers_are_addresses": "test_raft_peers_are_addresses",
    "raft_peers_have_a_key": "test_raft_peers_have_a_key",
    "replica_is_one_of_them": "test_replica_is_one_of_them",
    "autoscale_fits": "test_autoscale_fits",
    "step_ports_are_fixed": "test_step_ports_are_fixed",
    "gateway_autoscale_fits": "test_gateway_autoscale_fits",
}


def problem(model=DeploymentSpec, error=ConfigError, /, **options):
    with pytest.raises(error) as caught:
        parse(model, options)
    assert type(caught.value) is error
    return str(caught.value)


def test_every_rule_has_a_test():
    assert {rule.__name__ for rules in RULES.values() for rule in rules} == set(TESTED)
    assert set(TESTED.values()) <= set(globals())


def test_websocket_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets", None)
    for model in (DeploymentSpec, GatewaySpec, FlowSpec):
        assert problem(model, MissingExtra, protocol=["http", "websocket"]).endswith(
            f": protocol: WebSocket needs websockets, which is not installed: {install_command('websockets')}"
        )
        parse(model, {"protocol": ["http", "grpc"]})


def test_ports_match_protocols():
    assert problem(port=[1, 2]) == (
        "Deployment: port: 2 ports for 1 protocol(s) (grpc); each protocol is served on one port"
    )
    assert parse(DeploymentSpec, {"port": 1, "protocol": ["grpc", "http"]}).ports == [1]


def test_raft_configuration_fits():
    assert problem(stateful=True, raft_configuration={"no": 1}) == "Deployment: raft_configuration: there is no 'no'"
    parse(DeploymentSpec, {"stateful": True, "raft_configuration": {"heartbeat_timeout": 1500}})


def test_stateful_options_are_for_stateful():
    assert problem(peer_ports=[1]) == "Deployment: peer_ports: is for stateful=True"
    assert problem(consistency="session") == "Deployment: consistency: is for stateful=True"


def test_peer_ports_match_replicas():
    stateful = {"stateful": True, "replicas": 2}
    assert problem(**stateful, peer_ports=[1]) == "Deployment: peer_ports: 1 ports for 2 replica(s)"
    assert problem(**stateful, peer_ports={"0": [1, 1]}) == "Deployment: peer_ports: a port is given twice"
    assert "each shard has ports of its own" in problem(**stateful, shards=2, peer_ports=[1, 2])
    words = problem(**stateful, shards=2, peer_ports={"0": [1, 2], "2": [3, 4]})
    assert words == "Deployment: peer_ports: is for the shards 0, 2; there are 0, 1"
    parse(DeploymentSpec, {**stateful, "peer_ports": [1, 2]})
    parse(DeploymentSpec, {**stateful, "shards": 2, "peer_ports": {0: [1, 2], "1": [3, 4]}})
    parse(DeploymentSpec, {"stateful": True, "shards": 2, "peer_ports": {"0": 1, "1": 2}})


def test_raft_peers_are_addresses():
    peers = ["a:1", "b:1", "[::1]:2"]
    assert problem(raft_peers=peers) == "Deployment: raft_peers: is for stateful=True"
    assert problem(stateful=True, raft_peers=["a"], **KEY) == "Deployment: raft_peers: 'a' is not host:port"
    assert problem(stateful=True, raft_peers=["grpc://a:1"], **KEY).endswith("'grpc://a:1' is not host:port")
    assert problem(stateful=True, raft_peers=["a:0"], **KEY).endswith("0 is not a port (1 to 65535)")
    assert problem(stateful=True, raft_peers=["a:1", "a:1"], **KEY).endswith("an address is given twice")
    assert problem(stateful=True, raft_peers=[], **KEY).endswith("raft_peers: is empty")
    assert problem(stateful=True, raft_peers=peers, replicas=2, **KEY).endswith("3 addresses for 2 replica(s)")
    assert problem(stateful=True, raft_peers=peers, peer_ports=[1], **KEY).endswith("the ports are in raft_peers")
    assert "shards: is not for replicas that are started" in problem(stateful=True, raft_peers=peers, shards=2, **KEY)
    parse(DeploymentSpec, {"stateful": True, "raft_peers": peers, "replicas": 3, "replica_id": 2, **KEY})


KEY = {"raft_key_file": "group.key"}


def test_raft_peers_have_a_key():
    words = problem(stateful=True, raft_peers=["a:1", "b:1"])
    assert "raft_peers: agents prove to each other who they are: give raft_key_file" in words
    assert "openssl rand -hex 32" in words
    parse(DeploymentSpec, {"stateful": True, "raft_peers": ["a:1"], **KEY})
    parse(DeploymentSpec, {"stateful": True, "raft_peers": ["a:1"], "ssl_certfile": "c", "ssl_keyfile": "k"})
    assert problem(raft_key_file="x") == "Deployment: raft_key_file: is for stateful=True"


def test_replica_is_one_of_them():
    words = "replica_id: 1: there are 1 raft_peers, counted from 0"
    assert problem(stateful=True, raft_peers=["a:1"], replica_id=1, **KEY) == f"Deployment: {words}"
    assert "needs raft_peers" in problem(stateful=True, replica_id=1)


def test_stateful_runs_here():
    assert "which keeps its own state" in problem(stateful=True, external=True)


def test_autoscale_fits():
    bounds = {"min": 1, "max": 4}
    assert parse(DeploymentSpec, {"autoscale": ["min=0", "max=4", "target_wait=100ms"]}).autoscale == {
        "min": 0, "max": 4, "target_wait": 0.1,
    }  # fmt: skip
    assert problem(autoscale={"min": 1}) == "Deployment: autoscale: max is missing: how many replicas there may be"
    assert "min (5) is above max (4)" in problem(autoscale={"min": 5, "max": 4})
    assert "target_wait has to be above 0" in problem(autoscale={"max": 4, "target_wait": 0})
    assert "autoscale: unknown option 'maks'" in problem(autoscale={"maks": 4})
    assert problem(autoscale=bounds, stateful=True) == (
        "Deployment: autoscale: is not for stateful=True: its replicas hold the state: change their number by scale() "
        "or add_replica()"
    )
    assert "is not for shards=2: each holds a part of the data" in problem(autoscale=bounds, shards=2)
    assert "is not for uses_after='x': make it a Deployment of its own" in problem(autoscale=bounds, uses_after="x")
    assert "it runs elsewhere, and has to be scaled there" in problem(autoscale=bounds, external=True, port=1)
    assert "leave it out" in problem(autoscale=bounds, include_gateway=False)
    assert "replicas: 5 is not between min and max of autoscale" in problem(autoscale=bounds, replicas=5)
    parse(DeploymentSpec, {"autoscale": bounds, "replicas": 2})


def test_step_ports_are_fixed():
    assert "reached through the Flow's gateway: leave it out" in problem(StepSpec, autoscale={"max": 2}, port=5000)
    parse(DeploymentSpec, {"autoscale": {"max": 2}, "port": 5000})


def test_gateway_autoscale_fits():
    given = {"deployments_autoscale": {"a": {"min": 3, "max": 2}}}
    assert problem(GatewaySpec, **given) == "Gateway: deployments_autoscale: a: min (3) is above max (2)"
    assert "max is missing" in problem(GatewaySpec, deployments_autoscale='{"a": {"min": 3}}')


def test_ports_differ():
    assert problem(port=[5, 5], protocol=["http", "websocket"]) == (
        "Deployment: port: 5 is given twice; each protocol needs a port of its own"
    )


def test_protocols_differ():
    assert problem(protocol=["http", "HTTP"]) == "Deployment: protocol: 'http' is given twice"


@pytest.mark.parametrize("model", [DeploymentSpec, GatewaySpec, FlowSpec])
def test_grpc_options_have_an_effect(model):
    def said(**options):
        return problem(model, grpc_server_options=options).partition(": ")[2]

    assert said(**{"grpc.max_concurrent_stream": 5}) == (
        "grpc_server_options: 'grpc.max_concurrent_stream' has no effect here;"
        " did you mean 'grpc.max_concurrent_streams'?"
    )
    assert said(**{"grpc.so_reuseport": 1}).startswith(
        "grpc_server_options: 'grpc.so_reuseport' has no effect here; leave it out; those with an effect are"
        " grpc.max_concurrent_streams, "
    )
    for wrong in (0, -1, "many", 1.5, None):
        assert said(**{"grpc.max_concurrent_streams": wrong}) == (
            f"grpc_server_options: 'grpc.max_concurrent_streams' is a whole number from 1 on, not {wrong!r}"
        )
    for right in (1, 100, "100"):
        assert parse(model, {"grpc_server_options": {"grpc.max_concurrent_streams": right}})


def test_certificate_and_key():
    assert problem(ssl_certfile="c.pem").startswith("Deployment: ssl_certfile: needs 'ssl_keyfile'")
    assert problem(ssl_keyfile="k.pem").startswith("Deployment: ssl_keyfile: needs 'ssl_certfile'")
    assert parse(DeploymentSpec, {"ssl_certfile": "c", "ssl_keyfile": "k"}).ssl_keyfile == "k"


def test_authorities_need_certificate():
    assert problem(ssl_ca_certs="ca.pem") == (
        "Deployment: ssl_ca_certs: needs 'ssl_certfile': without TLS no client can show a certificate"
    )
    assert "needs 'ssl_certfile'" in problem(GatewaySpec, ssl_ca_certs="ca.pem")
    assert parse(DeploymentSpec, {"ssl_ca_certs": "ca", "external": True, "port": 1, "tls": True}).ssl_ca_certs == "ca"
    files = {"ssl_ca_certs": "ca", "ssl_certfile": "c", "ssl_keyfile": "k"}
    assert parse(FlowSpec, files).ssl_ca_certs == "ca"
    assert parse(ClientSpec, {"ssl_ca_certs": "ca"}).ssl_ca_certs == "ca"


def test_tls_needs_certificate():
    assert "to serve by TLS give 'ssl_certfile'" in problem(tls=True)
    assert parse(DeploymentSpec, {"tls": True, "ssl_certfile": "c", "ssl_keyfile": "k"}).tls


@pytest.mark.parametrize("name", ["", " x", "a/b", "a\\b", "a\nb", ".", "..", "ä" * 101])
def test_name_is_usable(name):
    assert "must be printable, not empty, and without slashes or outer spaces" in problem(name=name)


def test_one_host():
    assert "several hosts name an external Deployment" in problem(host=["a", "b"])
    assert problem(host="grpc://a") == (
        "Deployment: host: 'grpc://a': a server takes a plain host; give 'protocol' and 'port'"
    )
    assert "give 'protocol' and 'port'" in problem(host="a:80")
    assert "is not host, host:port" in problem(host="a b")
    for host in ("::1", "127.0.0.1", "localhost"):
        assert parse(DeploymentSpec, {"host": host}).hosts == [host]


@pytest.mark.parametrize("uses", [3, b"x", object(), ["x"]])
def test_uses_is_given(uses):
    assert "is not an Executor class, import path, YAML, mapping or URL" in problem(uses=uses)
    assert parse(DeploymentSpec, {"uses": MappingProxyType({"jtype": "X"})}).uses["jtype"] == "X"
    assert problem(uses=" ") == "Deployment: uses: is empty"


@pytest.mark.parametrize("scheme", sorted(SANDBOX_SCHEMES))
def test_uses_scheme_is_available(scheme):
    plain = scheme.removesuffix("+sandbox")
    assert problem(DeploymentSpec, NotSupportedError, uses=f"{scheme}://x/y") == (
        f"Deployment: uses: '{scheme}://' is not available: there is no cloud that runs it;"
        f" take the package, {plain}://, or its image, {plain}+docker://"
    )
    assert "no cloud" in problem(GatewaySpec, NotSupportedError, uses=f"{scheme}://x/y")


@pytest.mark.parametrize("scheme", sorted(IMAGE_SCHEMES))
def test_images_do_not_change(scheme):
    assert parse(DeploymentSpec, {"uses": f"{scheme}://x/y", "volumes": ["a:/b"]}).volumes == ["a:/b"]
    assert parse(GatewaySpec, {"uses": f"{scheme}://x/y", "entrypoint": "x"}).entrypoint == "x"
    assert "an image does not change" in problem(uses=f"{scheme}://x/y", reload=True)
    assert "in the network of this machine" in problem(
        uses=f"{scheme}://x/y", stateful=True, force_network_mode="BRIDGE"
    )


@pytest.mark.parametrize("wrong", [{"name": "vault"}, {"name": "..", "key": "a"}, {"name": "a/b", "key": "c"}, "vault"])
def test_secrets_have_name_and_key(wrong):
    assert parse(DeploymentSpec, {"uses": "docker://x", "env_from_secret": {"A": {"name": "a", "key": "b.c"}}})
    for spec, others in ((DeploymentSpec, {"uses": "docker://x"}), (GatewaySpec, {}), (FlowSpec, {})):
        text = problem(spec, **others, env_from_secret={"A": wrong})
        assert f"env_from_secret: A: write {{'name': SECRET, 'key': KEY}}, not {wrong!r}" in text


@pytest.mark.parametrize("option", CONTAINER_OPTIONS)
def test_container_options_need_an_image(option):
    text = problem(DeploymentSpec, NotSupportedError, **{option: SAMPLES[option]})
    assert text == f"Deployment: {option}: {CONTAINER_OPTIONS[option]}"
    if option != "env_from_secret":  # exported gateways have it
        told = problem(GatewaySpec, NotSupportedError, **{option: SAMPLES[option]})
        assert "gateway, which runs as a process" in told
    # Of a Flow they are defaults of its Deployments, one of which may be an image.
    assert parse(FlowSpec, {option: SAMPLES[option]})
    assert parse(DeploymentSpec, {option: SAMPLES[option], "uses": "docker://x"})
    assert parse(DeploymentSpec, {option: SAMPLES[option], "shards": 2, "uses_after": "docker://x"})
    assert parse(DeploymentSpec, {option: SAMPLES[option], "external": True, "port": 1})


SAMPLES = {
    "expose_graphql_endpoint": True,
    "monitoring": True, "port_monitoring": 9090, "tracing": True, "traces_exporter_host": "h",
    "traces_exporter_port": 1, "metrics": True, "metrics_exporter_host": "h", "metrics_exporter_port": 1,
    "log_config": "x", "provider": "sagemaker", "provider_endpoint": "x", "reload": True,
    "entrypoint": "x", "docker_kwargs": {"a": 1}, "volumes": ["x"], "gpus": "all",
    "disable_auto_volume": True, "force_network_mode": "HOST", "prefer_platform": "linux/amd64",
    "runtime_cls": "Other", "pod_role": "HEAD", "deployment_role": "JOIN",
    "shard_id": 1, "uses_before_address": "a", "uses_after_address": "a",
    "connection_list": {"0": "a"}, "env_from_secret": {"TOKEN": {"name": "a", "key": "b"}},
}  # fmt: skip


@pytest.mark.parametrize("option", UNAVAILABLE)
def test_is_available(option):
    for model in (DeploymentSpec, GatewaySpec, FlowSpec):
        if option not in model.model_fields:
            continue
        text = problem(model, NotSupportedError, **{option: SAMPLES[option]})
        assert text.startswith(f"{model.__name__.removesuffix('Spec')}: {option}: ")
        assert text.endswith(f"not available yet; {UNAVAILABLE[option]}")
        assert parse(model, {option: default_of(model.model_fields[option])})


EMPTY = {
    "docker_kwargs": {}, "volumes": [], "entrypoint": "", "prefer_platform": "", "k8s_namespace": "",
    "env_from_secret": {}, "image_pull_secrets": [], "uses_before_address": "", "uses_after_address": "",
    "connection_list": {}, "provider_endpoint": "", "disable_auto_volume": False, "force_update": False,
    "deployment_role": "", "pod_role": "", "runtime_cls": "",
}  # fmt: skip


@pytest.mark.parametrize("option", EMPTY)
def test_an_empty_value_of_what_is_not_available_asks_for_nothing(option):
    for model in (DeploymentSpec, GatewaySpec, FlowSpec):
        if option in model.model_fields:
            assert parse(model, {option: EMPTY[option]})
            assert parse(model, {option: None})


@pytest.mark.parametrize(
    ("model", "option", "owner"),
    [
        (DeploymentSpec, "prefetch", "of the gateway: Flow(...) or Flow.config_gateway(...)"),
        (DeploymentSpec, "graph_description", "of the gateway: Flow.config_gateway(...)"),
        (DeploymentSpec, "inspect", "of a Flow: Flow(...)"),
        (DeploymentSpec, "results_in_order", ""),
        (GatewaySpec, "shards", "of a Deployment: Deployment(...) or Flow.add(...)"),
        (FlowSpec, "uses_with", "of a Deployment: Deployment(...) or Flow.add(...)"),
        (ClientSpec, "replicas", "of a Deployment: Deployment(...) or Flow.add(...)"),
        (ExecutorSpec, "replicas", "of a Deployment: Deployment(...) or Flow.add(...)"),
        (DeploymentSpec, "upload_files", ""),
    ],
)
def test_an_unknown_option_names_where_it_belongs(model, option, owner):
    text = problem(model, **{option: 1})
    assert text.endswith(f"unknown option '{option}'" + (f": it is an option {owner}" if owner else ""))


@pytest.mark.slow
def test_every_error_about_what_is_not_supported_says_what_to_do_instead():
    root = Path(jina.__file__).parent
    without = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sorted(root.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("NotSupportedError")
        if "help" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not without


def test_shards_are_started():
    words = "is for Executors that are started here, not for an external one"
    for option, value in (("shards", 2), ("uses_before", "X"), ("uses_after", "X")):
        assert problem(external=True, port=1, **{option: value}) == f"Deployment: {option}: {words}"
    assert parse(DeploymentSpec, {"external": True, "port": 1, "shards": 1}).shards == 1


def test_shards_have_no_port():
    step = with_step(parse(FlowSpec, {}), shards=2).executors[0]
    assert step.shards == 2
    for options in ({"shards": 2}, {"uses_before": "X"}, {"uses_after": "X"}):
        with pytest.raises(ConfigError, match="port: the shards of a step are reached through the Flow's gateway"):
            with_step(parse(FlowSpec, {}), port=1, **options)
    assert parse(DeploymentSpec, {"shards": 2, "port": 1}).ports == [1]


def test_gateway_is_in_front():
    assert problem(gateway="x", external=True, port=1).endswith("runs elsewhere, with its own gateway; leave it out")
    assert problem(gateway="x", include_gateway=False).endswith("'gateway' needs one; leave out one of them")
    assert problem(gateway="x", name="gateway").endswith("is the name of the gateway in front; choose another")
    assert parse(DeploymentSpec, {"gateway": "x"}).gateway == {"uses": "x"}
    given = {"uses": "x", "uses_with": {"a": 1}, "py_modules": "x.py"}
    assert parse(DeploymentSpec, {"gateway": given}).front.py_modules == ["x.py"]


def test_the_gateway_has_the_http_face():
    for option, value in (("gateway", "x"), ("expose_endpoints", {"/a": {}}), ("no_crud_endpoints", True)):
        with pytest.raises(ConfigError, match=f"Flow.add: {option}: in a Flow it is an option of the gateway"):
            with_step(parse(FlowSpec, {}), **{option: value})
    step = with_step(parse(FlowSpec, {"expose_endpoints": {"/a": {}}}), uses="X")
    assert step.steps[0].expose_endpoints is None
    assert step.front.expose_endpoints == {"/a": {}}


def test_gateway_computes_nothing():
    assert problem(GatewaySpec, gpus=1).endswith("gpus: is for Deployments; a gateway only passes requests on")
    assert parse(FlowSpec, {"gpus": 1}).gpus == 1  # the default of its Deployments


def test_what_jina_3_set_itself_is_accepted_where_it_asks_for_what_happens_anyway():
    options = {"native": True, "noblock_on_start": True, "workspace_id": "abc", "include_gateway": False}
    spec = parse(DeploymentSpec, options)
    assert (spec.native, spec.include_gateway) == (True, False)
    assert set(ServiceOptions.INTERNAL.names) - set(UNAVAILABLE) == {"native", "noblock_on_start", "workspace_id"}


def test_a_real_mistake_beside_what_is_not_available_is_a_mistake():
    lines = problem(port=[1, 2], shard_id=2).splitlines()
    assert lines[1].startswith("  Deployment: port: ")
    assert lines[2] == f"  Deployment: shard_id: 2 is not available yet; {UNAVAILABLE['shard_id']}"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (
            "htp://x",
            "unknown scheme 'htp', not one of grpc, grpcs, http, https, ws, wss, websocket, did you mean 'http'?",
        ),
        ("grpc://", "'grpc://' is not host, host:port or scheme://host:port"),
        ("http://a/b", "'http://a/b' is not host, host:port or scheme://host:port"),
        ("a:99999", "99999 is not a port (1 to 65535)"),
        ("http://u@h", "'http://u@h' is not host, host:port or scheme://host:port"),
    ],
)
def test_address_is_whole(host, words):
    assert problem(ClientSpec, host=host) == f"Client: host: {words}"


@pytest.mark.parametrize(
    ("host", "option", "value"),
    [
        ("grpc://h:5", "port", 5),
        ("h:5", "port", 6),
        ("grpc://h", "protocol", "grpc"),
        ("grpcs://h", "tls", True),
        ("grpc://h", "tls", False),
    ],
)
def test_address_says_it_once(host, option, value):
    assert problem(ClientSpec, **{"host": host, option: value}) == (
        f"Client: {option}: the host {host!r} says it already; there can't be two definitions"
    )


def test_version_is_known():
    assert problem(ExecutorSpec, BadYAMLVersion, jtype="X", version="99") == (
        "Executor: version: '99' is not a valid version number; there is '1'"
    )
    assert parse(ExecutorSpec, {"jtype": "X", "version": 1}).version == "1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "port: missing: where to connect to on '0.0.0.0'"),
        ({"host": ["a", "b", "c"], "port": [1, 2]}, "host: Number of hosts (3) does not match the number of"),
        ({"host": ["a", "b"], "port": 1, "replicas": 3}, "host: Number of hosts (2) does not match"),
        ({"host": "grpc://a:5", "port": 6}, "port: the host 'grpc://a:5' says it already"),
        ({"host": "gprc://a:5"}, "host: unknown scheme 'gprc'"),
    ],
)  # fmt: skip
def test_targets_fit(options, words):
    assert problem(external=True, **options).startswith(f"Deployment: {words}")


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"port": 5}, [("grpc", "0.0.0.0", 5, False)]),
        ({"host": "grpcs://a:5"}, [("grpc", "a", 5, True)]),
        ({"host": "a", "port": [5, 6], "tls": True}, [("grpc", "a", 5, True), ("grpc", "a", 6, True)]),
        ({"host": ["a", "b"], "port": 5, "replicas": 2}, [("grpc", "a", 5, False), ("grpc", "b", 5, False)]),
        ({"host": ["a", "grpc://b:7"], "port": 5}, None),
        ({"host": ["a:5", "b:6"]}, [("grpc", "a", 5, False), ("grpc", "b", 6, False)]),
        ({"host": "http://a:5"}, [("http", "a", 5, False)]),
    ],
)
def test_targets(options, targets, monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)
    if targets is None:
        assert "there can't be two definitions" in problem(external=True, **options)
    else:
        assert parse(DeploymentSpec, {"external": True, **options}).targets == targets


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"host": "dns:///a:5"}, [("dns", "grpc", "a", 5, False)]),
        ({"host": "dns:///a", "port": 5, "tls": True}, [("dns", "grpc", "a", 5, True)]),
        ({"host": ["dns+grpcs:///a:5", "b:6"]}, [("dns", "grpc", "a", 5, True), ("", "grpc", "b", 6, False)]),
        ({"host": "kubernetes:///a.shop:5"}, [("kubernetes", "grpc", "a.shop", 5, False)]),
        ({"host": "kubernetes://a.shop.svc.x:5"}, [("kubernetes", "grpc", "a.shop.svc.x", 5, False)]),
        ({"host": "dns:///a:5", "port": 6}, None),
    ],
)
def test_names_of_several_targets(options, targets):
    if targets is None:
        assert "there can't be two definitions" in problem(external=True, **options)
    else:
        found = parse(DeploymentSpec, {"external": True, **options}).targets
        assert [(one.via, *one) for one in found] == targets


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("dns://a:5", "'dns://a:5': write dns:///a:5, with three slashes"),
        ("dns://8.8.8.8/a:5", "'dns://8.8.8.8/a:5': write dns:///a:5, with three slashes"),
        ("dns:///", "'dns:///' is not dns:///name:port"),
        ("dns:///a:99999", "99999 is not a port"),
        ("kubernetes:///A_B:5", "'kubernetes:///A_B:5' is not kubernetes:///service.namespace:port"),
        ("kubernetes:///a.b.c:5", "'kubernetes:///a.b.c:5' is not kubernetes:///service.namespace:port"),
        ("kubernetes://a/b:5", "'kubernetes://a/b:5' is not kubernetes:///name:port"),
    ],
)
def test_names_behind_which_replicas_are_found(host, words):
    assert words in problem(external=True, host=host, port=5)


@pytest.mark.parametrize("model", [DeploymentSpec, GatewaySpec, ClientSpec])
def test_only_gateways_find_replicas_behind_a_name(model):
    """A server listens on one address; a client has no gateway that would share its requests out."""
    assert "finds the replicas of an external Deployment; here one host is wanted" in problem(model, host="dns:///a:5")


def test_names_are_not_resolved_all_the_time():
    for model in (DeploymentSpec, GatewaySpec, FlowSpec):
        assert problem(model, resolve_interval=50).endswith("resolve_interval: 50 is below 100 milliseconds")
        assert parse(model, {"resolve_interval": "1s"}).resolve_seconds == 1.0


def step_problem(error=ConfigError, **options):
    return problem(StepSpec, error, **{"name": "a", **options})


def test_external_steps_speak_grpc():
    assert step_problem(external=True, host="http://a:5") == (
        "Step: host: 'http': a Flow reaches its external Deployments by grpc"
    )
    assert step_problem(external=True, port=5, protocol="http").startswith("Step: protocol: 'http': a Flow reaches")


def test_name_is_identifier():
    assert step_problem(name="a-b") == (
        "Step: name: a-b is invalid, please follow the python variable name conventions"
    )
    assert "is the name of the Flow's gateway" in step_problem(name="gateway")


def test_needs_is_a_place():
    assert "can not be itself" in step_problem(FlowTopologyError, needs=["b", "a"])
    assert "is empty" in step_problem(FlowTopologyError, needs=[])
    words = "no need to wait for a single service, need len(needs) > 1"
    for needs in ("b", ["b"], ["b", "b"], None):
        assert words in step_problem(FlowTopologyError, method="needs", needs=needs)
    assert "follows from the Flow for inspect()" in step_problem(method="inspect", needs="b")
    assert parse(StepSpec, {"name": "a", "needs": "b"}).needs == ["b"]


def test_gateway_is_no_copy():
    assert "copies of a gateway do not differ" in problem(GatewaySpec, NotSupportedError, replica_id=1)
    assert parse(GatewaySpec, {"replicas": 2}).replicas == 2


def test_gateway_is_not_reloaded():
    assert "gateways are not reloaded" in problem(GatewaySpec, NotSupportedError, reload=True)


def test_flow_yaml_is_loaded():
    assert "Flow.load_config" in problem(FlowSpec, uses="flow.yml")


def test_flow_ports_match_protocols():
    assert problem(FlowSpec, port=[1, 2], protocol="http").startswith("Flow: port: 2 ports for 1 protocol(s) (http)")
    assert parse(FlowSpec, {"port": [1, 2]}).ports == [1, 2]
    assert "2 ports for 1 protocol(s)" in problem(GatewaySpec, port=[1, 2])


def test_a_step_with_replicas_may_have_a_port_for_each():
    assert parse(StepSpec, {"name": "a", "replicas": 2, "port": [1, 2]}).ports == [1, 2]
    assert "3 ports for 1 protocol(s)" in step_problem(replicas=2, port=[1, 2, 3])


@pytest.mark.parametrize("option", ["metrics", "metrics_exporter_host", "metrics_exporter_port", "log_config"])
def test_clients_do_not_count(option):
    value = {"metrics": True, "metrics_exporter_port": 4317}.get(option, "x")
    assert f"{option}: is not available for clients" in problem(ClientSpec, NotSupportedError, **{option: value})
    assert parse(ClientSpec, {"tracing": True}).tracing
