"""User code that calls `nest_asyncio.apply()`, which uvloop's loops refuse, runs by itself on asyncio's."""

import importlib.util
import textwrap
import urllib.request

import pytest

from jina import Flow
from jina.documents import Document
from jina.errors import RuntimeFailToStart

MODULES = [
    pytest.param(name, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is missing"))
    for name in ("nest_asyncio", "nest_asyncio2")
]
EXECUTOR = """
import asyncio
{top}
from jina import DocumentArray, Executor, requests


class Nests(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        {init}
        self.made = asyncio.get_event_loop().run_until_complete(self.later("made"))

    async def later(self, text):
        await asyncio.sleep(0)
        return text

    @requests(on="/nested")
    async def nested(self, docs: DocumentArray, **kwargs):
        loop = asyncio.get_running_loop()
        docs[0].text = f"{{self.made}} {{loop.run_until_complete(self.later('inside'))}} {{type(loop).__module__}}"
"""
GATEWAY = """
import asyncio
{top}
from jina import FastAPIBaseGateway


class NestsToo(FastAPIBaseGateway):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        {init}
        self.made = asyncio.get_event_loop().run_until_complete(self.later("made"))

    async def later(self, text):
        await asyncio.sleep(0)
        return text

    @property
    def app(self):
        async def answer(scope, receive, send):
            loop = asyncio.get_running_loop()
            text = f"{{self.made}} {{loop.run_until_complete(self.later('inside'))}} {{type(loop).__module__}}"
            await send({{"type": "http.response.start", "status": 200}})
            await send({{"type": "http.response.body", "body": text.encode()}})

        return answer
"""
EXPECTED = "made inside asyncio.unix_events"


def written(folder, name, text, module, *, at_the_top):
    call = f"import {module}; {module}.apply()"
    filled = text.format(top=call if at_the_top else "", init="pass" if at_the_top else call)
    (folder / f"{name}.py").write_text(textwrap.dedent(filled))


@pytest.mark.slow
@pytest.mark.parametrize("at_the_top", [True, False], ids=["module", "init"])
@pytest.mark.parametrize("module", MODULES)
def test_in_executors_and_gateways(tmp_path, monkeypatch, module, at_the_top):
    monkeypatch.delenv("JINA_DISABLE_UVLOOP", raising=False)
    written(tmp_path, "nests", EXECUTOR, module, at_the_top=at_the_top)
    written(tmp_path, "front", GATEWAY, module, at_the_top=at_the_top)
    (tmp_path / "flow.yml").write_text(
        "jtype: Flow\nwith: {host: 127.0.0.1, protocol: http}\n"
        "gateway: {uses: {jtype: NestsToo, py_modules: [front.py]}}\n"
        "executors:\n  - {name: nests, uses: {jtype: Nests, py_modules: [nests.py]}}\n"
    )
    with Flow.load_config(str(tmp_path / "flow.yml"), restart_limit=0) as flow:
        response = urllib.request.urlopen(f"http://127.0.0.1:{flow.port}/", timeout=30)
        assert response.read().decode() == EXPECTED
    (tmp_path / "plain.yml").write_text(
        "jtype: Flow\nwith: {host: 127.0.0.1, protocol: [http, grpc]}\n"
        "executors:\n  - {name: nests, uses: {jtype: Nests, py_modules: [nests.py]}, replicas: 2}\n"
    )
    with Flow.load_config(str(tmp_path / "plain.yml"), restart_limit=0) as flow:
        assert [doc.text for doc in flow.post("/nested", [Document(text="")])] == [EXPECTED]


@pytest.mark.slow
def test_other_failures_of_a_start_are_told_once_as_they_are(tmp_path):
    begun = tmp_path / "begun"
    (tmp_path / "broken.py").write_text(
        "from jina import Executor\n\n\nclass Broken(Executor):\n    def __init__(self, **kwargs):\n"
        f"        with open({str(begun)!r}, 'a') as file:\n            file.write('.')\n"
        "        raise ValueError('no loop')\n"
    )
    (tmp_path / "flow.yml").write_text("jtype: Flow\nexecutors:\n  - uses: {jtype: Broken, py_modules: [broken.py]}\n")
    flow = Flow.load_config(str(tmp_path / "flow.yml"), restart_limit=0)
    with pytest.raises(RuntimeFailToStart, match="no loop"), flow:
        pass
    assert begun.read_text() == "."
