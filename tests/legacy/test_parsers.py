"""`jina.parsers`: argument parsers of Jina 3 from the options of the specs."""

import argparse

import pytest
from jina.enums import FlowInspectType, PodRoleType, ProtocolType
from jina.helper import ArgNamespace
from jina.parsers import (
    get_main_parser,
    set_client_cli_parser,
    set_deployment_parser,
    set_gateway_parser,
    set_gateway_runtime_args_parser,
    set_pod_parser,
)
from jina.parsers.deprecated import get_deprecated_replacement
from jina.parsers.flow import set_flow_parser
from jina.parsers.helper import KVAppendAction
from jina.parsers.orchestrate.base import mixin_essential_parser
from jina.parsers.orchestrate.pod import mixin_pod_parser
from jina.parsers.orchestrate.runtimes.remote import mixin_http_gateway_parser

from jina import Client, Deployment, Flow
from jina.config import ClientSpec, DeploymentSpec, GatewaySpec
from jina.errors import ConfigError

PARSERS = {
    set_pod_parser: "WorkerRuntime", set_deployment_parser: "WorkerRuntime", set_gateway_parser: "GatewayRuntime",
}  # fmt: skip


@pytest.mark.parametrize(("set_parser", "runtime"), PARSERS.items())
def test_a_namespace_has_every_option_of_jina_3(set_parser, runtime):
    args = set_parser().parse_args([])
    assert args.runtime_cls == runtime
    assert args.protocol == [ProtocolType.GRPC]
    assert [len(args.port), len(args.port_monitoring)] == [1, 1]
    assert (args.timeout_ready, args.timeout_ctrl, args.retries, args.shard_id) == (600_000, 60, -1, 0)
    assert (args.uses_with, args.env, args.grpc_server_options, args.peer_ports) == (None, None, None, None)
    assert args.workspace_id != set_parser().parse_args([]).workspace_id


def test_the_defaults_that_differ_from_parser_to_parser():
    pod, deployment, gateway = (parser().parse_args([]) for parser in PARSERS)
    assert (pod.name, deployment.name, gateway.name) == (None, "executor", "gateway")
    assert (pod.host, gateway.host) == (["0.0.0.0"], "0.0.0.0")
    assert (pod.pod_role, gateway.pod_role) == (PodRoleType.WORKER, PodRoleType.GATEWAY)
    assert (pod.uses, gateway.uses) == ("BaseExecutor", None)
    assert (gateway.graph_description, gateway.deployments_addresses, gateway.deployments_no_reduce) == (
        "{}",
        "{}",
        "[]",
    )
    assert set_flow_parser().parse_args([]).inspect is FlowInspectType.COLLECT
    client = set_client_cli_parser().parse_args([])
    assert (client.port, client.protocol, client.asyncio) == (None, ProtocolType.GRPC, False)
    assert set_gateway_runtime_args_parser().parse_args([]).prefetch == 1000


@pytest.mark.parametrize(
    ("set_parser", "model"),
    [(set_deployment_parser, DeploymentSpec), (set_gateway_parser, GatewaySpec), (set_client_cli_parser, ClientSpec)],
)
def test_no_option_of_a_spec_is_missing(set_parser, model):
    assert model.model_fields.keys() <= vars(set_parser().parse_args([])).keys()


def test_words_become_values():
    words = (
        "--port 12345,12346 12347 --host a,b c --protocol http GRPC --polling ALL --timeout-ready 30s --no-reduce"
        " --uses-with a:1 b=x --exit-on-exceptions ValueError OSError --shards 2 --gpus all --disable-auto-volume"
    )
    args = set_deployment_parser().parse_args([*words.split(), "--env", "A: 1", '{"B": "c"}', "--peer-ports", "[1, 2]"])
    assert args.port == [12345, 12346, 12347]
    assert args.host == ["a", "b", "c"]
    assert args.protocol == [ProtocolType.HTTP, ProtocolType.GRPC]
    assert (args.polling, args.timeout_ready, args.no_reduce, args.shards, args.gpus) == ("ALL", 30_000, True, 2, "all")
    assert args.uses_with == {"a": 1, "b": "x"}
    assert args.exit_on_exceptions == ["ValueError", "OSError"]
    assert args.env == {"A": 1, "B": "c"}
    assert args.peer_ports == {0: [1, 2]}


@pytest.mark.parametrize(
    ("words", "problem"),
    [(["--replicas", "0"], "--replicas"), (["--timeout-ready", "x"], "duration"), (["--protocol", "ftp"], "ftp")],
)
def test_wrong_words_are_named(words, problem, capsys):
    with pytest.raises((SystemExit, ConfigError)):
        set_deployment_parser().parse_args(words)
    assert problem in capsys.readouterr().err


def test_mixins_go_into_any_parser_once():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="mine")
    mixin_essential_parser(parser, default_name="other")
    mixin_essential_parser(parser)
    mixin_http_gateway_parser(parser)
    mixin_pod_parser(parser.add_argument_group("x"), pod_type="gateway")
    args = parser.parse_args(["--uvicorn-kwargs", "ssl_keyfile: /a", "ssl_keyfile_password: 1234e"])
    assert args.uvicorn_kwargs == {"ssl_keyfile": "/a", "ssl_keyfile_password": "1234e"}
    assert args.runtime_cls == "GatewayRuntime"


def test_a_dictionary_grows_by_each_word():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", action=KVAppendAction, nargs="*")
    assert parser.parse_args(["--env", "a: 1", "--env", "b=2"]).env == {"a": 1, "b": 2}
    with pytest.raises((SystemExit, argparse.ArgumentTypeError)):
        parser.parse_args(["--env", "word"])


def test_the_main_parser_knows_the_commands_of_jina_3():
    parser = get_main_parser()
    for command in ("executor", "flow", "gateway", "pod", "deployment", "client"):
        assert parser.parse_args([command]).cli == command
    assert parser.parse_args(["gateway", "--port", "5"]).port == [5]
    assert parser.parse_args(["new", "folder"]).cli == "new"
    assert parser.parse_args(["export", "flowchart", "in.yml", "out.svg"]).export == "flowchart"


def test_old_names():
    assert get_deprecated_replacement("--override-with") == "--uses-with"
    assert get_deprecated_replacement("port_expose") == "port"
    assert get_deprecated_replacement("--port") is None


def test_services_and_clients_take_a_namespace():
    args = set_deployment_parser().parse_args(["--name", "mine", "--uses-with", "a:1", "--port", "54321"])
    deployment = Deployment(args)
    assert (deployment.name, deployment.spec.uses_with, deployment.port) == ("mine", {"a": 1}, 54321)
    assert deployment.spec.model_fields_set == {"name", "uses_with", "port", "port_monitoring"}
    deployment.close()
    overridden = Deployment(args=args, name="other")
    assert overridden.name == "other"
    overridden.close()
    assert Flow(set_flow_parser().parse_args(["--name", "mine"])).name == "mine"
    client = Client(set_client_cli_parser().parse_args(["--host", "grpc://127.0.0.1:5"]))
    assert "127.0.0.1:5" in repr(client)
    with pytest.raises(TypeError, match="by name"):
        Deployment("x")


def test_namespaces_of_keyword_arguments():
    given = {"port": [12345], "protocol": ["grpc", "http"], "env": {"A": "b"}, "unknown": 1}
    args = ArgNamespace.kwargs2namespace(given, set_gateway_parser())
    assert (args.port, args.protocol, args.env) == ([12345], [ProtocolType.GRPC, ProtocolType.HTTP], {"A": "b"})
    found = ArgNamespace.get_non_defaults_args(args, set_gateway_parser())
    assert found.keys() >= {"port", "protocol", "env"}
    assert "timeout_ready" not in found
