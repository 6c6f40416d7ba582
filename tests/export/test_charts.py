"""The forms of an export beside plain files: charts of Helm and kustomizations, read by Helm and by kubectl."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml
from tests.export.exported import ALL, MANY, files, one_of_many
from tests.export.test_validators import tools

from jina import Flow
from jina.errors import ConfigError

__all__ = ["tools"]
A = "docker://registry.example/a:1"
RENDER = """
import json, sys
import helm_python
for line in sys.stdin:
    asked = json.loads(line)
    with helm_python.Chart.load(asked["chart"]) as chart:
        try:
            found = chart.render(asked["values"], name="r", namespace=asked["namespace"])
            done = {"rendered": found, "lint": helm_python.lint(asked["chart"], asked["values"], strict=True)}
        except helm_python.HelmError as error:
            done = {"error": str(error)}
    print(json.dumps(done, default=str), flush=True)
"""


@pytest.fixture(scope="module")
def helm(tools):
    """Render and lint a chart; gives what Helm said."""
    process = subprocess.Popen(
        [tools / "python", "-c", RENDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def rendered(chart, namespace, values=None):
        process.stdin.write(json.dumps({"chart": str(chart), "namespace": namespace, "values": values or {}}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        yield rendered
        process.stdin.close()
        assert process.wait(30) == 0


def objects(texts):
    """Kind/name -> object."""
    found = {}
    for text in texts:
        for one in yaml.safe_load_all(text):
            if one:
                found[f"{one['kind']}/{one['metadata']['name']}"] = one
    return found


def plain(service, folder, namespace="plain"):
    service.to_kubernetes_yaml(folder / "plain", namespace)
    return objects(files(folder / "plain").values())


def written(service, folder, form, namespace="other"):
    service.to_kubernetes_yaml(folder / form, namespace, form=form)
    return folder / form


def two_steps():
    flow = Flow(name="shop", env={"A": "1", "Ü": "'{{ x }}' <&>"}).add(name="text_encoder", uses=A)
    return flow.add(name="kv", uses=A, stateful=True, replicas=3)


# --- Helm ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ALL)
def test_a_chart_renders_the_plain_export(name, helm, tmp_path):
    service = ALL[name]()
    expected = plain(service, tmp_path)
    done = helm(written(service, tmp_path, "helm"), "plain")
    assert objects(done["rendered"].values()) == expected
    assert done["lint"]["errors"] == []
    assert [one["error"] for one in done["lint"]["messages"]] == ["icon is recommended"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_charts_of_many_flows_render_the_plain_export(helm, tmp_path):
    for number, one in enumerate(MANY):
        folder = tmp_path / str(number)
        expected = plain(one_of_many(*one), folder)
        done = helm(written(one_of_many(*one), folder, "helm"), "plain")
        assert objects(done["rendered"].values()) == expected, one
        assert done["lint"]["errors"] == []
        one_of_many(*one).to_kubernetes_yaml(folder / "again", "other", form="helm")
        assert files(folder / "again") == files(folder / "helm")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_values_change_what_they_say(helm, tmp_path):
    chart = written(two_steps(), tmp_path, "helm")
    values = {
        "namespace": "123",
        "gateway": {"replicas": 3, "image": "other:2"},
        "steps": {
            "text_encoder": {"replicas": 2, "env": {"A": 2}, "resources": {"limits": {"cpu": 1}}},
            "kv": {"image": "kv@sha256:0"},
        },
    }
    before = objects(helm(chart, "release")["rendered"].values())
    after = objects(helm(chart, "release", values)["rendered"].values())
    assert {one["metadata"]["namespace"] for one in before.values()} == {"release"}
    assert {one["metadata"]["namespace"] for one in after.values()} == {"123"}
    assert after.keys() - before.keys() == {"PodDisruptionBudget/gateway", "PodDisruptionBudget/text-encoder"}
    step = after["Deployment/text-encoder"]["spec"]
    assert step["replicas"] == 2
    [container] = step["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": 1}}
    assert container["args"][container["args"].index("--replicas") + 1] == "2"
    assert step["template"]["spec"]["topologySpreadConstraints"]
    assert after["ConfigMap/text-encoder-configmap"]["data"] == {"A": "2", "Ü": "'{{ x }}' <&>"}
    annotations = [
        side["Deployment/text-encoder"]["spec"]["template"]["metadata"]["annotations"] for side in (before, after)
    ]
    assert annotations[0] != annotations[1]
    group = after["StatefulSet/kv"]["spec"]["template"]["spec"]["containers"][0]
    assert group["image"] == "kv@sha256:0"
    assert after["ConfigMap/kv-configmap"]["data"]["RAFT_PEERS"].startswith("kv-0.kv-peers:8090,")
    assert after["Deployment/gateway"]["spec"]["template"]["spec"]["containers"][0]["image"] == "other:2"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": {"kv": {"replicas": 5}}}, "replicas"),
        ({"gateway": {"imagee": "x"}}, "imagee"),
        ({"gateway": {"replicas": -1}}, "replicas"),
        ({"namespace": "No_Name"}, "namespace"),
        ({"steps": {"text_encoder": {"env": {"A": []}}}}, "env"),
    ],
)
def test_values_that_are_wrong_are_refused(values, words, helm, tmp_path):
    assert words in helm(written(two_steps(), tmp_path, "helm"), "release", values)["error"]


def test_a_chart_says_which_values_there_are(tmp_path):
    chart = written(ALL["shards"](), tmp_path, "helm")
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert list(values["steps"]["index"]) == [
        "image", "replicas", "resources", "env", "head", "uses_before", "uses_after",
    ]  # fmt: skip
    assert values["steps"]["index"]["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (about["name"], about["kubeVersion"]) == ("shards", ">=1.37.0-0")
    schema = json.loads((chart / "values.schema.json").read_text())
    assert schema["properties"]["steps"]["properties"]["index"]["additionalProperties"] is False


def test_what_a_patch_changes_is_no_value_any_more(tmp_path):
    patch = {"Deployment": {"spec": {"replicas": 7, "template": {"spec": {"containers": [
        {"name": "executor", "image": "patched:1"}]}}}}}  # fmt: skip
    flow = Flow(name="f").add(name="a", uses=A, shards=2, kubernetes={"patch": {"Deployment/a-1": patch["Deployment"]}})
    chart = written(flow, tmp_path, "helm")
    text = (chart / "templates" / "a" / "a-1.yml").read_text()
    assert "image: patched:1" in text
    assert "replicas: 7" in text
    assert yaml.safe_load((chart / "values.yaml").read_text())["steps"]["a"]["replicas"] == 1


# --- Kustomize ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ALL)
def test_kustomize_renders_the_plain_export_in_any_namespace(name, tools, tmp_path):
    service = ALL[name]()
    folder = written(service, tmp_path, "kustomize")
    for namespace in ("other", "plain"):
        text = (folder / "kustomization.yaml").read_text().replace("namespace: other\n", f"namespace: {namespace}\n")
        (folder / "kustomization.yaml").write_text(text)
        done = subprocess.run(
            [tools / "kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        found = objects([done.stdout])
        expected = plain(service, tmp_path / namespace, namespace)
        assert found.keys() == expected.keys()
        for key, one in found.items():
            assert seen(one, namespace) == seen(expected[key], namespace)


def seen(one, namespace):
    """An object as its pods see it: the kubelet fills in the namespace."""
    pod = one.get("spec", {}).get("template", {})
    pod.get("metadata", {}).get("labels", {}).pop("ns", None)
    for container in pod.get("spec", {}).get("containers", []):
        variables = {item["name"]: item for item in container.get("env", [])}
        if variables.get("K8S_NAMESPACE_NAME", {}).pop("valueFrom", None):
            variables["K8S_NAMESPACE_NAME"]["value"] = namespace
        container["args"] = [word.replace("$(K8S_NAMESPACE_NAME)", namespace) for word in container.get("args", [])]
    return one


def test_a_form_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="form: 'charts' is not one of files, kustomize, helm"):
        two_steps().to_kubernetes_yaml(tmp_path, form="charts")
    assert not list(tmp_path.iterdir())
