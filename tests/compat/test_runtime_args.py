"""What an Executor reads in `runtime_args`, with the names and keys of Jina 3.34."""

import json
import urllib.request

import pytest
from docarray import BaseDoc, DocList
from prometheus_client import Counter

from jina import Deployment, Executor, Flow, requests

NAMES = {
    "executor/rep-0": {},
    "mine/rep-0": {"name": "mine"},
    "given": {"name": "mine", "uses_metas": {"name": "given"}},
}


class Item(BaseDoc):
    text: str = ""


class Told(Executor):
    """Says its name; counts calls with `prometheus_client` itself, as Executors of Jina 3 do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = Counter("told_calls", "calls", registry=self.runtime_args.metrics_registry)

    @requests
    def tell(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        self.calls.inc()
        for doc in docs:
            doc.text = f"{doc.text} {self.runtime_args.name}".strip()

    @requests(on="/keys")
    def keys(self, **kwargs):
        return {name: repr(value) for name, value in vars(self.runtime_args).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_that_of_the_deployment_unless_metas_have_one(name):
    with Deployment(uses=Told, quiet=True, host="127.0.0.1", **NAMES[name]) as deployment:
        assert deployment.post("/", Item(), return_type=DocList[Item]).text == [name]


@pytest.mark.slow
def test_steps_of_one_class_are_told_apart():
    flow = Flow(quiet=True, host="127.0.0.1").add(uses=Told, name="one").add(uses=Told, name="two", replicas=2)
    flow = flow.add(uses=Told, name="three", shards=2).add(uses=Told)
    with flow:
        docs = flow.post("/", [Item() for _ in range(8)], request_size=1, return_type=DocList[Item])
    words = [text.split() for text in docs.text]
    assert {first for first, *_ in words} == {"one/rep-0"}
    assert {second for _, second, *_ in words} == {"two/rep-0", "two/rep-1"}
    assert {third for *_, third, _ in words} == {"three/shard-0/rep-0", "three/shard-1/rep-0"}
    assert {last for *_, last in words} == {"executor3/rep-0"}


def test_keys_of_jina_3_and_metrics_of_the_executors_own(tmp_path):
    options = {"protocol": "http", "workspace": str(tmp_path)}
    with Deployment(uses=Told, quiet=True, host="127.0.0.1", **options) as deployment:
        [response] = deployment.post("/keys", return_responses=True)
        [result] = response.parameters["__results__"].values()
        wanted = {"allow_concurrent", "meter_provider", "metrics_registry", "name", "provider", "provider_endpoint",
                  "replicas", "shard_id", "shards", "tracer_provider", "workspace"}  # fmt: skip
        assert wanted <= result.keys()
        assert result["tracer_provider"] == result["meter_provider"] == "None"
        assert (result["name"], result["workspace"]) == ("'executor/rep-0'", repr(str(tmp_path)))
        assert (result["shard_id"], result["shards"], result["replicas"]) == ("0", "1", "1")
        deployment.post("/", [Item(), Item()], request_size=1)
        with urllib.request.urlopen(f"http://127.0.0.1:{deployment.port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    assert "told_calls_total 2.0" in text, json.dumps(result)
