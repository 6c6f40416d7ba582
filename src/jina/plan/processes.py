"""The plans of single processes, workers and gateways, and the parts that they share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from msgspec.structs import replace

from jina.errors import ConfigError, NotSupportedError
from jina.plan.gpus import VARIABLE, Placement
from jina.plan.plans import (
    AccessPlan,
    AutoscalePlan,
    DeploymentPlan,
    ExecutorPlan,
    FlowPlan,
    GatewayPlan,
    GraphPlan,
    HttpPlan,
    KeyPlan,
    ListenerPlan,
    LogPlan,
    NodePlan,
    Part,
    PollingMode,
    RestartPlan,
    TelemetryPlan,
    TlsPlan,
    UpstreamPlan,
    UpstreamTlsPlan,
    WorkerPlan,
)

if TYPE_CHECKING:
    from jina.config.models import ClientSpec, DeploymentSpec, FlowSpec, GatewaySpec
    from jina.config.options import ServiceOptions, WorkerOptions
    from jina.config.types import Key, Protocol, Target
    from jina.plan.plans import PortAllocator


def telemetry(spec: ServiceOptions | ClientSpec) -> TelemetryPlan:
    """Where spans and numbers are sent."""
    return TelemetryPlan(
        tracing=spec.tracing,
        traces_endpoint=_endpoint(spec.traces_exporter_host, spec.traces_exporter_port),
        metrics=spec.metrics,
        metrics_endpoint=_endpoint(spec.metrics_exporter_host, spec.metrics_exporter_port),
    )


def monitored_deployment(plan: DeploymentPlan, spec: DeploymentSpec, ports: PortAllocator) -> DeploymentPlan:
    """The plan with a port for metrics: that of the gateway where there is one, which has those of its workers too."""
    if plan.gateway is not None:
        _refuse_probes(spec, "Deployment")
        return replace(plan, gateway=monitored_gateway(plan.gateway, spec.front, ports))
    return _probed(_monitored_workers(plan, spec, ports), spec)


def monitored_flow(plan: FlowPlan, spec: FlowSpec, ports: PortAllocator) -> FlowPlan:
    """The plan with a port for metrics of the gateway, and of each worker whose step is monitored."""
    steps = {step.name: step for step in spec.steps}
    for step in steps.values():
        _refuse_probes(step, f"Flow: {step.name}")
    return replace(
        plan,
        gateway=monitored_gateway(plan.gateway, spec.front, ports),
        deployments=[
            _monitored_workers(one, steps[one.name], ports) if one.name in steps else one for one in plan.deployments
        ],
    )


def monitored_gateway(plan: GatewayPlan, spec: GatewaySpec, ports: PortAllocator) -> GatewayPlan:
    """The plan with a port for metrics, where that is asked for."""
    if not spec.monitoring:
        return plan
    return replace(plan, monitoring=_telemetry_listener(spec, 0, ports))


def _monitored_workers(plan: DeploymentPlan, spec: DeploymentSpec, ports: PortAllocator) -> DeploymentPlan:
    if not spec.monitoring:
        return plan
    workers: list[WorkerPlan] = [
        replace(worker, monitoring=_telemetry_listener(spec, place, ports))
        if worker.executor.container is None
        else worker
        for place, worker in enumerate(plan.workers)
    ]
    return replace(plan, workers=workers)


def _refuse_probes(spec: DeploymentSpec, where: str) -> None:
    if spec.port_probes is not None:
        raise ConfigError(
            f"{where}: port_probes: is for a worker that serves alone; here a gateway answers for its workers"
        )


def _probed(plan: DeploymentPlan, spec: DeploymentSpec) -> DeploymentPlan:
    if spec.port_probes is None:
        return plan
    listener = ListenerPlan(protocol="http", host=spec.hosts[0], port=spec.port_probes)
    return replace(plan, workers=[replace(one, probes=listener) for one in plan.workers])


def _telemetry_listener(spec: DeploymentSpec | GatewaySpec, place: int, ports: PortAllocator) -> ListenerPlan:
    given = spec.port_monitoring
    listed = [] if given is None else [given] if isinstance(given, int) else list(given)
    host = spec.hosts[0]
    if place < len(listed):
        return ListenerPlan(protocol="http", host=host, port=listed[place])
    return ListenerPlan(protocol="http", host=host, port=ports.port(), share_port=True)


def _endpoint(host: str | None, port: int | None) -> str:
    if host is None and port is None:
        return ""
    address = f"{host or 'localhost'}:{port or 4317}"
    return address if "://" in address else f"http://{address}"


def listeners(
    spec: DeploymentSpec | GatewaySpec, ports: PortAllocator, taken: Collection[int] = ()
) -> list[ListenerPlan]:
    """One listener for each protocol.

    Given ports are bound alone (`share_port` False), so that a taken one is an error; those of the allocator, which
    holds them, are none of those given here or in `taken`.
    """
    avoided = {*spec.ports, *taken}
    found = given_listeners(spec)
    for protocol in spec.protocols[len(found) :]:
        port = _unused(ports, avoided)
        found.append(_listener(spec, protocol, port, share_port=True))
    return found


def given_listeners(spec: DeploymentSpec | GatewaySpec) -> list[ListenerPlan]:
    """The listeners whose ports the user gave; further ports belong to the last protocol."""
    protocols = spec.protocols
    return [
        _listener(spec, protocols[min(position, len(protocols) - 1)], port) for position, port in enumerate(spec.ports)
    ]


def _listener(
    spec: DeploymentSpec | GatewaySpec, protocol: Protocol, port: int, *, share_port: bool = False
) -> ListenerPlan:
    return ListenerPlan(
        protocol=protocol,
        host=spec.hosts[0],
        port=port,
        share_port=share_port,
        tls=tls(spec),
        timeout_read=spec.read_seconds,
    )


def key_plan(key: Key) -> KeyPlan:
    """What a server has to know of a key."""
    return KeyPlan(name=key.name, digest=key.digest, endpoints=list(key.endpoints), scopes=list(key.scopes))


def access_plan(spec: ServiceOptions) -> AccessPlan:
    """Who may call, and how often."""
    from jina.config.types import keys_of, rate_of

    rate, burst = rate_of(spec.rate_limit) if spec.rate_limit else (0.0, 0)
    keys = [key_plan(key) for key in keys_of(spec.api_keys or {})]
    return AccessPlan(keys=keys, keys_file=spec.api_keys_file or "", rate=rate, burst=burst)


def http_plan(spec: DeploymentSpec | GatewaySpec) -> HttpPlan:
    """What the HTTP listener needs; raises `ConfigError` for an API that no listener serves."""
    apis = list(spec.apis)
    over_http = [name for name in apis if name in {"mcp", "openai"}]
    if over_http and not {"http", "websocket"} & {*spec.protocols}:
        raise ConfigError(
            f"{spec.name}: apis: {over_http[0]!r} is served over HTTP, and protocol is {', '.join(spec.protocols)}",
            help="protocol='http', or protocol=['grpc', 'http'] for both",
        )
    return HttpPlan(
        title=spec.title,
        description=spec.description,
        version=spec.api_version,
        cors=spec.cors,
        uvicorn_kwargs=dict(spec.uvicorn_kwargs or {}),
        no_debug_endpoints=spec.no_debug_endpoints,
        no_crud_endpoints=spec.no_crud_endpoints,
        expose_endpoints=dict(spec.expose_endpoints or {}),
        apis=apis,
        console=spec.console,
    )


def log_plan(spec: ServiceOptions) -> LogPlan:
    """How the process logs."""
    return LogPlan(
        level=spec.log_level,
        format=spec.log_format,
        config=spec.log_config,
        folder=spec.log_dir or "",
        quiet=spec.quiet,
        quiet_error=spec.quiet_error,
    )


def restart_plan(spec: ServiceOptions) -> RestartPlan:
    """What is done when it ends by itself or hangs."""
    return RestartPlan(
        limit=spec.restart_limit,
        backoff=spec.restart_seconds,
        timeout_hang=spec.hang_seconds,
        replace_hung=spec.restart_hung,
    )


def concurrency(spec: WorkerOptions) -> dict[str, int]:
    """Calls at once by endpoint, `*` for the others; empty where nothing is said."""
    given: Any = spec.concurrency
    return {"*": given} if isinstance(given, int) else dict(given or {})


def environment(spec: ServiceOptions) -> dict[str, str]:
    """Variables of the process."""
    return {name: str(value) for name, value in (spec.env or {}).items()}


def tls(spec: DeploymentSpec | GatewaySpec) -> TlsPlan | None:
    """The files of its certificate."""
    if spec.ssl_certfile and spec.ssl_keyfile:
        return TlsPlan(certfile=spec.ssl_certfile, keyfile=spec.ssl_keyfile, ca_file=spec.ssl_ca_certs)
    return None


def _unused(ports: PortAllocator, avoided: Collection[int]) -> int:
    """A port of the allocator that the user did not give to another listener."""
    while (port := ports.port()) in avoided:
        pass
    return port


BEFORE: Final = "uses_before"
AFTER: Final = "uses_after"
AROUND: Final[tuple[Part, ...]] = (BEFORE, AFTER)
"""The options that put Executors around the shards; also how their processes are called."""
_DEFAULT_POLLING: Final[Mapping[str, PollingMode]] = {"/index": "ANY", "/search": "ALL"}
"""What Jina 3 does on these endpoints unless the mapping of the option names them."""


class Copy(NamedTuple):
    """One worker of a Deployment."""

    name: str
    shard: int = 0
    replica: int = 0
    part: Part = ""


def copies(spec: DeploymentSpec) -> Iterator[Copy]:
    """All workers of a Deployment that are started here: shard by shard, then those around the shards."""
    if spec.raft_peers:
        yield Copy(f"{spec.name}/rep-{spec.replica_id}", replica=spec.replica_id)
        return
    for shard in range(spec.shards):
        inside = f"{spec.name}/shard-{shard}" if spec.shards > 1 else spec.name
        for replica in range(replicas(spec)):
            yield Copy(f"{inside}/rep-{replica}", shard, replica)
    for part in around(spec):
        yield Copy(f"{spec.name}/{part}-0", part=part)


def around(spec: DeploymentSpec) -> list[Part]:
    """Which of the Executors around the shards the Deployment has."""
    return [part for part in AROUND if getattr(spec, part) is not None]


def is_plain(spec: DeploymentSpec) -> bool:
    """Whether one worker is all."""
    return bool(spec.raft_peers) or (spec.replicas == spec.shards == 1 and not around(spec) and not spec.autoscale)


def replicas(spec: DeploymentSpec) -> int:
    """How many replicas there are, also elsewhere."""
    least = int((spec.autoscale or {}).get("min", 1))
    return len(spec.raft_peers or ()) or max(spec.replicas, least)


def autoscale_plan(given: Mapping[str, Any]) -> AutoscalePlan:
    """Between how many replicas there may be, with the defaults of what is not given."""
    return AutoscalePlan(**{name: value for name, value in given.items() if name in AutoscalePlan.__struct_fields__})


def owner(deployment: str, part: str) -> str:
    """The name under which the Executor of a part is kept, and travels."""
    return f"{deployment}/{part}" if part else deployment


def polling(spec: DeploymentSpec) -> dict[str, PollingMode]:
    """How many shards get a request, by endpoint and with `*` for the others; empty with a single shard."""
    if spec.shards == 1:
        return {}
    given = cast("PollingMode | dict[str, PollingMode]", spec.polling)
    modes: dict[str, PollingMode] = {"*": "ANY", **_DEFAULT_POLLING}
    modes.update(given if isinstance(given, dict) else {"*": given})
    return modes


_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound


def node(spec: DeploymentSpec, needs: Sequence[str], *, floating: bool = False) -> NodePlan:
    """The step that runs `spec`."""
    return NodePlan(
        name=spec.name,
        needs=list(needs),
        upstreams=upstreams(spec),
        shards=spec.shards,
        polling=polling(spec),
        when=None if spec.when is None else dict(spec.when),
        floating=floating,
        no_reduce=spec.no_reduce,
        external=spec.external,
        repeatable=spec.stateful,
        timeout_send=spec.send_seconds,
        retries=spec.retries,
        compression=spec.compression,
        grpc_metadata=dict(spec.grpc_metadata or {}),
        grpc_channel_options=dict(spec.grpc_channel_options or {}),
        resolve_interval=spec.resolve_seconds,
        tls=_tls(spec) if spec.external else UpstreamTlsPlan(),
        autoscale=None if spec.autoscale is None else autoscale_plan(spec.autoscale),
    )


def _tls(spec: DeploymentSpec) -> UpstreamTlsPlan:
    return UpstreamTlsPlan(ca_file=spec.ssl_ca_certs, certfile=spec.ssl_certfile, keyfile=spec.ssl_keyfile)


def upstreams(spec: DeploymentSpec) -> list[UpstreamPlan]:
    """The ways to the workers: addresses of those that run already, local links to those that are started."""
    if spec.external:
        return [
            UpstreamPlan(
                kind=target.via or "grpc",
                name=f"{spec.name}/rep-{index}",
                address=address_of(target),
                tls=target.tls,
            )
            for index, target in enumerate(spec.targets)
        ]
    return [UpstreamPlan(kind="link", name=copy.name, shard=copy.shard, part=copy.part) for copy in copies(spec)]


def address_of(target: Target) -> str:
    """`host:port` to connect to; what listens everywhere is reached on this machine."""
    host = _EVERYWHERE.get(target.host, target.host)
    return f"[{host}]:{target.port}" if ":" in host else f"{host}:{target.port}"


def workers(
    spec: DeploymentSpec,
    executors: Mapping[str, ExecutorPlan],
    placement: Placement,
    place: str,
    listeners: Sequence[list[ListenerPlan]] = (),
) -> list[WorkerPlan]:
    """All workers of a Deployment; `listeners` are those that the first ones serve themselves.

    `executors` says how a worker finds its class: by the name of the Deployment, and by `owner` for those
    around its shards, which get no GPU where `placement` deals them out. `place` names the Deployment in errors.
    """
    all_copies = list(copies(spec))
    inside = sum(not copy.part for copy in all_copies)
    served = [*listeners, *([] for _ in range(len(all_copies) - len(listeners)))]
    if (container := executors[spec.name].container) is not None:
        inner = [
            replace(executors[spec.name], container=replace(container, gpus=given))
            for given in placement.of_containers(spec, inside, place)
        ]
        gpus: list[dict[str, str]] = [{} for _ in all_copies]
    else:
        inner = [executors[spec.name]] * inside
        gpus = placement.environments(spec, inside, place)
        gpus += [{VARIABLE: ""} if gpus[0] else {}] * (len(all_copies) - inside)
    found = [*inner, *(executors[owner(spec.name, copy.part)] for copy in all_copies[inside:])]
    return [
        worker(spec, executor, copy, own, env)
        for executor, copy, own, env in zip(found, all_copies, served, gpus, strict=True)
    ]


def worker(
    spec: DeploymentSpec, executor: ExecutorPlan, copy: Copy, listeners: list[ListenerPlan], env: Mapping[str, str]
) -> WorkerPlan:
    """One worker of a Deployment, with the listeners that it serves itself and variables of its own."""
    return WorkerPlan(
        name=copy.name,
        deployment=spec.name,
        part=copy.part,
        executor=executor,
        listeners=listeners,
        shard_id=copy.shard,
        shards=1 if copy.part else spec.shards,
        replica_id=copy.replica,
        replicas=1 if copy.part else replicas(spec),
        workspace=spec.workspace,
        http=http_plan(spec),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        max_upload_size=spec.max_upload_size,
        max_documents=spec.max_documents,
        max_depth=spec.max_depth,
        max_parameters=spec.max_parameters,
        max_unread=spec.max_unread,
        max_unread_total=spec.max_unread_total,
        timeout_write=spec.write_seconds,
        max_inflight=spec.max_inflight,
        max_queue=spec.max_queue,
        access=access_plan(spec),
        allow_concurrent=spec.allow_concurrent,
        concurrency=concurrency(spec),
        # What merges the replies of the shards gets them side by side.
        no_reduce=spec.no_reduce or copy.part == "uses_after",
        exit_on_exceptions=list(spec.exit_on_exceptions),
        output_array_type=spec.output_array_type,
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        drain_delay=spec.delay_seconds,
        restart=restart_plan(spec),
        watch=spec.reload,
        log=log_plan(spec),
        telemetry=telemetry(spec),
        env={**environment(spec), **env},
    )


def gateway(
    spec: GatewaySpec, listeners: list[ListenerPlan], graph: GraphPlan, custom: ExecutorPlan | None = None
) -> GatewayPlan:
    """The gateway in front of `graph`; `custom` says how it finds a class of the user's own.

    Raises NotSupportedError for what only exported gateways have: copies, and keys that are secrets of a cluster.
    """
    if "JINA_API_KEYS" in (spec.env_from_secret or {}) and not spec.api_keys:
        raise NotSupportedError(
            "gateway: env_from_secret: JINA_API_KEYS: no secret is read on this machine, so that all could call it",
            help="set the variable JINA_API_KEYS, or give api_keys_file",
        )
    if spec.replicas > 1:
        raise NotSupportedError(
            f"gateway: replicas: {spec.replicas} gateways are for Kubernetes, see to_kubernetes_yaml",
            help="on this machine leave it out, or start `jina gateway` on each host",
        )
    return GatewayPlan(
        name=spec.name,
        listeners=listeners,
        graph=graph,
        custom=custom,
        prefetch=spec.prefetch,
        workspace=spec.workspace,
        http=http_plan(spec),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        max_upload_size=spec.max_upload_size,
        max_documents=spec.max_documents,
        max_depth=spec.max_depth,
        max_parameters=spec.max_parameters,
        max_unread=spec.max_unread,
        max_unread_total=spec.max_unread_total,
        timeout_write=spec.write_seconds,
        max_inflight=spec.max_inflight,
        access=access_plan(spec),
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        drain_delay=spec.delay_seconds,
        restart=restart_plan(spec),
        log=log_plan(spec),
        telemetry=telemetry(spec),
        env=environment(spec),
    )
