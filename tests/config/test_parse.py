from collections import OrderedDict
from datetime import timedelta
from enum import Enum
from pathlib import Path

import pytest

from jina.config import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, parse
from jina.config.base import default_of, descriptions
from jina.errors import ConfigError, NotSupportedError


def deployment(**options):
    return parse(DeploymentSpec, options)


def problem(model=DeploymentSpec, where="", /, **options):
    with pytest.raises(ConfigError) as caught:
        parse(model, options, where)
    assert not isinstance(caught.value, NotSupportedError)
    assert caught.value.exit_code == 2
    return str(caught.value)


class Kind(Enum):
    GRPC = 0
    WEBSOCKET = 2


DEFAULTS_OF_JINA_3 = {
    "name": "executor", "workspace": None, "log_config": "default", "quiet": False, "quiet_error": False,
    "workspace_id": None, "extra_search_paths": [], "timeout_ctrl": 60, "k8s_namespace": None, "polling": "ANY",
    "shards": 1, "replicas": 1, "native": False, "uses": "BaseExecutor", "uses_with": None, "uses_metas": None,
    "uses_requests": None, "uses_dynamic_batching": None, "py_modules": None, "output_array_type": None,
    "exit_on_exceptions": [], "no_reduce": False, "allow_concurrent": False, "grpc_server_options": None,
    "grpc_channel_options": None, "raft_configuration": None, "entrypoint": None, "docker_kwargs": None,
    "volumes": None, "gpus": None, "disable_auto_volume": False, "force_network_mode": "AUTO", "host": "0.0.0.0",
    "port": None, "protocol": "grpc", "runtime_cls": "WorkerRuntime", "timeout_ready": 600000, "env": None,
    "env_from_secret": None, "image_pull_secrets": None, "shard_id": 0, "replica_id": 0, "pod_role": "WORKER",
    "noblock_on_start": False, "floating": False, "reload": False, "install_requirements": False, "provider": "NONE",
    "provider_endpoint": None, "monitoring": False, "port_monitoring": None, "retries": -1, "stateful": False,
    "peer_ports": None, "tracing": False, "traces_exporter_host": None, "traces_exporter_port": None,
    "metrics": False, "metrics_exporter_host": None, "metrics_exporter_port": None, "force_update": False,
    "prefer_platform": None, "compression": None, "uses_before_address": None, "uses_after_address": None,
    "connection_list": None, "timeout_send": None, "uses_before": None, "uses_after": None, "when": None,
    "external": False, "grpc_metadata": None, "deployment_role": None, "tls": False, "title": None,
    "description": None, "cors": False, "uvicorn_kwargs": None, "ssl_certfile": None, "ssl_keyfile": None,
    "include_gateway": True, "proxy": False, "needs": None,
}  # fmt: skip
OURS = {
    "consistency": "eventual", "raft_peers": None, "raft_key_file": None,
    "max_message_size": 64 * 1024 * 1024, "grace": 30, "log_level": "INFO", "log_format": "text", "restart_limit": 10,
    "restart_backoff": 500, "timeout_hang": None, "max_documents": 100_000, "max_upload_size": 2 << 30,
    "max_depth": 100, "max_parameters": 10_000, "restart_hung": False, "concurrency": None, "log_dir": None,
    "api_version": None, "apis": [], "gateway": None, "expose_endpoints": None, "expose_graphql_endpoint": False,
    "no_crud_endpoints": False, "no_debug_endpoints": False, "console": True,
    "max_inflight": 10_000, "max_queue": None, "api_keys": None, "api_keys_file": None, "rate_limit": None,
    "ssl_ca_certs": None, "port_probes": None, "timeout_read": 30, "timeout_write": 60,
    "max_unread": 32 << 20, "max_unread_total": 256 << 20, "offline": False,
    "drain_delay": None, "resolve_interval": 1000, "kubernetes": None, "autoscale": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("JINA_DEFAULT_HOST", "JINA_DEFAULT_TIMEOUT_CTRL", "JINA_LOG_LEVEL", "JINA_API_KEYS"):
        monkeypatch.delenv(name, raising=False)


def test_every_option_of_jina_3_with_its_default():
    fields = DeploymentSpec.model_fields
    assert {name: default_of(field) for name, field in fields.items()} == DEFAULTS_OF_JINA_3 | OURS


@pytest.mark.parametrize("model", [DeploymentSpec, ExecutorSpec, ClientSpec])
def test_every_option_has_a_text_that_ends_as_a_sentence(model):
    texts = descriptions(model)
    assert set(texts) == set(model.model_fields)
    assert all(text.endswith(".") for text in texts.values())


def test_durations_name_their_unit():
    texts = descriptions(DeploymentSpec)
    assert "Milliseconds" in texts["timeout_ready"]
    assert "Milliseconds" in texts["timeout_send"]
    assert "Seconds" in texts["grace"]
    assert "Seconds" in texts["timeout_ctrl"]


def test_unknown_option_with_the_nearest():
    assert problem(replicass=3) == "Deployment: unknown option 'replicass', did you mean 'replicas'?"
    assert problem(zzz=3) == "Deployment: unknown option 'zzz'"
    assert problem(**{"uses-with": {}}) == "Deployment: unknown option 'uses-with', did you mean 'uses_with'?"


def test_where_begins_the_message():
    assert problem(DeploymentSpec, "Flow.add", replicas=0) == "Flow.add: replicas: 0 is less than 1"
    assert problem(ClientSpec, foo=1).startswith("Client: unknown option 'foo'")


def test_all_problems_are_listed():
    text = problem(replicas=0, quiet="no", port=99999999, foo=1)
    assert text.splitlines()[0] == "4 problems:"
    for line in (
        "  Deployment: replicas: 0 is less than 1",
        "  Deployment: quiet: 'no' is not true or false",
        "  Deployment: port: 99999999 is not a port (1 to 65535)",
        "  Deployment: unknown option 'foo'",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("quiet", "no", "'no' is not true or false"),
        ("quiet", 1, "1 is not true or false"),
        ("replicas", 2.7, "2.7 is not a whole number"),
        ("replicas", True, "True is not a whole number"),
        ("replicas", "two", "'two' is not a whole number"),
        ("shards", -1, "-1 is less than 1"),
        ("port", 99999999, "99999999 is not a port (1 to 65535)"),
        ("port", 0, "0 is not a port (1 to 65535)"),
        ("port", True, "True is not a port (1 to 65535)"),
        ("port", 80.0, "80.0 is not a port (1 to 65535)"),
        ("port", [8080, "x"], "'x' is not a port (1 to 65535)"),
        ("name", 2.5, "2.5 is not text"),
        ("name", ["x"], "['x'] is not text"),
        ("uses_with", [1], "[1] is not a mapping"),
        ("uses_with", "a:1", "'a:1' is not a mapping"),
        ("py_modules", 3, "3 is not a list"),
        ("protocol", "foo", "'foo' is not one of grpc, http, websocket"),
        ("protocol", "htpp", "'htpp' is not one of grpc, http, websocket, did you mean 'http'?"),
        ("protocol", [], "an empty list; name at least one of grpc, http, websocket"),
        ("polling", "XX", "'XX' is not one of ANY, ALL"),
        ("polling", {"/x": "SOME"}, "'SOME' is not one of ANY, ALL"),
        ("polling", "{oops", "'{oops' is not JSON: Expecting property name enclosed in double quotes (column 2)"),
        ("host", 5, "5 is not a host name or address"),
        ("env", [1], "[1] is not a mapping of variable names to values"),
        ("env", ["A"], "'A' is neither key:value, key=value nor a JSON object"),
        ("uses_with", ["a"], "'a' is neither key:value, key=value nor a JSON object"),
        ("env", {"A": [1]}, "'A' has no plain value (text, number or boolean)"),
        ("env", {"A=B": "x"}, "'A=B' cannot be the name of a variable"),
        ("env", {"": "x"}, "'' cannot be the name of a variable"),
        ("log_level", "LOUD", "'LOUD' is not one of DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL"),
        ("max_message_size", 0, "0 is less than 1"),
    ],
)
def test_values_are_never_bent(option, value, rule):
    assert problem(**{option: value}) == f"Deployment: {option}: {rule}"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("env", ["A=1", "B: x=y", {"C": 2}], {"A": "1", "B": "x=y", "C": "2"}),
        (
            "env",
            ["VERSION=1.10", "ON=true", "NONE=", '{"D": 3}'],
            {"VERSION": "1.10", "ON": "true", "NONE": "", "D": "3"},
        ),
        ("uses_with", ["size=3", "name: x", {"deep": {"a": 1}}], {"size": 3, "name": "x", "deep": {"a": 1}}),
        ("uses_metas", ["name=mine"], {"name": "mine"}),
        ("uses_requests", ["/x: run"], {"/x": "run"}),
        ("uses_dynamic_batching", ['/x: {"timeout": 5}'], {"/x": {"timeout": 5}}),
        ("uvicorn_kwargs", ["limit_concurrency: 5"], {"limit_concurrency": 5}),
        ("grpc_server_options", ["grpc.max_concurrent_streams=9"], {"grpc.max_concurrent_streams": 9}),
        ("grpc_metadata", ["authorization=true"], {"authorization": "true"}),
    ],
)
def test_mappings_may_be_lists_of_pairs_as_in_jina_3(option, value, expected):
    assert getattr(deployment(**{option: value}), option) == expected


@pytest.mark.parametrize("value", ["soon", -2, -0.5, float("inf"), float("nan"), True, None.__class__])
def test_durations_that_are_none(value):
    assert "is not a duration in milliseconds" in problem(timeout_ready=value)


def test_problems_inside_values_name_their_place():
    assert problem(exit_on_exceptions=["A", 1.5]) == "Deployment: exit_on_exceptions[1]: 1.5 is not text"
    assert problem(uses_requests={"/x": 2.5}) == "Deployment: uses_requests./x: 2.5 is not text"


def test_long_values_are_cut():
    assert len(problem(quiet="x" * 500)) < 130


def test_batching_options_are_checked_and_only_those_given_are_kept():
    batching = {"/x": {"preferred_batch_size": "4", "timeout": "2s"}}
    assert deployment(uses_dynamic_batching=batching).uses_dynamic_batching == {
        "/x": {"preferred_batch_size": 4, "timeout": 2000}
    }
    assert problem(uses_dynamic_batching={"/x": {"preferred_batch_sze": 4}}) == (
        "Deployment: uses_dynamic_batching./x: unknown option 'preferred_batch_sze',"
        " did you mean 'preferred_batch_size'?"
    )
    assert problem(uses_dynamic_batching={"/x": {"preferred_batch_size": 0}}) == (
        "Deployment: uses_dynamic_batching./x.preferred_batch_size: 0 is less than 1"
    )


def test_text_that_spells_a_number_is_taken_where_jina_3_read_it_anew():
    spec = deployment(port=["8080"], max_message_size="1000", timeout_ready="1500")
    assert (spec.ports, spec.max_message_size, spec.timeout_ready) == ([8080], 1000, 1500)
    assert deployment(name=123).name == "123"


@pytest.mark.parametrize(
    ("given", "ports"), [(None, []), (8080, [8080]), ([8080], [8080]), ((1, 2), [1, 2]), ("8080", [8080])]
)
def test_one_port_or_several(given, ports):
    protocol = ["grpc", "http"][: max(1, len(ports))]
    assert deployment(port=given, protocol=protocol).ports == ports


@pytest.mark.parametrize("given", ["GRPC", "grpc", "Grpc", Kind.GRPC, ["GRPC"], [Kind.GRPC]])
def test_protocols_in_any_case_and_as_enums(given):
    assert deployment(protocol=given).protocols == ["grpc"]


def test_several_protocols_keep_their_order():
    assert deployment(protocol=["HTTP", Kind.WEBSOCKET, "grpc"]).protocols == ["http", "websocket", "grpc"]


@pytest.mark.parametrize(
    ("given", "milliseconds", "seconds"),
    [
        (600000, 600000, 600.0),
        (1.5, 1.5, 0.0015),
        ("30s", 30000, 30.0),
        ("500ms", 500, 0.5),
        ("2 min", 120000, 120.0),
        ("1h", 3600000, 3600.0),
        (timedelta(seconds=3), 3000, 3.0),
        (-1, -1, None),
        ("-1", -1, None),
    ],
)
def test_timeout_ready_in_milliseconds_or_with_a_unit(given, milliseconds, seconds):
    spec = deployment(timeout_ready=given)
    assert (spec.timeout_ready, spec.ready_seconds) == (milliseconds, seconds)


def test_grace_is_in_seconds():
    assert deployment(grace="500ms").grace_seconds == 0.5
    assert "is not a duration in seconds" in problem(grace=-1)


@pytest.mark.parametrize(
    ("old", "option", "value"),
    [
        ("ports", "port", 8080),
        ("port_expose", "port", 8080),
        ("port_in", "port", 8080),
        ("protocols", "protocol", "http"),
        ("host_in", "host", "127.0.0.1"),
        ("override_with", "uses_with", {"a": 1}),
        ("override_metas", "uses_metas", {"name": "x"}),
        ("override_requests", "uses_requests", {"/x": "foo"}),
        ("parallel", "replicas", 1),
    ],
)
def test_old_names(old, option, value):
    assert getattr(deployment(**{old: value}), option) == value


def test_old_names_in_messages_are_those_that_were_used():
    assert problem(ports="x") == "Deployment: ports: 'x' is not a port (1 to 65535)"
    assert problem(ports=[1, 1], protocols=["grpc", "http"]).startswith("Deployment: ports: 1 is given twice")
    assert problem(port=1, ports=2) == "Deployment: ports: the same option as 'port'; give one of them"


def test_none_means_left_out():
    spec = deployment(replicas=None, port=None, quiet=None, host=None)
    assert spec == deployment()
    assert problem(replicass=None).startswith("Deployment: unknown option 'replicass'")


def test_values_of_the_environment(monkeypatch):
    monkeypatch.setenv("JINA_DEFAULT_HOST", "127.0.0.7")
    monkeypatch.setenv("JINA_DEFAULT_TIMEOUT_CTRL", "5")
    monkeypatch.setenv("JINA_LOG_LEVEL", "debug")
    spec = deployment()
    assert (spec.hosts, spec.timeout_ctrl, spec.log_level) == (["127.0.0.7"], 5, "DEBUG")
    monkeypatch.setenv("JINA_LOG_LEVEL", "loud")
    assert "log_level: 'loud' is not one of" in problem()


def test_an_option_without_effect_is_told_in_the_log(caplog):
    assert parse(FlowSpec, {"timeout_ctrl": 5}).timeout_ctrl == 5
    (record,) = caplog.records
    assert record.getMessage().startswith("Flow: timeout_ctrl: without effect here: nothing waits for control messages")
    assert record.levelname == "WARNING"
    parse(FlowSpec, {"timeout_ctrl": 60})
    assert len(caplog.records) == 1


def test_specs_are_frozen_and_do_not_share_values():
    given = {"a": [1]}
    spec = deployment(uses_with=given, exit_on_exceptions=["A"])
    with pytest.raises(Exception, match="frozen"):
        spec.port = 3
    assert deployment().exit_on_exceptions == []
    assert deployment().exit_on_exceptions is not deployment().exit_on_exceptions


def test_paths_and_classes_are_kept():
    class Mine:
        pass

    spec = deployment(uses=Mine, workspace=Path("ws"), py_modules=Path("a.py"), env={"A": 1, "B": True})
    assert spec.uses is Mine
    assert (spec.workspace, spec.py_modules, spec.env) == ("ws", ["a.py"], {"A": "1", "B": "True"})


def test_non_defaults_name_what_the_user_changed():
    assert deployment(port=8080, protocol="GRPC", uses_with={"a": 1}, timeout_ready="10min").non_defaults() == {
        "port": 8080,
        "uses_with": {"a": 1},
    }


def test_any_mapping_will_do():
    assert deployment(uses_with=OrderedDict(a=1)).uses_with == {"a": 1}
    assert parse(DeploymentSpec, OrderedDict(port=5)).ports == [5]


def test_executor_spec_takes_its_yaml_names():
    spec = parse(ExecutorSpec, {"jtype": "X", "with": {"a": 1}, "py_modules": "x.py", "metas": None})
    assert (spec.jtype, spec.with_, spec.py_modules, spec.metas) == ("X", {"a": 1}, ["x.py"], {})
    assert problem(ExecutorSpec) == "Executor: jtype: missing"
    assert problem(ExecutorSpec, jtype="X", reqests={}) == (
        "Executor: unknown option 'reqests', did you mean 'requests'?"
    )
