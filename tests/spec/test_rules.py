from types import MappingProxyType

import pytest

from jina.errors import ConfigError, NotSupportedError
from jina.spec import ClientSpec, DeploymentSpec, ExecutorSpec, parse
from jina.spec.base import default_of
from jina.spec.options import InternalOptions
from jina.spec.rules import RULES, UNAVAILABLE, UNAVAILABLE_SCHEMES

TESTED: dict[str, str] = {
    "ports_match_protocols": "test_ports_match_protocols",
    "ports_differ": "test_ports_differ",
    "protocols_differ": "test_protocols_differ",
    "certificate_and_key": "test_certificate_and_key",
    "tls_needs_certificate": "test_tls_needs_certificate",
    "name_is_usable": "test_name_is_usable",
    "one_host": "test_one_host",
    "uses_is_given": "test_uses_is_given",
    "uses_scheme_is_available": "test_uses_scheme_is_available",
    "is_available": "test_is_available",
    "address_is_whole": "test_address_is_whole",
    "address_says_it_once": "test_address_says_it_once",
    "version_is_known": "test_version_is_known",
}


def problem(model=DeploymentSpec, error=ConfigError, /, **options):
    with pytest.raises(error) as caught:
        parse(model, options)
    assert type(caught.value) is error
    return str(caught.value)


def test_every_rule_has_a_test():
    assert {rule.__name__ for rules in RULES.values() for rule in rules} == set(TESTED)
    assert set(TESTED.values()) <= set(globals())


def test_ports_match_protocols():
    assert problem(port=[1, 2]) == (
        "Deployment: port: 2 ports for 1 protocol(s) (grpc); each protocol is served on one port"
    )
    assert parse(DeploymentSpec, {"port": 1, "protocol": ["grpc", "http"]}).ports == [1]


def test_ports_differ():
    assert problem(port=[5, 5], protocol=["http", "websocket"]) == (
        "Deployment: port: 5 is given twice; each protocol needs a port of its own"
    )


def test_protocols_differ():
    assert problem(protocol=["http", "HTTP"]) == "Deployment: protocol: 'http' is given twice"


def test_certificate_and_key():
    assert problem(ssl_certfile="c.pem").startswith("Deployment: ssl_certfile: needs 'ssl_keyfile'")
    assert problem(ssl_keyfile="k.pem").startswith("Deployment: ssl_keyfile: needs 'ssl_certfile'")
    assert parse(DeploymentSpec, {"ssl_certfile": "c", "ssl_keyfile": "k"}).ssl_keyfile == "k"


def test_tls_needs_certificate():
    assert "to serve by TLS give 'ssl_certfile'" in problem(tls=True)
    assert parse(DeploymentSpec, {"tls": True, "ssl_certfile": "c", "ssl_keyfile": "k"}).tls


@pytest.mark.parametrize("name", ["", " x", "a/b", "a\\b", "a\nb"])
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


@pytest.mark.parametrize("scheme", sorted(UNAVAILABLE_SCHEMES))
def test_uses_scheme_is_available(scheme):
    assert problem(DeploymentSpec, NotSupportedError, uses=f"{scheme}://x/y") == (
        f"Deployment: uses: '{scheme}://' is not available yet"
    )


SAMPLES = {
    "replicas": 2, "shards": 2, "polling": "ALL", "uses_before": "X", "uses_after": "X", "no_reduce": True,
    "retries": 3, "timeout_send": 100, "compression": "Gzip", "grpc_metadata": {"a": "b"}, "external": True,
    "when": {"text": {"$eq": "x"}}, "floating": True, "stateful": True, "peer_ports": [1],
    "raft_configuration": {"a": 1},
    "monitoring": True, "port_monitoring": 9090, "tracing": True, "traces_exporter_host": "h",
    "traces_exporter_port": 1, "metrics": True, "metrics_exporter_host": "h", "metrics_exporter_port": 1,
    "log_config": "x", "provider": "sagemaker", "provider_endpoint": "x", "reload": True,
    "install_requirements": True, "entrypoint": "x", "docker_kwargs": {"a": 1}, "volumes": ["x"], "gpus": "all",
    "disable_auto_volume": True, "force_network_mode": "HOST", "prefer_platform": "linux/amd64",
    "force_update": True, "k8s_namespace": "n", "env_from_secret": {"A": {"name": "s", "key": "k"}},
    "image_pull_secrets": ["s"], "runtime_cls": "Other", "pod_role": "HEAD", "deployment_role": "JOIN",
    "shard_id": 1, "replica_id": 1, "uses_before_address": "a", "uses_after_address": "a",
    "connection_list": {"0": "a"},
}  # fmt: skip


@pytest.mark.parametrize("option", UNAVAILABLE)
def test_is_available(option):
    text = problem(DeploymentSpec, NotSupportedError, **{option: SAMPLES[option]})
    assert text.startswith(f"Deployment: {option}: ")
    assert text.endswith("not available yet")
    assert parse(DeploymentSpec, {option: default_of(DeploymentSpec.model_fields[option])})


def test_what_jina_3_set_itself_is_accepted_where_it_asks_for_what_happens_anyway():
    options = {"native": True, "noblock_on_start": True, "workspace_id": "abc", "include_gateway": False}
    spec = parse(DeploymentSpec, options)
    assert (spec.native, spec.include_gateway) == (True, False)
    assert set(InternalOptions.model_fields) - set(UNAVAILABLE) == {"native", "noblock_on_start", "workspace_id"}


def test_a_real_mistake_beside_what_is_not_available_is_a_mistake():
    lines = problem(port=[1, 2], replicas=2).splitlines()
    assert lines[1].startswith("  Deployment: port: ")
    assert lines[2] == "  Deployment: replicas: 2 is not available yet"


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
    assert problem(ExecutorSpec, jtype="X", version="99") == (
        "Executor: version: '99' is not a valid version number; there is '1'"
    )
    assert parse(ExecutorSpec, {"jtype": "X", "version": 1}).version == "1"
