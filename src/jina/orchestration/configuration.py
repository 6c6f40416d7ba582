"""Models of Deployments and Flows from YAML and command lines, and back; paths in them written for another folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from jina.errors import BadConfigSource, ConfigError
from jina.plan.processes import AROUND

if TYPE_CHECKING:
    from jina.config import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec
    from jina.config.base import Spec
    from jina.export.containers import Images

S = TypeVar("S", "DeploymentSpec", "StepSpec", "GatewaySpec")


def rebased_flow(flow: FlowSpec, folder: str) -> FlowSpec:
    """A Flow whose relative paths, if they lead to files, start at `folder`."""
    outer = [*flow.extra_search_paths, *filter(None, [flow.folder])]
    changes: dict[str, Any] = {"executors": tuple(rebased(step, folder, outer) for step in flow.executors)}
    if flow.gateway is not None:
        changes["gateway"] = rebased(flow.gateway, folder, outer)
    if flow.py_modules:
        changes["py_modules"] = _PathRebase(outer, folder).modules(flow.py_modules)
    return flow.model_copy(update=changes)


def rebased(spec: S, folder: str, outer: Sequence[str] = ()) -> S:
    """A Deployment, step or gateway whose relative paths start at `folder`; `outer` is where they may start too now."""
    rebase = _PathRebase([*spec.extra_search_paths, *filter(None, [spec.folder]), *outer], folder)
    changes = {
        "uses": rebase.uses(spec.uses),
        "uses_metas": rebase.metas(spec.uses_metas),
        "py_modules": rebase.modules(spec.py_modules),
    }
    changes |= {part: rebase.uses(getattr(spec, part)) for part in AROUND if getattr(spec, part, None) is not None}
    named: Mapping[str, Any] | None = getattr(spec, "gateway", None)
    if named is not None:
        changes["gateway"] = _rebased_gateway(named, rebase.places, folder)
    return spec.model_copy(update={name: value for name, value in changes.items() if value != getattr(spec, name)})


def _rebased_gateway(named: Mapping[str, Any], places: Sequence[str], folder: str) -> dict[str, Any]:
    """What names the gateway class of a Deployment, with paths that start elsewhere."""
    rebase = _PathRebase([*named.get("extra_search_paths", ()), *places], folder)
    rebased = {
        "uses": rebase.uses(named["uses"]),
        "uses_metas": rebase.metas(named.get("uses_metas")),
        "py_modules": rebase.modules(named.get("py_modules")),
    }
    return {**named, **{name: value for name, value in rebased.items() if value}}


class _PathRebase:
    """From wherever paths are looked up now (`places`, then the working directory) to a folder."""

    def __init__(self, places: Sequence[str], folder: str) -> None:
        self.places = places
        self._folder = os.path.abspath(folder)

    def uses(self, uses: Any) -> Any:
        """The path of a YAML file or a folder, or the mapping that such a file holds; anything else as it is."""
        from jina.executor.loading import path_named

        if isinstance(uses, Mapping):
            return self.metas({**uses, **({"metas": self.metas(uses["metas"])} if uses.get("metas") else {})})
        if not isinstance(uses, str) or (found := path_named(uses, self.places)) is None:
            return uses
        return self._seen(uses, found)

    def metas(self, mapping: Mapping[str, Any] | None) -> Any:
        """A mapping that may name `py_modules`."""
        if not mapping or not mapping.get("py_modules"):
            return mapping
        return {**mapping, "py_modules": self.modules(mapping["py_modules"])}

    def modules(self, sources: Any) -> Any:
        """Python files; names of modules stay."""
        if isinstance(sources, str):
            return self._module(sources)
        return sources and [self._module(source) for source in sources]

    def _module(self, source: str) -> str:
        from jina.executor.loading import locate

        try:
            found = locate(source, self.places)
        except ConfigError:
            return source
        return self._seen(source, found) if os.path.isabs(found) else source

    def _seen(self, path: str, found: str) -> str:
        """What leads from the folder to a file that was found: the path itself where it does, as it was written."""
        if os.path.isabs(os.path.expanduser(path)):
            return path
        inner = os.path.relpath(found, os.path.normpath(os.path.join(self._folder, path)))
        if not inner.startswith(os.pardir):
            return path
        if os.path.commonpath([found, self._folder]) == os.sep:
            return found
        return os.path.relpath(found, self._folder)


def read(kind: str, source: str | TextIO | Mapping[str, Any], **options: Any) -> Any:
    """The spec of a Deployment or a Flow, as `kind` says, that YAML describes; `options` are those of `load_config`."""
    from jina.config import DeploymentSpec, FlowSpec, load_spec
    from jina.config.paths import located

    reading = {name: options.pop(name) for name in ("context", "substitute") if name in options}
    model: Any = FlowSpec if kind == "Flow" else DeploymentSpec
    return load_spec(model, source, **reading, overrides=located(options))


def from_command_line(options: Mapping[str, Any], where: str) -> DeploymentSpec:
    """The spec of the command line `where`: if `uses` is a Deployment's YAML, the other options override it."""
    from jina.config import DeploymentSpec, load, parse
    from jina.config.yaml import spec_of

    uses = options.get("uses")
    if isinstance(uses, str) and uses.endswith((".yml", ".yaml")):
        loaded = load(uses)
        kind = _kind(loaded[0])
        if kind == "Flow":
            raise BadConfigSource(f"{where}: {uses!r} describes a Flow", help=f"jina flow --uses {uses}")
        if kind == "Deployment":
            return spec_of(DeploymentSpec, loaded, {name: value for name, value in options.items() if name != "uses"})
    return parse(DeploymentSpec, options, where)


def flow_from_command_line(options: Mapping[str, Any], where: str) -> FlowSpec:
    """The Flow of the command line `where`: `uses` is its YAML, whose options the others override."""
    from jina.config import FlowSpec, load, parse

    uses = options.get("uses")
    if uses is None:
        return parse(FlowSpec, options, where)
    overrides = {name: value for name, value in options.items() if name != "uses"}
    # On this command line `env` gives the variables of the YAML, which is what Jina 3's flag did too.
    context = parse(FlowSpec, {"env": overrides.pop("env", None)}, where).env
    try:
        found: FlowSpec = read("Flow", uses, context=context, **overrides)
        return found
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

    from jina.config import dump_spec

    found: dict[str, Any] = yaml.safe_load(dump_spec(spec))
    return found


def write(spec: DeploymentSpec | FlowSpec, filename: str) -> None:
    """Write YAML that `read` reads back, with paths that start at the folder of the file."""
    from jina.config import FlowSpec, dump_spec

    folder = os.path.dirname(os.path.abspath(filename))
    text = dump_spec(rebased_flow(spec, folder) if isinstance(spec, FlowSpec) else rebased(spec, folder))
    with open(filename, "w", encoding="utf-8") as file:
        file.write(text)


BASE_IMAGE: Final = "JINA_GATEWAY_IMAGE"
"""The variable with the image of exported gateways, as Jina 3 names it."""


def images() -> Images:
    """Where exports find the image of `uses`, and that of what has no class of its own."""
    from jina.export.containers import Images
    from jina.hub.containers import image_of

    return Images(image_of, os.environ.get(BASE_IMAGE, ""))


def exported(path: str) -> Any:
    """The Flow or Deployment of a YAML file that is to be exported."""
    from jina.config import load
    from jina.orchestration import Deployment, Flow

    loaded = load(path)[0]
    kind = loaded.get("jtype") if isinstance(loaded, Mapping) else None
    return (Deployment if kind == "Deployment" else Flow).load_config(path)


def write_files(files: Mapping[str, str], folder: str | os.PathLike[str]) -> list[Path]:
    """Write texts below a folder, which is made if it is not there; gives the paths."""
    paths = []
    for name, text in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
