"""Options of what is around a process: consensus, telemetry, containers, and those that Jina 3 set itself."""

from __future__ import annotations

from typing import Any

from jina.spec.base import Spec
from jina.spec.types import (
    Addresses,
    Consistency,
    Flag,
    Gpus,
    Index,
    Mapped,
    NetworkMode,
    PeerPorts,
    Port,
    Ports,
    Text,
    TextList,
)


class StatefulOptions(Spec):
    """Replicated state."""

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


class TelemetryOptions(Spec):
    """Metrics and traces."""

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


class ProbeOptions(Spec):
    """Probes of one worker alone."""

    port_probes: Port | None = None
    """Port on which a small process of its own answers probes, also while C code holds the worker's interpreter."""


class ContainerOptions(Spec):
    """Containers and clusters."""

    entrypoint: Text | None = None
    """Command that replaces the image's own."""

    docker_kwargs: Mapped | None = None
    """Further arguments of the container."""

    volumes: TextList | None = None
    """Folders to mount, as `local:container` or `local`."""

    gpus: Gpus | None = None
    """GPUs of each worker: how many, a fraction of one (0.5), `all` (also of none); or a list, shared out among
    the workers."""

    disable_auto_volume: Flag = False
    """Do not mount `~/.cache/jina` into the container."""

    force_network_mode: NetworkMode = "AUTO"
    """Network of the container: AUTO, HOST, BRIDGE or NONE."""

    prefer_platform: Text | None = None
    """Platform of the image, such as `linux/amd64`."""

    force_update: Flag = False
    """Fetch an Executor of the hub again even if it is cached; says nothing of any other Executor."""

    k8s_namespace: Text | None = None
    """Kubernetes namespace, as the Kubernetes files of Jina 3 name it; it changes nothing in a process."""

    env_from_secret: Mapped | None = None
    """Variable -> `{"name": secret, "key": key}` of a Kubernetes secret."""

    image_pull_secrets: TextList | None = None
    """Kubernetes secrets to pull the image with."""


class InternalOptions(Spec):
    """Options that Jina 3 set itself; accepted at their defaults and where they ask for what happens anyway."""

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
