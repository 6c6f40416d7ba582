"""What runs in containers for a Flow or a Deployment: images, command lines, ports, and who reaches whom."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from jina.config.base import Group, Spec
from jina.config.command_line import form_of
from jina.config.models import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec, gateway_of
from jina.config.options import GatewayOptions, ServiceOptions, UpstreamOptions, WorkerOptions
from jina.config.rules import is_image
from jina.config.types import shown
from jina.errors import ConfigError, NoContainerizedError, NotSupportedError
from jina.plan.flow import runs
from jina.plan.gateway import END, START
from jina.plan.processes import AFTER, BEFORE, address_of, around
from jina.plan.topology import GATEWAY, Node, Topology, topology_of

PORT: Final = 8080
"""The first port of every container; each further protocol has the next one."""
BEFORE_PORT: Final = 8078
AFTER_PORT: Final = 8079
PEER_PORT: Final = 8090
"""The port of a consensus agent."""
MONITORING_PORT: Final = 9090
"""Metrics and probes over plain HTTP, whatever the container serves and however."""
AFTER_GRACE: Final = 10
"""Seconds that a container has beyond its grace time for `close()` of its Executor."""
FOR_EVER: Final = 2**31 - 1
"""The largest number of seconds, or tries, that is understood."""
CONFIG: Final = "config.yml"
"""The Executor's configuration in the working folder of its image, where `jina hub build` and Jina 3 have it."""

Role = Literal["WORKER", "HEAD", "GATEWAY"]


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container: `words` follow the command `jina`. `ports` are those of the protocols, in their order."""

    name: str
    image: str
    words: list[str]
    command: list[str]
    ports: Mapping[str, int]
    spec: DeploymentSpec | GatewaySpec
    workspace: str = ""

    @property
    def monitoring(self) -> int:
        """The port of the metrics, which answers probes as well."""
        return monitoring_port(self.ports)

    @property
    def probes(self) -> int:
        """The port where probes are answered: by a process of its own where the user asked for one."""
        own: int | None = getattr(self.spec, "port_probes", None)
        return own or self.monitoring


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Equal copies of something: the replicas of a step or of one of its shards, a head, the gateway.

    `name` is that of its objects, `step` what the user calls it, `place` where in a Flow for messages. `needs` are the
    names of the workloads that it sends requests to.
    """

    name: str
    step: str
    place: str
    role: Role
    replicas: int
    containers: list[Container]
    spec: DeploymentSpec | GatewaySpec
    shard: int | None = None
    needs: list[str] = field(default_factory=list)

    @property
    def stateful(self) -> bool:
        """Whether the copies are members of a group."""
        return self.role == "WORKER" and isinstance(self.spec, DeploymentSpec) and self.spec.stateful

    @property
    def main(self) -> Container:
        """The one that answers requests."""
        return self.containers[0]


class Site(Protocol):
    """Where containers run: what differs between a cluster and one host."""

    @property
    def workspace(self) -> str:
        """Folder of a container in which an Executor may write."""
        ...

    @property
    def beside(self) -> bool:
        """Whether what is around the shards runs beside their head, on its address."""
        ...

    def addresses(self, workload: str, port: int, replicas: int) -> list[str]:
        """Where a gateway reaches a workload."""
        ...

    def peers(self, workload: str, replicas: int) -> list[str]:
        """Where the agents of a stateful workload reach each other."""
        ...

    def kept(self) -> str:
        """Folder of a container that outlives it, for what is stateful."""
        ...

    def raft_key(self, workload: str) -> str:
        """File of a container with the key of a group of agents."""
        ...

    def replica_id(self) -> str:
        """The number of a member of a group, as it stands in its command line."""
        ...

    def gateway_ports(self, gateway: GatewaySpec) -> list[int]:
        """One for each protocol of the gateway."""
        ...

    def tls(self, spec: DeploymentSpec | GatewaySpec) -> dict[str, Any]:
        """Files of the certificate that the site puts into a container."""
        ...

    def autoscaled(self, spec: DeploymentSpec) -> dict[str, Any]:
        """What a gateway has to know of a step whose replicas come and go with the load; nothing of others."""
        ...

    def extra(self) -> list[str]:
        """Words that every command line has."""
        ...


def upstream_address(host: str, port: int) -> str:
    """How a gateway is told to reach what has one or several addresses behind a name of the site."""
    return f"grpc://{host}:{port}"


def monitoring_port(ports: Mapping[str, int]) -> int:
    """A port beside those of the protocols: that of Jina 3 where the container is alone."""
    offset = {BEFORE_PORT: 1, AFTER_PORT: 2}.get(next(iter(ports.values()), PORT), 0)
    port = MONITORING_PORT + offset
    while port in ports.values():
        port += 10
    return port


def inside(folder: str, mounted: Collection[str]) -> bool:
    """Whether a folder is one of these, or in one of them."""
    return any(f"{folder.rstrip('/')}/".startswith(f"{one.rstrip('/')}/") for one in mounted)


# --- names and images ---------------------------------------------------------------------------------------------

_LONGEST: Final = 45
"""Letters of a name: names of pods and labels, of at most 63, have more behind it."""
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def site_name(name: str, place: str) -> str:
    """The name of a step as DNS has it; raises `ConfigError` where there is none."""
    found = name.replace("_", "-").lower()
    if not _NAME.fullmatch(found) or len(found) > _LONGEST:
        raise ConfigError(
            f"{place}: name: {shown(name)} cannot be a name in DNS: it needs a letter first, letters, digits, '-' and"
            f" '_' alone, and at most {_LONGEST} of them"
        )
    return found


@dataclass(frozen=True)
class Images:
    """The images of a Flow; `base` is that of gateways, heads and steps without a class of their own.

    `named` gives the image that a `uses` such as `docker://NAME` means.
    """

    named: Callable[[str], str]
    base: str = ""

    def of(self, uses: Any, place: str, option: str = "uses") -> str:
        """The image that `uses` names; raises `NoContainerizedError` for what is no image."""
        if uses == "BaseExecutor":
            return self.plain(place)
        if is_image(uses):
            try:
                return self.named(str(uses))
            except ConfigError as error:
                error.prefix(f"{place}: {option}")
                raise
        name = uses.__name__ if isinstance(uses, type) else shown(uses)
        raise NoContainerizedError(
            f"{place}: {option}: {name} is no container image, and only images can be exported",
            help="build one with `jina hub build PATH -t NAME`, push it to where the cluster pulls from, and write"
            f" {option}='docker://NAME'",
        )

    def plain(self, place: str) -> str:
        """An image with nothing but jina; raises `ConfigError` where there is none."""
        if self.base:
            return self.base
        raise ConfigError(
            f"{place}: no image is known to run jina alone in",
            help="set the variable JINA_GATEWAY_IMAGE to an image that has jina, such as one of `jina hub build`",
        )


def _base(specs: Sequence[DeploymentSpec], gateway: GatewaySpec | None, images: Images) -> Images:
    """The images with a base: where none is given the gateway's own, or the first Executor's, which has jina too."""
    named = [spec.uses for spec in specs if not spec.external]
    if gateway is not None and gateway.uses is not None:
        named.insert(0, gateway.uses)
    first = next((uses for uses in named if is_image(uses)), None)
    if images.base or first is None:
        return images
    with contextlib.suppress(ConfigError):  # which is raised where its step is named
        return replace(images, base=images.named(first))
    return images


# --- command lines ------------------------------------------------------------------------------------------------

_DECIDED: Final = frozenset({
    "name", "env", "workspace", "host", "port", "protocol", "monitoring", "port_monitoring", "uses", "log_dir", "proxy",
    "api_keys", "reload", "install_requirements", "restart_limit", "restart_backoff", "restart_hung", "timeout_ctrl",
    *UpstreamOptions.model_fields,
})  # fmt: skip
"""Options that the export decides, or that a cluster has ways of its own for."""
_OF_EVERY: Final = (
    ServiceOptions.PROCESS, ServiceOptions.SERVER, ServiceOptions.ACCESS, ServiceOptions.INFLIGHT,
    ServiceOptions.TELEMETRY,
)  # fmt: skip
_OF_WORKERS: Final = (*_OF_EVERY, DeploymentSpec.USES, WorkerOptions.EXECUTOR, WorkerOptions.QUEUE)
_OF_GATEWAYS: Final = (*_OF_EVERY, ServiceOptions.HTTP, GatewayOptions.GATEWAY)
_REFUSED: Final[Mapping[str, str]] = {
    "reload": "is for development: what is in an image does not change; leave it out",
    "install_requirements": "is not for containers: `jina hub build` installs them into the image",
    "log_dir": "is not for containers: they log to standard output",
    "port_probes": "must differ from the ports 8078 to 8099 and 9090 to 9099, which exports use",
}


_LONGEST_WORD: Final = 128 * 1024 - 1
"""Bytes of one argument that Linux gives to a program."""


def words_of(spec: Spec, values: Mapping[str, Any], place: str) -> list[str]:
    """Options as words of a command line; raises `ConfigError` for a value that is no text, number or JSON."""
    words: list[str] = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        form = form_of(type(spec).model_fields[name])
        try:
            if form == "flag":
                words.append(flag if value else flag.replace("--", "--no-", 1))
            elif form == "mapping":
                words += [flag, json.dumps(value, ensure_ascii=False)]
            elif isinstance(value, list | tuple):
                words += [flag, *map(str, value)] if value else []
            else:
                text = json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else str(value)
                words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
        except TypeError as error:
            raise ConfigError(f"{place}: {name}: cannot stand in a file: {error}") from None
        if words and len(words[-1].encode(errors="replace")) > _LONGEST_WORD:
            raise ConfigError(
                f"{place}: {name}: is longer than the {_LONGEST_WORD} bytes that an argument of a command may have",
                help="put it into a file of the image, and give the path of the file",
            )
    return words


def _given(spec: Spec, groups: Sequence[Group]) -> dict[str, Any]:
    known = {name for group in groups for name in group.names} - _DECIDED
    return {name: value for name, value in spec.non_defaults().items() if name in known}


def _check(spec: DeploymentSpec | GatewaySpec, place: str) -> None:
    for name, rule in _REFUSED.items():
        value = getattr(spec, name, None)
        if name == "port_probes" and not (value and (8078 <= value < 8100 or 9090 <= value < 9100)):
            continue
        if value:
            raise ConfigError(f"{place}: {name}: {rule}")
    if "api_keys" in spec.model_fields_set and spec.api_keys:
        raise ConfigError(
            f"{place}: api_keys: keys do not stand in exported files",
            help="keep them in a secret and name it: env_from_secret={'JINA_API_KEYS': {'name': SECRET, 'key': KEY}}",
        )


# --- steps --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Builder:
    """Makes workloads for one site."""

    site: Site
    images: Images

    def step(self, spec: DeploymentSpec, *, behind_gateway: bool) -> list[Workload]:
        """The workloads of one Deployment, the one that takes requests first.

        `behind_gateway` it serves gRPC first, by which gateways reach it.
        """
        place = _place(spec)
        _check(spec, place)
        name = site_name(spec.name, place)
        protocols: list[str] = list(spec.protocols)
        if behind_gateway:
            spec = _inside(spec)
            protocols = ["grpc", *(one for one in protocols if one != "grpc")]
        sharded = spec.shards > 1 or bool(around(spec))
        if not sharded:
            return [self._worker(spec, name, protocols, None)]
        inner = _inside(spec)
        shards = [
            self._worker(inner, f"{name}-{shard}", ["grpc"], shard if spec.shards > 1 else None)
            for shard in range(spec.shards)
        ]
        return self._head(spec, name, protocols, shards) + shards

    def _worker(self, spec: DeploymentSpec, name: str, protocols: Sequence[str], shard: int | None) -> Workload:
        place = _place(spec)
        ports = {protocol: PORT + index for index, protocol in enumerate(protocols)}
        values: dict[str, Any] = {"name": spec.name}
        if spec.replicas > 1 and not spec.stateful:  # of a group it is as many as it has addresses
            values["replicas"] = spec.replicas
        if shard is not None:
            values |= {"shards": spec.shards, "shard_id": shard}
        workspace = self._workspace(spec)
        if spec.stateful:
            values |= {
                "stateful": True,
                "raft_peers": ",".join(self.site.peers(name, spec.replicas)),
                "replica_id": self.site.replica_id(),
                "raft_key_file": self.site.raft_key(name),
            }
            for option in ("raft_configuration", "consistency"):
                if option in spec.non_defaults():
                    values[option] = getattr(spec, option)
        if spec.port_probes:
            values["port_probes"] = spec.port_probes
        if spec.no_reduce:
            values["no_reduce"] = True
        container = self._executor(spec, "executor", spec.uses, "uses", ports, values, workspace)
        return Workload(
            name=name, step=spec.name, place=place, role="WORKER", replicas=spec.replicas, containers=[container],
            spec=spec, shard=shard,
        )  # fmt: skip

    def _workspace(self, spec: DeploymentSpec) -> str:
        given = spec.workspace or ""
        if given.startswith("/"):
            return given
        return self.site.kept() if spec.stateful else self.site.workspace

    def _executor(
        self,
        spec: DeploymentSpec,
        name: str,
        uses: Any,
        option: str,
        ports: Mapping[str, int],
        values: Mapping[str, Any],
        workspace: str,
    ) -> Container:
        place = _place(spec)
        image = self.images.of(uses, place, option)
        own = {} if uses == "BaseExecutor" else {"uses": CONFIG}
        given = _given(spec, _OF_WORKERS if option == "uses" else _OF_EVERY)
        tls = self.site.tls(spec) if option == "uses" else {}
        placed = {**values, **own, **self._served(ports), "workspace": workspace, **given, **tls}
        words = ["executor", *self.site.extra(), *words_of(spec, placed, place), "--native"]
        command = shlex.split(spec.entrypoint) if spec.entrypoint else ["jina"]
        return Container(
            name=name, image=image, words=words, command=command, ports=ports, spec=spec, workspace=workspace
        )

    @staticmethod
    def _served(ports: Mapping[str, int]) -> dict[str, Any]:
        served: dict[str, Any] = {"host": "0.0.0.0", "port": list(ports.values())}  # noqa: S104 - in a container
        if list(ports) != ["grpc"]:
            served["protocol"] = list(ports)
        return {**served, "monitoring": True, "port_monitoring": monitoring_port(ports)}

    def _head(
        self, spec: DeploymentSpec, name: str, protocols: Sequence[str], shards: Sequence[Workload]
    ) -> list[Workload]:
        place = _place(spec)
        ports = {protocol: PORT + index for index, protocol in enumerate(protocols)}
        parts = self._around(spec)
        connections = {
            str(number): self.site.addresses(shard.name, PORT, spec.replicas) for number, shard in enumerate(shards)
        }
        values: dict[str, Any] = {"name": f"{spec.name}/head"}
        values |= {"polling": spec.polling} if spec.polling != "ANY" else {}
        values |= {"shards": spec.shards, "runtime_cls": "HeadRuntime", "pod_role": "HEAD"}
        values |= {f"{part}_address": self._part_address(name, part) for part in parts}
        values |= {"connection_list": connections, **self._served(ports)}
        values |= {name: value for name, value in spec.non_defaults().items() if name in UpstreamOptions.model_fields}
        values |= {"no_reduce": True} if spec.no_reduce else {}
        words = words_of(spec, {**values, **_given(spec, _OF_EVERY), **self.site.tls(spec)}, place)
        container = Container(
            name="executor",
            image=self.images.plain(place),
            words=["executor", *self.site.extra(), *words, "--native"],
            command=["jina"],
            ports=ports,
            spec=spec,
        )
        beside = list(parts.values()) if self.site.beside else []
        others = [] if self.site.beside else [self._alone(spec, name, part, one) for part, one in parts.items()]
        head = Workload(
            name=f"{name}-head",
            step=spec.name,
            place=place,
            role="HEAD",
            replicas=1,
            containers=[container, *beside],
            spec=spec,
            needs=[one.name for one in (*shards, *others)],
        )
        return [head, *others]

    def _part_address(self, name: str, part: str) -> str:
        number = BEFORE_PORT if part == BEFORE else AFTER_PORT
        return f"127.0.0.1:{number}" if self.site.beside else f"{_part(name, part)}:{PORT}"

    def _around(self, spec: DeploymentSpec) -> dict[str, Container]:
        """The containers of the Executors around the shards."""
        found: dict[str, Container] = {}
        for part in around(spec):
            number = {BEFORE: BEFORE_PORT, AFTER: AFTER_PORT}[part] if self.site.beside else PORT
            values: dict[str, Any] = {"name": f"{spec.name}/{part.replace('_', '-')}"}
            values |= {"no_reduce": True} if part == AFTER else {}
            found[part] = self._executor(
                spec, part.replace("_", "-"), getattr(spec, part), part, {"grpc": number}, values, self.site.workspace
            )
        return found

    @staticmethod
    def _alone(spec: DeploymentSpec, name: str, part: str, container: Container) -> Workload:
        return Workload(
            name=_part(name, part), step=spec.name, place=_place(spec), role="WORKER", replicas=1,
            containers=[container], spec=spec,
        )  # fmt: skip

    def gateway(
        self, spec: GatewaySpec, topology: Topology, addresses: Mapping[str, list[str]], needs: Sequence[str]
    ) -> Workload:
        """The gateway in front of these steps."""
        ports: dict[str, int] = dict(zip(spec.protocols, self.site.gateway_ports(spec), strict=True))
        steps = [node.spec for node in topology.nodes if node.spec is not None]
        values: dict[str, Any] = {} if spec.name == GATEWAY else {"name": spec.name}
        own_class = spec.uses is not None
        if own_class:
            values["uses"] = CONFIG
            values |= {name: value for name in ("uses_with", "uses_metas") if (value := getattr(spec, name))}
        values |= {
            "graph_description": _description(topology),
            "graph_conditions": {step.name: dict(step.when) for step in steps if step.when is not None},
            "deployments_addresses": {node.name: addresses[node.name] for node in topology.nodes},
            "deployments_metadata": {step.name: dict(step.grpc_metadata) for step in steps if step.grpc_metadata},
            "deployments_no_reduce": [step.name for step in steps if step.no_reduce],
            "deployments_autoscale": {step.name: found for step in steps if (found := self.site.autoscaled(step))},
        }
        values |= _upstream_options([step for step in steps if not step.only_joins])
        values = {name: value for name, value in values.items() if value or name == "deployments_addresses"}
        served = self._served(ports)
        placed = {**values, **served, **_given(spec, _OF_GATEWAYS), **self.site.tls(spec)}
        container = Container(
            name="gateway",
            image=self.images.of(spec.uses, "Flow: gateway") if own_class else self.images.plain("Flow: gateway"),
            words=["gateway", *self.site.extra(), *words_of(spec, placed, "Flow: gateway")],
            command=shlex.split(spec.entrypoint) if spec.entrypoint else ["jina"],
            ports=ports,
            spec=spec,
        )
        return Workload(
            name=site_name(spec.name, "Flow: gateway"), step=spec.name, place="Flow: gateway", role="GATEWAY",
            replicas=spec.replicas, containers=[container], spec=spec, needs=list(needs),
        )  # fmt: skip


def _place(spec: DeploymentSpec) -> str:
    return spec.place if isinstance(spec, StepSpec) else f"Deployment: {spec.name}"


_OF_FRONT: Final = (
    "ssl_certfile", "ssl_keyfile", "ssl_ca_certs", "api_keys_file", "rate_limit", "title", "description",
)  # fmt: skip
"""Options of what clients talk to."""
_OF_FRONT_IN_CLUSTERS: Final = frozenset({"tls_secret", "certificate"})
"""Those of the block `kubernetes`."""


def _inside(spec: DeploymentSpec) -> DeploymentSpec:
    """The Deployment as it is behind a gateway or a head, which alone asks for keys and speaks TLS."""
    kept = {name: value for name, value in (spec.env_from_secret or {}).items() if name != "JINA_API_KEYS"}
    block = {name: value for name, value in (spec.kubernetes or {}).items() if name not in _OF_FRONT_IN_CLUSTERS}
    changes: dict[str, Any] = dict.fromkeys(_OF_FRONT)
    return spec.model_copy(update={**changes, "env_from_secret": kept or None, "kubernetes": block or None})


def _part(name: str, part: str) -> str:
    return f"{name}-{part.replace('_', '-')}"


def _description(topology: Topology) -> dict[str, list[str]]:
    """Step -> those after it, as `jina gateway` takes it."""
    after: dict[str, list[str]] = {START: []}
    for node in topology.nodes:
        after.setdefault(node.name, [])
        for need in node.needs:
            after.setdefault(START if need == GATEWAY else need, []).append(node.name)
    for end in topology.ends:
        after[START if end == GATEWAY else end].append(END)
    return after


def _upstream_options(steps: Sequence[StepSpec]) -> dict[str, Any]:
    """How an exported gateway calls its steps: what is the same for all, and what each has of its own."""
    found: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {step.name: {} for step in steps}
    for option in UpstreamOptions.model_fields:
        given = {step.name: getattr(step, option) for step in steps if option in step.non_defaults()}
        values = [json.dumps(value, sort_keys=True) for value in given.values()]
        if len(given) == len(steps) and len(set(values)) == 1:
            found[option] = next(iter(given.values()))
            continue
        for name, value in given.items():
            own[name][option] = value
    return {**found, "deployments_options": {name: options for name, options in own.items() if options}}


def workloads_of_flow(spec: FlowSpec, site: Site, images: Images, *, gateway: bool) -> list[Workload]:
    """What runs for a Flow: its steps in the order of the graph, then its gateway; external steps are addresses.

    Raises `ConfigError` naming the step and the rule.
    """
    if gateway:
        _check(spec.front, "Flow: gateway")
    topology = topology_of(spec)
    steps = [node.spec for node in topology.nodes if node.spec is not None]
    maker = Builder(site, _base([step for step in steps if runs(step)], spec.front, images))
    found: list[Workload] = []
    addresses: dict[str, list[str]] = {}
    fronts: list[str] = []
    for node in topology.nodes:
        step = node.spec
        if step is None or step.only_joins:
            addresses[node.name] = []
        elif step.external:
            addresses[node.name] = list(_external(step))
        else:
            made = maker.step(step, behind_gateway=True)
            fronts.append(made[0].name)
            port = next(iter(made[0].main.ports.values()))
            addresses[node.name] = maker.site.addresses(made[0].name, port, made[0].replicas)
            found += made
    if gateway:
        found.append(maker.gateway(spec.front, topology, addresses, fronts))
    return found


def _external(step: StepSpec) -> Iterator[str]:
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if getattr(step, option):
            raise NotSupportedError(
                f"{step.place}: {option}: an exported gateway reaches external Executors with the authorities of its"
                " image",
                help="add them there, and leave the option out",
            )
    for target in step.targets:
        scheme = "grpcs" if target.tls else "grpc"
        # Behind a name that is followed there are several addresses: of DNS, or of the pods of a Service.
        yield f"{target.via}+{scheme}:///{address_of(target)}" if target.via else f"{scheme}://{address_of(target)}"


def workloads_of_deployment(spec: DeploymentSpec, site: Site, images: Images) -> list[Workload]:
    """What runs for a Deployment alone; raises as `workloads_of_flow`."""
    place = _place(spec)
    if spec.external:
        raise ConfigError(f"{place}: external: it runs elsewhere, and there is nothing to export")
    if spec.gateway:
        raise NotSupportedError(
            f"{place}: gateway: a Deployment is exported without a gateway in front",
            help="export a Flow: Flow().config_gateway(uses='docker://...').add(...)",
        )
    return Builder(site, _base([spec], None, images)).step(spec, behind_gateway=False)


def workloads_behind_gateway(spec: DeploymentSpec, site: Site, images: Images) -> list[Workload]:
    """The same as a Flow with a gateway that has the listeners of the Deployment."""
    place = _place(spec)
    if spec.external:
        raise ConfigError(f"{place}: external: it runs elsewhere, and there is nothing to export")
    if spec.gateway:
        raise NotSupportedError(f"{place}: gateway: its image cannot be named here", help="export a Flow")
    maker = Builder(site, _base([spec], None, images))
    made = maker.step(spec, behind_gateway=True)
    topology = Topology((Node(spec.name, "executor", (GATEWAY,), _as_step(spec)),), (spec.name,))
    addresses = {spec.name: maker.site.addresses(made[0].name, PORT, made[0].replicas)}
    front = gateway_of(spec).model_copy(update={"title": spec.title or spec.name})
    return [*made, maker.gateway(front, topology, addresses, [made[0].name])]


def _as_step(spec: DeploymentSpec) -> StepSpec:
    values = {name: getattr(spec, name) for name in type(spec).model_fields}
    # A condition is for a place in a Flow.
    return StepSpec.model_construct(spec.model_fields_set, **{**values, "when": None})
