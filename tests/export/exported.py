"""Flows and Deployments that are exported, and the files that they are exported to: see `golden`.

python -m tests.export.exported     writes the files again, after a change that is meant
"""

from __future__ import annotations

import shutil
from pathlib import Path

from jina import Deployment, Flow

GOLDEN = Path(__file__).with_name("golden")
A, B, C = "docker://registry.example/a:1", "docker://registry.example/b:1", "docker://registry.example/c:1"
RESOURCES = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def chain():
    """Two steps without state."""
    flow = Flow(name="chain", env={"MODEL": "large"})
    flow = flow.add(name="first", uses=A, replicas=2, uses_with={"size": 3, "text": "$(HOME) ümlaut"})
    return flow.add(
        name="second",
        uses=B,
        env={"STEP": "2", "PRICE": "5 $"},
        env_from_secret={"TOKEN": {"name": "tokens", "key": "second"}},
        image_pull_secrets=["registry"],
        timeout_ready=-1,
        grace="1min",
    )


def branches():
    """A join without an Executor, conditions, a side branch, external Executors, names that DNS does not have."""
    flow = Flow(protocol="http", port=12345, k8s_namespace="search")
    flow = flow.add(name="Text_Encoder", uses=A, when={"tags__kind": {"$eq": "text"}})
    flow = flow.add(name="image_encoder", uses=B, needs="gateway", grpc_metadata={"token": "x"})
    flow = flow.needs(["Text_Encoder", "image_encoder"], name="both")
    flow = flow.add(name="log", uses=C, floating=True)
    flow = flow.add(name="rank", uses=A, needs=["both", "image_encoder"], no_reduce=True)
    flow = flow.add(name="outer", external=True, host=["one.example", "two.example"], port=443, tls=True)
    return flow.add(name="plain")


def shards():
    """Shards with replicas, and Executors around them."""
    flow = Flow(name="shards", monitoring=True, retries=5)
    return flow.add(
        name="index",
        uses=A,
        shards=2,
        replicas=2,
        polling={"/index": "ANY", "/search": "ALL"},
        uses_before=B,
        uses_after=C,
        gpus=1,
        uses_metas={"name": "n"},
    )


def stateful():
    """A group of three in a Flow, and one of two shards."""
    flow = Flow(name="stateful").add(
        name="kv", uses=A, stateful=True, replicas=3, consistency="linearizable",
        raft_configuration={"snapshot_threshold": 100}, kubernetes={"storage": "20Gi", "storage_class": "fast"},
    )  # fmt: skip
    return flow.add(name="sharded", uses=B, stateful=True, replicas=3, shards=2, workspace="/data")


def protocols():
    """Two gateways that serve everything, by TLS, to those who have keys."""
    flow = Flow(
        name="protocols", protocol=["grpc", "http", "websocket"], cors=True, title="All", max_message_size=1000000,
        env_from_secret={"JINA_API_KEYS": {"name": "keys", "key": "all"}}, timeout_send="5s", compression="Gzip",
    )  # fmt: skip
    flow = flow.config_gateway(replicas=2, kubernetes={"tls_secret": "certificate"})
    return flow.add(name="both", uses=A, protocol=["http", "grpc"])


def options():
    """Everything that the `kubernetes` block has."""
    flow = Flow(name="options", kubernetes={"labels": {"team": "search"}, "pre_stop": 0, "priority_class": "high"})
    return flow.add(
        name="a",
        uses=A,
        gpus=2,
        port_probes=7070,
        kubernetes={
            "resources": RESOURCES,
            "gpu_resource": "nvidia.com/mig-1g.10gb",
            "node_selector": {"gpu": "yes"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {}},
            "topology_spread": [],
            "service_account": "mine",
            "annotations": {"linkerd.io/inject": "enabled"},
            "pull_policy": "Always",
            "run_as_user": 0,
            "disruptions": 0,
            "autoscale": {"min": 2, "max": 5, "cpu": 80},
            "patch": {
                "Deployment": {
                    "spec": {
                        "template": {
                            "spec": {
                                "containers": [
                                    {"name": "executor", "env": [{"name": "POD_UID", "$patch": "delete"}]},
                                    {"name": "sidecar", "image": "other:1"},
                                ]
                            }
                        }
                    }
                },
                "Service/a": {"spec": {"clusterIP": None, "type": "NodePort"}},
            },
        },
    )


def volumes():
    """A step without state that keeps files."""
    flow = Flow(name="volumes").add(name="a", uses=A, replicas=2, volumes=["files:/data"], workspace="/data/jina")
    return flow.add(name="b", uses=B, entrypoint="tini -- jina", kubernetes={"access_modes": "ReadWriteMany"})


def inspected():
    """An Executor that looks at documents, and a gateway class in an image."""
    flow = Flow(name="inspected").config_gateway(uses=C, uses_with={"greeting": "hello"})
    return flow.add(name="a", uses=A).inspect(name="look", uses=B).add(name="b", uses=A)


def operated():
    """What operators of a cluster add: certificates, metrics, traces, claims of devices."""
    flow = Flow(
        name="operated", protocol=["grpc", "http"], monitoring=True, tracing=True,
        kubernetes={
            "service_monitor": {"interval": 15, "labels": {"release": "prometheus"}},
            "otlp": "http://collector.observability:4317",
        },
    )  # fmt: skip
    issued = {"issuer": "letsencrypt", "issuer_kind": "ClusterIssuer", "dns_names": ["search.example.org"]}
    flow = flow.config_gateway(replicas=2, kubernetes={"certificate": issued})
    selector = "device.attributes['gpu.nvidia.com'].profile == '1g.10gb'"
    return flow.add(
        name="a", uses=A, gpus=2, image_pull_secrets=["registry"],
        kubernetes={
            "device_class": "mig.nvidia.com", "device_selector": selector, "resources": RESOURCES,
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "topology_spread": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
                 "labelSelector": {"matchLabels": {"app": "a"}}},
            ],
        },
    )  # fmt: skip


def deployment():
    """One Deployment alone."""
    return Deployment(name="alone", uses=A, protocol=["http", "grpc"], port=[12345, 12346], replicas=2)


def deployment_shards():
    """Its shards."""
    return Deployment(name="alone", uses=A, shards=2, polling="ALL")


def deployment_stateful():
    """A group."""
    return Deployment(name="ledger", uses=A, stateful=True, replicas=3, workspace="files", port=12345)


ALL = {
    one.__name__: one
    for one in (
        chain, branches, shards, stateful, protocols, options, operated, volumes, inspected, deployment,
        deployment_shards, deployment_stateful,
    )
}  # fmt: skip
ONLY_KUBERNETES = {"options", "operated"}
"""GPUs that only a cluster knows."""


# --- many Flows ---------------------------------------------------------------------------------------------------

TOPOLOGIES = ("alone", "chain", "branches", "shards", "side")
PROTOCOLS = {"grpc": "grpc", "http": "http", "all": ["grpc", "http", "websocket"]}
ISSUED = {"issuer": "ca", "issuer_kind": "ClusterIssuer"}
OPTIONS = {
    "plain": {},
    "busy": {"replicas": 3, "grace": "2min", "retries": 2, "timeout_send": "5s", "compression": "Gzip"},
    "placed": {"gpus": 1, "kubernetes": {"resources": RESOURCES, "node_selector": {"gpu": "yes"}, "storage": "1Gi"}},
    "watched": {"monitoring": True, "tracing": True, "kubernetes": {"service_monitor": {}, "otlp": "http://c:4317"}},
    "kept": {"volumes": ["files:/data"], "env": {"A": "{{ 1 }} $X"}, "image_pull_secrets": ["registry"]},
}
MANY = [
    (topology, protocol, stateful, list(OPTIONS)[number % len(OPTIONS)])
    for number, (topology, protocol, stateful) in enumerate(
        (topology, protocol, stateful)
        for stateful in (False, True)
        for protocol in PROTOCOLS
        for topology in TOPOLOGIES
    )
]
"""Thirty: topology, protocol of the gateway, whether a step is a group, and what else the steps ask for."""


def one_of_many(topology: str, protocol: str, stateful: bool, options: str) -> Flow:
    """The Flow of one of them. Options move on with the topology, so that each meets several."""
    given = OPTIONS[options]
    group = {"stateful": True, **given, "replicas": 3} if stateful else given
    flow = Flow(name=f"{topology}-{protocol}", protocol=PROTOCOLS[protocol])
    upstream = {name: given[name] for name in ("retries", "timeout_send", "compression") if name in given}
    if topology == "shards":
        group = {**group, "shards": 2, "uses_before": B, "polling": "ALL"}
    flow = flow.add(name="first", uses=A, **group)
    if topology == "chain":
        flow = flow.add(name="second", uses=B, **given)
    elif topology == "branches":
        flow = flow.add(name="other", uses=B, needs="gateway", when={"text": {"$exists": True}}, **given)
        flow = flow.needs_all(name="join").add(name="last", uses=C, **upstream)
    elif topology == "side":
        flow = flow.add(name="log", uses=B, floating=True, **given)
        flow = flow.add(name="away", external=True, host="dns:///away.example:8080", **upstream)
    return flow.config_gateway(replicas=2, kubernetes={"certificate": ISSUED} if options == "watched" else {})


def export(name: str, folder: Path) -> None:
    """Write the files of one of them."""
    service = ALL[name]()
    try:
        service.to_kubernetes_yaml(folder / "kubernetes")
        if name not in ONLY_KUBERNETES:
            service.to_docker_compose_yaml(folder / "compose.yml")
    finally:
        service.close()


def files(folder: Path) -> dict[str, str]:
    """Path -> text of all files below a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name in ALL:
        export(name, GOLDEN / name)


if __name__ == "__main__":
    main()
