"""Every option once; YAML in and out; cross-field rules.

Takes: keyword arguments, YAML, command-line values.
Gives: frozen specs, or one error that names the place.
Never: starts anything.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jina.spec.client import ClientSpec
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.executor import ExecutorSpec
    from jina.spec.flow import FlowSpec, StepSpec
    from jina.spec.gateway import GatewaySpec
    from jina.spec.parsing import parse
    from jina.spec.signature import takes_options_from, takes_options_of
    from jina.spec.yaml_io import load
    from jina.spec.yaml_specs import dump_spec, load_spec

__all__ = [
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
]

_HOMES: Final = {
    "ClientSpec": "client",
    "DeploymentSpec": "deployment",
    "ExecutorSpec": "executor",
    "FlowSpec": "flow",
    "GatewaySpec": "gateway",
    "StepSpec": "flow",
    "dump_spec": "yaml_specs",
    "load": "yaml_io",
    "load_spec": "yaml_specs",
    "parse": "parsing",
    "takes_options_from": "signature",
    "takes_options_of": "signature",
}


def __getattr__(name: str) -> Any:
    # pydantic costs 100 ms: it is imported by who reads options, not by who declares methods that take them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
