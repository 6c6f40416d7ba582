"""What a user asks of an Executor, a gateway, a Deployment, a Flow, a client and `jina hub`: one model each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, TypeVar, cast

from pydantic import Field, PlainValidator, PrivateAttr, WithJsonSchema

from jina.config.base import Group, Spec
from jina.config.options import (
    Autoscale,
    Autoscales,
    Batching,
    GatewayOptions,
    ServiceOptions,
    UpstreamOptions,
    WorkerOptions,
    default_host,
)
from jina.config.types import (
    SCHEMES,
    TARGETS,
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
    Protocols,
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


class GatewaySpec(GatewayOptions):
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

    GRAPH: ClassVar = Group("The graph of a gateway that runs alone, as JSON")

    graph_description: JsonMapped = Field(default={})
    """Executor -> those after it, from `start-gateway` to `end-gateway`."""

    graph_conditions: JsonMapped = Field(default={})
    """Executor -> its condition on documents."""

    deployments_addresses: JsonMapped = Field(default={})
    """Executor -> the addresses of its replicas, such as `["grpc://127.0.0.1:1234"]`, or a name behind which they are
    found: `dns:///name:port`, `kubernetes:///service.namespace:port`."""

    deployments_metadata: JsonMapped = Field(default={})
    """Executor -> gRPC metadata sent with every request to it."""

    deployments_options: JsonMapped = Field(default={})
    """Executor -> how it is called where that differs from the gateway's own options: `retries`, `timeout_send`,
    `compression`, `grpc_channel_options`, `resolve_interval`."""

    deployments_autoscale: Autoscales = Field(default={})
    """Executor -> how its number of replicas is wanted to follow the load, as `autoscale` of a Deployment has it: told
    to KEDA and in metrics. Requests wait here while it has no replica."""

    deployments_no_reduce: TextListFromJson = Field(default=[])
    """Executors that get several inputs without merging them."""

    groups = (
        ServiceOptions.PROCESS,
        ServiceOptions.SERVER,
        ServiceOptions.ACCESS,
        ServiceOptions.INFLIGHT,
        ServiceOptions.HTTP,
        GatewayOptions.GATEWAY,
        UpstreamOptions.UPSTREAM,
        GRAPH,
        ServiceOptions.TELEMETRY,
        ServiceOptions.CONTAINER,
        ServiceOptions.INTERNAL,
    )


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
    if isinstance(owner, FlowSpec) and (both := _both(owner.kubernetes, own.kubernetes if own else None)):
        values["kubernetes"] = both
    gateway = GatewaySpec.model_construct(given, **values)
    return gateway.in_folder(own.folder if own is not None and own.folder else owner.folder)


_NOT_THE_GATEWAYS = {
    "name", "uses", "uses_with", "uses_metas", "py_modules", "replicas", "reload", "runtime_cls", "pod_role",
}  # fmt: skip


class TargetError(ValueError):
    """An option of the addresses is wrong; `option` is its name."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


def targets(spec: DeploymentSpec) -> list[Target]:
    """One target for each replica: the hosts with their ports; a single one of either counts for all.

    Raises TargetError where they do not fit together.
    """
    hosts, ports = spec.hosts, spec.ports
    if len(hosts) > 1 and len(ports) > 1 and len(hosts) != len(ports):
        raise TargetError("host", _mismatch(len(hosts), len(ports)))
    count = max(len(hosts), len(ports))
    if "replicas" in spec.model_fields_set and spec.replicas not in {1, count}:
        raise TargetError("host", _mismatch(len(hosts), spec.replicas))
    return [
        _target(spec, hosts[index % len(hosts)], ports[index % len(ports)] if ports else None) for index in range(count)
    ]


def _mismatch(hosts: int, replicas: int) -> str:
    return f"Number of hosts ({hosts}) does not match the number of replicas ({replicas})"


def _target(spec: DeploymentSpec, text: str, port: int | None) -> Target:
    try:
        address = split_address(text, discovered=True)
    except ValueError as exc:
        raise TargetError("host", str(exc)) from exc
    if address.port is not None and port not in {None, address.port}:
        raise TargetError("port", f"the host {text!r} says it already; there can't be two definitions")
    number = address.port or port
    if number is None:
        raise TargetError("port", f"missing: where to connect to on {text!r}")
    protocol, tls = SCHEMES[address.scheme] if address.scheme else (spec.protocols[0], spec.tls)
    return TARGETS[address.via](protocol, address.host, number, tls)


class DeploymentSpec(ServiceOptions, WorkerOptions):
    """One Executor, served.

    `uses` may hold a class, which never is serialised; everything else is plain values. The properties give the
    options that may be one value or several in one shape.
    """

    gateway: GatewayClass | None = None
    """A gateway class of your own to put in front, with its own routes: the class, its import path, its YAML file, or a
    mapping of `uses`, `uses_with`, `uses_metas`, `py_modules` and `extra_search_paths`."""

    USES: ClassVar = Group("The Executor that is served")

    uses: Any = "BaseExecutor"
    """What to serve: an Executor class, its import path or name, a YAML file, YAML or JSON text, a mapping, a URL."""

    uses_with: Mapped | None = None
    """Arguments of the Executor's `__init__`; they override `with` of its YAML."""

    uses_metas: Mapped | None = None
    """Overrides `metas` of the Executor's YAML: name, description, workspace, py_modules."""

    uses_requests: TextMapped | None = None
    """Endpoint -> method name; replaces the endpoints that the method had."""

    uses_dynamic_batching: Batching | None = None
    """Endpoint or method -> batching options: preferred_batch_size, timeout (milliseconds), flush_all,
    use_custom_metric, isolate_errors, use_dynamic_batching; on top of those of the Executor."""

    AUTOSCALING: ClassVar = Group("Replicas that come and go with the load")

    autoscale: Autoscale | None = None
    """Between how many replicas it runs on this machine, by how long requests wait: `{min, max, target_wait}` and
    others, in seconds. `min` of 0 ends the last one when there is nothing to do; the next request waits for it."""

    EXTERNAL: ClassVar = Group("A service that runs already")

    external: Flag = False
    """It runs already, elsewhere: connect to `host` and `port`, start nothing. Several addresses are replicas. The host
    `dns:///name` stands for all addresses of a name, `kubernetes:///service.namespace` for the pods of a Service; both
    are followed as they change."""

    tls: Flag = False
    """Connect by TLS."""

    grpc_metadata: TextMapped | None = None
    """gRPC metadata sent with every request to it."""

    STEP: ClassVar = Group("Place in a Flow, or alone")

    needs: TextList | None = None
    """In a Flow: whose replies it gets, merged; `gateway` is the request itself. Unset: the step added before."""

    when: Mapped | None = None
    """In a Flow: condition on documents; the others go round it."""

    floating: Flag = False
    """In a Flow: do not wait for the reply and let nothing follow."""

    include_gateway: Flag = True
    """Put a gateway in front where one is needed; one worker serves its own ports in either case."""

    PROBES: ClassVar = Group("Probes of one worker alone")

    port_probes: Port | None = None
    """Port on which a small process of its own answers probes, also while C code holds the worker's interpreter."""

    groups = (
        USES,
        WorkerOptions.EXECUTOR,
        ServiceOptions.PROCESS,
        ServiceOptions.SERVER,
        ServiceOptions.HTTP,
        ServiceOptions.ACCESS,
        ServiceOptions.INFLIGHT,
        WorkerOptions.QUEUE,
        WorkerOptions.SCALING,
        AUTOSCALING,
        UpstreamOptions.UPSTREAM,
        EXTERNAL,
        STEP,
        WorkerOptions.STATEFUL,
        PROBES,
        ServiceOptions.TELEMETRY,
        ServiceOptions.CONTAINER,
        ServiceOptions.INTERNAL,
    )

    @property
    def targets(self) -> list[Target]:
        """Where the replicas of an external Deployment are; else none."""
        return targets(self) if self.external else []

    @property
    def front(self) -> GatewaySpec:
        """The gateway that its replicas are behind where they are not part of a Flow: it has the listeners."""
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
    """Accepted because Jina 3 takes it: HTTP connections are kept open between calls in any case."""

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


class HubAccess(Spec):
    """How registries are reached."""

    registry: str = ""
    """Registry of names without a host: HOST[/PREFIX], or the path of a folder; else JINA_HUB_REGISTRY decides."""
    ca_file: str = ""
    """File with certificates of authorities to trust besides; JINA_HUB_CA_FILE by default."""
    insecure: bool = False
    """Speak to the registry without TLS; JINA_HUB_INSECURE lists hosts for which this holds always."""


class HubCheckSpec(Spec):
    """How to check an Executor package."""

    timeout: float = 120.0
    """Seconds in which the package has to be imported."""


class HubPushSpec(HubAccess, HubCheckSpec):
    """How to push an Executor package."""

    tag: TextList = Field(default=[])
    """Tags to give it; latest by default. An existing tag moves to it."""
    protected_tag: TextList = Field(default=[])
    """Tags to give it that must not be there yet, unless for the same package."""
    name: str = ""
    """Name in the registry; that of the Executor in lower case by default."""
    sign: str = ""
    """File of an ed25519 private key in PEM to sign the package with."""
    check: bool = True
    """Import the package before, and put its endpoints and types into it."""


class HubFetchSpec(HubAccess):
    """How to fetch a package."""

    force_update: bool = False
    """Fetch it again even if it is in the cache."""
    offline: bool = False
    """Ask nobody: take what is in the cache."""
    install_requirements: bool = False
    """Make the environment for its requirements as well, so that it starts with `install_requirements` offline."""


class HubStatusSpec(HubAccess):
    """What to tell about a package."""

    offline: bool = False
    """Ask no registry: tell what is known on this machine."""


class HubVerifySpec(HubAccess):
    """How to verify a signature."""

    key: TextList = Field(default=[])
    """Files of ed25519 public keys in PEM, or folders of such files (*.pub); JINA_HUB_KEYS by default."""


class HubLoginSpec(HubAccess):
    """How to log in to a registry."""

    username: str = ""
    """Name of the user; asked for by default."""
    password_stdin: bool = False
    """Read the password from standard input instead of asking for it."""


class HubLockSpec(HubAccess):
    """How to pin packages."""

    output: str = "jina.lock"
    """File to write; what it pins already stays, unless it is pinned again."""


class HubBuildSpec(Spec):
    """How to build an Executor package."""

    tag: str | None = None
    """Name of the image, such as localhost:5000/upper:v1. By default the name of the folder."""
    dockerfile_only: bool = False
    """Write the Dockerfile, and jina's wheels beside it, and stop."""
    dockerfile: str = "cpu"
    """Template of the Dockerfile: cpu, torch-gpu, tf-gpu or jax-gpu."""
    force: bool = False
    """Overwrite a Dockerfile that is there; without `dockerfile_only`, build as if there was none."""
    daemonless: bool = False
    """Build without a container engine, by uv: the base image, a layer of dependencies, a layer of code."""
    platform: str | None = None
    """Platforms of the image, separated by commas: linux/amd64, linux/arm64. By default that of this machine."""
    base: str | None = None
    """Base image: a name; with `daemonless` also oci:DIR or docker-archive:FILE. By default that of the template."""
    output: str | None = None
    """Where an image built without an engine goes: oci:DIR, docker-archive:FILE, or a name. By default `tag`."""
    engine: str | None = None
    """Container engine: docker, podman, nerdctl, or the path of one. By default the first of them that answers."""
    network: str | None = None
    """Network that the steps of a Dockerfile use, such as host or none."""
    protocol: Protocols = "grpc"
    """Protocol that a container serves at port 8080, or a list, at ports from 8080 on; the health check asks all."""
    jina_package: str = ""
    """What to install of jina: a requirement, an address, a wheel or a folder. By default the jina that builds."""


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
    raise ValueError(f"{shown(value)} is not an option: call config_gateway or add instead")


_made_by_methods: Final = PlainValidator(_refuse)


class FlowSpec(GatewayOptions, WorkerOptions):
    """A graph of Deployments behind a gateway.

    Options that Deployments have as well are the defaults of those that are added; options of gateways are those
    of its gateway. `changes.with_step` and `changes.with_gateway` give changed copies.
    """

    made_by_methods: ClassVar[frozenset[str]] = frozenset({"gateway", "executors"})
    groups = (
        WorkerOptions.EXECUTOR,
        ServiceOptions.PROCESS,
        ServiceOptions.SERVER,
        ServiceOptions.ACCESS,
        ServiceOptions.INFLIGHT,
        WorkerOptions.QUEUE,
        ServiceOptions.HTTP,
        GatewayOptions.GATEWAY,
        WorkerOptions.SCALING,
        UpstreamOptions.UPSTREAM,
        WorkerOptions.STATEFUL,
        ServiceOptions.TELEMETRY,
        ServiceOptions.CONTAINER,
        ServiceOptions.INTERNAL,
    )

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
    """Accepted because Jina 3 takes it: clients made from it keep HTTP connections open in any case."""

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


def _with_defaults(step: StepSpec, flow: FlowSpec) -> StepSpec:
    taken = flow.model_fields_set & StepSpec.model_fields.keys() - step.model_fields_set - _NOT_THE_STEPS
    if step.external:
        taken -= {"replicas", *_CERTIFICATES}
    values: dict[str, Any] = {name: getattr(flow, name) for name in taken}
    if flow.gateway is not None:
        upstreams = flow.gateway.model_fields_set & UpstreamOptions.model_fields.keys() - step.model_fields_set
        values |= {name: getattr(flow.gateway, name) for name in upstreams}
    for option in ("env", "kubernetes"):
        if both := _both(getattr(flow, option), getattr(step, option)):
            values[option] = both
    return step.model_copy(update=values) if values else step


def _both(of_flow: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a Flow says for all with what a step or the gateway says, which counts first; None where one says it all."""
    return {**of_flow, **own} if of_flow and own else None


_JOINS: Final = frozenset({"needs", "needs_all", "gather_inspect"})
_CERTIFICATES: Final = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
"""Those of a Flow are what its gateway shows to clients; those of an external step what it shows to that one."""
_NOT_THE_STEPS: Final = frozenset({
    "name", "uses", "port", "port_monitoring", "protocol", "workspace_id", "gateway", *ServiceOptions.HTTP.names,
})  # fmt: skip
