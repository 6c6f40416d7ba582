"""The Compose file of a Flow or a Deployment: one service for each container, the same bytes for the same options."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jina.errors import ConfigError
from jina.export.containers import (
    AFTER_GRACE,
    FOR_EVER,
    PEER_PORT,
    PORT,
    Container,
    Images,
    Workload,
    inside,
    upstream_address,
    workloads_behind_gateway,
    workloads_of_flow,
)
from jina.export.kubernetes import documents

if TYPE_CHECKING:
    from jina.config.models import DeploymentSpec, FlowSpec, GatewaySpec

NETWORK: Final = "jina-network"
_REPLICA: Final = "$REPLICA"
"""Stands in a command line for the number of the replica, which differs between services."""
_KEPT: Final = "/home/executor"
"""Where a stateful Executor keeps its log: a folder of its user in images of `jina hub build`, so that the volume is
that user's, too."""
_SECRET: Final = "/run/secrets"  # noqa: S105 - a folder
_ASK: Final = "import urllib.request as u; u.urlopen('http://127.0.0.1:{}/readyz', timeout=5)"
"""A program that fails unless the container is ready: quicker than a whole `jina ping`, whatever it serves."""


def file_of_flow(spec: FlowSpec, images: Images, network: str | None = None, *, gateway: bool = True) -> str:
    """The text of the file; raises `ConfigError` naming the step and the rule, as `jina.export.kubernetes`."""
    return _text(workloads_of_flow(spec, Host(), images, gateway=gateway), network)


def file_of_deployment(spec: DeploymentSpec, images: Images, network: str | None = None) -> str:
    """The same for a Deployment alone, with a gateway in front."""
    return _text(workloads_behind_gateway(spec, Host(), images), network)


def _text(workloads: Sequence[Workload], network: str | None) -> str:
    name = network or NETWORK
    made = {one.name: list(_services(one)) for one in workloads}
    names = {workload: [service for service, _ in services] for workload, services in made.items()}
    services: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    for workload in workloads:
        for service, body in made[workload.name]:
            if service in services:
                raise ConfigError(f"{workload.place}: name: two steps need the service {service!r}")
            needs = [other for need in workload.needs for other in names[need]]
            if needs:
                body["depends_on"] = {need: {"condition": "service_healthy"} for need in needs}
            services[service] = {**body, "networks": [name]}
            volumes |= {volume: {} for volume in _named_volumes(body)}
        if workload.stateful:
            secrets[_secret(workload)] = {"file": f"./{_secret(workload)}.key"}
    document: dict[str, Any] = {"services": services, "networks": {name: {"driver": "bridge"}}}
    document |= {"volumes": volumes} if volumes else {}
    document |= {"secrets": secrets} if secrets else {}
    return documents([document])


def _named_volumes(body: Mapping[str, Any]) -> Iterator[str]:
    for volume in body.get("volumes", ()):
        source = volume.partition(":")[0]
        if not source.startswith(("/", ".", "~")):
            yield source


def _secret(workload: Workload) -> str:
    return f"{workload.name}-raft"


@dataclass(frozen=True)
class Host:
    """One machine with a container engine: each replica is a service, known by its name. See `containers.Site`."""

    workspace: str = "/workspace"
    beside: bool = False

    def addresses(self, workload: str, port: int, replicas: int) -> list[str]:
        """Each replica."""
        return [upstream_address(name, port) for name in _replicas(workload, replicas)]

    def peers(self, workload: str, replicas: int) -> list[str]:
        """Each replica's agent."""
        return [f"{name}:{PEER_PORT}" for name in _replicas(workload, replicas)]

    def replica_id(self) -> str:
        """Filled in for each service."""
        return _REPLICA

    def raft_key(self, workload: str) -> str:
        """The file of the secret that the service is given."""
        return f"{_SECRET}/{workload}-raft"

    def kept(self) -> str:
        """Folder of a container that has a volume."""
        return _KEPT

    def gateway_ports(self, gateway: GatewaySpec) -> list[int]:
        """Those that the user gave, which are published, then such that are free in the container."""
        given = gateway.ports
        free = (PORT + index for index in range(100) if PORT + index not in given)
        return [*given, *(next(free) for _ in gateway.protocols[len(given) :])]

    def tls(self, spec: DeploymentSpec | GatewaySpec) -> dict[str, Any]:
        """Nothing: files of certificates are mounted by `volumes`."""
        del spec
        return {}

    def autoscaled(self, spec: DeploymentSpec) -> dict[str, Any]:
        """Nothing here changes the number of containers."""
        del spec
        return {}

    def extra(self) -> list[str]:
        """Nothing."""
        return []


def _replicas(workload: str, replicas: int) -> list[str]:
    return [workload] if replicas == 1 else [f"{workload}-rep-{number}" for number in range(replicas)]


def _services(workload: Workload) -> Iterator[tuple[str, dict[str, Any]]]:
    # Several gateways could not publish the same ports.
    count = 1 if workload.role == "GATEWAY" else workload.replicas
    for number, name in enumerate(_replicas(workload.name, count)):
        yield name, _service(workload, workload.main, name, number)


def _service(workload: Workload, container: Container, name: str, number: int) -> dict[str, Any]:
    spec = workload.spec
    body: dict[str, Any] = {
        "image": container.image,
        "entrypoint": container.command,
        "command": [str(number) if word == _REPLICA else word.replace("$", "$$") for word in container.words],
        "healthcheck": _healthcheck(container, spec.ready_seconds),
        "restart": "unless-stopped",
        "stop_grace_period": f"{math.ceil(spec.grace_seconds) + AFTER_GRACE}s",
        "read_only": True,
        "security_opt": ["no-new-privileges:true"],
    }
    if spec.prefer_platform:
        body["platform"] = spec.prefer_platform
    if environment := list(_environment(workload)):
        body["environment"] = environment
    volumes = _volumes(workload, name)
    # A folder that is kept is on a volume, all others in memory.
    folders = ["/tmp", *([container.workspace] if container.workspace else [])]  # noqa: S108 - of the container
    mounted = [volume.split(":")[1] for volume in volumes]
    body["tmpfs"] = [folder for folder in folders if not inside(folder, mounted)]
    if volumes:
        body["volumes"] = volumes
    if workload.stateful:
        body["secrets"] = [_secret(workload)]
    if devices := _devices(workload):
        body["deploy"] = {"resources": {"reservations": {"devices": [devices]}}}
    if workload.role == "GATEWAY":
        body["ports"] = [f"{port}:{port}" for port in container.ports.values()]
    return body


def _healthcheck(container: Container, ready: float | None) -> dict[str, Any]:
    return {
        "test": ["CMD", "python3", "-c", _ASK.format(container.probes)],
        "interval": "5s",
        "timeout": "10s",
        "retries": 3,
        "start_period": f"{FOR_EVER // 1000 if ready is None else math.ceil(ready)}s",
    }


def _environment(workload: Workload) -> Iterator[str]:
    for name, value in (workload.spec.env or {}).items():
        yield f"{name}={value}".replace("$", "$$")
    for name in workload.spec.env_from_secret or ():
        # From the environment, or the file `.env`, of whoever calls `docker compose up`.
        yield f"{name}=${{{name}:?the secret of {workload.step}}}"


def _volumes(workload: Workload, name: str) -> list[str]:
    if workload.main.name != "executor" or workload.role != "WORKER":
        return []
    kept = [f"{name}-data:{workload.main.workspace}"] if workload.stateful else []
    given: list[str] = list(getattr(workload.spec, "volumes", None) or ())
    for volume in given:
        if ":" not in volume:
            raise ConfigError(f"{workload.place}: volumes: {volume!r} does not say where in the container: LOCAL:/PATH")
    return [*kept, *given]


def _devices(workload: Workload) -> dict[str, Any]:
    asked: Any = workload.spec.gpus
    if workload.main.name != "executor" or workload.role != "WORKER" or not asked:
        return {}
    if isinstance(asked, float):
        raise ConfigError(
            f"{workload.place}: gpus: {asked}: a container gets whole GPUs: give a number, or a list of those to share"
        )
    wanted = {"device_ids": [str(one) for one in asked]} if isinstance(asked, list) else {"count": asked}
    return {"driver": "nvidia", **wanted, "capabilities": ["gpu"]}
