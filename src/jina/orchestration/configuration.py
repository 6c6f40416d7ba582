"""Specs of Deployments and Flows from YAML and from command lines, and back to YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from jina.errors import BadConfigSource, ConfigError

if TYPE_CHECKING:
    from jina.spec import DeploymentSpec, FlowSpec
    from jina.spec.base import Spec


def read(
    source: str | TextIO | Mapping[str, Any],
    *,
    context: Mapping[str, Any] | None,
    substitute: bool,
    overrides: Mapping[str, Any],
) -> DeploymentSpec:
    """The spec that YAML describes, with options that count instead of the file's."""
    from jina.spec import DeploymentSpec, load_spec
    from jina.spec.paths import located

    return load_spec(DeploymentSpec, source, context=context, substitute=substitute, overrides=located(overrides))


def from_command_line(options: Mapping[str, Any], where: str) -> DeploymentSpec:
    """The spec of the command line `where`: if `uses` is a Deployment's YAML, the other options override it."""
    from jina.spec import DeploymentSpec, load, parse
    from jina.spec.yaml_specs import spec_of

    uses = options.get("uses")
    if isinstance(uses, str) and uses.endswith((".yml", ".yaml")):
        loaded = load(uses)
        kind = _kind(loaded[0])
        if kind == "Flow":
            raise BadConfigSource(f"{where}: {uses!r} describes a Flow", help=f"jina flow --uses {uses}")
        if kind == "Deployment":
            return spec_of(DeploymentSpec, loaded, {name: value for name, value in options.items() if name != "uses"})
    return parse(DeploymentSpec, options, where)


def read_flow(
    source: str | TextIO | Mapping[str, Any],
    *,
    context: Mapping[str, Any] | None,
    substitute: bool,
    overrides: Mapping[str, Any],
) -> FlowSpec:
    """The Flow that YAML describes, with options that count instead of the file's."""
    from jina.spec import FlowSpec, load_spec
    from jina.spec.paths import located

    return load_spec(FlowSpec, source, context=context, substitute=substitute, overrides=located(overrides))


def flow_from_command_line(options: Mapping[str, Any], where: str) -> FlowSpec:
    """The Flow of the command line `where`: `uses` is its YAML, whose options the others override."""
    from jina.spec import FlowSpec, load, parse

    uses = options.get("uses")
    if uses is None:
        return parse(FlowSpec, options, where)
    overrides = {name: value for name, value in options.items() if name != "uses"}
    # On this command line `env` gives the variables of the YAML, which is what Jina 3's flag did too.
    context = parse(FlowSpec, {"env": overrides.pop("env", None)}, where).env
    try:
        return read_flow(uses, context=context, substitute=True, overrides=overrides)
    except ConfigError:
        kind = _kind(load(uses, substitute=False)[0])
        if kind in (None, "Flow"):
            raise
        ours = kind == "Deployment"
        what, command = ("a Deployment", "deployment") if ours else (f"an Executor, {kind!r}", "executor")
        raise BadConfigSource(f"{where}: {uses!r} describes {what}", help=f"jina {command} --uses {uses}") from None


def _kind(loaded: Any) -> Any:
    """What a YAML file describes, where it says so."""
    return loaded.get("jtype") if isinstance(loaded, Mapping) else None


def as_dict(spec: Spec) -> dict[str, Any]:
    """`{"jtype": "Deployment", "with": {...}}` with the options that differ from their defaults."""
    import yaml

    from jina.spec import dump_spec

    found: dict[str, Any] = yaml.safe_load(dump_spec(spec))
    return found


def write(spec: DeploymentSpec | FlowSpec, filename: str) -> None:
    """Write YAML that `read` reads back, with paths that start at the folder of the file."""
    from jina.orchestration.moving import moved, moved_flow
    from jina.spec import FlowSpec, dump_spec

    folder = os.path.dirname(os.path.abspath(filename))
    text = dump_spec(moved_flow(spec, folder) if isinstance(spec, FlowSpec) else moved(spec, folder))
    with open(filename, "w", encoding="utf-8") as file:
        file.write(text)
