"""Plain values to YAML text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from jina.errors import ConfigError
from jina.spec.base import Spec
from jina.spec.parsing import subject_of
from jina.spec.types import shown


def yaml_text(data: Any) -> str:
    """The text of plain values, in their order."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def plain_options(spec: Spec, names: Iterable[str], where: str = "") -> dict[str, Any]:
    """These options of a spec under their YAML names, as values that YAML can hold; else ConfigError."""
    fields = type(spec).model_fields
    place = where or f"{subject_of(type(spec))}:"
    return {fields[name].alias or name: _plain(getattr(spec, name), f"{place} {name}") for name in names}


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
