import argparse

import pytest

from jina.config import ClientSpec, DeploymentSpec, FlowSpec, GatewaySpec
from jina.config.command_line import add_options, form_of, from_namespace, given, owner_of
from jina.errors import ConfigError, NotSupportedError


def parser_of(model=DeploymentSpec, **kwargs):
    parser = argparse.ArgumentParser(prog="jina executor", allow_abbrev=False)
    add_options(parser, model, **kwargs)
    return parser


def parsed(*words, model=DeploymentSpec):
    return from_namespace(model, parser_of(model).parse_args(words), "jina executor")


def problem(*words, model=DeploymentSpec, error=ConfigError):
    with pytest.raises(error) as caught:
        parsed(*words, model=model)
    return str(caught.value)


def test_nothing_given_is_all_defaults():
    assert parsed().non_defaults() == {}
    assert given(parser_of().parse_args([])) == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--name x", {"name": "x"}),
        ("--name=x", {"name": "x"}),
        ("--port 5", {"port": 5}),
        ("--port 5 6 --protocol GRPC http", {"port": [5, 6], "protocol": ["grpc", "http"]}),
        ("--port 5 --port 6 --protocol grpc --protocol http", {"port": [5, 6], "protocol": ["grpc", "http"]}),
        ("--ports 5", {"port": 5}),
        ("--port-expose 5", {"port": 5}),
        ("--port_in 5", {"port": 5}),
        ("--cors", {"cors": True}),
        ("--no-cors", {}),
        ("--no_cors", {}),
        ("--cors --no-cors", {}),
        ("--no-include-gateway", {"include_gateway": False}),
        ("--no_include_gateway", {"include_gateway": False}),
        ("--timeout-ready -1", {"timeout_ready": -1}),
        ("--timeout_ready 30s", {"timeout_ready": 30000}),
        ("--uses-with a:1 b=x c:true", {"uses_with": {"a": 1, "b": "x", "c": True}}),
        ("--uses_with a:1 --uses_with b:2", {"uses_with": {"a": 1, "b": 2}}),
        ('--uses-with {"a":{"b":[1]}}', {"uses_with": {"a": {"b": [1]}}}),
        ("--uses-requests /x:foo", {"uses_requests": {"/x": "foo"}}),
        ('--uses-dynamic-batching /x:{"timeout":5}', {"uses_dynamic_batching": {"/x": {"timeout": 5}}}),
        ("--env A:1 B=x", {"env": {"A": "1", "B": "x"}}),
        ("--env A=1.10 --env B=true", {"env": {"A": "1.10", "B": "true"}}),
        ("--uses-requests /x:true", {"uses_requests": {"/x": "true"}}),
        ("--py-modules a.py b.py", {"py_modules": ["a.py", "b.py"]}),
        ("--exit-on-exceptions ValueError", {"exit_on_exceptions": ["ValueError"]}),
        ("--native", {"native": True}),
        ("--quiet --log-format json", {"quiet": True, "log_format": "json"}),
        ("--max-message-size 5", {"max_message_size": 5}),
    ],
)
def test_words_become_options(words, expected):
    assert parsed(*words.split()).non_defaults() == expected


def test_switches_whose_name_begins_with_no():
    for words, value in [("--no-reduce", True), ("--disable-reduce", True), ("--no-no-reduce", False),
                         ("--no_disable_reduce", False)]:  # fmt: skip
        assert given(parser_of().parse_args([words])) == {"no_reduce": value}


def test_problems_name_the_flag():
    assert problem("--replicas", "0") == "jina executor: --replicas: 0 is less than 1"
    assert problem("--max-message-size", "much") == "jina executor: --max-message-size: 'much' is not a whole number"
    assert problem("--protocol", "grpc", "foo").startswith("jina executor: --protocol: 'foo' is not one of")
    wrong = "'a' is neither key:value, key=value nor a JSON object"
    assert problem("--uses-with", "a") == f"jina executor: --uses-with: {wrong}"
    assert problem("--uses-with", "{oops").startswith("jina executor: --uses-with: ")
    assert problem("--shard-id", "2", error=NotSupportedError).startswith(
        "jina executor: --shard-id: 2 is not available yet; Deployment(...) and Flow.add(...) decide it"
    )


def test_unknown_flags_end_with_code_2(capsys):
    with pytest.raises(SystemExit) as caught:
        parser_of().parse_args(["--replicass", "3"])
    assert caught.value.code == 2
    assert "--replicass" in capsys.readouterr().err


def test_every_option_has_a_flag_and_help_shows_what_users_may_set():
    parser = parser_of()
    for name in DeploymentSpec.model_fields:
        assert "--" + name.replace("_", "-") in parser._option_string_actions
        assert "--" + name in parser._option_string_actions
    text = parser.format_help()
    assert "--uses-with KEY:VALUE" in text
    assert "--cors, --no-cors" in text
    assert "[default: 600000]" in text
    for hidden in ("--native", "--runtime-cls", "--uses_with", "--port-expose"):
        assert hidden not in text


def test_some_options_may_be_left_out():
    assert "--replicas" not in parser_of(exclude={"replicas"})._option_string_actions


def test_other_arguments_do_not_disturb():
    parser = parser_of(ClientSpec)
    parser.add_argument("--on", default="/")
    options = parser.parse_args(["--on", "/x", "--host", "grpc://h:5", "--tls"])
    with pytest.raises(ConfigError, match=r"--tls: the host 'grpc://h:5' says it already"):
        from_namespace(ClientSpec, options)
    assert given(options) == {"host": "grpc://h:5", "tls": True}


def test_the_text_of_a_class_is_that_of_the_model_in_use():
    assert parsed("--host", "h:5", "--asyncio", model=ClientSpec).target == ("grpc", "h", 5, False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--uses-with a:1 --prefetch 5", {"uses_with": {"a": 1}, "prefetch": 5}),
        ('--graph-description {"start-gateway":["a"]}', {"graph_description": {"start-gateway": ["a"]}}),
        ('--deployments-addresses {"a":["grpc://x:1"]}', {"deployments_addresses": {"a": ["grpc://x:1"]}}),
        ('--deployments-no-reduce ["a","b"]', {"deployments_no_reduce": ["a", "b"]}),
        ("--deployments-no-reduce a b", {"deployments_no_reduce": ["a", "b"]}),
        ('--expose-endpoints {"/x":{"methods":["GET"]}}', {"expose_endpoints": {"/x": {"methods": ["GET"]}}}),
        ("--no-debug-endpoints --no-crud-endpoints", {"no_debug_endpoints": True, "no_crud_endpoints": True}),
        ("--runtime-cls GatewayRuntime --pod-role GATEWAY", {}),
    ],
)
def test_words_of_a_gateway(words, expected):
    assert parsed(*words.split(), model=GatewaySpec).non_defaults() == expected


def test_words_of_a_flow():
    words = "--name shop --inspect hang --env A:1 --ports 5 6 --protocols grpc http --tls --suppress-root-logging"
    assert parsed(*words.split(), model=FlowSpec).non_defaults() == {
        "name": "shop", "inspect": "HANG", "env": {"A": "1"}, "port": [5, 6], "protocol": ["grpc", "http"],
        "tls": True, "suppress_root_logging": True,
    }  # fmt: skip
    assert given(parser_of(FlowSpec).parse_args(["--uses", "flow.yml"])) == {"uses": "flow.yml"}


def test_steps_are_no_options_of_a_flow():
    known = parser_of(FlowSpec)._option_string_actions
    assert not {"--executors", "--gateway"} & set(known)


TYPED_MAPPINGS = {"uses_dynamic_batching", "kubernetes", "autoscale", "deployments_autoscale"}
"""Whose keys are given."""


@pytest.mark.parametrize("model", [DeploymentSpec, FlowSpec, GatewaySpec, ClientSpec])
def test_every_option_that_is_a_mapping_is_given_as_one(model):
    """Mappings from the command line are read as mappings, however they were written there."""
    names = [name for name, field in model.model_fields.items() if form_of(field) == "mapping"]
    names = [name for name in names if name not in model.made_by_methods and name not in TYPED_MAPPINGS]
    words = [word for name in names for word in (f"--{name.replace('_', '-')}", "a=x", '{"b": "y"}')]
    found = given(parser_of(model).parse_args([*words, *(f"--{names[0].replace('_', '-')}", "c:z")]))
    assert found == {**{name: {"a": "x", "b": "y"} for name in names}, names[0]: {"a": "x", "b": "y", "c": "z"}}


def test_the_values_are_read_as_the_option_reads_them():
    words = ["--env", "V=1.10", "--uses-with", "v=1.10", "--uses-dynamic-batching", '{"/x": {"timeout": 5}}']
    assert given(parser_of().parse_args(words)) == {
        "env": {"V": "1.10"},
        "uses_with": {"v": 1.1},
        "uses_dynamic_batching": {"/x": {"timeout": 5}},
    }


@pytest.mark.parametrize("own", [DeploymentSpec, FlowSpec, GatewaySpec, ClientSpec])
def test_every_option_of_other_specs_has_an_owner(own):
    parser = parser_of(own)
    for model in (DeploymentSpec, FlowSpec, GatewaySpec, ClientSpec):
        for name in model.model_fields.keys() - own.model_fields.keys() - model.made_by_methods:
            owner = owner_of(parser, f"--{name.replace('_', '-')}")
            assert owner is not None, name
            assert owner.spec != own.__name__, name
    assert owner_of(parser, "--replicass") is None
    assert owner_of(parser, "--port") is None
