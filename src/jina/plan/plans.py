"""Plans: what will run. Frozen, made of plain values, one JSON document each.

A plan is what a child process or a container gets; nothing else tells it what to be.
"""

from __future__ import annotations

import typing
from typing import Any, Final, Literal

import msgspec

CLUSTER_DELAY: Final = 3.0
"""Seconds in which Kubernetes stops sending requests to a pod that is to end: each node changes its own rules."""


RESOURCES = "/mcp/resource/"
PROMPTS = "/mcp/prompt/"
"""What begins the endpoints of methods that agents use beside tools; no `/default` answers for them."""


def is_offer(path: str) -> bool:
    """Whether an endpoint is that of a resource or prompt."""
    return path.startswith((RESOURCES, PROMPTS))


class PortAllocator(typing.Protocol):
    """Reserves free ports."""

    def port(self) -> int:
        """A port that is free and stays reserved for the plan's processes (1 to 65535)."""
        ...


Protocol = Literal["grpc", "http", "websocket"]
Part = Literal["", "uses_before", "uses_after"]
PollingMode = Literal["ANY", "ALL"]


class TlsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a served certificate."""

    certfile: str
    keyfile: str
    ca_file: str | None = None


class KeyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A key by its digest (`sha256:...`), the endpoints that it opens (none: all), and its scopes."""

    name: str
    digest: str
    endpoints: list[str] = []
    scopes: list[str] = []


class AccessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call a server, and how often.

    `keys_file` has further keys. `rate` is in requests per second for each key, or for each address without keys; 0 is
    no limit. `burst` is the number of requests at once.
    """

    keys: list[KeyPlan] = []
    keys_file: str = ""
    rate: float = 0.0
    burst: int = 0


class ListenerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol on one port.

    `share_port` is true where the parent holds the port by a bound socket with SO_REUSEPORT (ports that jina
    chose); a port that the user gave is bound alone, so that a taken one is an error.
    `timeout_read` is in seconds, 0 is no limit.
    """

    protocol: Protocol
    host: str
    port: int
    share_port: bool = False
    tls: TlsPlan | None = None
    timeout_read: float = 30.0


class HttpPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What only the HTTP and WebSocket listeners need.

    `expose_endpoints` maps endpoints to further routes: `{"http_path", "methods", "summary", "tags", ...}`. `apis`
    names the adapters of `jina.apis` that serve the endpoints as well, over gRPC too where they have methods for it.
    """

    title: str | None = None
    description: str | None = None
    version: str | None = None
    cors: bool = False
    uvicorn_kwargs: dict[str, Any] = {}
    no_debug_endpoints: bool = False
    no_crud_endpoints: bool = False
    expose_endpoints: dict[str, dict[str, Any]] = {}
    apis: list[str] = []
    console: bool = True


class ContainerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The container in which an Executor runs.

    `flags` are words for the engine's `run`; `entrypoint` takes the place of the image's. `volumes` are of the form
    `local:container`, those of `auto_volume` besides. `gpus` is `all`, a number, or `device=0,1`. `secrets` maps
    variables to files. `options` are those of a Deployment for the Executor inside, beside the plan of its worker.
    """

    image: str
    platform: str = ""
    network: str = "AUTO"
    entrypoint: list[str] = []
    flags: list[str] = []
    volumes: list[str] = []
    auto_volume: bool = False
    gpus: str = ""
    secrets: dict[str, str] = {}
    pull: bool = False
    offline: bool = False
    options: dict[str, Any] = {}


class ExecutorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the child finds and constructs the Executor.

    `module` and `qualname` name an importable class; both are empty when the class travels by pickle beside
    the plan. `jtype` with `py_modules` names a class that becomes known by importing the modules. All three
    empty: the base Executor, which passes documents through. `requirements` are files: the worker runs in an
    environment of its own for what they name, taken from the cache alone where it is `offline`; `sys_path` has the
    user's entries alone then. `version` is that of the package that it was fetched in. `requests_at` tells where in a
    file each of `requests` stands. With `container` nothing of that counts: the class is in an image.
    """

    container: ContainerPlan | None = None
    module: str = ""
    qualname: str = ""
    jtype: str = ""
    py_modules: list[str] = []
    with_args: dict[str, Any] = {}
    metas: dict[str, Any] = {}
    requests: dict[str, str] = {}
    requests_at: dict[str, str] = {}
    dynamic_batching: dict[str, dict[str, Any]] = {}
    requirements: list[str] = []
    offline: bool = False
    version: str = ""
    search_paths: list[str] = []
    sys_path: list[str] = []
    cwd: str = ""


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a process logs; `config` names a configuration or its file, `folder` is where it writes a file as well."""

    level: str = "INFO"
    format: Literal["text", "json"] = "text"
    config: str = "default"
    folder: str = ""
    quiet: bool = False
    quiet_error: bool = False


class ConsensusPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The replicated log of a stateful Executor, and this replica's part in it.

    `peers` are the addresses of the group's agents by replica, `listen` is that of this one where it is another than
    the others see, `tls` is for the connections between them, `key_file` what proves there who they are. `directory`
    is where this replica keeps log and snapshots, made absolute when it is started. `options` are those of
    `jina.config.rules`. `socket`, where its agent listens to the worker, and `nonce`, which all replicas of one
    start share, are set when it is started; one that is started `alone` has the nonce already.
    """

    group: str
    shard: int = 0
    replica: int = 0
    peers: list[str]
    directory: str = ""
    listen: str = ""
    tls: TlsPlan | None = None
    key_file: str = ""
    alone: bool = False
    options: dict[str, Any] = {}
    consistency: str = "eventual"
    share_port: bool = False
    socket: str = ""
    nonce: str = ""


class RestartPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about a process that ends by itself, or that makes no progress. Durations are seconds.

    After `limit` crashes in a row it is given up; negative: never. `timeout_hang` of None looks for no progress.
    `count` is how often it was started again so far.
    """

    limit: int = 0
    backoff: float = 0.5
    timeout_hang: float | None = None
    replace_hung: bool = False
    count: int = 0


class TelemetryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where spans and numbers are sent by OTLP; an endpoint is `scheme://host:port`, empty for OpenTelemetry's own."""

    tracing: bool = False
    traces_endpoint: str = ""
    metrics: bool = False
    metrics_endpoint: str = ""


class WorkerPlan(msgspec.Struct, frozen=True, kw_only=True, tag="worker"):
    """One worker process: one Executor instance with its listeners.

    Durations are seconds, sizes bytes. `name` is what logs and `runtime_args.name` show,
    such as `executor/rep-0`. With `watch` it names the files of the user's code. A worker behind a local gateway has
    no listener: its requests come over a link. `part` tells the Executors around the shards of a Deployment from those
    in them. `concurrency` maps endpoints to the number of calls at once, `*` stands for the others. `monitoring` is a
    port for metrics and probes alone, `probes` one of a small process for probes. Who shows `observe_key` on the first
    is told what the console shows; without one nobody is.
    """

    name: str
    deployment: str
    part: Part = ""
    executor: ExecutorPlan
    listeners: list[ListenerPlan]
    shard_id: int = 0
    shards: int = 1
    replica_id: int = 0
    replicas: int = 1
    workspace: str | None = None
    http: HttpPlan = HttpPlan()
    grpc_server_options: dict[str, Any] = {}
    max_message_size: int = 64 * 1024 * 1024
    max_upload_size: int = 2 * 1024 * 1024 * 1024
    max_documents: int = 100_000
    max_depth: int = 100
    max_parameters: int = 10_000
    max_unread: int = 32 * 1024 * 1024
    max_unread_total: int = 256 * 1024 * 1024
    timeout_write: float = 60.0
    max_inflight: int = 10_000
    max_queue: int | None = None
    access: AccessPlan = AccessPlan()
    allow_concurrent: bool = False
    concurrency: dict[str, int] = {}
    no_reduce: bool = False
    exit_on_exceptions: list[str] = []
    output_array_type: str | None = None
    timeout_ready: float | None = None
    grace: float = 30.0
    drain_delay: float | None = None
    restart: RestartPlan = RestartPlan()
    watch: bool = False
    log: LogPlan = LogPlan()
    monitoring: ListenerPlan | None = None
    observe_key: str = ""
    probes: ListenerPlan | None = None
    telemetry: TelemetryPlan = TelemetryPlan()
    env: dict[str, str] = {}
    consensus: ConsensusPlan | None = None


class UpstreamTlsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Files with which a gateway connects by TLS: authorities to trust, a certificate to show."""

    ca_file: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


class UpstreamPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway reaches one worker.

    `link`: a local link, whose socket the launcher hands to both ends under the worker's `name`.
    `grpc`: an address, `host:port`. `dns`: all addresses of a name, `name:port`. `kubernetes`: the pods of a Service,
    `service.namespace:port`. The workers of the last two are found while the gateway runs. `authority` is the name that
    the certificate has to be for, where it is not the host. `shard` and `part` tell where in its Deployment the worker
    stands.
    """

    kind: Literal["link", "grpc", "dns", "kubernetes"]
    name: str
    address: str = ""
    tls: bool = False
    authority: str = ""
    shard: int = 0
    part: Part = ""


class AutoscalePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Between how many replicas a step may have, and by what that is decided. Durations are seconds.

    There are more once requests wait longer than `target_wait`, fewer once fewer would have sufficed for `cooldown`,
    and none, where `min` is 0, after `idle` without a request. Up to `max_held` requests wait for the first replica,
    each for `held_time` at most.
    """

    min: int = 1
    max: int = 1
    target_wait: float = 0.1
    cooldown: float = 5.0
    idle: float = 60.0
    max_held: int = 1000
    held_time: float = 600.0


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One Deployment as a step of a graph; `needs` names steps before it, `gateway` the request itself.

    `upstreams` are its replicas, those of all its shards, and what is around the shards; a step without any only merges
    what it needs and passes it on (a join without an Executor). `polling` maps endpoints to how many of the `shards`
    get a request, `*` stands for the others. `floating` steps are not part of the reply, which never waits for them;
    what needs one of them is floating too. `timeout_send` is in seconds; `retries` counts attempts after
    the first one, negative is the larger of 3 and the number of replicas; `resolve_interval` is in seconds. A
    `repeatable` step may get a request again that has begun: a stateful one applies it once. With `autoscale` requests
    wait for a replica where there is none.
    """

    name: str
    needs: list[str]
    upstreams: list[UpstreamPlan]
    shards: int = 1
    polling: dict[str, PollingMode] = {}
    when: dict[str, Any] | None = None
    floating: bool = False
    no_reduce: bool = False
    external: bool = False
    repeatable: bool = False
    timeout_send: float | None = None
    retries: int = -1
    compression: str | None = None
    grpc_metadata: dict[str, str] = {}
    grpc_channel_options: dict[str, Any] = {}
    resolve_interval: float = 1.0
    tls: UpstreamTlsPlan = UpstreamTlsPlan()
    autoscale: AutoscalePlan | None = None


class GraphPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The steps between a request and its reply, each after those that it needs; `ends` are merged into the reply.

    With `strict`, an endpoint that a step does not know is not found; otherwise that step passes the documents on.
    """

    nodes: list[NodePlan]
    ends: list[str]
    strict: bool = False


class GatewayPlan(msgspec.Struct, frozen=True, kw_only=True, tag="gateway"):
    """One gateway process. Durations are seconds, sizes bytes.

    `custom` names a gateway class of the user's own. `prefetch` bounds the requests of one connection in work.
    """

    name: str = "gateway"
    listeners: list[ListenerPlan]
    graph: GraphPlan
    custom: ExecutorPlan | None = None
    prefetch: int = 1000
    workspace: str | None = None
    http: HttpPlan = HttpPlan()
    grpc_server_options: dict[str, Any] = {}
    max_message_size: int = 64 * 1024 * 1024
    max_upload_size: int = 2 * 1024 * 1024 * 1024
    max_documents: int = 100_000
    max_depth: int = 100
    max_parameters: int = 10_000
    max_unread: int = 32 * 1024 * 1024
    max_unread_total: int = 256 * 1024 * 1024
    timeout_write: float = 60.0
    max_inflight: int = 10_000
    access: AccessPlan = AccessPlan()
    timeout_ready: float | None = None
    grace: float = 30.0
    drain_delay: float | None = None
    restart: RestartPlan = RestartPlan()
    log: LogPlan = LogPlan()
    monitoring: ListenerPlan | None = None
    telemetry: TelemetryPlan = TelemetryPlan()
    env: dict[str, str] = {}


class ForkServerPlan(msgspec.Struct, frozen=True, kw_only=True, tag="forkserver"):
    """The process from which others are forked; `sys_path` is that of each of their Executors."""

    name: str = "forkserver"
    sys_path: list[str] = []
    grace: float = 0.0
    env: dict[str, str] = {}


ProcessPlan = WorkerPlan | GatewayPlan
ChildPlan = ProcessPlan | ForkServerPlan


class DeploymentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of one Deployment.

    Without a gateway it is one worker that serves its own ports; behind one, workers without listeners. The workers of
    an external Deployment run elsewhere, so there are none.
    """

    name: str
    workers: list[WorkerPlan]
    gateway: GatewayPlan | None = None

    @property
    def listeners(self) -> list[ListenerPlan]:
        """Where clients connect; none where it is external."""
        if self.gateway is not None:
            return self.gateway.listeners
        return self.workers[0].listeners if self.workers else []


class FlowPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of a Flow: the workers of its Deployments, and the gateway in front."""

    name: str
    deployments: list[DeploymentPlan]
    gateway: GatewayPlan

    @property
    def listeners(self) -> list[ListenerPlan]:
        """Where clients connect."""
        return self.gateway.listeners


def to_json(plan: msgspec.Struct) -> bytes:
    """The plan as one JSON document."""
    return msgspec.json.encode(plan)


def process_from_json(data: bytes) -> ChildPlan:
    """The plan of a worker, a gateway or a fork server that `to_json` wrote."""
    plan: ChildPlan = msgspec.json.decode(data, type=ChildPlan)
    return plan
