"""What a user asks of an Executor, a gateway, a Deployment, a Flow, a client and `jina hub`: one model each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, TypeVar, cast

from pydantic import Field, PlainValidator, PrivateAttr, WithJsonSchema

from jina.config.base import Spec, canonical
from jina.config.options import (
    AccessOptions,
    Batching,
    ContainerOptions,
    ExecutorOptions,
    ExternalOptions,
    GatewayOptions,
    HopOptions,
    HttpOptions,
    InflightOptions,
    InternalOptions,
    ProbeOptions,
    ProcessOptions,
    QueueOptions,
    ScalingOptions,
    ServerOptions,
    StatefulOptions,
    StepOptions,
    TelemetryOptions,
    UsesOptions,
    default_host,
    targets,
)
from jina.config.parsing import Locate, dotted, known_names, parse, unknown
from jina.config.paths import located
from jina.config.types import (
    SCHEMES,
    ApiKey,
    Count,
    Flag,
    GatewayClass,
    Index,
    Inspect,
    JsonMapped,
    Mapped,
    Port,
    Protocol,
    Provider,
    StepMethod,
    Target,
    Text,
    TextList,
    TextListFromJson,
    TextMapped,
    choice,
    shown,
    split_address,
)
from jina.errors import ConfigError


class ExecutorSpec(Spec):
    """An Executor: which class, and what it is constructed with."""

    jtype: Text
    """Name or import path of the Executor class."""

    version: Text = "1"
    """Version of the format."""

    with_: Mapped = Field(default={}, alias="with")
    """Arguments of the Executor's `__init__`."""

    metas: Mapped = Field(default={})
    """What is known about the Executor: name, description, workspace, url, keywords."""

    py_modules: TextList = Field(default=[])
    """Python files or modules to import before the class is looked up; paths start at the file's folder."""

    requests: TextMapped = Field(default={})
    """Endpoint -> method name; replaces the endpoints that the method had."""

    dynamic_batching: Batching = Field(default={})
    """Endpoint or method -> how requests are gathered; `timeout` is in milliseconds."""


class GraphOptions(Spec):
    """The graph of a gateway that runs alone, as JSON."""

    graph_description: JsonMapped = Field(default={})
    """Executor -> those after it, from `start-gateway` to `end-gateway`."""

    graph_conditions: JsonMapped = Field(default={})
    """Executor -> its condition on documents."""

    deployments_addresses: JsonMapped = Field(default={})
    """Executor -> the addresses of its replicas, such as `["grpc://127.0.0.1:1234"]`."""

    deployments_metadata: JsonMapped = Field(default={})
    """Executor -> gRPC metadata sent with every request to it."""

    deployments_no_reduce: TextListFromJson = Field(default=[])
    """Executors that get several inputs without merging them."""


class GatewaySpec(
    InternalOptions,
    ContainerOptions,
    TelemetryOptions,
    GraphOptions,
    HopOptions,
    GatewayOptions,
    InflightOptions,
    AccessOptions,
    ServerOptions,
    ProcessOptions,
):
    """The gateway of a Flow."""

    name: Text = "gateway"
    """Name of the gateway in logs."""

    uses: Any = None
    """A gateway class of your own, its import path or name, or a YAML file; unset: the built-in one."""

    uses_with: Mapped | None = None
    """Arguments of the gateway class's `__init__`; they override `with` of its YAML."""

    uses_metas: Mapped | None = None
    """Overrides `metas` of the gateway's YAML."""

    py_modules: TextList | None = None
    """Python files or modules to import before the gateway class is looked up."""

    extra_search_paths: TextList = Field(default=[])
    """Folders in which YAML files and `py_modules` are looked up as well."""

    replica_id: Index = 0
    """Which replica this process is."""

    replicas: Count = 1
    """Copies of the gateway, for Kubernetes."""

    reload: Flag = False
    """Reload the gateway when its files change."""

    provider: Provider = "NONE"
    """Cloud whose conventions the server follows: sagemaker or azure."""

    provider_endpoint: Text | None = None
    """Endpoint that the provider's route calls."""

    runtime_cls: Text = "GatewayRuntime"
    """Kind of process."""

    pod_role: Any = "GATEWAY"
    """Role of the process."""


def gateway_of(owner: Spec, own: GatewaySpec | None = None) -> GatewaySpec:
    """The gateway in front of a Deployment or a Flow: `own` options, then those of the owner that it has as well.

    Nothing is validated again, because the values were.
    """
    shared = (type(owner).model_fields.keys() & GatewaySpec.model_fields.keys()) - _NOT_THE_GATEWAYS
    values = {name: getattr(owner, name) for name in shared}
    given = owner.model_fields_set & shared
    if own is not None:
        values |= {name: getattr(own, name) for name in own.model_fields_set}
        given |= own.model_fields_set
    gateway = GatewaySpec.model_construct(given, **values)
    return gateway.in_folder(own.folder if own is not None and own.folder else owner.folder)


_NOT_THE_GATEWAYS = {
    "name", "uses", "uses_with", "uses_metas", "py_modules", "replicas", "reload", "runtime_cls", "pod_role",
}  # fmt: skip


class DeploymentSpec(
    InternalOptions,
    ContainerOptions,
    TelemetryOptions,
    ProbeOptions,
    StatefulOptions,
    StepOptions,
    ExternalOptions,
    HopOptions,
    ScalingOptions,
    QueueOptions,
    InflightOptions,
    AccessOptions,
    HttpOptions,
    ServerOptions,
    ProcessOptions,
    ExecutorOptions,
    UsesOptions,
):
    """One Executor, served.

    `uses` may hold a class, which never is serialised; everything else is plain values. The properties give the
    options that may be one value or several in one shape.
    """

    gateway: GatewayClass | None = None
    """A gateway class of your own to put in front, with its own routes: the class, its import path, its YAML file, or a
    mapping of `uses`, `uses_with`, `uses_metas`, `py_modules` and `extra_search_paths`."""

    @property
    def targets(self) -> list[Target]:
        """Where the replicas of an external Deployment are; else none."""
        return targets(self) if self.external else []

    @property
    def front(self) -> GatewaySpec:
        """The gateway that its replicas are behind where they are not part of a Flow: it has the faces."""
        own = GatewaySpec.model_construct(set(self.gateway), **self.gateway) if self.gateway else None
        return gateway_of(self, own)


OneProtocol = Annotated[
    str,
    PlainValidator(choice("grpc", "http", "websocket")),
    WithJsonSchema({"type": "string", "enum": ["grpc", "http", "websocket"]}),
]


class ClientSpec(Spec):
    """A client and the service that it talks to."""

    host: Text = Field(default_factory=default_host, validate_default=True)
    """Host name or address, or all in one: `grpc://host:port`, also grpcs, http, https, ws, wss."""

    port: Port | None = None
    """Port of the service; unset: that of the address, else 80, with TLS 443."""

    protocol: OneProtocol = "grpc"
    """Protocol: grpc, http or websocket."""

    tls: Flag = False
    """Connect by TLS."""

    api_key: ApiKey | None = Field(default=None, repr=False)
    """Key that is sent with each call, as `X-API-Key`."""

    ssl_ca_certs: Text | None = None
    """File of the authorities (PEM) to trust instead of the usual ones."""

    ssl_certfile: Text | None = None
    """File of the client's certificate (PEM), for servers that ask for one; needs `ssl_keyfile`."""

    ssl_keyfile: Text | None = None
    """File of the certificate's private key (PEM)."""

    cors: Flag = False
    """For servers alone; accepted because Jina 3 takes it."""

    asyncio: Flag = False
    """Give the client whose methods are coroutines."""

    prefetch: Index = 1000
    """Requests in flight at the same time; 0: no limit."""

    proxy: Flag = False
    """Use the proxies that the environment names."""

    reuse_session: Flag = False
    """Keep HTTP connections open between calls."""

    grpc_channel_options: Mapped | None = None
    """Options of the gRPC channel."""

    max_message_size: Count = 64 * 1024 * 1024
    """Largest request or reply in bytes."""

    log_config: Text = "default"
    """For servers alone: logging of your program is yours to configure."""

    suppress_root_logging: Flag = False
    """Leave the root logger alone, which is what happens anyway."""

    tracing: Flag = False
    """Send the spans of your program to a collector by OTLP; needs the extra `otel`."""

    traces_exporter_host: Text | None = None
    """Host of the collector of traces; without host and port OpenTelemetry's own variables say it."""

    traces_exporter_port: Port | None = None
    """Port of the collector of traces; unset: 4317."""

    metrics: Flag = False
    """For servers alone: a client counts nothing."""

    metrics_exporter_host: Text | None = None
    """For servers alone."""

    metrics_exporter_port: Port | None = None
    """For servers alone."""

    @property
    def target(self) -> Target:
        """Where to connect: the address taken apart, with the other options and their defaults filled in."""
        protocol, tls = cast("Protocol", self.protocol), self.tls
        address = split_address(self.host)
        if address.scheme is not None:
            protocol, tls = SCHEMES[address.scheme]
        return Target(protocol, address.host, address.port or self.port or (443 if tls else 80), tls)


class HubNewSpec(Spec):
    """Answers of the wizard; what is not given is asked for."""

    name: str | None = None
    """Name of the Executor's class, such as MyExecutor."""
    path: str | None = None
    """Folder to write the package to; ./NAME by default."""
    advance_configuration: bool | None = None
    """Go through the advanced part: Dockerfile, description, keywords, URL."""
    description: str | None = None
    """One line about what the Executor does."""
    keywords: str | None = None
    """Keywords, separated by commas."""
    url: str | None = None
    """Address of the Executor's home page."""
    dockerfile: str | None = None
    """Template of the Dockerfile: cpu, torch-gpu, tf-gpu, jax-gpu or none."""


class HubBuildSpec(Spec):
    """How to build an Executor package."""

    dockerfile_only: bool = False
    """Write the Dockerfile and stop."""
    dockerfile: str = "cpu"
    """Template of the Dockerfile: cpu, torch-gpu, tf-gpu or jax-gpu."""
    force: bool = False
    """Overwrite a Dockerfile that is there."""


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
