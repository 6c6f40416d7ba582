"""The files for Kubernetes and Compose: what they say, how they are changed, and what cannot be exported."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.export.exported import ALL, GOLDEN, RESOURCES, export, files

from jina import Deployment, Executor, Flow, requests
from jina.cli.main import command_parser, main
from jina.config import DeploymentSpec, GatewaySpec, parse
from jina.config.command_line import given as given_on
from jina.config.options import KubernetesOptions
from jina.errors import ConfigError, NoContainerizedError, NotSupportedError
from jina.export.charts import files_in
from jina.export.containers import words_of
from jina.export.kubernetes import export_of_deployment, files_of_flow, merge
from jina.orchestration.configuration import images
from jina.orchestration.foreground import _HEAD, _PLACE, _ROLES, is_head, is_part
from jina.plan.gateway import plan_gateway, plan_head
from jina.supervisor.ports import PortReservations

A = "docker://a"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the files say is not what the machine that writes them has."""
    for name in ("JINA_GATEWAY_IMAGE", "JINA_DEFAULT_HOST", "JINA_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JINA_LOG_LEVEL", "ERROR")


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def objects_of(text):
    return list(yaml.load_all(text, LOADER))


def exported(flow, namespace=None, **options):
    """Kind/name -> object."""
    texts = files_of_flow(flow.spec, images(), namespace, **options).values()
    return {f"{one['kind']}/{one['metadata']['name']}": one for text in texts for one in objects_of(text)}


def containers():
    """Every container of every golden file, with where it stands."""
    for path, text in files(GOLDEN).items():
        if path.endswith("compose.yml"):
            for name, one in yaml.load(text, LOADER)["services"].items():
                yield f"{path} {name}", [word.replace("$$", "$") for word in one["command"]]
            continue
        for one in objects_of(text):
            if one["kind"] in {"Deployment", "StatefulSet"}:
                for container in one["spec"]["template"]["spec"]["containers"]:
                    if container["name"] != "sidecar":
                        yield f"{path} {container['name']}", _filled_in(container["args"], text)


def _filled_in(words, text=""):
    """As the kubelet does it."""
    members = next((one["data"].get("RAFT_PEERS", "") for one in objects_of(text) if one["kind"] == "ConfigMap"), "")
    filled = (word.replace("$(REPLICA_ID)", "0").replace("$(RAFT_PEERS)", members) for word in words)
    return [re.sub(r"\$\$\(", "$(", word) for word in filled]


# --- the files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_they_are_what_they_were(name, tmp_path):
    """After a change that is meant: python -m tests.export.exported."""
    for folder in ("one", "two"):
        export(name, tmp_path / folder)
    written = files(tmp_path / "one")
    assert written == files(tmp_path / "two")
    assert written == files(GOLDEN / name)


@pytest.mark.parametrize(("where", "words"), [*containers()])
def test_their_commands_are_ours(where, words):
    """Every word is taken by the parser, the options fit together, and the graph is one."""
    parser, _ = command_parser(words[0])
    options = given_on(parser.parse_all(words[1:]))
    ports = PortReservations()
    try:
        if words[0] == "gateway":
            plan = plan_gateway(parse(GatewaySpec, options), None, ports)
            assert plan.graph.nodes
            assert plan.monitoring is not None
            return
        assert is_part(options)
        own = {name: value for name, value in options.items() if name not in {*_ROLES, *_HEAD}}
        own["name"] = own["name"].replace("/", "-")
        if is_head(options):
            around = {name: options[name] for name in _HEAD[1:] if name in options}
            plan = plan_head(parse(DeploymentSpec, own), options["connection_list"], around, ports)
            assert {one.shard for one in plan.graph.nodes[0].upstreams} == {0, 1}
        else:
            parse(DeploymentSpec, {name: value for name, value in own.items() if name not in _PLACE})
    finally:
        ports.close()


def test_the_files_of_a_flow_are_where_jina_3_writes_them():
    paths = {path.partition("/")[2] for path in files(GOLDEN) if path.startswith("shards/kubernetes/")}
    assert {path.removeprefix("kubernetes/") for path in paths} == {
        "index/index-head.yml", "index/index-0.yml", "index/index-1.yml", "gateway/gateway.yml",
    }  # fmt: skip
    assert set(files(GOLDEN / "deployment" / "kubernetes")) == {"alone.yml"}
    assert set(files(GOLDEN / "deployment_shards" / "kubernetes")) == {"alone-head.yml", "alone-0.yml", "alone-1.yml"}


def test_an_executor_alone_is_a_flow_of_one(tmp_path):
    options = {"replicas": 2, "uses_with": {"x": 1}}
    Executor.to_kubernetes_yaml(A, tmp_path / "one", k8s_namespace="ns", **options)
    Executor.to_docker_compose_yaml(A, tmp_path / "one" / "compose.yml", network_name="net", **options)
    flow = Flow().add(uses=A, **options)
    flow.to_kubernetes_yaml(tmp_path / "two", "ns")
    flow.to_docker_compose_yaml(tmp_path / "two" / "compose.yml", "net")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    shared = Executor.StandaloneExecutorType.SHARED
    Executor.to_kubernetes_yaml(A, tmp_path / "shared", executor_type=shared)
    assert set(files(tmp_path / "shared")) == {"executor0/executor0.yml"}


def test_every_object_is_in_the_namespace_and_has_labels():
    for text in files(GOLDEN).values():
        for one in objects_of(text):
            if "kind" in one:
                assert one["metadata"]["labels"]["app"]
                assert one["metadata"]["namespace"]


# --- Kubernetes ---------------------------------------------------------------------------------------------------


def test_a_step_is_rolled_without_a_gap():
    found = exported(Flow().add(name="a", uses=A, replicas=3, grace=60))
    spec = found["Deployment/a"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 5 + 3 + 60 + 10
    assert pod["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert found["Service/a"]["spec"]["clusterIP"] == "None"
    assert found["PodDisruptionBudget/a"]["spec"]["maxUnavailable"] == 1
    assert found["Service/gateway"]["spec"]["type"] == "ClusterIP"
    assert "PodDisruptionBudget/gateway" not in found


def test_a_pod_that_has_started_is_found_within_a_second():
    """It has as many tries as seconds to start."""
    flow = Flow(name="f").add(name="a", uses=A, timeout_ready="1min").add(name="b", uses=A, timeout_ready="2s")
    flow = flow.add(name="c", uses=A, timeout_ready=-1)
    found = exported(flow)
    tries = {}
    for name in ("a", "b", "c"):
        (container,) = found[f"Deployment/{name}"]["spec"]["template"]["spec"]["containers"]
        assert container["startupProbe"]["periodSeconds"] == 1
        tries[name] = container["startupProbe"]["failureThreshold"]
    assert tries == {"a": 60, "b": 15, "c": 2**31 - 1}


def test_pods_have_no_rights_that_they_do_not_need():
    found = exported(Flow().add(name="a", uses=A))
    for name in ("a", "gateway"):
        pod = found[f"Deployment/{name}"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        container = pod["containers"][0]["securityContext"]
        assert container["readOnlyRootFilesystem"]
        assert container["capabilities"] == {"drop": ["ALL"]}
        assert pod["automountServiceAccountToken"] == (name == "gateway")
    [rule] = found["Role/gateway"]["rules"]
    assert rule == {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["get", "list", "watch"],
    }


def test_a_group_has_names_volumes_and_a_port_of_its_own():
    found = exported(Flow(name="f").add(name="kv", uses=A, stateful=True, replicas=3), "ns")
    spec = found["StatefulSet/kv"]["spec"]
    assert (spec["podManagementPolicy"], spec["updateStrategy"]) == ("Parallel", {"type": "OnDelete"})
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Delete"}
    assert spec["serviceName"] == "kv-peers"
    assert found["Service/kv-peers"]["spec"]["publishNotReadyAddresses"]
    assert "publishNotReadyAddresses" not in found["Service/kv"]["spec"]
    words = spec["template"]["spec"]["containers"][0]["args"]
    options = dict(pairwise(words))
    assert options["--raft-peers"] == "$(RAFT_PEERS)"
    members = ",".join(f"kv-{number}.kv-peers:8090" for number in range(3))
    assert found["ConfigMap/kv-configmap"]["data"] == {"RAFT_PEERS": members}
    assert options["--replica-id"] == "$(REPLICA_ID)"
    mounts = {one["mountPath"]: one["name"] for one in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts[options["--workspace"]] == spec["volumeClaimTemplates"][0]["metadata"]["name"]
    opened, members = found["NetworkPolicy/kv-peers"]["spec"]["ingress"]
    assert {one["port"] for one in opened["ports"]} == {8080, 9090}
    assert [one["port"] for one in members["ports"]] == [8090]


def test_changed_variables_roll_the_pods():
    def annotation(**env):
        found = exported(Flow().add(name="a", uses=A, env=env))
        return found["Deployment/a"]["spec"]["template"]["metadata"]["annotations"]["jina/configmap"]

    assert annotation(A="1") == annotation(A="1") != annotation(A="2")


def test_a_change_of_a_step_is_in_its_own_file():
    def flow(**second):
        made = Flow(name="f").add(name="a", uses=A).add(name="b", uses=A, **second).add(name="c", uses=A)
        return files_of_flow(made.spec, images())

    def changed(**second):
        return {path for path, text in flow(**second).items() if text != flow()[path]}

    assert changed(uses_with={"x": 1}) == changed(grace=60) == {"b/b.yml"}
    assert changed(timeout_send="1s") == {"gateway/gateway.yml"}


def test_the_namespace_is_given_or_the_name_of_the_flow():
    step = {"name": "a", "uses": A}

    def namespace(flow, *given):
        return exported(flow.add(**step), *given)["Deployment/a"]["metadata"]["namespace"]

    assert namespace(Flow(name="search"), "given") == "given"
    assert namespace(Flow(name="search", k8s_namespace="option")) == "option"
    assert namespace(Flow(name="search")) == "search"
    assert namespace(Flow(name="My_Flow")) == "my-flow"
    assert namespace(Flow()) == "default"
    with pytest.raises(ConfigError, match="k8s_namespace: 'No_Name' is not the name of a namespace"):
        namespace(Flow(), "No_Name")


def test_the_gateway_may_be_left_out():
    assert {name.partition("/")[2] for name in exported(Flow().add(name="a", uses=A), gateway=False)} == {
        "a", "a-configmap",
    }  # fmt: skip


def test_the_image_of_gateways_is_given_or_the_first_executors(monkeypatch, tmp_path):
    flow = Flow().add(name="a", uses="docker://first").add(name="b", uses="docker://second")
    for image in ("first", "given"):
        flow.to_kubernetes_yaml(tmp_path / image)
        [_, *_, deployment] = objects_of((tmp_path / image / "gateway" / "gateway.yml").read_text())
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image
        monkeypatch.setenv("JINA_GATEWAY_IMAGE", "given")
    monkeypatch.delenv("JINA_GATEWAY_IMAGE")
    with pytest.raises(ConfigError, match="JINA_GATEWAY_IMAGE"):
        Flow().add(name="a", external=True, port=1).to_kubernetes_yaml(tmp_path)


def test_secrets_of_the_gateway_are_not_for_its_steps():
    keys = {"JINA_API_KEYS": {"name": "s", "key": "k"}, "OTHER": {"name": "s", "key": "o"}}
    found = exported(Flow(env_from_secret=keys, ssl_certfile="/c", ssl_keyfile="/k").add(name="a", uses=A))
    names = {}
    for name in ("a", "gateway"):
        container = found[f"Deployment/{name}"]["spec"]["template"]["spec"]["containers"][0]
        names[name] = {one["name"] for one in container["env"]}
        assert ("--ssl-certfile" in container["args"]) == (name == "gateway")
    assert {"JINA_API_KEYS", "OTHER"} <= names["gateway"]
    assert names["a"] & {"JINA_API_KEYS", "OTHER"} == {"OTHER"}


# --- patches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "patch", "merged"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        ([{"name": "x", "v": 1}], [{"name": "x", "w": 2}], [{"name": "x", "v": 1, "w": 2}]),
        ([{"name": "x"}, {"name": "y"}], [{"name": "x", "$patch": "delete"}], [{"name": "y"}]),
        ([{"name": "x"}], [{"name": "z", "v": {"a": None}}], [{"name": "x"}, {"name": "z", "v": {}}]),
        ([{"containerPort": 1}], [{"containerPort": 1, "name": "p"}], [{"containerPort": 1, "name": "p"}]),
        (["a", "b"], ["c"], ["c"]),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_a_patch_merges_as_in_kubernetes(value, patch, merged):
    before = repr(value)
    assert merge(value, patch) == merged
    assert repr(value) == before


@given(st.recursive(st.integers() | st.text(), lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)))
def test_an_object_merged_into_itself_or_into_nothing_is_itself(value):
    wrapped = {"x": value}
    if "$patch" not in repr(value):
        assert merge(wrapped, wrapped) == wrapped
        assert merge({}, wrapped) == wrapped


def test_a_patch_of_the_flow_is_for_all_and_one_that_hits_nothing_is_refused():
    patch = {"Deployment": {"spec": {"minReadySeconds": 3}}}
    found = exported(Flow(kubernetes={"patch": patch}).add(name="a", uses=A).add(name="k", uses=A, stateful=True))
    assert [found[f"Deployment/{name}"]["spec"]["minReadySeconds"] for name in ("a", "gateway")] == [3, 3]
    with pytest.raises(
        ConfigError, match=r"a: kubernetes.patch: there is no object 'Deploymnt', did you mean 'Deployment'"
    ):
        exported(Flow().add(name="a", uses=A, kubernetes={"patch": {"Deploymnt": {}}}))


# --- what cannot be exported --------------------------------------------------------------------------------------


class Local(Executor):
    @requests
    def work(self, docs, **kwargs):
        pass


@pytest.mark.parametrize("uses", [Local, "config.yml", "Local"])
@pytest.mark.parametrize("method", ["to_kubernetes_yaml", "to_docker_compose_yaml"])
def test_only_images_can_be_exported(uses, method, tmp_path):
    flow = Flow().add(name="fine", uses=A).add(name="wrong", uses=uses)
    with pytest.raises(NoContainerizedError, match=r"Flow: wrong: uses: .* is no container image") as caught:
        getattr(flow, method)(tmp_path / "out")
    assert "jina hub build" in caught.value.help
    assert not (tmp_path / "out").exists()
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uses_before": "Local", "shards": 2}, "Flow: a: uses_before: 'Local' is no container image"),
        ({"uses": "docker://UPPER"}, "Flow: a: uses: 'docker://UPPER' names no image"),
        ({"install_requirements": True}, "Flow: a: install_requirements: is not for containers"),
        ({"log_dir": "logs"}, "Flow: a: log_dir"),
        ({"port_probes": 8081}, "Flow: a: port_probes: must differ"),
        ({"api_keys": {"alice": "0123456789"}}, "Flow: a: api_keys: keys do not stand in exported files"),
        ({"gpus": "all"}, "Flow: a: gpus: 'all': a pod asks for a whole number"),
        ({"gpus": 0.5}, "Flow: a: gpus: 0.5"),
        ({"name": "_1"}, "Flow: _1: name: '_1' cannot be a name in DNS"),
        ({"name": "a" * 60}, "at most 45"),
        ({"env_from_secret": {"X": "y"}}, "env_from_secret: X: write {'name': SECRET, 'key': KEY}, not 'y'"),
        ({"volumes": ["data"]}, "Flow: a: volumes: 'data' does not say where"),
        ({"uses_with": {"x": object()}}, "Flow: a: uses_with: cannot stand in a file"),
        ({"uses_with": {"x": "ü" * 70_000}}, "Flow: a: uses_with: is longer than the 131071 bytes"),
        ({"kubernetes": {"gpu_resource": "mig"}}, "Flow: a: kubernetes.gpu_resource: 'mig' is no name of a resource"),
        ({"kubernetes": {"device_class": "c"}}, "Flow: a: kubernetes.device_class: gpus says how many devices"),
        (
            {"gpus": 1, "kubernetes": {"device_selector": "x"}},
            "kubernetes.device_selector: chooses among a device_class",
        ),
        (
            {"gpus": 1, "kubernetes": {"device_class": "c", "gpu_resource": "a/b"}},
            "device_class: is for claims, and gpu",
        ),
        ({"kubernetes": {"service_monitor": {}}}, "Flow: a: kubernetes.service_monitor: is for monitoring=True"),
        ({"kubernetes": {"otlp": "collector:4317"}}, "Flow: a: kubernetes.otlp: 'collector:4317' is not http://HOST"),
        ({"kubernetes": {"otlp": "http://c:4317"}}, "Flow: a: kubernetes.otlp: nothing is sent without tracing=True"),
        ({"kubernetes": {"autoscale": {"cpu": 80}}}, "Flow: a: kubernetes.autoscale.cpu: is a share of"),
        ({"kubernetes": {"autoscale": {"max": 3}}}, "Flow: a: kubernetes.autoscale: give cpu"),
        ({"kubernetes": {"autoscale": {"max": 1, "min": 2, "metrics": [{}]}}}, "min is above max"),
        ({"kubernetes": {"autoscale": {"metrics": [{}]}}, "stateful": True}, "is for steps without state"),
        ({"kubernetes": {"autoscale": {"metrics": [{}], "idle": 5}}}, "autoscale.idle: is for KEDA: give target_wait"),
        ({"kubernetes": {"autoscale": {"metrics": [{}], "min": 0}}}, "autoscale.min: 0 is for KEDA: give target_wait"),
        ({"kubernetes": {"autoscale": {"target_wait": 1}}}, "autoscale.max: is missing: how many pods"),
        ({"kubernetes": {"autoscale": {"target_wait": 1, "max": 2, "metrics": [{}]}}}, "not by cpu and metrics"),
        ({"autoscale": {"max": 2}}, "Flow: a: autoscale: is for one machine: give kubernetes={'autoscale': {...}}"),
    ],
)
def test_errors_name_the_step_and_the_rule(options, words, tmp_path):
    with pytest.raises(ConfigError) as caught:
        Flow().add(**{"name": "a", "uses": A, **options}).to_kubernetes_yaml(tmp_path)
    assert words in str(caught.value)
    assert "0123456789" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def plan_of_gateway(flow):
    """What its exported gateway runs, by the name of the step."""
    words = exported(flow)["Deployment/gateway"]["spec"]["template"]["spec"]["containers"][0]["args"]
    spec = parse(GatewaySpec, given_on(command_parser("gateway")[0].parse_all(_filled_in(words)[1:])))
    ports = PortReservations()
    try:
        return words, {node.name: node for node in plan_gateway(spec, None, ports).graph.nodes}
    finally:
        ports.close()


def test_each_step_is_called_as_it_says():
    flow = Flow(retries=5).add(name="a", uses=A, timeout_send="1s", compression="Gzip")
    flow = flow.add(name="b", uses=A, grpc_channel_options={"grpc.max_concurrent_streams": 7}, retries=0)
    flow = flow.add(name="c", uses=A)
    words, nodes = plan_of_gateway(flow)
    assert [(nodes[name].timeout_send, nodes[name].retries, nodes[name].compression) for name in "abc"] == [
        (1.0, 5, "Gzip"), (None, 0, None), (None, 5, None),
    ]  # fmt: skip
    assert nodes["b"].grpc_channel_options == {"grpc.max_concurrent_streams": 7}
    assert nodes["a"].grpc_channel_options == {}
    assert "--retries" not in words
    alike, nodes = plan_of_gateway(Flow(retries=5, timeout_send=100).add(name="a", uses=A).add(name="b", uses=A))
    assert dict(pairwise(alike))["--retries"] == "5"
    assert "--deployments-options" not in alike
    assert [nodes[name].timeout_send for name in "ab"] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"a": {"retrys": 1}}, "Gateway: deployments_options.a: unknown option 'retrys', did you mean 'retries'?"),
        ({"a": {"timeout_send": "soon"}}, "Gateway: deployments_options.a: timeout_send"),
        ({"a": 3}, "Gateway: deployments_options.a: 3 is not a mapping"),
        ({"b": {}}, "Gateway: deployments_options: 'b' is not in graph_description"),
    ],
)
def test_how_steps_are_called_is_checked(options, words):
    graph = {"graph_description": {"start-gateway": ["a"], "a": ["end-gateway"]}, "deployments_addresses": {"a": "x:1"}}
    ports = PortReservations()
    try:
        with pytest.raises(ConfigError) as caught:
            plan_gateway(parse(GatewaySpec, {**graph, "deployments_options": options}), None, ports)
    finally:
        ports.close()
    assert words in str(caught.value)


def test_external_executors_behind_a_name_stay_behind_it():
    hosts = ["dns:///pool.example", "one.example", "kubernetes:///encoder.shop"]
    for tls, scheme in ((False, "grpc"), (True, "grpcs")):
        flow = Flow().add(name="a", uses=A).add(name="out", external=True, host=hosts, port=8080, tls=tls)
        words, nodes = plan_of_gateway(flow)
        addresses = json.loads(dict(pairwise(words))["--deployments-addresses"])["out"]
        assert addresses == [
            f"dns+{scheme}:///pool.example:8080",
            f"{scheme}://one.example:8080",
            f"kubernetes+{scheme}:///encoder.shop:8080",
        ]
        assert [(one.kind, one.tls) for one in nodes["out"].upstreams] == [
            ("dns", tls), ("grpc", tls), ("kubernetes", tls),
        ]  # fmt: skip


def test_keda_asks_the_gateway_how_many_pods_a_step_should_have():
    scaled = {"min": 0, "max": 8, "target_wait": "200ms", "idle": 30}
    flow = Flow().add(name="text_encoder", uses=A, kubernetes={"autoscale": scaled}).add(name="rank", uses=A)
    found = exported(flow, "shop")
    made = found["ScaledObject/text-encoder"]
    assert made["apiVersion"] == "keda.sh/v1alpha1"
    assert made["spec"]["scaleTargetRef"] == {"kind": "Deployment", "name": "text-encoder"}
    assert (made["spec"]["minReplicaCount"], made["spec"]["maxReplicaCount"]) == (0, 8)
    assert made["spec"]["triggers"] == [
        {"type": "external-push", "metadata": {"scalerAddress": "gateway.shop.svc:8080", "step": "text_encoder"}}
    ]
    assert "replicas" not in found["Deployment/text-encoder"]["spec"]
    assert not [name for name in found if name.startswith("HorizontalPodAutoscaler")]
    words = found["Deployment/gateway"]["spec"]["template"]["spec"]["containers"][0]["args"]
    told = given_on(command_parser("gateway")[0].parse_all(words[1:]))
    plan = plan_gateway(parse(GatewaySpec, told), None, PortReservations())
    (node,) = (node for node in plan.graph.nodes if node.autoscale is not None)
    assert (node.name, node.autoscale.max, node.autoscale.target_wait) == ("text_encoder", 8, 0.2)


def test_keda_reaches_one_gateway_in_plain_grpc():
    def refused(flow, words, **options):
        with pytest.raises(ConfigError, match=words):
            exported(flow.add(name="a", uses=A, kubernetes={"autoscale": scaled}), **options)

    scaled = {"min": 0, "max": 8, "target_wait": 1}
    refused(Flow(protocol="http"), "target_wait: KEDA asks the gateway over gRPC")
    refused(Flow(), "is exported with its gateway", gateway=False)
    refused(Flow().config_gateway(kubernetes={"tls_secret": "x"}), "without TLS")
    refused(Flow().config_gateway(replicas=2), "min: 0 is not for 2 gateways")
    scaled = {"min": 1, "max": 8, "target_wait": 1}
    exported(Flow().config_gateway(replicas=2).add(name="a", uses=A, kubernetes={"autoscale": scaled}))


def test_what_cannot_be_in_one_flow_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="name: 'A_b' and 'a_b' both need the ConfigMap a-b-configmap"):
        Flow().add(name="a_b", uses=A).add(name="A_b", uses=A).to_kubernetes_yaml(tmp_path)
    with pytest.raises(NotSupportedError, match="Flow: e: ssl_ca_certs"):
        Flow().add(name="e", external=True, port=1, tls=True, ssl_ca_certs="x").to_kubernetes_yaml(tmp_path)
    with pytest.raises(ConfigError, match="Deployment: d: external"):
        Deployment(name="d", external=True, port=1).to_kubernetes_yaml(tmp_path)


def test_a_certificate_without_an_issuer_is_refused(tmp_path):
    flow = Flow().add(uses=A).config_gateway(kubernetes={"certificate": {"dns_names": ["a.example"]}})
    with pytest.raises(ConfigError, match=r"Flow: gateway: kubernetes.certificate: names no issuer"):
        flow.to_kubernetes_yaml(tmp_path)


def test_certificates_are_for_what_clients_talk_to():
    block = {"certificate": {"issuer": "ca"}}
    found = exported(Flow(name="f", kubernetes=block).add(name="a", uses=A))
    assert [name for name in found if name.startswith("Certificate/")] == ["Certificate/gateway-tls"]
    words = found["Deployment/a"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--ssl-certfile" not in words
    names = found["Certificate/gateway-tls"]["spec"]["dnsNames"]
    assert names == ["gateway", "gateway.f", "gateway.f.svc"]
    sharded = Deployment(name="d", uses=A, shards=2, kubernetes=block, ssl_certfile=None)
    texts = files_in("files", export_of_deployment(sharded.spec, images()))
    served = {path: "--ssl-certfile" in text for path, text in texts.items()}
    assert served == {"d-head.yml": True, "d-0.yml": False, "d-1.yml": False}


# --- versions -----------------------------------------------------------------------------------------------------


def test_an_older_cluster_gets_what_it_has():
    flow = Flow(name="f").add(
        name="a", uses=A, replicas=2, kubernetes={"autoscale": {"cpu": 80, "max": 3}, "resources": RESOURCES}
    )
    flow = flow.add(name="kv", uses=A, stateful=True, replicas=3)

    def at(version):
        found = exported(flow, version=version)
        step = found["Deployment/a"]["spec"]["template"]["spec"]["containers"][0]
        group = found["StatefulSet/kv"]["spec"]
        member = group["template"]["spec"]["containers"][0]
        return {
            "budget": found["PodDisruptionBudget/a"]["apiVersion"],
            "autoscaler": found["HorizontalPodAutoscaler/a"]["apiVersion"],
            "claims": "persistentVolumeClaimRetentionPolicy" in group,
            "label": "$(REPLICA_ID)" in member["args"] and member["command"] == ["jina"],
            "sleep": next(iter(step["lifecycle"]["preStop"])),
        }

    newest = {"budget": "policy/v1", "autoscaler": "autoscaling/v2", "claims": True, "label": True, "sleep": "sleep"}
    assert at(None) == at("1.37") == at("v1.30.2") == newest
    assert at("1.29") == {**newest, "sleep": "exec"}
    assert at("1.27") == {**newest, "sleep": "exec", "label": False}
    assert at("1.22") == {
        "budget": "policy/v1", "autoscaler": "autoscaling/v2beta2", "claims": False, "label": False, "sleep": "exec",
    }  # fmt: skip
    assert at("1.20")["budget"] == "policy/v1beta1"


def test_an_older_member_takes_its_number_from_the_name_of_its_pod(tmp_path):
    """By the command of the container, run here with a program in place of jina that prints its words."""
    flow = Flow(name="f").add(name="kv", uses=A, stateful=True, replicas=3, uses_with={"x": "a  'b' \"c\" $HOME $(ls)"})
    [container] = exported(flow, version="1.20")["StatefulSet/kv"]["spec"]["template"]["spec"]["containers"]
    assert "REPLICA_ID" not in {one["name"] for one in container["env"]}
    (tmp_path / "jina").write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    (tmp_path / "jina").chmod(0o755)
    done = subprocess.run(
        [*container["command"], *_filled_in(container["args"])],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "K8S_POD_NAME": "kv-2"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = done.stdout.split("\0")[:-1]
    assert words[-2:] == ["--replica-id", "2"]
    assert words[:-2] == _filled_in(container["args"])
    assert json.loads(words[words.index("--uses-with") + 1]) == {"x": "a  'b' \"c\" $HOME $(ls)"}


@pytest.mark.parametrize(
    ("options", "version", "words"),
    [
        ({"device_class": "gpu.nvidia.com"}, "1.33", "spec.template.spec.resourceClaims: a claim of devices needs"),
        ({"topology_spread": [{"minDomains": 2}]}, "1.26", "topologySpreadConstraints.0.minDomains: minDomains needs"),
        ({"access_modes": "ReadWriteOncePod"}, "1.26", "accessModes.0: the access mode ReadWriteOncePod needs Kubern"),
        ({"patch": {"Deployment": {"spec": {"template": {"spec": {"initContainers": [
            {"name": "x", "image": "x", "restartPolicy": "Always"}]}}}}}}, "1.28", "needs Kubernetes 1.29, and"),
    ],
)  # fmt: skip
def test_what_an_older_cluster_lacks_is_refused(options, version, words):
    volumes = {"volumes": ["x:/data"]} if "access_modes" in options else {}
    flow = Flow().add(name="a", uses=A, gpus=1, kubernetes=options, **volumes)
    with pytest.raises(ConfigError) as caught:
        exported(flow, version=version)
    assert "Flow: a: kubernetes: " in str(caught.value)
    assert words in str(caught.value)
    assert exported(flow)


@pytest.mark.parametrize("version", ["1.19", "1.38", "1", "newest", "", "1.30.1.2"])
def test_versions_that_are_not_known_are_refused(version, tmp_path):
    with pytest.raises(ConfigError, match=rf"Flow: k8s_version: '{version}' is not a version from 1.20 to 1.37"):
        Flow().add(uses=A).to_kubernetes_yaml(tmp_path, k8s_version=version)


def test_names_of_users_are_no_fields():
    flow = Flow(
        env={"grpc": "1", "sleep": "2"}, kubernetes={"labels": {"grpc": "x"}, "annotations": {"minDomains": "x"}}
    )
    assert exported(flow.add(name="a", uses=A), version="1.20")


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"resource": {}}, "kubernetes: unknown option 'resource', did you mean 'resources'?"),
        ({"disruptions": -1}, "kubernetes.disruptions: -1 is less than 0"),
        ({"autoscale": {"mim": 1}}, "kubernetes.autoscale: unknown option 'mim'"),
        ({"pull_policy": "never"}, "kubernetes.pull_policy"),
        (3, "kubernetes"),
    ],
)
def test_the_block_is_checked_where_it_is_given(block, words):
    with pytest.raises(ConfigError) as caught:
        Flow().add(uses=A, kubernetes=block)
    assert words in str(caught.value)


def test_the_block_is_taken_from_yaml_and_command_lines(tmp_path):
    (tmp_path / "flow.yml").write_text(
        "jtype: Flow\nwith: {kubernetes: {priority_class: high}}\n"
        "executors: [{name: a, uses: docker://a, kubernetes: {storage: 1Gi}}]\n"
    )
    flow = Flow.load_config(str(tmp_path / "flow.yml"))
    assert flow.spec.steps[0].kubernetes == {"priority_class": "high", "storage": "1Gi"}
    assert flow.spec.front.kubernetes == {"priority_class": "high"}
    for name in ("flow", "deployment", "gateway"):
        options = given_on(command_parser(name)[0].parse_all(["--kubernetes", '{"storage": "1Gi"}']))
        assert options["kubernetes"] == {"storage": "1Gi"}
    flow.save_config(str(tmp_path / "saved.yml"))
    assert Flow.load_config(str(tmp_path / "saved.yml")).spec.steps[0].kubernetes["storage"] == "1Gi"


# --- commands -----------------------------------------------------------------------------------------------------

FLOW = "jtype: Flow\nexecutors: [{name: a, uses: docker://a}]\n"
DEPLOYMENT = "jtype: Deployment\nwith: {name: a, uses: docker://a}\n"


def test_the_commands_write_the_same_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("flow.yml").write_text(FLOW)
    Path("deployment.yml").write_text(DEPLOYMENT)
    assert main(["export", "kubernetes", "flow.yml", "out folder", "--k8s-namespace", "ns"]) == 0
    assert capsys.readouterr().out == "kubectl apply -R -f 'out folder'\n"
    # kubectl reads the value of -f as a line of CSV.
    assert main(["export", "kubernetes", "flow.yml", 'a "b", c']) == 0
    assert capsys.readouterr().out == """kubectl apply -R -f '"a ""b"", c"'\n"""
    assert main(["export", "controller", "d, e.yml", "--image", "image", "--k8s-namespace", "ns"]) == 0
    assert capsys.readouterr().out == """kubectl apply -f '"d, e.yml"'\n"""
    Flow.load_config("flow.yml").to_kubernetes_yaml("method", "ns")
    assert files(Path("out folder")) == files(Path("method")) != {}
    assert main(["export", "docker-compose", "flow.yml", "compose.yml", "--network_name", "net"]) == 0
    assert set(yaml.safe_load(Path("compose.yml").read_text())["networks"]) == {"net"}
    for form, printed in (("helm", "helm upgrade --install RELEASE"), ("kustomize", "kubectl apply -k")):
        capsys.readouterr()
        assert main(["export", "kubernetes", "flow.yml", form, f"--{form}", "--k8s-version", "1.29"]) == 0
        assert capsys.readouterr().out == f"{printed} {form}\n"
        Flow.load_config("flow.yml").to_kubernetes_yaml(f"{form} method", k8s_version="1.29", form=form)
        assert files(Path(form)) == files(Path(f"{form} method"))
    assert main(["export", "kubernetes", "flow.yml", "both", "--helm", "--kustomize"]) == 2
    assert main(["export", "kubernetes", "flow.yml", "alone", "--no-gateway"]) == 0
    assert set(files(Path("alone"))) == {"a/a.yml"}
    assert main(["export", "kubernetes", "deployment.yml", "one"]) == 0
    assert set(files(Path("one"))) == {"a.yml"}
    assert main(["export", "docker-compose", "deployment.yml", "one.yml", "--no-gateway"]) == 2
    assert main(["export", "kubernetes", "missing.yml", "out"]) == 2


def test_the_functions_of_jina_3_write_them_as_well(tmp_path):
    from jina.exporter import export_docker_compose, export_kubernetes

    (tmp_path / "flow.yml").write_text(FLOW)
    args = {"config_path": str(tmp_path / "flow.yml"), "k8s_namespace": "ns", "network_name": "net"}
    export_kubernetes(argparse.Namespace(**args, outpath=str(tmp_path / "out")))
    export_docker_compose(argparse.Namespace(**args, outpath=str(tmp_path / "compose.yml")))
    assert set(files(tmp_path / "out")) == {"a/a.yml", "gateway/gateway.yml"}
    assert "net" in yaml.safe_load((tmp_path / "compose.yml").read_text())["networks"]


def test_nothing_asks_an_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    deployment = Deployment(name="d", uses=A)
    deployment.to_kubernetes_yaml(tmp_path)
    deployment.to_docker_compose_yaml(tmp_path / "compose.yml")
    assert {"compose.yml", "d.yml"} == set(files(tmp_path))
    deployment.close()


def test_what_only_an_exported_gateway_has_is_refused_when_it_is_started():
    keys = {"JINA_API_KEYS": {"name": "s", "key": "k"}}
    for options, words in (
        ({"replicas": 2}, "gateway: replicas: 2 gateways are for Kubernetes"),
        ({"uses": A}, "a gateway runs as a process"),
        ({"env_from_secret": keys}, "JINA_API_KEYS: no secret is read on this machine"),
    ):
        with pytest.raises(NotSupportedError, match=words):
            Flow().add().config_gateway(**options).build()


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "uses_with": st.dictionaries(st.text(), st.integers() | st.text() | st.none(), min_size=1),
            "title": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
            "py_modules": st.lists(st.from_regex(r"[a-z]\w*\.py", fullmatch=True), min_size=1),
            "allow_concurrent": st.booleans(),
            "max_inflight": st.integers(1, 9999),
            "timeout_write": st.integers(1, 9999),
            "exit_on_exceptions": st.lists(st.from_regex(r"[A-Z]\w*", fullmatch=True), min_size=1),
            "concurrency": st.integers(1, 9) | st.dictionaries(st.just("/x"), st.integers(1, 9), min_size=1),
        },
    )
)
def test_options_come_back_from_their_words(options):
    spec = parse(DeploymentSpec, options)
    words = words_of(spec, {name: getattr(spec, name) for name in options}, "here")
    back = given_on(command_parser("executor")[0].parse_all(words))
    assert parse(DeploymentSpec, back) == spec


def test_the_how_to_lists_the_whole_block():
    text = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
    assert {name for name in KubernetesOptions.__annotations__ if f"\n| `{name}`" not in text} == set()
