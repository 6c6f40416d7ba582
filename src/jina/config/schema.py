"""JSON Schemas of the YAML files, for editors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from jina.config.base import CLOUD, Spec, descriptions
from jina.config.models import DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec
from jina.config.options import ServiceOptions
from jina.config.types import one_of_schema
from jina.config.yaml import KINDS

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = {
    "type": "string",
    "pattern": r"^\s*\$(\{\{.*\}\}|[A-Za-z_][A-Za-z0-9_]*)\s*$",
    "description": "A variable such as ${{ ENV.NAME }}, filled in when the file is read.",
}
_CLOUD_OPTIONS: Final = {"description": "Options of Jina AI Cloud; without effect here.", "type": "object"}


def json_schema() -> dict[str, Any]:
    """The schema of every YAML file (draft 2020-12): a Flow's, a Deployment's, a gateway's or an Executor's."""
    kinds = ("Flow", "Deployment", "Gateway", "Executor")
    return {
        "$schema": DRAFT,
        "title": "jina YAML",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds],
        "$defs": {
            "Flow": flow_schema(),
            "Deployment": options_file_schema("Deployment", "One Executor, served."),
            "Gateway": options_file_schema("Gateway", "The gateway of a Flow."),
            "Executor": executor_schema(),
            "FlowOptions": options_schema(FlowSpec, without={"uses", *FlowSpec.made_by_methods}),
            "DeploymentOptions": options_schema(DeploymentSpec),
            "GatewayOptions": options_schema(GatewaySpec),
            "GatewayOfFlow": _more(
                options_schema(GatewaySpec),
                **{"with": {"description": "Arguments of the class in `uses`, else options.", "type": "object"}},
            ),
            "Step": step_schema(),
            "StepOptions": _more(options_schema(StepSpec)),
            "Variable": _VARIABLE,
        },
    }


def flow_schema() -> dict[str, Any]:
    """A Flow's file: its options below `with`, its gateway, its Executors in their order."""
    gateway = [{"$ref": f"#/$defs/{name}"} for name in ("GatewayOfFlow", "Gateway", "Executor")]
    steps = {
        "description": "The Executors, each after the one before unless `needs` says otherwise.",
        "type": "array",
        "items": {"$ref": "#/$defs/Step"},
    }
    return {
        "type": "object",
        "description": "Executors composed into one service behind a gateway.",
        "properties": {
            "jtype": {"enum": ["Flow", "AsyncFlow"]},
            "version": {"enum": ["1", 1]},
            "with": {"$ref": "#/$defs/FlowOptions"},
            "gateway": {"description": "Options of the gateway.", "anyOf": [{"type": "string"}, *gateway]},
            "executors": steps,
            "deployments": {**steps, "description": "The same as `executors`."},
            CLOUD: _CLOUD_OPTIONS,
        },
        "required": ["jtype"],
        "additionalProperties": False,
    }


def step_schema() -> dict[str, Any]:
    """An item of `executors`: options, a nested Deployment or Executor, or the path of a file with one."""
    nested = options_file_schema("Deployment", "A Deployment as a step.")
    nested["properties"] |= {"name": {"type": "string"}, "needs": one_of_schema({"type": "string"})}
    return {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/StepOptions"}, nested, {"$ref": "#/$defs/Executor"}]}


def options_file_schema(kind: str, description: str) -> dict[str, Any]:
    """A file with options below `with`: `jtype`, `with`, `version`."""
    return {
        "type": "object",
        "description": description,
        "properties": {
            "jtype": {"const": kind},
            "version": {"enum": ["1", 1]},
            "with": {"$ref": f"#/$defs/{kind}Options"},
            CLOUD: _CLOUD_OPTIONS,
        },
        "required": ["jtype", "with"],
        "additionalProperties": False,
    }


def executor_schema() -> dict[str, Any]:
    """An Executor's file: `jtype` is the name of its class."""
    schema = options_schema(ExecutorSpec)
    schema["properties"]["jtype"] = {
        "type": "string",
        "description": schema["properties"]["jtype"]["description"],
        "not": {"enum": [kind for kind in KINDS if kind != "Executor"]},
    }
    schema["properties"]["version"] = {"enum": ["1", 1]}
    return _more(schema)


def _more(schema: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """The schema with properties that are no options of ours, those of Jina AI Cloud among them."""
    schema["properties"] |= {**properties, CLOUD: _CLOUD_OPTIONS}
    return schema


def options_schema(model: type[Spec], without: Collection[str] = ()) -> dict[str, Any]:
    """The options of a spec; each may be a variable instead. Options that Jina 3 hid are left out."""
    hidden = {*ServiceOptions.INTERNAL.names, *without}
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    texts = descriptions(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        if name in hidden:
            del schema["properties"][key]
            continue
        own = {part: value for part, value in schema["properties"][key].items() if part not in {"title", "default"}}
        shown: dict[str, Any] = {"description": texts.get(name, "")}
        if not field.is_required() and field.default_factory is None and _is_plain(field.default):
            shown["default"] = field.default
        schema["properties"][key] = shown | ({"anyOf": [own, {"$ref": "#/$defs/Variable"}]} if own else {})
    schema["description"] = (model.__doc__ or "").strip().split("\n")[0]
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return inlined


class _Generator(GenerateJsonSchema):
    """pydantic's generator, which otherwise warns of defaults that are no JSON."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The schema of the value; defaults are added by `options_schema`."""
        return self.generate_inner(schema["schema"])


def _is_plain(value: Any) -> bool:
    return value is not None and isinstance(value, str | int | float | list | dict)


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with pydantic's own definitions put where they are referred to, without their titles."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        return _inlined(definitions[name], definitions)
    return {
        key: _inlined(value, definitions)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
