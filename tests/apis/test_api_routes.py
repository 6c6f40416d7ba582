"""Adapters beside our own routes: what they serve, in a worker and in a gateway, and how their errors look."""

import json
import subprocess
import sys

import aiohttp
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from jina import Deployment, Executor, Flow, requests
from jina.apis import load
from jina.errors import ConfigError
from jina.plan.plans import AccessPlan, HttpPlan, KeyPlan
from jina.server.app import build_app
from tests.server.sample_service import SampleService, run, served, url


class Text(BaseDoc):
    text: str


class Embedded(Text):
    embedding: NdArray | None = None


class Embedder(Executor):
    @requests(on="/embed")
    def embed(self, docs: DocList[Text], **kwargs) -> DocList[Embedded]:
        return DocList[Embedded](Embedded(text=doc.text, embedding=[1.0, 2.0]) for doc in docs)


async def get(server, path, **headers):
    async with aiohttp.ClientSession() as session, session.get(server + path, headers=headers) as answer:
        return answer.status, answer.headers, await answer.json()


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [
        lambda: Deployment(uses=Embedder, protocol="http", apis="openai"),
        lambda: Flow(protocol=["grpc", "http"], apis=["OpenAI"]).add(uses=Embedder),
    ],
    ids=["Deployment", "Flow"],
)
def test_models_are_listed(made):
    with made() as served_:
        port = served_.port if isinstance(served_.port, int) else served_.port[-1]
        server = f"http://127.0.0.1:{port}"
        _, _, listed = run(get(server, "/v1/models"))
        assert [model["id"] for model in listed["data"]] == ["embed"]
        assert run(get(server, "/v1/models/embed"))[2] == listed["data"][0]
        status, headers, content = run(get(server, "/v1/models/a/b"))
        assert (status, content["error"]["code"]) == (404, "model_not_found")
        assert headers["x-request-id"]


def test_errors_are_in_the_form_of_the_api_whose_path_it_is():
    async def main():
        access = AccessPlan(keys=[KeyPlan(name="a", digest="sha256:" + "0" * 64)])
        async with served(SampleService(), "http", access=access, apis=load(["openai"])) as server:
            theirs = await get(url(server, ""), "/v1/models", authorization="Bearer x")
            ours = await get(url(server, ""), "/echo")
            return theirs, ours

    (status, headers, content), (_, _, ours) = run(main())
    assert (status, content["error"]["type"]) == (401, "authentication_error")
    assert headers["www-authenticate"] == "Bearer"
    assert ours["code"] == "Unauthenticated"


def test_openai_is_served_over_http():
    with pytest.raises(ConfigError, match="'openai' is served over HTTP"):
        Deployment(uses=Embedder, apis=["openai"]).plan  # noqa: B018
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        Deployment(uses=Embedder, protocol="http", apis=["openia"])


def test_without_apis_no_adapter_is_loaded():
    build_app(SampleService(), HttpPlan())
    script = (
        "import sys, jina.worker.process, jina.gateway.process; print([n for n in sys.modules if 'jina.apis.' in n])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(out.stdout.replace("'", '"')) == []
