"""`jina flow` and `jina gateway`: real processes, signals and exit codes."""

from __future__ import annotations

import json
import urllib.request

import pytest
from tests.cli.running import call, serving

FILES = {
    "executor.py": """
from jina import DocumentArray, Executor, requests

class Shout(Executor):
    def __init__(self, mark, **kwargs):
        super().__init__(**kwargs)
        self.mark = mark

    @requests(on='/shout')
    def shout(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = doc.text.upper() + self.mark

    def close(self):
        print('closed', flush=True)
""",
    "config.yml": "jtype: Shout\npy_modules: [executor.py]\nwith: {mark: '!'}\n",
    "flow.yml": """
jtype: Flow
version: '1'
with: {protocol: grpc}
executors:
  - {name: first, uses: config.yml, uses_with: {mark: '${{ context.mark }}'}}
  - {name: second, uses: config.yml}
""",
    "gateway.py": """
import json
from jina import Gateway

class Plain(Gateway):
    def __init__(self, key, **kwargs):
        super().__init__(**kwargs)
        self.key = key

    def extend_http(self, app):
        async def answer(scope, receive, send):
            docs = await self.executor['shout'].post(on='/shout', inputs=[{'text': 'a'}])
            body = json.dumps({self.key: docs[0].text, 'meta': self.metas.description}).encode()
            await send({'type': 'http.response.start', 'status': 200, 'headers': []})
            await send({'type': 'http.response.body', 'body': body})

        app.mount('/own', answer)
""",
    "gateway.yml": "jtype: Plain\npy_modules: gateway.py\nwith: {key: text}\nmetas: {description: mine}\n",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.slow
def test_a_flow_serves_until_sigterm(project):
    with serving("flow", "--uses", "flow.yml", "--env", "mark:?", "--protocol", "http", cwd=project) as service:
        address = service.address("http")
        assert call("ping", "flow", address).returncode == 0
        done = call("client", "--host", address, "--on", "/shout", "--text", "hi")
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["HI?!"], done.stderr
        assert service.end() == 0
    assert service.output.count("closed") == 2


@pytest.mark.slow
def test_a_gateway_serves_executors_that_run_already(project):
    with serving("executor", "--uses", "config.yml", cwd=project) as executor:
        graph = ["--graph-description", '{"start-gateway": ["shout"], "shout": ["end-gateway"]}']
        where = ["--deployments-addresses", json.dumps({"shout": [executor.address("grpc")]})]
        words = ("gateway", *graph, *where, "--protocol", "grpc", "http")
        with serving(*words, "--uses", "gateway.yml", "--uses-with", "key:said", cwd=project) as gateway:
            address = gateway.address("grpc")
            assert call("ping", "gateway", address).returncode == 0
            done = call("client", "--host", address, "--on", "/shout", "--text", "hi")
            assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["HI!"], done.stderr
            with urllib.request.urlopen(f"{gateway.address('http')}/own", timeout=30) as response:
                assert json.loads(response.read()) == {"said": "A!", "meta": "mine"}
            assert gateway.end() == 0
        conditions = ["--graph-conditions", '{"shout": {"text": {"$eq": "you"}}}']
        with serving(*words, *conditions, cwd=project) as gateway:
            done = call("client", "--host", gateway.address("grpc"), "--on", "/shout", "--text", "hi", "--text", "you")
            assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["hi", "YOU!"], done.stderr
            assert gateway.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["flow", "--uses", "flaw.yml"], 2, "flaw.yml"),
        (["flow", "--uses", "config.yml"], 2, "Shout"),
        (["gateway", "--graph-description", '{"start-gateway": ["a"]}'], 2, "there is no address of 'a'"),
        (["gateway", "--graph-descripton", "{}"], 2, "did you mean --graph-description?"),
        (["gateway", "--uses", "gateway.Plain", "--uses-with", "kay:x"], 2, "Plain needs the argument 'key'"),
    ],
)
def test_mistakes(project, words, code, message):
    with serving(*words, cwd=project) as command:
        assert command.process.wait(30) == code, command.output
        command.reader.join(30)
    assert message in command.output


def test_a_gateway_says_whom_it_waits_for(project):
    graph = ["--graph-description", '{"start-gateway": ["far"], "far": ["end-gateway"]}']
    where = ["--deployments-addresses", '{"far": ["grpc://127.0.0.1:9"]}', "--timeout-ready", "700"]
    with serving("gateway", *graph, *where, cwd=project) as command:
        assert command.process.wait(30) == 1
        command.reader.join(30)
    assert "no answer from far/rep-0 within the 0.7 s of timeout_ready" in command.output
