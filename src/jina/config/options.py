"""The options that Deployments, gateways and Flows have in common, in groups; `models` has those of one of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from jina.config.base import Group, Spec
from jina.config.types import (
    Addresses,
    ApiKeys,
    Apis,
    Compression,
    Concurrency,
    Consistency,
    Count,
    Environment,
    Flag,
    Gpus,
    Hosts,
    Index,
    JsonMapped,
    LogFormat,
    LogLevel,
    Mapped,
    Milliseconds,
    MillisecondsOrForever,
    NetworkMode,
    PeerPorts,
    Polling,
    Port,
    Ports,
    Protocol,
    Protocols,
    Provider,
    RateLimit,
    Seconds,
    Text,
    TextList,
    TextMapped,
    Whole,
    keys_as_text,
)


class BatchingOptions(TypedDict, total=False):
    """How the documents of several requests are gathered into one call; keys that are not given stay out."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    preferred_batch_size: Count
    timeout: Milliseconds
    flush_all: Flag
    custom_metric: Any
    use_custom_metric: Flag
    isolate_errors: Flag
    use_dynamic_batching: Flag


if TYPE_CHECKING:
    # Mappings that programs build step by step should type-check too; the values are checked at run time.
    Batching = dict[str, Any]
else:
    Batching = Annotated[dict[Text, BatchingOptions], BeforeValidator(keys_as_text)]


class AutoscaleOptions(TypedDict, total=False):
    """Between how many replicas an Executor may have, and how long its requests may wait; times are in seconds."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    min: Index
    max: Count
    target_wait: Seconds
    cooldown: Seconds
    idle: Seconds
    max_held: Count
    held_time: Seconds


class ClusterAutoscaleOptions(AutoscaleOptions, total=False):
    """The same for the pods of a step, which a cluster may also decide by other metrics."""

    cpu: Count
    metrics: list[dict[str, Any]]


class CertificateOptions(TypedDict, total=False):
    """A certificate of cert-manager: who issues it, and for which names beside those of the Services."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    issuer: Text
    issuer_kind: Literal["Issuer", "ClusterIssuer"]
    dns_names: TextList


class ServiceMonitorOptions(TypedDict, total=False):
    """How an operator of Prometheus reads the metrics."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    interval: Count
    labels: TextMapped


class KubernetesOptions(TypedDict, total=False):
    """What the Kubernetes files of a Deployment, of a step or of the gateway say beside what other options decide.

    Names are in the form of Python; values that are objects are those of the Kubernetes API.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    resources: dict[str, Any]
    gpu_resource: Text
    device_class: Text
    device_selector: Text
    node_selector: TextMapped
    tolerations: list[dict[str, Any]]
    affinity: dict[str, Any]
    topology_spread: list[dict[str, Any]]
    priority_class: Text
    service_account: Text
    annotations: TextMapped
    labels: TextMapped
    pull_policy: Literal["Always", "IfNotPresent", "Never"]
    run_as_user: Index
    pre_stop: Seconds
    disruptions: Index
    storage: Text
    storage_class: Text
    access_modes: TextList
    raft_secret: Text
    tls_secret: Text
    certificate: CertificateOptions
    service_monitor: ServiceMonitorOptions
    otlp: Text
    autoscale: ClusterAutoscaleOptions
    patch: dict[str, dict[str, Any]]


if TYPE_CHECKING:
    Autoscale = dict[str, Any]
    Autoscales = dict[str, Any]
    Kubernetes = dict[str, Any]
else:
    Autoscale = Annotated[AutoscaleOptions, BeforeValidator(keys_as_text)]
    Autoscales = Annotated[dict[Text, AutoscaleOptions], BeforeValidator(keys_as_text)]
    Kubernetes = Annotated[KubernetesOptions, BeforeValidator(keys_as_text)]


def default_host() -> str:
    """Where servers listen unless told: the variable JINA_DEFAULT_HOST, else every interface."""
    return os.environ.get("JINA_DEFAULT_HOST") or "0.0.0.0"  # noqa: S104 - containers need it; the board says so


def _default_timeout_ctrl() -> Seconds:
    return os.environ.get("JINA_DEFAULT_TIMEOUT_CTRL") or 60


def _default_log_level() -> str:
    return os.environ.get("JINA_LOG_LEVEL") or "INFO"


def as_list(value: Any) -> list[Any]:
    """`value` as a list: "one, or a list of them" read uniformly; None is the empty list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _keys_of_environment() -> Any:
    return os.environ.get("JINA_API_KEYS") or None


class UpstreamOptions(Spec):
    """How a gateway calls an Executor: as an option of the Executor, or of the gateway for all of them."""

    UPSTREAM: ClassVar = Group("Requests from a gateway to the Executor")

    retries: Whole = -1
    """Further attempts after a failed call; negative: at least 3, or one for each replica."""

    timeout_send: Milliseconds | None = None
    """Milliseconds for one call to a worker; unset: no limit."""

    compression: Compression | None = None
    """Compression of requests to workers: NoCompression, Deflate or Gzip."""

    grpc_channel_options: Mapped | None = None
    """Options of gRPC channels that connect to it."""

    resolve_interval: Milliseconds = 1000
    """Milliseconds between two look-ups of the name of an external Deployment at `dns:///name:port`."""

    @property
    def send_seconds(self) -> float | None:
        """`timeout_send` in seconds; None where there is no limit (unset, or 0 as in Jina 3)."""
        milliseconds = cast("float | None", self.timeout_send)
        return milliseconds / 1000 if milliseconds else None

    @property
    def resolve_seconds(self) -> float:
        """`resolve_interval` in seconds."""
        return cast("float", self.resolve_interval) / 1000


class ServiceOptions(UpstreamOptions):
    """What every process that answers requests has: a Deployment's, a gateway's, and all of a Flow."""

    PROCESS: ClassVar = Group("Name, life and logs of a process")

    name: Text = "executor"
    """Name of the Deployment: the prefix of its processes in logs, and of addressed parameters (`name__key`)."""

    workspace: Text | None = None
    """Folder below which the Executor keeps its files; unset: `$XDG_CACHE_HOME/jina`, which is
    `~/.cache/jina` unless that variable is set. A stateful one has to be given one."""

    env: Environment | None = None
    """Variables added to the environment of the process."""

    timeout_ready: MillisecondsOrForever = 600_000
    """Milliseconds to wait until the process is ready; -1 waits for ever. Text may bring a unit: `"30s"`."""

    timeout_ctrl: Seconds = Field(default_factory=_default_timeout_ctrl, validate_default=True)
    """Seconds, without effect: accepted because Jina 3 takes it. Nothing waits for control messages, and `grace` is how
    long a stop may take. The variable JINA_DEFAULT_TIMEOUT_CTRL changes the default of 60."""

    grace: Seconds = 30
    """Seconds that requests in flight get to finish when the process is told to stop."""

    drain_delay: Seconds | None = None
    """Seconds that a server goes on taking requests after it was told to stop, while it says that it is not ready: what
    sends requests there needs some time to notice. Unset: 3 in a Kubernetes cluster (where KUBERNETES_SERVICE_HOST is
    set), else 0."""

    restart_limit: Whole = 10
    """Crashes in a row after which the process is not started again; 0: never started again, -1: always."""

    restart_backoff: Milliseconds = 500
    """Milliseconds before the second start in a row, doubled each time up to 30 seconds; the first comes at once."""

    timeout_hang: Milliseconds | None = None
    """Milliseconds without any progress on requests in work after which a process is reported; unset: never."""

    restart_hung: Flag = False
    """Kill a process that makes no progress for `timeout_hang`, and start it again."""

    log_level: LogLevel = Field(default_factory=_default_log_level, validate_default=True)
    """Least severe messages to log; the variable JINA_LOG_LEVEL changes the default of INFO."""

    log_format: LogFormat = "text"
    """`text` for people, `json` for one JSON object a line."""

    log_config: Text = "default"
    """Logging configuration: `default`, `docker`, `plain`, `json`, `profile`, `quiet`, or the path of a YAML file."""

    log_dir: Text | None = None
    """Folder in which each process writes its log to a file of its own as well, for `jina logs`."""

    quiet: Flag = False
    """Log nothing."""

    quiet_error: Flag = False
    """Log errors of handlers without their tracebacks."""

    SERVER: ClassVar = Group("The server's listeners")

    host: Hosts = Field(default_factory=default_host, validate_default=True)
    """Address to listen on; the variable JINA_DEFAULT_HOST changes the default of 0.0.0.0."""

    port: Ports = None
    """Port, or one for each protocol; missing ones are chosen at start."""

    protocol: Protocols = "grpc"
    """Protocol, or a list of them: grpc, http, websocket; each gets a port of its own."""

    title: Text | None = None
    """Title of the HTTP documentation; unset: the name."""

    description: Text | None = None
    """Description in the HTTP documentation; unset: the docstrings of the Executors."""

    api_version: Text | None = None
    """Version in the HTTP documentation; unset: that of jina."""

    cors: Flag = False
    """Let web pages of any origin call over HTTP and WebSocket; without, those of other hosts read no answer."""

    uvicorn_kwargs: Mapped | None = None
    """Further arguments of the HTTP server (https://www.uvicorn.org/settings/)."""

    ssl_certfile: Text | None = None
    """File of the server's certificate (PEM); needs `ssl_keyfile`."""

    ssl_keyfile: Text | None = None
    """File of the certificate's private key (PEM)."""

    grpc_server_options: Mapped | None = None
    """Options of the gRPC server, such as `{"grpc.max_concurrent_streams": 100}`."""

    max_message_size: Count = 64 * 1024 * 1024
    """Largest request or reply in bytes, on every protocol."""

    max_upload_size: Count = 2 * 1024 * 1024 * 1024
    """Largest request over HTTP with files, in bytes: large ones wait on disk, not in memory, in the folder TMPDIR."""

    max_documents: Count = 100_000
    """Documents that a request may have, on every protocol."""

    max_depth: Count = 100
    """Arrays and objects that may be inside each other in a document in JSON, and in parameters."""

    max_parameters: Count = 10_000
    """Values that the parameters of a request may have at all depths, on every protocol."""

    proxy: Flag = False
    """Let clients made from it use the proxies that the environment names."""

    HTTP: ClassVar = Group("What the HTTP listener serves beside the endpoints")

    no_debug_endpoints: Flag = False
    """Leave out `/status`, `/dry_run` and `POST /post` of the HTTP listener."""

    no_crud_endpoints: Flag = False
    """Leave out `/index`, `/search`, `/update` and `/delete` of the HTTP listener."""

    expose_endpoints: JsonMapped | None = None
    """Endpoint -> what to serve it as over HTTP, such as `{"/foo": {"methods": ["POST"], "summary": "..."}}`."""

    console: Flag = True
    """Serve the console at `/console`, a page that shows the processes of the service, its load, its logs and its
    replicated state."""

    expose_graphql_endpoint: Flag = False
    """Serve GraphQL at `/graphql`."""

    apis: Apis = Field(default=[])
    """Other APIs through which the endpoints are served as well: `mcp`, the Model Context Protocol of agents, and
    `openai`, with Anthropic's messages, over HTTP; `oip`, the Open Inference Protocol, over HTTP and gRPC."""

    ACCESS: ClassVar = Group("Who may call, and how often")

    api_keys: ApiKeys = Field(default_factory=_keys_of_environment, validate_default=True)
    """Keys that callers must show: name -> key, or name -> `{"key": ..., "endpoints": [...], "scopes": [...]}`; a list;
    or text such as `alice:KEY,bob:KEY`. Only digests are kept. The variable JINA_API_KEYS changes the
    default of none."""

    api_keys_file: Text | None = None
    """YAML file with further keys, as `api_keys` takes them, read by the server when it starts."""

    rate_limit: RateLimit | None = None
    """Requests that one key, or without keys one address, may send: `100/s`, `600/min`, `100/s burst 20`."""

    ssl_ca_certs: Text | None = None
    """File of the authorities (PEM) whose certificate a client must show; of an external Deployment, those to trust."""

    timeout_read: Seconds = 30
    """Seconds in which the head of a request must arrive, and its body, which gets a second more for each KiB; 0: no
    limit."""

    timeout_write: Seconds = 60
    """Seconds over which a client must take 1 KiB a second of the answers that wait for it, else its connection is
    closed; 0: no limit."""

    max_unread: Count = 32 * 1024 * 1024
    """Bytes of requests in work and of answers that may wait for one client on a WebSocket or a gRPC connection; above,
    no more of its requests are taken. One request and its answer may always be larger."""

    max_unread_total: Count = 256 * 1024 * 1024
    """Bytes of answers that may wait for all clients of one process; above, the connections that take least are
    closed."""

    INFLIGHT: ClassVar = Group("How many requests at a time")

    max_inflight: Count = 10_000
    """Requests in work or waiting in one process, worker or gateway; more are refused with 429."""

    TELEMETRY: ClassVar = Group("Metrics and traces")

    monitoring: Flag = False
    """Serve metrics and probes on a port of their own as well, `port_monitoring`."""

    port_monitoring: Ports = None
    """Port of the metrics with `monitoring`, or one for each replica; chosen at start when unset."""

    tracing: Flag = False
    """Send spans to a collector by OTLP; needs the extra `otel`."""

    traces_exporter_host: Text | None = None
    """Host of the collector of traces; without host and port OpenTelemetry's own variables say it."""

    traces_exporter_port: Port | None = None
    """Port of the collector of traces; unset: 4317."""

    metrics: Flag = False
    """Send metrics to a collector by OTLP; needs the extra `otel`."""

    metrics_exporter_host: Text | None = None
    """Host of the collector of metrics; without host and port OpenTelemetry's own variables say it."""

    metrics_exporter_port: Port | None = None
    """Port of the collector of metrics; unset: 4317."""

    CONTAINER: ClassVar = Group("Containers and clusters")

    entrypoint: Text | None = None
    """Command that takes the place of the image's own; a text is split into words as a shell does."""

    docker_kwargs: Mapped | None = None
    """Further arguments of the container, by their names in the Docker SDK (`containers.run`): `mem_limit`, `user`,
    `labels` and others for which the engine has a flag."""

    volumes: TextList | None = None
    """Folders to mount into the container, as `local:container`, `local:container:ro`, or `local`."""

    gpus: Gpus | None = None
    """GPUs of each worker: how many, a fraction of one (0.5), `all` (also of none); or a list, shared out among
    the workers. A container gets whole ones."""

    disable_auto_volume: Flag = False
    """Give a container without `volumes` none: its workspace is in `~/.cache/jina` (`$XDG_CACHE_HOME/jina`) of this
    machine otherwise."""

    force_network_mode: NetworkMode = "AUTO"
    """Network of the container: HOST, BRIDGE, or NONE for the engine's default; AUTO is that of this machine, and
    BRIDGE where the engine is on another one."""

    prefer_platform: Text | None = None
    """Platform of the image to pull and to run, such as `linux/amd64`."""

    force_update: Flag = False
    """Fetch an Executor of the hub again even if it is cached, and pull an image; says nothing of other Executors."""

    offline: Flag = False
    """Ask no registry and no git server for an Executor of the hub: take what the cache of this user has. Pull no
    image."""

    k8s_namespace: Text | None = None
    """Kubernetes namespace, as the Kubernetes files of Jina 3 name it; it changes nothing in a process."""

    env_from_secret: Mapped | None = None
    """Variable of the container -> `{"name": NAME, "key": KEY}`: on this machine the file NAME/KEY in the folder
    JINA_SECRETS, in a cluster the secret of Kubernetes."""

    image_pull_secrets: TextList | None = None
    """Kubernetes secrets to pull the image with; on this machine the engine's log-in counts."""

    kubernetes: Kubernetes | None = None
    """What the files of `to_kubernetes_yaml` say besides: resources, node_selector, tolerations, autoscale, patch and
    others; of a Flow for all its steps and its gateway. It changes nothing in a process."""

    INTERNAL: ClassVar = Group(
        "Options that Jina 3 set itself; accepted at their defaults and where they ask for what happens anyway"
    )

    native: Flag = False
    """Run the Executor in a process rather than in a container, which is what happens unless `uses` is an image."""

    noblock_on_start: Flag = False
    """Return from `start` before the processes are ready."""

    workspace_id: Text | None = None
    """Identifier of the run."""

    runtime_cls: Text = "WorkerRuntime"
    """Kind of process."""

    pod_role: Any = "WORKER"
    """Role of the process."""

    deployment_role: Any = None
    """Role of the Deployment in a Flow."""

    shard_id: Index = 0
    """Which shard this process is."""

    uses_before_address: Text | None = None
    """Address of a running `uses_before`."""

    uses_after_address: Text | None = None
    """Address of a running `uses_after`."""

    connection_list: Mapped | None = None
    """Addresses of running shards."""

    @property
    def ready_seconds(self) -> float | None:
        """`timeout_ready` in seconds; None waits for ever."""
        milliseconds = cast("float", self.timeout_ready)
        return None if milliseconds == -1 else milliseconds / 1000

    @property
    def ready_seconds_asked(self) -> float | None:
        """`ready_seconds` where the option was given: Jina 3's ten minutes ended downloads of large models."""
        return self.ready_seconds if "timeout_ready" in self.model_fields_set else None

    @property
    def grace_seconds(self) -> float:
        """`grace` in seconds."""
        return float(cast("float", self.grace))

    @property
    def delay_seconds(self) -> float | None:
        """`drain_delay` in seconds; None where the process decides."""
        return None if self.drain_delay is None else float(cast("float", self.drain_delay))

    @property
    def restart_seconds(self) -> float:
        """`restart_backoff` in seconds."""
        return cast("float", self.restart_backoff) / 1000

    @property
    def hang_seconds(self) -> float | None:
        """`timeout_hang` in seconds; None where nothing is reported."""
        milliseconds = cast("float | None", self.timeout_hang)
        return milliseconds / 1000 if milliseconds else None

    @property
    def ports(self) -> list[int]:
        """The ports that the user gave."""
        return as_list(self.port)

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols, in lower case."""
        return as_list(self.protocol)

    @property
    def hosts(self) -> list[str]:
        """The hosts; one unless external."""
        return as_list(self.host)

    @property
    def write_seconds(self) -> float:
        """`timeout_write` in seconds."""
        return float(self.timeout_write)  # type: ignore[arg-type]

    @property
    def read_seconds(self) -> float:
        """`timeout_read` in seconds."""
        return float(self.timeout_read)  # type: ignore[arg-type]  # a number once it is validated


class GatewayOptions(ServiceOptions):
    """What a gateway has besides, alone or in front of a Flow."""

    GATEWAY: ClassVar = Group("How a gateway takes requests")

    prefetch: Index = 1000
    """Requests of one connection in work at the same time; 0: no limit."""


class WorkerOptions(Spec):
    """How an Executor is run: options of a Deployment, and of a Flow for all of its Deployments."""

    EXECUTOR: ClassVar = Group("How the Executor is loaded and run")

    py_modules: TextList | None = None
    """Python files or modules to import before the Executor is looked up."""

    extra_search_paths: TextList = Field(default=[])
    """Folders in which YAML files and `py_modules` are looked up as well."""

    output_array_type: Text | None = None
    """Tensor type of replies, such as `numpy`."""

    exit_on_exceptions: TextList = Field(default=[])
    """Names of exceptions that stop the worker when a handler raises them."""

    allow_concurrent: Flag = False
    """Let `def` handlers run at the same time in threads; otherwise one at a time."""

    concurrency: Concurrency | None = None
    """Calls of a handler at the same time in one replica; a mapping decides by endpoint (`*` for the others)."""

    install_requirements: Flag = False
    """Run the Executor in an environment of its own, with what its package requires: `uv.lock`, else `pyproject.toml`,
    and `requirements.txt`, beside its module or YAML. It is made once, by uv, else by pip, and kept in the cache."""

    reload: Flag = False
    """Reload the Executor when its files change."""

    provider: Provider = "NONE"
    """Cloud whose conventions the server follows: sagemaker or azure."""

    provider_endpoint: Text | None = None
    """Endpoint that the provider's route calls."""

    SCALING: ClassVar = Group("Copies of the Executor")

    replicas: Count = 1
    """Copies of the Executor that share the requests."""

    shards: Count = 1
    """Parts of the data, each with its own workspace."""

    polling: Polling = "ANY"
    """Whether a request goes to ANY shard or to ALL; a mapping decides by endpoint (`*` for the others)."""

    uses_before: Any = None
    """Executor in front of the shards."""

    uses_after: Any = None
    """Executor that merges the replies of the shards."""

    no_reduce: Flag = False
    """Do not merge several inputs; the handler gets `docs_matrix` and `docs_map`."""

    QUEUE: ClassVar = Group("How many requests wait")

    max_queue: Index | None = None
    """Requests that wait for a `def` handler in one worker, a batch as one; more are refused with 429. Unset:
    `max_inflight` alone counts."""

    STATEFUL: ClassVar = Group("Replicated state")

    stateful: Flag = False
    """Replicate the calls of `@write` endpoints through a consensus log, which is kept in the `workspace`."""

    peer_ports: PeerPorts = None
    """Ports of the replicas' consensus agents, as a list or by shard."""

    raft_peers: Addresses | None = None
    """Addresses `host:port` of the consensus agents of all replicas, where each replica is started by itself; the same
    list, in the same order, for each of them."""

    replica_id: Index = 0
    """Which replica this one is, of those in `raft_peers`, counted from 0."""

    raft_key_file: Text | None = None
    """File with the key by which agents of one group know each other, of 32 characters or more; `raft_peers` need it
    where they have no certificates. Unset: replicas that are started together have one in their workspace."""

    raft_configuration: Mapped | None = None
    """Options of the consensus log, such as `snapshot_threshold`."""

    consistency: Consistency = "eventual"
    """What a read of a stateful Deployment may miss: `eventual`, `session` or `linearizable`."""
