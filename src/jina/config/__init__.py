"""Every option once; YAML in and out; cross-field rules.

Takes: keyword arguments, YAML, command-line values.
Gives: frozen specs, or one error that names the place.
Never: starts anything.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jina.config.models import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec
    from jina.config.parsing import parse
    from jina.config.signature import ClassSignature, takes_options_from, takes_options_of, takes_step_options
    from jina.config.yaml import dump_spec, load, load_spec

__all__ = [
    "ClassSignature",
    "ClientSpec",
    "DeploymentSpec",
    "ExecutorSpec",
    "FlowSpec",
    "GatewaySpec",
    "StepSpec",
    "dump_spec",
    "load",
    "load_spec",
    "parse",
    "takes_options_from",
    "takes_options_of",
    "takes_step_options",
]

_HOMES: Final = {
    "ClassSignature": "signature",
    "ClientSpec": "models",
    "DeploymentSpec": "models",
    "ExecutorSpec": "models",
    "FlowSpec": "models",
    "GatewaySpec": "models",
    "StepSpec": "models",
    "dump_spec": "yaml",
    "load": "yaml",
    "load_spec": "yaml",
    "parse": "parsing",
    "takes_options_from": "signature",
    "takes_options_of": "signature",
    "takes_step_options": "signature",
}


def __getattr__(name: str) -> Any:
    # pydantic costs 100 ms: it is imported by who reads options, not by who declares methods that take them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
