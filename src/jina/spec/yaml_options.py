"""The options in a YAML file: what it describes, and where each option stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jina.errors import BadConfigSource, ConfigError, nearest
from jina.spec.aliases import canonical
from jina.spec.base import Spec
from jina.spec.parsing import Locate, subject_of, unknown
from jina.spec.paths import Path
from jina.spec.rules import VERSIONS
from jina.spec.types import shown
from jina.spec.yaml_io import Loaded, Origin

KINDS: Final = ("Deployment", "Executor", "Flow", "Gateway", "Client")
"""What a configuration may describe besides an Executor class of the user."""


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


def options_below_with(model: type[Spec], data: Mapping[str, Any], origin: Origin) -> Mapping[str, Any]:
    """What stands below `with`; raises for keys beside it that a configuration does not have."""
    version = data.get("version", "1")
    if str(version) not in VERSIONS:
        raise BadConfigSource(
            f"{origin.at(('version',))}: {shown(version)} is not a valid version number; there is '1'"
        )
    for name in data.keys() - {"jtype", "version", "with"}:
        text = unknown(str(name), ["jtype", "version", "with"], "key")
        if canonical(str(name), model.model_fields) in model.model_fields:
            text = f"unknown key {shown(name)}; options stand below 'with:'"
        raise ConfigError(f"{origin.place((str(name),))} {text}")
    values = data.get("with")
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin.at(('with',))}: {shown(values)} is not a mapping of options")
    return values
