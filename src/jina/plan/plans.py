"""Plans: what will run. Frozen, made of plain values, one JSON document each.

A plan is what a child process or a container gets; nothing else tells it what to be.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Protocol = Literal["grpc", "http", "websocket"]


class TlsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a served certificate."""

    certfile: str
    keyfile: str
    ca_file: str | None = None


class FacePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol on one port.

    `share_port` is true where the parent holds the port by a bound socket with SO_REUSEPORT (ports that jina
    chose); a port that the user gave is bound alone, so that a taken one is an error.
    """

    protocol: Protocol
    host: str
    port: int
    share_port: bool = False
    tls: TlsPlan | None = None


class HttpPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What only the HTTP and WebSocket faces need."""

    title: str | None = None
    description: str | None = None
    cors: bool = False
    uvicorn_kwargs: dict[str, Any] = {}


class ExecutorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the child finds and constructs the Executor.

    `module` and `qualname` name an importable class; both are empty when the class travels by pickle beside
    the plan. `jtype` with `py_modules` names a class that becomes known by importing the modules. All three
    empty: the base Executor, which passes documents through.
    """

    module: str = ""
    qualname: str = ""
    jtype: str = ""
    py_modules: list[str] = []
    with_args: dict[str, Any] = {}
    metas: dict[str, Any] = {}
    requests: dict[str, str] = {}
    dynamic_batching: dict[str, dict[str, Any]] = {}
    search_paths: list[str] = []
    sys_path: list[str] = []
    cwd: str = ""


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a process logs."""

    level: str = "INFO"
    format: Literal["text", "json"] = "text"
    quiet: bool = False
    quiet_error: bool = False


class WorkerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process: one Executor instance with its faces.

    Durations are seconds, sizes bytes. `name` is what logs and `runtime_args.name` show,
    such as `executor/rep-0`.
    """

    name: str
    deployment: str
    executor: ExecutorPlan
    faces: list[FacePlan]
    shard_id: int = 0
    shards: int = 1
    replica_id: int = 0
    replicas: int = 1
    workspace: str | None = None
    http: HttpPlan = HttpPlan()
    grpc_server_options: dict[str, Any] = {}
    max_message_size: int = 64 * 1024 * 1024
    allow_concurrent: bool = False
    exit_on_exceptions: list[str] = []
    output_array_type: str | None = None
    timeout_ready: float | None = None
    grace: float = 30.0
    log: LogPlan = LogPlan()
    env: dict[str, str] = {}


class DeploymentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of one Deployment; here one worker that serves its own ports."""

    name: str
    workers: list[WorkerPlan]


def to_json(plan: msgspec.Struct) -> bytes:
    """The plan as one JSON document."""
    return msgspec.json.encode(plan)


def worker_from_json(data: bytes) -> WorkerPlan:
    """The worker plan that `to_json` wrote."""
    return msgspec.json.decode(data, type=WorkerPlan)
