"""Checks of `table.py` that no test of another folder shows as a whole."""

import importlib
import json
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from docarray import BaseDoc, DocList
from jina.excepts import BadServer, BadYAMLVersion

import jina
from jina import Client, Deployment, Executor, Flow, requests

sys.path.append(str(Path(__file__).parent))
checked = importlib.import_module("checked")
Item, Kinds = checked.Item, checked.Kinds
NAMES = [
    "Executor", "requests", "Flow", "Deployment", "Client", "Gateway", "AsyncFlow", "Document", "DocumentArray",
    "dynamic_batching", "monitor",
]  # fmt: skip


class Plain(BaseDoc):
    text: str = ""


class Parent(Executor):
    @requests
    def default(self, docs: DocList[Plain], **kwargs):
        for doc in docs:
            doc.text = "changed"

    @requests(on=["/a", "/b"])
    def two(self, docs: DocList[Plain], **kwargs): ...


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_package(name):
    assert getattr(jina, name)
    assert name in dir(jina)


def test_paths_of_methods_and_direct_calls():
    with Parent() as executor:
        assert executor.requests.keys() == {"/default", "/a", "/b"}
        docs = DocList[Plain]([Plain()])
        executor.default(docs=docs)
        assert docs[0].text == "changed"


@pytest.fixture(scope="module")
def kinds():
    with Deployment(uses=Kinds, protocol=["grpc", "http"], host="127.0.0.1", quiet=True) as deployment:
        yield deployment


def body(port, path, content):
    data = json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_what_a_method_may_return(kinds):
    def ask(path):
        return kinds.post(path, Item(text="a"), return_type=DocList[Item])

    assert ask("/nothing").text == ["changed in place"]
    assert ask("/list").text == ["another"]
    [response] = kinds.post("/dict", Item(text="a"), return_responses=True)
    assert list(response.parameters["__results__"].values()) == [{"answer": 42}]
    assert kinds.post("/one", [Item(text="a"), Item(text="b")], return_type=DocList[Item]).text == ["A", "B"]
    with pytest.raises(BadServer, match="list"):
        ask("/wrong")
    assert ask("/list").text == ["another"]  # it lives on


def test_async_methods_run_at_once(kinds):
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(kinds.post, "/meet", Item(text=text), return_type=DocList[Item]) for text in "ab"]
        assert [one.result(60).text for one in asked] == [["a"], ["b"]]


def test_a_model_of_parameters(kinds):
    docs = kinds.post("/model", Item(), parameters={"top": 3}, return_type=DocList[Item])
    assert docs.text == ["Options 3 !"]
    status, answer = body(kinds.port[1], "/model", {"data": [{"text": ""}], "parameters": {"mark": "x"}})
    assert status == 422
    assert "top" in json.dumps(answer)


def test_what_has_no_method_of_its_own_goes_to_the_default(kinds):
    assert kinds.post("/nope", Item(text="a"), return_type=DocList[Item]).text == ["a executor/rep-0"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_external_deployments_behind_a_flow_and_alone():
    def external(name):
        return Deployment(uses=Kinds, name=name, include_gateway=False, host="127.0.0.1", quiet=True)

    with external("one") as one, external("two") as two:
        with Client(port=one.port) as client:  # no gateway in between
            assert client.post("/", Item(), return_type=DocList[Item]).text == [" one/rep-0"]
        hosts = [f"127.0.0.1:{running.port}" for running in (one, two)]
        flow = Flow(host="127.0.0.1", quiet=True).add(name="both", host=hosts, external=True)
        behind = Deployment(uses=Kinds, name="front", replicas=2, host="127.0.0.1", quiet=True)
        with flow, behind:
            assert flow.is_flow_ready()
            docs = flow.post("/", [Item() for _ in range(20)], request_size=1, return_type=DocList[Item])
            assert set(docs.text) == {" one/rep-0", " two/rep-0"}
            with Flow(host="127.0.0.1", quiet=True).add(name="far", port=behind.port, external=True) as second:
                docs = second.post("/", [Item()], return_type=DocList[Item])
                assert docs.text[0].startswith(" front/rep-")


def test_flows_are_equal_when_their_deployments_are():
    def made(**options):
        return Flow().add(uses=Kinds, name="a", **options).add(name="b")

    assert made() == made()
    assert made() != made(replicas=2)
    assert made(replicas=2).num_pods == 4
    assert made().num_deployments == 3


def test_the_version_of_a_file_is_an_error_of_its_own():
    for text in ("jtype: Flow\nversion: '7'", "jtype: Deployment\nversion: '7'", "jtype: Executor\nversion: '7'"):
        with pytest.raises(BadYAMLVersion, match="'7' is not a valid version number"):
            {"Flow": Flow, "Deployment": Deployment, "Executor": Executor}[text.split()[1]].load_config(text)


@pytest.mark.parametrize("name", ["default", "json", "plain", "docker", "profile", "quiet"])
def test_named_log_configurations(name):
    with Deployment(uses=Kinds, host="127.0.0.1", log_config=name, quiet=name == "quiet") as deployment:
        assert deployment.post("/list", Item(), return_type=DocList[Item]).text == ["another"]
