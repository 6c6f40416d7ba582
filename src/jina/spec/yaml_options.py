"""The options in a YAML file: what it describes, and where each option stands."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jina.errors import BadConfigSource, BadYAMLVersion, ConfigError, nearest
from jina.observe.logs import get_logger
from jina.spec.aliases import CLOUD, FORMER, canonical
from jina.spec.base import Spec
from jina.spec.deployment import DeploymentSpec
from jina.spec.executor import ExecutorSpec
from jina.spec.parsing import Locate, known_names, parse, subject_of, unknown
from jina.spec.paths import Path, dotted
from jina.spec.rules import VERSIONS
from jina.spec.types import shown
from jina.spec.yaml_io import Loaded, Origin

KINDS: Final = ("Deployment", "Executor", "Flow", "Gateway", "Client")
"""What a configuration may describe besides an Executor class of the user."""

_CLOUD_GATEWAY: Final = frozenset({"gateway"})
"""What only Jina AI Cloud read in the file of a Deployment."""


_METAS: Final = ("name", "description", "workspace", "py_modules")
"""What is read of `metas`; programs may read keys of their own."""
_USES: Final = ("uses", "uses_before", "uses_after")


def mapping_in(loaded: Loaded) -> Mapping[str, Any]:
    """The mapping that a configuration has to be."""
    if not isinstance(loaded.data, Mapping):
        raise BadConfigSource(f"{loaded.origin.at(())}: {shown(loaded.data)} is no mapping with 'jtype'")
    return loaded.data


def overridden(model: type[Spec], values: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a file with those that count instead."""
    replaced = dict(overrides or {})
    options = {canonical(name, model.model_fields) for name in replaced}
    kept = {name: value for name, value in values.items() if canonical(name, model.model_fields) not in options}
    return {**kept, **replaced}


def locator(origin: Origin, prefix: Path, subject: str, replaced: Mapping[str, Any] | None = None) -> Locate:
    """Where the options below `prefix` stand; those in `replaced` did not come from the file."""

    def locate(path: Path) -> tuple[str, Path]:
        if path and path[0] in (replaced or {}):
            return f"{subject}:", path
        full = (*prefix, *path)
        return origin.place(full), full

    return locate


@dataclass(slots=True)
class Ignored:
    """What a file says that nothing here heeds: collected while it is read, then told in one line each."""

    origin: Origin
    cloud: list[Path] = field(default_factory=list)
    former: list[Path] = field(default_factory=list)
    misplaced: list[Path] = field(default_factory=list)
    """Options of a Deployment in the file of an Executor."""
    unread: list[tuple[Path, str]] = field(default_factory=list)
    """Keys of `metas`, each with the one that it is like."""

    def without(self, values: Mapping[str, Any], path: Path, known: Container[str] = ()) -> dict[str, Any]:
        """The options at `path` without those for Jina AI Cloud and those that only earlier versions had.

        `known` are names that count whatever else they are.
        """
        kept = {}
        for name, value in values.items():
            plain = str(name).replace("-", "_")  # Jina 3 took `timeout-ready` for `timeout_ready`
            if name == CLOUD:
                self.cloud.append((*path, name))
            elif plain in FORMER and name not in known:
                self.former.append((*path, name))
            else:
                kept[plain if plain in known and plain not in values else name] = value
        return kept

    def tell(self) -> None:
        """Log it, or note it where the origin collects it."""
        likely = [([path], f"nothing reads this key, did you mean '{near}'?") for path, near in self.unread]
        for paths, text in (
            *likely,
            (self.cloud, "for Jina AI Cloud, without effect here"),
            (self.former, "options of earlier versions of Jina, without effect here"),
            (self.misplaced, "options of a Deployment, without effect in an Executor's file"),
        ):
            if self.origin.ignored is not None:
                self.origin.ignored.extend((text, path) for path in paths)
            elif paths:
                get_logger("jina.yaml").warning("%s: %s", self._places(paths), text)

    def _places(self, paths: list[Path]) -> str:
        first, *others = paths
        return ", ".join([self.origin.at(first), *(dotted(path) for path in others)])


def check_kind(model: type[Spec], data: Mapping[str, Any], origin: Origin) -> None:
    """Raise unless the configuration describes a `model`."""
    wanted = subject_of(model)
    jtype = data.get("jtype")
    executor = "jtype" in model.model_fields
    if jtype is None:
        if executor:
            raise BadConfigSource(f"{origin.at(())}: 'jtype' is missing: the name of the Executor class")
        return
    if executor and jtype in set(KINDS) - {"Executor"}:
        raise BadConfigSource(f"{origin.at(('jtype',))}: {shown(jtype)} is no Executor")
    if not executor and jtype != wanted:
        near = nearest(str(jtype), [wanted])
        hint = f", did you mean '{near}'?" if near else f"; it has to be '{wanted}'"
        raise BadConfigSource(f"{origin.at(('jtype',))}: {shown(jtype)} is no {wanted}{hint}")


def options_below_with(
    model: type[Spec], data: Mapping[str, Any], ignored: Ignored, path: Path = ()
) -> Mapping[str, Any]:
    """What stands below `with`; raises for keys beside it that a configuration does not have."""
    origin = ignored.origin
    data = ignored.without(data, path)
    if data.keys() >= _CLOUD_GATEWAY and subject_of(model) == "Deployment":
        ignored.cloud += [(*path, name) for name in _CLOUD_GATEWAY]
        data = {name: value for name, value in data.items() if name not in _CLOUD_GATEWAY}
    version = data.get("version", "1")
    if str(version) not in VERSIONS:
        raise BadYAMLVersion(f"{origin.at(('version',))}: {shown(version)} is not a valid version number; there is '1'")
    for name in [name for name in data if name not in {"jtype", "version", "with"}]:
        text = unknown(str(name), ["jtype", "version", "with"], "key")
        if canonical(str(name), model.model_fields) in model.model_fields:
            text = f"unknown key {shown(name)}; options stand below 'with:'"
        raise ConfigError(f"{origin.place((str(name),))} {text}")
    values = data.get("with")
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin.at(('with',))}: {shown(values)} is not a mapping of options")
    return ignored.without(values, (*path, "with"), model.model_fields)


def executor_options(model: type[Spec], data: Mapping[str, Any], ignored: Ignored) -> dict[str, Any]:
    """What the file of an Executor says, without options of Deployments, over which Jina 3 passes there."""
    values = ignored.without(data, (), model.model_fields)
    others = {"runtime_args", *DeploymentSpec.model_fields} - set(known_names(model))
    ignored.misplaced += [(name,) for name in values if name in others]
    metas = values.get("metas")
    for key in metas if isinstance(metas, Mapping) else ():
        if key not in _METAS and (near := nearest(str(key), _METAS)):
            ignored.unread.append((("metas", str(key)), near))
    return {name: value for name, value in values.items() if name not in others}


def check_executor(data: Any, origin: Origin, path: Path) -> None:
    """Raise for what is wrong with an Executor or gateway that a file of something else describes at `path`.

    It is read again when it is started, and what it says without effect is told then.
    """
    if isinstance(data, Mapping) and data.get("jtype") not in (None, "Deployment", "Flow", "Gateway", "Client"):
        values = executor_options(ExecutorSpec, data, Ignored(origin))
        parse(ExecutorSpec, values, locate=locator(origin, path, "Executor"))


def check_executors(values: Mapping[str, Any], origin: Origin, path: Path) -> None:
    """The same for those that the options at `path` have in `uses` and what is like it."""
    for name in _USES:
        check_executor(values.get(name), origin, (*path, name))
