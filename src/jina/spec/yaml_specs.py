"""Specs from YAML and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import yaml

from jina.errors import BadConfigSource, ConfigError, NotSupportedError, nearest
from jina.spec.aliases import canonical
from jina.spec.base import Spec
from jina.spec.parsing import parse, subject_of, unknown
from jina.spec.paths import Path
from jina.spec.rules import VERSIONS
from jina.spec.types import shown
from jina.spec.yaml_io import Loaded, Origin, load

S = TypeVar("S", bound=Spec)

KINDS: Final = ("Deployment", "Executor", "Flow", "Gateway", "Client")
"""What a configuration may describe besides an Executor class of the user."""

_UNAVAILABLE: Final = frozenset({"Flow", "AsyncFlow", "Gateway"})


def load_spec(
    model: type[S],
    source: Any,
    *,
    context: Mapping[str, Any] | None = None,
    substitute: bool = True,
    overrides: Mapping[str, Any] | None = None,
    search_paths: Sequence[str] = (),
) -> S:
    """Read a `model` from YAML; see `jina.spec.yaml_io.load` for what `source` may be.

    `overrides` are options that count instead of the file's. Errors name file, line and option
    (`deployment.yml:7 with.replicas: 0 is less than 1`). The spec's `folder` is that of the file.

    Raises ConfigError, BadConfigSource where the source is missing or describes something else.
    """
    loaded = load(source, context, substitute=substitute, search_paths=search_paths)
    return spec_of(model, loaded, overrides)


def spec_of(model: type[S], loaded: Loaded, overrides: Mapping[str, Any] | None = None) -> S:
    """The spec that a configuration read already describes; see `load_spec`."""
    data, origin = loaded
    if not isinstance(data, Mapping):
        raise BadConfigSource(f"{origin.at(())}: {shown(data)} is no mapping with 'jtype'")
    below = "jtype" not in model.model_fields
    check_kind(model, data, origin)
    values, prefix = (_options_below_with(model, data, origin), ("with",)) if below else (data, ())
    replaced = dict(overrides or {})
    options = {canonical(name, model.model_fields) for name in replaced}
    merged = {name: value for name, value in values.items() if canonical(name, model.model_fields) not in options}

    def locate(path: Path) -> tuple[str, Path]:
        if path and path[0] in replaced:
            return f"{subject_of(model)}:", path
        full = (*prefix, *path)
        return origin.place(full), full

    return parse(model, {**merged, **replaced}, locate=locate).in_folder(origin.folder)


def check_kind(model: type[Spec], data: Mapping[str, Any], origin: Origin) -> None:
    """Raise unless the configuration describes a `model`."""
    wanted = subject_of(model)
    jtype = data.get("jtype")
    if jtype in _UNAVAILABLE:
        raise NotSupportedError(f"{origin.at(('jtype',))}: the YAML of a {jtype} is not available yet")
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


def _options_below_with(model: type[Spec], data: Mapping[str, Any], origin: Origin) -> Mapping[str, Any]:
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


def dump_spec(spec: Spec) -> str:
    """The spec as YAML that `load_spec` reads back; only what differs from the defaults is written.

    A class in `uses` is written as its import path, or as its bare name where it has none. Raises ConfigError for
    values that YAML cannot hold.
    """
    fields = type(spec).model_fields
    options = {
        fields[name].alias or name: _plain(value, f"{subject_of(type(spec))}: {name}")
        for name, value in spec.non_defaults().items()
    }
    data = options if "jtype" in fields else {"jtype": subject_of(type(spec)), "with": options}
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, mended: it writes some line breaks of Unicode in a way that it does not read back."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out each time; `*id001` would only puzzle."""
        del data
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(char in text for char in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, type):
        anonymous = value.__module__ == "__main__" or "<locals>" in value.__qualname__
        return value.__name__ if anonymous else f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or type(value) in {bool, int, float, str}:
        return value
    raise ConfigError(f"{where}: YAML cannot hold {shown(value)} ({type(value).__name__})")


def _key(key: Any, where: str) -> Any:
    if type(key) in {bool, int, float, str}:
        return key
    raise ConfigError(f"{where}: YAML cannot hold the key {shown(key)}")
