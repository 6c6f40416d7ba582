import json
import re
import subprocess
import sys

import pytest

from jina.config import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec
from jina.config.markdown import option_sections, option_tables
from jina.config.options import ServiceOptions
from jina.config.schema import json_schema


def fits(value, schema, root):
    """Whether `value` fits the parts of JSON Schema that ours uses; an unknown part is an error."""
    checks = {
        "$ref": lambda arg: fits(value, root["$defs"][arg.removeprefix("#/$defs/")], root),
        "anyOf": lambda arg: any(fits(value, one, root) for one in arg),
        "oneOf": lambda arg: sum(fits(value, one, root) for one in arg) == 1,
        "not": lambda arg: not fits(value, arg, root),
        "const": lambda arg: value == arg,
        "enum": lambda arg: value in arg,
        "type": lambda arg: any(is_of(value, one) for one in ([arg] if isinstance(arg, str) else arg)),
        "minimum": lambda arg: not is_of(value, "number") or value >= arg,
        "maximum": lambda arg: not is_of(value, "number") or value <= arg,
        "pattern": lambda arg: not isinstance(value, str) or re.search(arg, value) is not None,
        "items": lambda arg: not isinstance(value, list) or all(fits(one, arg, root) for one in value),
        "required": lambda arg: not isinstance(value, dict) or set(arg) <= set(value),
        "properties": lambda arg: (
            not isinstance(value, dict) or all(fits(value[key], arg[key], root) for key in arg.keys() & value.keys())
        ),
        "additionalProperties": lambda arg: (
            not isinstance(value, dict)
            or all(
                arg if isinstance(arg, bool) else fits(value[key], arg, root)
                for key in value.keys() - schema.get("properties", {}).keys()
            )
        ),
    }
    silent = {"description", "default", "title", "$schema", "$defs"}
    return all(checks[part](arg) for part, arg in schema.items() if part not in silent)


def is_of(value, kind):
    if isinstance(value, bool):
        return kind == "boolean"
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    return kind != "boolean" and isinstance(value, kinds[kind])


SCHEMA = json_schema()


@pytest.mark.parametrize(
    "data",
    [
        {"jtype": "Deployment", "with": {}},
        {"jtype": "Deployment", "version": "1", "with": {"port": [1, 2], "protocol": ["GRPC", "http"], "replicas": 2}},
        {"jtype": "Deployment", "with": {"port": "${{ ENV.PORT }}", "quiet": "$QUIET", "timeout_ready": "30s"}},
        {"jtype": "Deployment", "with": {"polling": {"/x": "ALL"}, "py_modules": "a.py", "env": {"A": 1}}},
        {"jtype": "Deployment", "with": {"needs": "a", "external": True, "host": ["grpc://a:1", "b"], "port": 5}},
        {"jtype": "Flow"},
        {"jtype": "Flow", "version": "1", "with": {"port": "${{ ENV.PORT }}", "inspect": "HANG", "replicas": 2}},
        {"jtype": "Flow", "gateway": "gateway.yml", "executors": ["deployment.yml"]},
        {"jtype": "Flow", "gateway": {"port": [1, 2], "protocol": ["grpc", "http"], "prefetch": 0}},
        {"jtype": "AsyncFlow", "gateway": {"jtype": "MyGateway", "with": {"a": 1}}},
        {"jtype": "Flow", "gateway": {"jtype": "Gateway", "with": {"uses": "G"}}},
        {"jtype": "Flow", "executors": [{"uses": "X", "needs": ["a", "b"], "when": {"text": {"$eq": "a"}}}]},
        {"jtype": "Flow", "executors": [{"method": "needs", "needs": ["a", "b"]}, {"method": "needs_all"}]},
        {"jtype": "Flow", "executors": [{"jtype": "Deployment", "needs": "a", "with": {"uses": "X"}}]},
        {"jtype": "Flow", "executors": [{"jtype": "MyExecutor", "with": {"a": 1}}]},
        {"jtype": "Gateway", "with": {"protocol": "http"}},
        {"jtype": "MyExecutor"},
        {"jtype": "MyExecutor", "with": {"a": 1}, "py_modules": ["a.py"], "requests": {"/x": "foo"}},
        {"jtype": "X", "dynamic_batching": {"/x": {"preferred_batch_size": 4, "timeout": 100}}},
    ],
)
def test_the_schema_takes_what_the_loader_takes(data):
    assert fits(data, SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    "data",
    [
        {"jtype": "Deployment"},
        {"jtype": "Deployment", "with": {"replicass": 2}},
        {"jtype": "Deployment", "with": {"replicas": 0}},
        {"jtype": "Deployment", "with": {"port": 99999999}},
        {"jtype": "Deployment", "with": {"quiet": "no"}},
        {"jtype": "Deployment", "wth": {}, "with": {}},
        {"jtype": "Flow", "wth": {}},
        {"jtype": "Flow", "with": {"prefetchs": 1}},
        {"jtype": "Flow", "with": {"executors": []}},
        {"jtype": "Flow", "gateway": {"protocol": "ftp"}},
        {"jtype": "Flow", "executors": {"uses": "X"}},
        {"jtype": "Flow", "executors": [{"replicass": 1}]},
        {"jtype": "Flow", "executors": [{"jtype": "Deployment"}]},
        {"jtype": "Flow", "executors": [{"method": "ad"}]},
        {"jtype": "Gateway", "with": {"protocol": "ftp"}},
        {"jtype": "X", "reqests": {}},
        {"jtype": "X", "dynamic_batching": {"/x": {"size": 4}}},
        {"with": {}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(data):
    assert not fits(data, SCHEMA, SCHEMA)


def test_the_schema_is_json_and_describes_every_option():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    options = SCHEMA["$defs"]["DeploymentOptions"]["properties"]
    assert set(options) == set(DeploymentSpec.model_fields) - set(ServiceOptions.INTERNAL.names)
    assert all(option["description"] for option in options.values())
    assert options["timeout_ready"]["default"] == 600000


@pytest.mark.parametrize("model", [DeploymentSpec, ExecutorSpec, ClientSpec, FlowSpec, GatewaySpec])
def test_tables_have_a_row_for_every_option(model):
    text = option_tables(model)
    for name, field in model.model_fields.items():
        rows = 0 if name in model.made_by_methods else 1
        assert text.count(f"\n| `{field.alias or name}` |") == rows
    assert all(line.replace("\\|", "").count("|") == 5 for line in text.splitlines() if line.startswith("|"))


def test_sections_have_a_heading_for_each_option():
    text = option_sections(DeploymentSpec, level=2)
    headings = [line for line in text.splitlines() if line.startswith("###")]
    assert headings == [f"### `{name}`" for name in re.findall(r"### `(\w+)`", text)]
    assert {line.split("`")[1] for line in headings} == set(DeploymentSpec.model_fields)
    assert "### `grace`\n\nduration, default: `30`\n\nSeconds that requests in flight get" in text


def test_a_row_states_type_default_old_names_and_what_is_not_available():
    rows = {line.split("`")[1]: line for line in option_tables(DeploymentSpec).splitlines() if line.startswith("| `")}
    assert rows["port"].startswith("| `port` | whole number or list of whole numbers | unset |")
    assert "Also `ports`, `port_expose`, `port_in`." in rows["port"]
    assert rows["provider"].endswith("Not available yet. |")
    assert rows["timeout_ready"].startswith("| `timeout_ready` | duration | `600000` | Milliseconds ")


COST = """
import sys, time
from pydantic import BaseModel, Field, PlainValidator, create_model
def plain(options):
    fields = {f"f{number}": (int | str | None, Field(default=None)) for number in range(options)}
    create_model("Plain", **fields)()
plain(1)
began = time.process_time()
for _ in range(10):
    plain(100)
before = time.process_time()
from jina.config import DeploymentSpec, parse
parse(DeploymentSpec, {})
print((time.process_time() - before) / (before - began), "yaml" in sys.modules)
"""
"""How much our options cost beside ten models with a hundred fields: a machine that has other work is slow at both."""
LAZY = """
import sys
from jina.config import takes_options_from
class D:
    @takes_options_from(lambda: None)
    def __init__(self, spec): pass
print("pydantic" in sys.modules)
"""


def said_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    return done.stdout.split()


def test_options_cost_little_over_pydantic_itself():
    for _ in range(5):
        ratio, yaml = said_by(COST)
        assert yaml == "False"
        if float(ratio) < 1.5:
            return
    pytest.fail(f"{ratio} times as much")


def test_declaring_methods_does_not_import_pydantic():
    assert said_by(LAZY) == ["False"]
