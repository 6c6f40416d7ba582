"""Kubernetes files of a Flow or a Deployment: plain objects of the API, the same bytes for the same options."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from jina.config.models import DeploymentSpec
from jina.errors import ConfigError, nearest
from jina.export.containers import (
    AFTER_GRACE,
    FOR_EVER,
    PEER_PORT,
    PORT,
    Container,
    Images,
    Workload,
    inside,
    site_name,
    upstream_address,
    workloads_of_deployment,
    workloads_of_flow,
)
from jina.export.versions import NEWEST, Version, adapt, check, version_of
from jina.plan.plans import CLUSTER_DELAY, AutoscalePlan

if TYPE_CHECKING:
    from jina.config.models import FlowSpec, GatewaySpec

Object = dict[str, Any]
_LEAST_START: Final = 15
"""Seconds that each container has to start."""
_DEVICES: Final = "devices"
PEERS: Final = "peers"
"""What the name of the Service has behind it through which members of a group know each other."""
RAFT_PEERS: Final = "RAFT_PEERS"
"""The variable with the addresses of all members: not a part of the pods' template, which would be rolled for it."""
CONTROLLER: Final = "jina-controller"
"""The name of the controller, and the label `app` of pods that may talk to agents."""
_TLS: Final = "/etc/jina/tls"
_RAFT: Final = "/etc/jina/raft"
_USER: Final = 10001
"""The user of images that `jina hub build` makes."""
_RESOURCE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?", re.ASCII)
_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s]*)?")
_LABEL: Final = re.compile(r"[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)
_APP_PROTOCOLS: Final = {"grpc": "kubernetes.io/h2c", "http": "http", "websocket": "kubernetes.io/ws"}


@dataclass(frozen=True)
class Export:
    """What is exported, before it is written: `workloads` gives those of the files, by path, as a cluster has them."""

    cluster: Cluster
    name: str
    workloads: Callable[[Cluster], dict[str, Workload]]

    def files(self) -> dict[str, str]:
        """Path -> text of the plain files."""
        objects = self.cluster.objects(self.workloads(self.cluster))
        return {path: documents(found) for path, found in objects.items()}


def export_of_flow(
    spec: FlowSpec, images: Images, namespace: str | None = None, *, gateway: bool = True, version: str | None = None
) -> Export:
    """The files of a Flow: `<step>/<workload>.yml`, and `gateway/gateway.yml` unless it is left out.

    `version` is that of the cluster. Raises `ConfigError` (`NoContainerizedError` for an Executor that is no image)
    naming the step and the rule.
    """
    named = site_name(spec.name, "Flow") if "name" in spec.model_fields_set else "default"
    given = namespace or spec.k8s_namespace

    def workloads(cluster: Cluster) -> dict[str, Workload]:
        found = workloads_of_flow(spec, cluster, images, gateway=gateway)
        return {f"{_folder(one)}/{one.name}.yml": one for one in found}

    cluster = Cluster(_namespace(given, "Flow") if given else named, spec.name, version=version_of(version, "Flow"))
    return Export(cluster, site_name(spec.name, "Flow"), workloads)


def export_of_deployment(
    spec: DeploymentSpec, images: Images, namespace: str | None = None, *, version: str | None = None
) -> Export:
    """The same for a Deployment alone: `<workload>.yml`."""

    def workloads(cluster: Cluster) -> dict[str, Workload]:
        return {f"{one.name}.yml": one for one in workloads_of_deployment(spec, cluster, images)}

    given = _namespace(namespace or spec.k8s_namespace or "default", "Deployment")
    cluster = Cluster(given, spec.name, alone=True, version=version_of(version, "Deployment"))
    return Export(cluster, site_name(spec.name, f"Deployment: {spec.name}"), workloads)


def files_of_flow(
    spec: FlowSpec, images: Images, namespace: str | None = None, *, gateway: bool = True, version: str | None = None
) -> dict[str, str]:
    """Path -> text of the plain files of a Flow; see `export_of_flow`."""
    return export_of_flow(spec, images, namespace, gateway=gateway, version=version).files()


def _folder(workload: Workload) -> str:
    return "gateway" if workload.role == "GATEWAY" else workload.step


def _namespace(name: str, place: str) -> str:
    if name != name.lower() or "_" in name:
        raise ConfigError(f"{place}: k8s_namespace: {name!r} is not the name of a namespace: a-z, 0-9 and '-' alone")
    return site_name(name, f"{place}: k8s_namespace")


@dataclass(frozen=True)
class Cluster:
    """Where the workloads of one Flow run; `alone` is a Deployment without a gateway in front."""

    namespace: str
    flow: str
    alone: bool = False
    workspace: str = "/workspace"
    beside: bool = True
    version: Version = NEWEST

    # --- what command lines say, see `Site` ---------------------------------------------------------------

    def addresses(self, workload: str, port: int, replicas: int) -> list[str]:
        """The Service in front of all replicas."""
        del replicas
        return [upstream_address(self._host(workload), port)]

    def peers(self, workload: str, replicas: int) -> list[str]:
        """Filled in by the kubelet: a group may grow and shrink."""
        del workload, replicas
        return [f"$({RAFT_PEERS})"]

    def members(self, workload: Workload) -> str:
        """The pods of a StatefulSet by name: their addresses change. A name without a namespace is of the pod's own, so
        that a kustomization or a chart needs not replace it.
        """
        service = f"{workload.name}-{PEERS}"
        return ",".join(f"{workload.name}-{number}.{service}:{PEER_PORT}" for number in range(workload.replicas))

    def kept(self) -> str:
        """The volume is mounted where an Executor writes in any case."""
        return self.workspace

    def raft_key(self, workload: str) -> str:
        """The file of a secret."""
        del workload
        return f"{_RAFT}/key"

    def replica_id(self) -> str:
        """Filled in by the kubelet, from the variable that the pod has."""
        return "$(REPLICA_ID)"

    def gateway_ports(self, gateway: GatewaySpec) -> list[int]:
        """As every container has them: the Service in front is for the outside."""
        return [PORT + index for index in range(len(gateway.protocols))]

    def tls(self, spec: DeploymentSpec | GatewaySpec) -> dict[str, Any]:
        """The files of the secret that `tls_secret` names, or that cert-manager fills."""
        options = _options(spec)
        if not (options.get("tls_secret") or "certificate" in options):
            return {}
        return {"ssl_certfile": f"{_TLS}/tls.crt", "ssl_keyfile": f"{_TLS}/tls.key"}

    def autoscaled(self, spec: DeploymentSpec) -> dict[str, Any]:
        """What KEDA is told by the gateway, where it scales the step."""
        given = _options(spec).get("autoscale") or {}
        return {name: given[name] for name in given if name in AutoscalePlan.__struct_fields__ and _by_keda(given)}

    def extra(self) -> list[str]:
        """What Jina 3 tells each process, too."""
        return ["--k8s-namespace", self.namespace]

    def _host(self, service: str) -> str:
        return f"{service}.{self.namespace}.svc"

    # --- objects ------------------------------------------------------------------------------------------

    def digest(self, workload: Workload) -> str:
        """Changes with the variables of a workload."""
        return _Objects(self, workload).digest

    def only_for_many(self, workload: Workload) -> bool:
        """Whether its pods have a disruption budget only because there are several."""
        made = _Objects(self, workload)
        return not (workload.stateful or "disruptions" in made.options or made.scaled)

    def spread_by_itself(self, workload: Workload) -> bool:
        """Whether its pods are spread over nodes only because there are several."""
        made = _Objects(self, workload)
        return made.options.get("topology_spread") is None and not made.scaled

    def apart(self, workload: Workload) -> Object:
        """What spreads its pods over nodes."""
        return _Objects(self, workload).apart

    def objects(self, workloads: Mapping[str, Workload]) -> dict[str, list[Object]]:
        """Path -> objects as they are written, of the workloads that the paths are for."""
        front = next((one for one in workloads.values() if one.role == "GATEWAY"), None)
        made = {path: list(_Objects(self, one, front).all()) for path, one in workloads.items()}
        _check_names([(workloads[path], one) for path, objects in made.items() for one in objects])
        taken: set[str] = set()
        for path, objects in made.items():
            adapt(objects, self.version)
            taken |= patch_all(objects, _options(workloads[path].spec).get("patch") or {})
        for path, workload in workloads.items():
            _check_patches(workload, taken, [item for objects in made.values() for item in objects])
            for one in made[path]:
                check(one, self.version, workload.place)
        return made


def _check_names(objects: Sequence[tuple[Workload, Object]]) -> None:
    seen: dict[str, Workload] = {}
    for workload, one in objects:
        name = f"{one['kind']} {one['metadata']['name']}"
        other = seen.setdefault(name, workload)
        if other is not workload:
            raise ConfigError(f"{workload.place}: name: {workload.step!r} and {other.step!r} both need the {name}")


def documents(objects: Sequence[Object]) -> str:
    """Objects as YAML, one document each."""
    return "---\n".join(
        yaml.dump(
            one, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=float("inf")
        )
        for one in objects
    )


class _Dumper(yaml.SafeDumper):
    """Block sequences inside their keys, as Kubernetes files have them, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _options(spec: DeploymentSpec | GatewaySpec) -> Mapping[str, Any]:
    return spec.kubernetes or {}


def _pruned(**values: Any) -> Object:
    """A mapping without what is empty."""
    return {name: value for name, value in values.items() if value not in (None, {}, [], "")}


@dataclass(frozen=True)
class _Objects:
    """The objects of one workload."""

    cluster: Cluster
    workload: Workload
    front: Workload | None = None
    """The gateway, where it is exported, too."""

    @property
    def spec(self) -> DeploymentSpec | GatewaySpec:
        return self.workload.spec

    @property
    def options(self) -> Mapping[str, Any]:
        return _options(self.spec)

    def all(self) -> Iterator[Object]:
        """In the order in which they are to be made."""
        workload = self.workload
        self._check()
        yield self._object("v1", "ConfigMap", f"{workload.name}-configmap", data=self._data())
        if workload.role != "WORKER":
            yield from self._access()
        yield from self._services()
        yield self._stateful_set() if self._keeps else self._deployment()
        if workload.replicas > 1 or workload.stateful or "disruptions" in self.options or self.scaled:
            yield self._budget()
        if workload.stateful:
            yield self._peers_alone()
        if self.scaled:
            yield self._scaled_object() if _by_keda(self.scaled) else self._autoscaler()
        if self._device_class:
            yield self._claim_of_devices()
        if self._has_certificate and "certificate" in self.options:
            yield self._certificate()
        if "service_monitor" in self.options:
            yield self._service_monitor()

    def _check(self) -> None:
        self._check_autoscaling()
        place, options = self.workload.place, self.options
        resource = options.get("gpu_resource")
        if resource and not _RESOURCE.fullmatch(resource):
            raise ConfigError(
                f"{place}: kubernetes.gpu_resource: {resource!r} is no name of a resource, DOMAIN/NAME such as"
                " nvidia.com/mig-1g.10gb"
            )
        if options.get("device_selector") and not options.get("device_class"):
            raise ConfigError(f"{place}: kubernetes.device_selector: chooses among a device_class: give that too")
        if options.get("device_class") and resource:
            raise ConfigError(f"{place}: kubernetes.device_class: is for claims, and gpu_resource for none: give one")
        if options.get("device_class") and isinstance(self.spec, DeploymentSpec) and not self._gpus():
            raise ConfigError(f"{place}: kubernetes.device_class: gpus says how many devices: give that too")
        if "certificate" in options and not options["certificate"].get("issuer"):
            raise ConfigError(f"{place}: kubernetes.certificate: names no issuer")
        if "service_monitor" in options and not self.spec.monitoring:
            raise ConfigError(f"{place}: kubernetes.service_monitor: is for monitoring=True: give that too")
        collector = options.get("otlp")
        if collector and not _URL.fullmatch(collector):
            raise ConfigError(f"{place}: kubernetes.otlp: {collector!r} is not http://HOST:PORT or https://HOST:PORT")
        if collector and not (self.spec.tracing or self.spec.metrics):
            raise ConfigError(f"{place}: kubernetes.otlp: nothing is sent without tracing=True or metrics=True")

    def _check_autoscaling(self) -> None:
        place, scaled = self.workload.place, self.scaled
        if scaled and (self.workload.stateful or self.workload.role == "HEAD"):
            raise ConfigError(f"{place}: kubernetes.autoscale: is for steps without state and without shards")
        if scaled and "cpu" in scaled and "cpu" not in self._resources().get("requests", {}):
            raise ConfigError(f"{place}: kubernetes.autoscale.cpu: is a share of resources.requests.cpu: give that too")
        if scaled and scaled.get("min", 1) > scaled.get("max", 1):
            raise ConfigError(f"{place}: kubernetes.autoscale: min is above max")
        if scaled and not {"cpu", "metrics", "target_wait"} & scaled.keys():
            raise ConfigError(
                f"{place}: kubernetes.autoscale: give cpu, the percentage to keep, or metrics; or for KEDA target_wait,"
                " the seconds that requests may wait"
            )
        if _by_keda(scaled):
            self._check_keda()
        elif others := sorted(scaled.keys() - {"min", "max", "cpu", "metrics"}):
            raise ConfigError(f"{place}: kubernetes.autoscale.{others[0]}: is for KEDA: give target_wait as well")
        elif scaled and not scaled.get("min", 1):
            raise ConfigError(f"{place}: kubernetes.autoscale.min: 0 is for KEDA: give target_wait instead of cpu")
        if getattr(self.spec, "autoscale", None) is not None and not scaled:
            raise ConfigError(
                f"{place}: autoscale: is for one machine: give kubernetes={{'autoscale': {{...}}}} for a cluster"
            )

    def _check_keda(self) -> None:
        """KEDA asks the gateway, in plain gRPC, how long requests wait."""
        place, scaled, front = self.workload.place, self.scaled, self.front
        where = f"{place}: kubernetes.autoscale.target_wait"
        if {"cpu", "metrics"} & scaled.keys():
            raise ConfigError(f"{where}: is decided by the gateway, not by cpu and metrics: give one or the others")
        if "max" not in scaled:
            raise ConfigError(f"{place}: kubernetes.autoscale.max: is missing: how many pods there may be")
        if self.workload.role != "WORKER" or front is None:
            raise ConfigError(f"{where}: is for steps of a Flow that is exported with its gateway, which measures")
        if "grpc" not in front.main.ports or any(word.startswith("--ssl-certfile") for word in front.main.words):
            raise ConfigError(f"{where}: KEDA asks the gateway over gRPC without TLS: give it protocol grpc, without")
        if not scaled.get("min", 1) and front.replicas > 1:
            raise ConfigError(
                f"{place}: kubernetes.autoscale.min: 0 is not for {front.replicas} gateways: KEDA asks one of them, and"
                " a request may wait in another; give min: 1, or one gateway"
            )

    # --- parts of objects ---------------------------------------------------------------------------------

    def _object(self, version: str, kind: str, name: str, **body: Any) -> Object:
        metadata = {"name": name, "namespace": self.cluster.namespace, "labels": self._labels}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}

    @property
    def _labels(self) -> Object:
        return {
            "app": self.workload.name,
            "app.kubernetes.io/managed-by": "jina",
            **({"app.kubernetes.io/part-of": self.cluster.flow} if self._in_flow else {}),
        }

    @property
    def _in_flow(self) -> bool:
        return not self.cluster.alone and _LABEL.fullmatch(self.cluster.flow) is not None

    @property
    def _selector(self) -> Object:
        return {"app": self.workload.name}

    @property
    def _pod_labels(self) -> Object:
        shard = {"WORKER": str(self.workload.shard or 0)}.get(self.workload.role, "")
        return {
            **(self.options.get("labels") or {}),
            **self._labels,
            "jina_deployment_name": self.workload.step,
            "ns": self.cluster.namespace,
            "pod_type": self.workload.role,
            "shard_id": shard,
        }

    def _variables(self) -> Object:
        return {name: str(value) for name, value in (self.spec.env or {}).items()}

    def _data(self) -> Object:
        members = {RAFT_PEERS: self.cluster.members(self.workload)} if self.workload.stateful else {}
        return {**self._variables(), **members}

    # --- access -------------------------------------------------------------------------------------------

    @property
    def _account(self) -> str:
        given: str | None = self.options.get("service_account")
        return given or (self.workload.name if self.workload.role != "WORKER" else "")

    def _access(self) -> Iterator[Object]:
        """What lets a gateway see which pods of its steps are ready."""
        name, account = self.workload.name, self._account
        if not self.options.get("service_account"):
            yield self._object("v1", "ServiceAccount", account)
        group = "rbac.authorization.k8s.io"
        rules = [
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
        ]
        yield self._object(f"{group}/v1", "Role", name, rules=rules)
        yield self._object(
            f"{group}/v1", "RoleBinding", name,
            roleRef={"apiGroup": group, "kind": "Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": account, "namespace": self.cluster.namespace}],
        )  # fmt: skip

    # --- services -----------------------------------------------------------------------------------------

    def _services(self) -> Iterator[Object]:
        workload = self.workload
        ports = [_port(protocol, number) for protocol, number in workload.main.ports.items()]
        inner = not self.cluster.alone and workload.role != "GATEWAY"
        if self.spec.monitoring:
            ports.append({"name": "monitoring", "port": workload.main.monitoring, "targetPort": "monitoring"})
        yield self._service(workload.name, ports, headless=inner or workload.shard is not None)
        for index, (protocol, number) in enumerate(workload.main.ports.items()):
            if index:
                yield self._service(f"{workload.name}-{index}-{protocol}", [_port(protocol, number)], headless=False)
        if workload.stateful:
            own = [{"name": "raft", "port": PEER_PORT, "targetPort": "raft"}]
            yield self._service(f"{workload.name}-{PEERS}", own, headless=True, peers=True)

    def _service(self, name: str, ports: Sequence[Object], *, headless: bool, peers: bool = False) -> Object:
        spec: Object = {"clusterIP": "None"} if headless else {"type": "ClusterIP"}
        if peers:
            # Members have to find each other before any of them can be ready.
            spec["publishNotReadyAddresses"] = True
        return self._object("v1", "Service", name, spec={**spec, "selector": self._selector, "ports": list(ports)})

    # --- workloads ----------------------------------------------------------------------------------------

    @property
    def _keeps(self) -> bool:
        """Whether pods have volumes of their own."""
        return self.workload.stateful or bool(self._volumes())

    def _deployment(self) -> Object:
        spec: Object = {} if self.scaled else {"replicas": self.workload.replicas}
        spec["selector"] = {"matchLabels": self._selector}
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
        return self._object("apps/v1", "Deployment", self.workload.name, spec={**spec, "template": self._template()})

    def _stateful_set(self) -> Object:
        workload = self.workload
        service = f"{workload.name}-{PEERS}" if workload.stateful else workload.name
        spec: Object = {
            **({} if self.scaled else {"replicas": workload.replicas}),
            "serviceName": service,
            # A group that lost all of its pods needs a majority of them at once.
            "podManagementPolicy": "Parallel",
            # A rolling update that does not know who leads could take the majority away.
            "updateStrategy": {"type": "OnDelete" if workload.stateful else "RollingUpdate"},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Delete" if workload.stateful else "Retain",
            },
            "selector": {"matchLabels": self._selector},
            "template": self._template(),
            "volumeClaimTemplates": list(self._claims()),
        }
        return self._object("apps/v1", "StatefulSet", workload.name, spec=spec)

    def _volumes(self) -> dict[str, str]:
        """Claim -> folder of the containers."""
        workload = self.workload
        if workload.role != "WORKER":
            return {}
        folders = []
        for volume in cast("list[str]", getattr(self.spec, "volumes", None) or []):
            parts = volume.split(":")
            folder = parts[0] if len(parts) == 1 else parts[1]
            if not folder.startswith("/"):
                raise ConfigError(f"{workload.place}: volumes: {volume!r} does not say where in the container: /PATH")
            folders.append(folder)
        if workload.stateful and not inside(workload.main.workspace, folders):
            folders.insert(0, workload.main.workspace)
        suffixes = ["", *(f"-{number}" for number in range(1, len(folders)))]
        return {f"{workload.name}-volume{suffix}": folder for suffix, folder in zip(suffixes, folders, strict=False)}

    def _claims(self) -> Iterator[Object]:
        modes = self.options.get("access_modes") or ["ReadWriteOnce"]
        requests = {"requests": {"storage": self.options.get("storage") or "10Gi"}}
        for name in self._volumes():
            spec = _pruned(accessModes=modes, storageClassName=self.options.get("storage_class"), resources=requests)
            yield {"metadata": {"name": name, "labels": self._labels}, "spec": spec}

    def _template(self) -> Object:
        annotations = {"jina/configmap": self.digest, **(self.options.get("annotations") or {})}
        return {"metadata": {"labels": self._pod_labels, "annotations": annotations}, "spec": self._pod()}

    @property
    def digest(self) -> str:
        """Changes with the variables; Helm computes the same of its values (`toJson | sha256sum`)."""
        text = json.dumps(self._variables(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        text = re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _pod(self) -> Object:
        options, workload = self.options, self.workload
        user = options.get("run_as_user", _USER)
        security: Object = {"runAsNonRoot": user != 0, "runAsUser": user, "runAsGroup": user, "fsGroup": user}
        secrets = [{"name": name} for name in self.spec.image_pull_secrets or ()]
        spread = options.get("topology_spread")
        if spread is None and (workload.replicas > 1 or self.scaled):
            spread = [self.apart]
        return {
            **_pruned(serviceAccountName=self._account),
            "automountServiceAccountToken": workload.role != "WORKER",
            **_pruned(
                imagePullSecrets=secrets,
                priorityClassName=options.get("priority_class"),
                nodeSelector=options.get("node_selector"),
                tolerations=options.get("tolerations"),
                affinity=options.get("affinity"),
                topologySpreadConstraints=spread,
            ),
            "terminationGracePeriodSeconds": math.ceil(self._before_end) + AFTER_GRACE,
            "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
            **_pruned(resourceClaims=self._claims_of_pod()),
            "containers": [self._container(one) for one in workload.containers],
            "volumes": list(self._pod_volumes()),
        }

    @property
    def apart(self) -> Object:
        """Spreads pods over nodes where that is possible."""
        return {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": self._selector},
        }

    @property
    def _before_end(self) -> float:
        """Seconds from the order to stop until nothing is in work any more."""
        delay = self.spec.delay_seconds
        return self._pre_stop + (CLUSTER_DELAY if delay is None else delay) + self.spec.grace_seconds

    @property
    def _pre_stop(self) -> float:
        return float(self.options.get("pre_stop", 5))

    def _container(self, one: Container) -> Object:
        ports = [{"name": protocol, "containerPort": number} for protocol, number in one.ports.items()]
        if self.workload.stateful:
            ports.append({"name": "raft", "containerPort": PEER_PORT})
        # Containers beside a head have ports of other names: they must differ within a pod.
        main = one is self.workload.main
        if not main:
            ports = [{**port, "name": one.name} for port in ports]
        ports.append({"name": "monitoring" if main else f"m-{one.name}", "containerPort": one.monitoring})
        if one.probes != one.monitoring:
            ports.append({"name": "probes", "containerPort": one.probes})
        security = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        return {
            "name": one.name,
            "image": one.image,
            "imagePullPolicy": self.options.get("pull_policy", "IfNotPresent"),
            "command": one.command,
            "args": [_literal(word) for word in one.words],
            "env": list(self._environment()),
            "envFrom": [{"configMapRef": {"name": f"{self.workload.name}-configmap"}}],
            "ports": ports,
            **self._probes(one),
            **_pruned(lifecycle=self._pre_stop_hook(), resources=self._resources(main=main)),
            "securityContext": security,
            "volumeMounts": list(self._mounts(one)),
        }

    def _pre_stop_hook(self) -> Object:
        """The Service goes on to send requests for a moment after the pod was told to end."""
        if not self._pre_stop:
            return {}
        return {"preStop": {"sleep": {"seconds": math.ceil(self._pre_stop)}}}

    def _environment(self) -> Iterator[Object]:
        workload = self.workload
        kind = "K8S_STATEFULSET_NAME" if self._keeps else "K8S_DEPLOYMENT_NAME"
        yield {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
        yield {"name": "JINA_DEPLOYMENT_NAME", "value": workload.step}
        yield {"name": kind, "value": workload.name}
        yield {"name": "K8S_NAMESPACE_NAME", "value": self.cluster.namespace}
        yield {"name": "K8S_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        if workload.stateful:
            path = "metadata.labels['apps.kubernetes.io/pod-index']"
            yield {"name": "REPLICA_ID", "valueFrom": {"fieldRef": {"fieldPath": path}}}
        if collector := self.options.get("otlp"):
            yield {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": collector}
            names = f"service.namespace={self.cluster.flow},k8s.namespace.name=$(K8S_NAMESPACE_NAME)"
            pod = "k8s.pod.name=$(K8S_POD_NAME),k8s.pod.uid=$(POD_UID)"
            yield {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": f"{names},{pod}"}
        for name, source in (self.spec.env_from_secret or {}).items():
            reference = {"name": source["name"], "key": source["key"]}
            yield {"name": name, "valueFrom": {"secretKeyRef": reference}}

    def _probes(self, one: Container) -> Object:
        def probe(path: str, **rest: int) -> Object:
            return {"httpGet": {"path": path, "port": one.probes}, **rest}

        ready = self.spec.ready_seconds
        tries = FOR_EVER if ready is None else max(math.ceil(ready), _LEAST_START)
        return {
            # Each second: a pod in the place of a lost one, or the first one, is waited for by requests.
            "startupProbe": probe("/startupz", periodSeconds=1, timeoutSeconds=5, failureThreshold=tries),
            # An Executor may hold the interpreter for long: a minute without any answer is too long.
            "livenessProbe": probe("/livez", periodSeconds=10, timeoutSeconds=10, failureThreshold=6),
            "readinessProbe": probe("/readyz", periodSeconds=2, timeoutSeconds=5, failureThreshold=2),
        }

    def _resources(self, *, main: bool = True) -> Object:
        given = deepcopy(self.options.get("resources") or {}) if main else {}
        count = self._gpus() if main and self.workload.role == "WORKER" else 0
        if count and self._device_class:
            given["claims"] = [*given.get("claims", []), {"name": _DEVICES}]
        elif count:
            given.setdefault("limits", {})[self.options.get("gpu_resource") or "nvidia.com/gpu"] = count
        return cast("Object", given)

    def _gpus(self) -> int:
        asked: Any = self.spec.gpus
        if asked is None or isinstance(asked, int):
            return asked or 0
        raise ConfigError(
            f"{self.workload.place}: gpus: {asked!r}: a pod asks for a whole number of GPUs, which the cluster chooses",
            help="for a part of one give gpus=1 and what the part is called, such as"
            " kubernetes={'gpu_resource': 'nvidia.com/mig-1g.10gb'}",
        )

    def _mounts(self, one: Container) -> Iterator[Object]:
        yield {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - of the container
        claims = self._volumes() if one is self.workload.main else {}
        if one.workspace and not inside(one.workspace, claims.values()):
            yield {"name": "workspace", "mountPath": one.workspace, "subPath": one.name}
        for name, folder in claims.items():
            yield {"name": name, "mountPath": folder}
        if self.workload.stateful:
            yield {"name": "raft-key", "mountPath": _RAFT, "readOnly": True}
        if self._has_certificate and one is self.workload.main:
            yield {"name": "tls", "mountPath": _TLS, "readOnly": True}

    @property
    def _has_certificate(self) -> bool:
        return f"{_TLS}/tls.crt" in self.workload.main.words

    def _pod_volumes(self) -> Iterator[Object]:
        yield {"name": "tmp", "emptyDir": {}}
        claims = self._volumes().values()
        if any(
            one.workspace and (one is not self.workload.main or not inside(one.workspace, claims))
            for one in self.workload.containers
        ):
            yield {"name": "workspace", "emptyDir": {}}
        if self.workload.stateful:
            secret = self.options.get("raft_secret") or f"{self.workload.name}-raft"
            yield {"name": "raft-key", "secret": {"secretName": secret, "items": [{"key": "key", "path": "key"}]}}
        if self._has_certificate:
            yield {"name": "tls", "secret": {"secretName": self._tls_secret}}

    @property
    def _tls_secret(self) -> str:
        given: str | None = self.options.get("tls_secret")
        return given or f"{self.workload.name}-tls"

    @property
    def _device_class(self) -> str:
        """The class of the devices that pods claim; empty where they ask for a resource, or for nothing."""
        given: str | None = self.options.get("device_class")
        return (given or "") if self.workload.role == "WORKER" and self.workload.main.name == "executor" else ""

    def _claims_of_pod(self) -> list[Object]:
        if not self._device_class:
            return []
        return [{"name": _DEVICES, "resourceClaimTemplateName": f"{self.workload.name}-{_DEVICES}"}]

    # --- beside the workload ------------------------------------------------------------------------------

    def _budget(self) -> Object:
        spec = {"maxUnavailable": self.options.get("disruptions", 1), "selector": {"matchLabels": self._selector}}
        return self._object("policy/v1", "PodDisruptionBudget", self.workload.name, spec=spec)

    def _peers_alone(self) -> Object:
        """The agents' port is for members of the group and the controller; every other port for all."""
        main = self.workload.main
        opened = [*main.ports.values(), main.monitoring, *([main.probes] if main.probes != main.monitoring else [])]
        spec = {
            "podSelector": {"matchLabels": self._selector},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"protocol": "TCP", "port": number} for number in opened]},
                {
                    "from": [
                        {"podSelector": {"matchLabels": self._selector}},
                        {"podSelector": {"matchLabels": {"app": CONTROLLER}}},
                    ],
                    "ports": [{"protocol": "TCP", "port": PEER_PORT}],
                },
            ],
        }
        return self._object("networking.k8s.io/v1", "NetworkPolicy", f"{self.workload.name}-{PEERS}", spec=spec)

    def _claim_of_devices(self) -> Object:
        """What each pod claims by dynamic resource allocation."""
        exactly: Object = {
            "deviceClassName": self._device_class,
            "allocationMode": "ExactCount",
            "count": self._gpus(),
        }
        if selector := self.options.get("device_selector"):
            exactly["selectors"] = [{"cel": {"expression": selector}}]
        requests = [{"name": _DEVICES, "exactly": exactly}]
        name = f"{self.workload.name}-{_DEVICES}"
        return self._object(
            "resource.k8s.io/v1", "ResourceClaimTemplate", name, spec={"spec": {"devices": {"requests": requests}}}
        )

    def _certificate(self) -> Object:
        """The certificate that cert-manager keeps in the secret, for all names of the workload."""
        asked, name, namespace = self.options["certificate"], self.workload.name, self.cluster.namespace
        services = [name, *(f"{name}-{number}-{one}" for number, one in enumerate(self.workload.main.ports) if number)]
        names = [f"{service}{rest}" for service in services for rest in ("", f".{namespace}", f".{namespace}.svc")]
        spec = {
            "secretName": self._tls_secret,
            "dnsNames": list(dict.fromkeys([*(asked.get("dns_names") or ()), *names])),
            "usages": ["server auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": {
                "group": "cert-manager.io", "kind": asked.get("issuer_kind", "Issuer"), "name": asked["issuer"],
            },
        }  # fmt: skip
        return self._object("cert-manager.io/v1", "Certificate", self._tls_secret, spec=spec)

    def _service_monitor(self) -> Object:
        """What makes an operator of Prometheus read the metrics of each pod."""
        asked = self.options["service_monitor"]
        endpoint = {"port": "monitoring", "path": "/metrics", **_pruned(interval=_seconds(asked.get("interval")))}
        spec = {"selector": {"matchLabels": self._selector}, "endpoints": [endpoint]}
        made = self._object("monitoring.coreos.com/v1", "ServiceMonitor", self.workload.name, spec=spec)
        made["metadata"]["labels"] = {**(asked.get("labels") or {}), **self._labels}
        return made

    @property
    def scaled(self) -> Mapping[str, Any]:
        """Between how many pods, and by what."""
        return cast("Mapping[str, Any]", self.options.get("autoscale") or {})

    def _autoscaler(self) -> Object:
        scaled, workload = self.scaled, self.workload
        metrics: list[Object] = list(scaled.get("metrics") or ())
        if "cpu" in scaled:
            target = {"type": "Utilization", "averageUtilization": scaled["cpu"]}
            metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        spec = {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet" if self._keeps else "Deployment",
                "name": workload.name,
            },
            "minReplicas": scaled.get("min", workload.replicas),
            "maxReplicas": scaled.get("max", max(workload.replicas, scaled.get("min", 1))),
            "metrics": metrics,
        }
        return self._object("autoscaling/v2", "HorizontalPodAutoscaler", workload.name, spec=spec)

    def _scaled_object(self) -> Object:
        """KEDA's, with the gateway as the scaler that tells how many pods there should be."""
        scaled, front = self.scaled, self.front
        assert front is not None
        most = scaled["max"]
        # The gateway decides when: the HorizontalPodAutoscaler that KEDA makes is to follow at once.
        at_once = {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": most, "periodSeconds": 1}],
        }
        address = self.cluster.addresses(front.name, front.main.ports["grpc"], front.replicas)[0]
        metadata = {"scalerAddress": address.partition("://")[2], "step": self.workload.step}
        spec = {
            "scaleTargetRef": {"kind": "StatefulSet" if self._keeps else "Deployment", "name": self.workload.name},
            "pollingInterval": 2,
            "cooldownPeriod": 0,
            "minReplicaCount": scaled.get("min", 1),
            "maxReplicaCount": most,
            "advanced": {
                "horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": at_once, "scaleDown": dict(at_once)}}
            },
            "triggers": [{"type": "external-push", "metadata": metadata}],
        }
        return self._object("keda.sh/v1alpha1", "ScaledObject", self.workload.name, spec=spec)


def _by_keda(scaled: Mapping[str, Any]) -> bool:
    """Whether KEDA changes the number of pods, by what the gateway measures."""
    return "target_wait" in scaled


def _port(protocol: str, number: int) -> Object:
    return {
        "name": protocol,
        "port": number,
        "targetPort": protocol,
        "appProtocol": _APP_PROTOCOLS[protocol],
    }


def _seconds(number: int | None) -> str:
    return f"{number}s" if number else ""


def _literal(word: str) -> str:
    """A word that the kubelet leaves as it is; it fills in the number of a replica and the addresses of all."""
    return word if word in {"$(REPLICA_ID)", f"$({RAFT_PEERS})"} else word.replace("$(", "$$(")


# --- patches ------------------------------------------------------------------------------------------------------

_KEYS: Final = ("containerPort", "mountPath", "port", "name", "topologyKey", "ip")
"""By which items of a list are known, as strategic merge patches of Kubernetes have it; the first that all have."""


def patch_all(objects: Sequence[Object], patches: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Change the objects by patches, each for `Kind` or `Kind/name`; gives those of which there was an object."""
    taken = set()
    for target, patch in patches.items():
        kind, _, name = target.partition("/")
        for one in objects:
            if one["kind"] == kind and name in {"", one["metadata"]["name"]}:
                taken.add(target)
                merged = merge(one, patch)
                one.clear()
                one.update(merged)
    return taken


def _check_patches(workload: Workload, taken: set[str], objects: Sequence[Object]) -> None:
    for target in _options(workload.spec).get("patch") or {}:
        if target not in taken:
            names = [(one["kind"], f"{one['kind']}/{one['metadata']['name']}") for one in objects]
            known = list(dict.fromkeys(name for pair in names for name in pair))
            near = nearest(target, known)
            hint = f", did you mean {near!r}?" if near else f"; there are {', '.join(known)}"
            raise ConfigError(f"{workload.place}: kubernetes.patch: there is no object {target!r}{hint}")


def merge(value: Any, patch: Any) -> Any:
    """A strategic merge patch: mappings are merged, `null` removes, lists of named objects are merged by name.

    `$patch: delete` in an item of a list removes it, `$patch: replace` in a mapping takes the place of what was there.
    Other lists take the place of what was there.
    """
    if isinstance(patch, Mapping):
        rest = {key: item for key, item in patch.items() if key != "$patch"}
        if patch.get("$patch") == "replace" or not isinstance(value, Mapping):
            return {key: merge(None, item) for key, item in rest.items() if item is not None}
        kept = {key: item for key, item in value.items() if rest.get(key, item) is not None}
        return {**kept, **{key: merge(value.get(key), item) for key, item in rest.items() if item is not None}}
    if isinstance(patch, list) and isinstance(value, list) and (key := _key_of([*value, *patch])):
        return _merged_lists(value, patch, key)
    return deepcopy(patch)


def _key_of(items: Sequence[Any]) -> str | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in _KEYS if all(key in item for item in items)), None)


def _merged_lists(value: Sequence[Mapping[str, Any]], patch: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    changes = {item[key]: item for item in patch}
    found = [
        merge(item, changes[item[key]]) if item[key] in changes else item
        for item in value
        if changes.get(item[key], {}).get("$patch") != "delete"
    ]
    known = {item[key] for item in value}
    return found + [merge(None, item) for item in patch if item[key] not in known and item.get("$patch") != "delete"]
