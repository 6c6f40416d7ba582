"""Flows from YAML and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jina.errors import BadConfigSource, ConfigError
from jina.spec.aliases import canonical
from jina.spec.base import Spec
from jina.spec.deployment import DeploymentSpec
from jina.spec.flow import FlowSpec, StepSpec, gateway_from, step_from
from jina.spec.gateway import GatewaySpec
from jina.spec.parsing import parse, unknown
from jina.spec.paths import Path
from jina.spec.types import shown
from jina.spec.yaml_io import Loaded, Origin, load
from jina.spec.yaml_options import (
    Ignored,
    check_executor,
    check_executors,
    check_kind,
    locator,
    mapping_in,
    options_below_with,
    overridden,
)
from jina.spec.yaml_text import plain_options

_KEYS: Final = ("jtype", "version", "with", "gateway", "executors", "deployments")
_SUFFIXES: Final = (".yml", ".yaml", ".json")


class Files(NamedTuple):
    """How the files that a Flow's YAML names are read."""

    context: Mapping[str, Any] | None = None
    substitute: bool = True

    def load(self, path: str, folder: str | None) -> Loaded:
        """The file, looked up here and in the folder."""
        return load(path, self.context, substitute=self.substitute, search_paths=[folder] if folder else [])


class _Options(NamedTuple):
    """Options of a step and where they stand; `folder` is that of a file of their own."""

    values: Mapping[str, Any]
    origin: Origin
    path: Path
    folder: str | None = None


def flow_of(loaded: Loaded, overrides: Mapping[str, Any] | None, files: Files) -> FlowSpec:
    """The Flow that a configuration describes.

    Each item of `executors` (or `deployments`) is a mapping of options (`method` names the way of adding), a nested
    Deployment or Executor with `jtype`, the path of a file with one, or what `uses` may be as text.
    """
    data, origin = mapping_in(loaded), loaded.origin
    values = {**(overrides or {})}
    if data.get("jtype") == "AsyncFlow":
        data, values = {**data, "jtype": "Flow"}, {"asyncio": True, **values}
    check_kind(FlowSpec, data, origin)
    ignored = Ignored(origin)
    data = ignored.without(data, ())
    for name in [name for name in data if name not in _KEYS]:
        raise ConfigError(f"{origin.place((str(name),))} {_misplaced(str(name))}")
    top = options_below_with(FlowSpec, {key: data[key] for key in ("version", "with") if key in data}, ignored)
    locate = locator(origin, ("with",), "Flow", values)
    flow = parse(FlowSpec, overridden(FlowSpec, top, values), locate=locate).in_folder(origin.folder)
    if data.get("gateway") is not None:
        flow = _with_gateway(flow, data["gateway"], ignored)
    key, items = _list(data, origin)
    for index, item in enumerate(items):
        flow = _with_item(flow, _item_options(item, ignored, (key, index), files))
    ignored.tell()
    return flow


def _misplaced(name: str) -> str:
    if canonical(name, FlowSpec.model_fields) in FlowSpec.model_fields:
        return f"unknown key {shown(name)}; options of the Flow stand below 'with:'"
    return unknown(name, _KEYS, "key")


def _list(data: Mapping[str, Any], origin: Origin) -> tuple[str, list[Any]]:
    """The Executors, and the key that they stand below."""
    given = [key for key in ("executors", "deployments") if data.get(key) is not None]
    if len(given) > 1:
        raise ConfigError(f"{origin.at(('deployments',))}: the same as 'executors'; give one of them")
    key = given[0] if given else "executors"
    items = data.get(key) or []
    if not isinstance(items, list):
        raise ConfigError(f"{origin.at((key,))}: {shown(items)} is not a list of Executors")
    return key, items


def _with_gateway(flow: FlowSpec, value: Any, ignored: Ignored) -> FlowSpec:
    """The gateway: its options, beside or below `with`; where `uses` names a class, `with` has its arguments."""
    origin, path = ignored.origin, ("gateway",)
    if isinstance(value, str) or (isinstance(value, Mapping) and "jtype" in value and value["jtype"] != "Gateway"):
        check_executor(value, origin, path)
        value = {"uses": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{origin.at(path)}: {shown(value)} is not a mapping of options")
    values = {name: item for name, item in value.items() if name not in {"jtype", "version", "with"}}
    inner = value.get("with") or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{origin.at((*path, 'with'))}: {shown(inner)} is not a mapping of options")
    if inner and values.get("uses") is not None:
        values["uses_with"] = {**inner, **(values.get("uses_with") or {})}
        inner = {}
    values = ignored.without(values, path, GatewaySpec.model_fields)
    inner = ignored.without(inner, (*path, "with"), GatewaySpec.model_fields)
    check_executors(values, origin, path)
    check_executors(inner, origin, (*path, "with"))
    beside, below = locator(origin, path, "Gateway"), locator(origin, (*path, "with"), "Gateway")

    def locate(option: Path) -> tuple[str, Path]:
        return (below if option and option[0] in inner else beside)(option)

    return gateway_from(flow, _keywords({**values, **inner}), locate)


def _item_options(item: Any, ignored: Ignored, path: Path, files: Files) -> _Options:
    origin = ignored.origin
    if isinstance(item, str) and item.lower().endswith(_SUFFIXES):
        return _options_of_file(item, origin, path, files)
    if isinstance(item, str):
        return _Options({"uses": item}, origin, path)
    if not isinstance(item, Mapping):
        raise ConfigError(f"{origin.at(path)}: {shown(item)} is neither a mapping of options nor the path of a file")
    if "jtype" not in item:
        return _Options(ignored.without(item, path, StepSpec.model_fields), origin, path)
    if item["jtype"] != "Deployment":
        check_executor(item, origin, path)
        return _Options({"uses": item}, origin, path)
    return _deployment(item, ignored, path)


def _options_of_file(name: str, origin: Origin, path: Path, files: Files) -> _Options:
    try:
        loaded = files.load(name, origin.folder)
    except BadConfigSource as exc:
        raise BadConfigSource(f"{origin.at(path)}: {exc}") from exc
    data = mapping_in(loaded)
    if data.get("jtype") != "Deployment":
        return _Options({"uses": name}, origin, path)
    check_kind(DeploymentSpec, data, loaded.origin)
    ignored = Ignored(loaded.origin)
    values = options_below_with(DeploymentSpec, data, ignored)
    ignored.tell()
    return _Options(values, loaded.origin, ("with",), loaded.origin.folder)


def _deployment(item: Mapping[str, Any], ignored: Ignored, path: Path) -> _Options:
    """A nested Deployment: its options stand below `with`, its place in the graph may stand beside."""
    origin = ignored.origin
    item = ignored.without(item, path)
    inner = item.get("with") or {}
    if not isinstance(inner, Mapping):
        raise ConfigError(f"{origin.at((*path, 'with'))}: {shown(inner)} is not a mapping of options")
    beside = {key: value for key, value in item.items() if key not in {"jtype", "version", "with"}}
    for name in [name for name in beside if name not in {"needs", "name"}]:
        text = unknown(str(name), ["jtype", "version", "with", "needs", "name"], "key")
        raise ConfigError(f"{origin.place((*path, str(name)))} {text}")
    inner = ignored.without(inner, (*path, "with"), StepSpec.model_fields)
    return _Options({**inner, **beside}, origin, (*path, "with"))


def _with_item(flow: FlowSpec, options: _Options) -> FlowSpec:
    values = _keywords(options.values)
    method = values.pop("method", "add")
    if options.folder is not None and options.folder != flow.folder:
        given = values.get("extra_search_paths") or []
        values["extra_search_paths"] = [options.folder, *([given] if isinstance(given, str) else given)]
    check_executors(options.values, options.origin, options.path)
    return step_from(flow, method, values, locate=locator(options.origin, options.path, "Flow"))


def _keywords(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in values.items()}


def _given(spec: Spec) -> list[str]:
    """The options that were given, in the order of the model."""
    fields = type(spec).model_fields
    return [name for name in fields if name in spec.model_fields_set and name not in spec.made_by_methods]


def flow_data(flow: FlowSpec) -> dict[str, Any]:
    """The Flow as plain values in the form that `flow_of` reads."""
    data: dict[str, Any] = {"jtype": "Flow", "version": "1", "with": plain_options(flow, _given(flow))}
    if flow.gateway is not None:
        data["gateway"] = plain_options(flow.gateway, _given(flow.gateway))
    data["executors"] = [_step_data(step) for step in flow.executors]
    return data


def _step_data(step: StepSpec) -> dict[str, Any]:
    names = [name for name in _given(step) if name not in {"name", "method"}]
    head = {"name": step.name} if step.method == "add" else {"method": step.method, "name": step.name}
    return head | plain_options(step, names, f"Flow: {step.name}:")
