"""What a user asks of a Flow: its options, its gateway, its Deployments in the order in which they were added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import PlainValidator, PrivateAttr, WithJsonSchema

from jina.errors import ConfigError
from jina.spec.aliases import canonical
from jina.spec.base import Spec
from jina.spec.deployment import DeploymentSpec
from jina.spec.gateway import GatewaySpec, gateway_of
from jina.spec.options import (
    ExecutorOptions,
    GatewayOptions,
    HopOptions,
    HttpOptions,
    ProcessOptions,
    ScalingOptions,
    ServerOptions,
)
from jina.spec.options_limits import AccessOptions, InflightOptions, QueueOptions
from jina.spec.options_platform import ContainerOptions, InternalOptions, StatefulOptions, TelemetryOptions
from jina.spec.parsing import Locate, known_names, parse, unknown
from jina.spec.paths import dotted, located
from jina.spec.types import Flag, Inspect, StepMethod, Text, shown

S = TypeVar("S", bound=Spec)


class StepSpec(DeploymentSpec):
    """A Deployment as a step of a Flow."""

    made_by_methods: ClassVar[frozenset[str]] = frozenset({"method"})

    method: StepMethod = "add"
    """How it was added: add, needs, needs_all, inspect or gather_inspect."""

    _place: str = PrivateAttr(default="")

    @property
    def place(self) -> str:
        """Where it was added, for messages: `flow.yml:7 executors[2]`."""
        return self._place or f"Flow: {self.name}"

    def at(self, place: str) -> StepSpec:
        """The same step, added at `place`."""
        copy = self.model_copy()
        copy._place = place  # noqa: SLF001 - a copy of ourselves
        return copy

    @property
    def only_joins(self) -> bool:
        """Whether no Executor runs for it: a join without `uses` merges, and does nothing else."""
        return self.method in _JOINS and self.uses == "BaseExecutor" and not self.external


def _refuse(value: Any) -> Any:
    raise ValueError(f"{shown(value)} is no option; config_gateway and add take what it would say")


_made_by_methods: Final = PlainValidator(_refuse)


class FlowSpec(
    InternalOptions,
    ContainerOptions,
    TelemetryOptions,
    StatefulOptions,
    HopOptions,
    ScalingOptions,
    GatewayOptions,
    QueueOptions,
    InflightOptions,
    AccessOptions,
    ServerOptions,
    ProcessOptions,
    ExecutorOptions,
):
    """A graph of Deployments behind a gateway.

    Options that Deployments have as well are the defaults of those that are added; options of gateways are those
    of its gateway. `with_step` and `with_gateway` give changed copies.
    """

    made_by_methods: ClassVar[frozenset[str]] = frozenset({"gateway", "executors"})

    name: Text = "flow"
    """Name of the Flow in logs, and of the file that it is saved to."""

    uses: Text | None = None
    """On the command line: the YAML file of the Flow."""

    inspect: Inspect = "COLLECT"
    """What becomes of `inspect` steps: COLLECT waits for them, HANG lets them run beside, REMOVE leaves them out."""

    asyncio: Flag = False
    """Give the Flow whose methods are coroutines."""

    tls: Flag = False
    """Let clients made from it connect by TLS, and connect to external Deployments by TLS."""

    reuse_session: Flag = False
    """Let clients made from it keep HTTP connections open between calls."""

    suppress_root_logging: Flag = False
    """Leave the root logger alone, which is what happens anyway."""

    gateway: Annotated[GatewaySpec | None, _made_by_methods, WithJsonSchema({})] = None
    """Options of the gateway that differ from those of the Flow."""

    executors: Annotated[tuple[StepSpec, ...], _made_by_methods, WithJsonSchema({})] = ()
    """The Deployments, in the order in which they were added."""

    @property
    def front(self) -> GatewaySpec:
        """The gateway, with what it takes from the Flow."""
        return gateway_of(self, self.gateway)

    @property
    def steps(self) -> list[StepSpec]:
        """The Deployments, with what they take from the Flow."""
        return [_with_defaults(step, self) for step in self.executors]


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


def _with_defaults(step: StepSpec, flow: FlowSpec) -> StepSpec:
    taken = flow.model_fields_set & StepSpec.model_fields.keys() - step.model_fields_set - _NOT_THE_STEPS
    if step.external:
        taken -= {"replicas", *_CERTIFICATES}
    values: dict[str, Any] = {name: getattr(flow, name) for name in taken}
    if flow.gateway is not None:
        hops = flow.gateway.model_fields_set & HopOptions.model_fields.keys() - step.model_fields_set
        values |= {name: getattr(flow.gateway, name) for name in hops}
    if flow.env and step.env:
        values["env"] = {**flow.env, **step.env}
    return step.model_copy(update=values) if values else step


_JOINS: Final = frozenset({"needs", "needs_all", "gather_inspect"})

_DEFAULT_NAMES: Final[Mapping[str, str]] = {
    "needs": "joiner", "needs_all": "joiner", "inspect": "inspect", "gather_inspect": "gather_inspect",
}  # fmt: skip

_CERTIFICATES: Final = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
"""Those of a Flow are what its gateway shows to clients; those of an external step what it shows to that one."""

_NOT_THE_STEPS: Final = frozenset({
    "name", "uses", "port", "port_monitoring", "protocol", "workspace_id", "gateway", *HttpOptions.model_fields,
})  # fmt: skip
