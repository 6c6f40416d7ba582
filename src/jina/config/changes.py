"""Changed copies of a Flow's model: one with a step more, one with other options of its gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jina.config.base import Spec, canonical
from jina.config.models import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec
from jina.config.parsing import Locate, dotted, known_names, parse, unknown
from jina.config.paths import located
from jina.errors import ConfigError

_DEFAULT_NAMES: Final[Mapping[str, str]] = {
    "needs": "joiner", "needs_all": "joiner", "inspect": "inspect", "gather_inspect": "gather_inspect",
}  # fmt: skip


def with_step(
    flow: FlowSpec, method: str = "add", /, deployment: DeploymentSpec | None = None, **options: Any
) -> FlowSpec:
    """A copy of the Flow with one more step, made by `method`: add, needs, needs_all, inspect or gather_inspect.

    `options` are those of a Deployment, and count instead of those of `deployment`. The step gets a name of its own:
    `executor{N}` unless one is given, with a number behind it where another step has it. Raises ConfigError, for
    a place in the graph that cannot be FlowTopologyError; names in `needs` may belong to steps added later.
    """
    if "method" in options:
        raise ConfigError(f"Flow.{method}: {unknown('method', known_names(StepSpec))}")
    return step_from(flow, method, options, deployment)


def step_from(
    flow: FlowSpec,
    method: str,
    options: Mapping[str, Any],
    deployment: DeploymentSpec | None = None,
    locate: Locate | None = None,
) -> FlowSpec:
    """`with_step` for options that stand where `locate` says, such as in a file."""
    options = options if flow.folder else located(options)
    given = _options_of(deployment) | {name: value for name, value in options.items() if value is not None}
    default = _DEFAULT_NAMES.get(str(method)) or ("executor" if deployment is not None else f"executor{_count(flow)}")
    given["name"] = _own_name(flow, given.get("name", default))
    given["method"] = method
    step = parse(StepSpec, given, f"Flow.{method}", locate)
    folder = deployment.folder if deployment is not None and deployment.folder else flow.folder
    place = " ".join((locate(())[0], dotted(locate(())[1]))) if locate else f"Flow: {step.name}"
    return flow.model_copy(update={"executors": (*flow.executors, step.at(place).in_folder(folder))})


def with_gateway(flow: FlowSpec, /, **options: Any) -> FlowSpec:
    """A copy of the Flow whose gateway has these options besides those that it was given before."""
    return gateway_from(flow, options)


def gateway_from(flow: FlowSpec, options: Mapping[str, Any], locate: Locate | None = None) -> FlowSpec:
    """`with_gateway` for options that stand where `locate` says, such as in a file."""
    options = options if flow.folder else located(options)
    kept = {canonical(name, GatewaySpec.model_fields) for name, value in options.items() if value is not None}
    before = {name: value for name, value in _options_of(flow.gateway).items() if name not in kept}
    # Ports and protocols must fit together, whichever of them the Flow has.
    shared = ({"port", "protocol"} & flow.model_fields_set) - before.keys() - kept
    lent = {name: getattr(flow, name) for name in shared}
    gateway = parse(GatewaySpec, {**lent, **before, **options}, "Flow.config_gateway", locate)
    own = {name: value for name, value in _options_of(gateway).items() if name not in shared}
    return _with_own(flow, GatewaySpec.model_construct(set(own), **own))


def set_at_gateway(flow: FlowSpec, option: str, value: Any) -> FlowSpec:
    """A copy of the Flow whose gateway has this option, one that Flows have too, validated alone.

    What must fit together, such as ports and protocols, may be set one after the other; `plan_flow` checks it.
    """
    valid = parse(FlowSpec, {option: value}, "Flow")  # which says nothing of what is left open
    own = flow.gateway or GatewaySpec.model_construct()
    return _with_own(flow, own.model_copy(update={option: getattr(valid, option)}))


def _with_own(flow: FlowSpec, gateway: GatewaySpec) -> FlowSpec:
    return flow.model_copy(update={"gateway": gateway.in_folder(flow.folder)})


def _options_of(spec: Spec | None) -> dict[str, Any]:
    """The options that were given, by name."""
    return {} if spec is None else {name: getattr(spec, name) for name in spec.model_fields_set}


def _count(flow: FlowSpec) -> int:
    """Steps so far; Jina 3 counts two for an inspection."""
    return sum(2 if step.method == "inspect" else 1 for step in flow.executors)


def _own_name(flow: FlowSpec, name: Any) -> Any:
    if not isinstance(name, str):
        return name  # which is refused with all other values that are wrong
    names = {step.name for step in flow.executors}
    number = _count(flow)
    own = name
    while own in names:
        own, number = f"{name}{number}", number + 1
    return own
