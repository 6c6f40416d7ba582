"""Executors defined in the cells of a real Jupyter kernel, inside its running event loop."""

from __future__ import annotations

import time

import pytest

CELL = """
from docarray import BaseDoc, DocList
from jina import Deployment, Executor, Flow, requests

class Inner(BaseDoc):
    n: int

class Note(BaseDoc):
    text: str
    inners: DocList[Inner]

class Shout(Executor):
    @requests(on='/shout')
    def shout(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text = doc.text.upper() + '!' * sum(inner.n for inner in doc.inners)
        return docs

with Deployment(uses=Shout) as service:
    note = Note(text='hi', inners=DocList[Inner]([Inner(n=1), Inner(n=2)]))
    found = service.post('/shout', DocList[Note]([note]), return_type=DocList[Note])
print(found[0].text)

async with Deployment(uses=Shout) as service:
    print(service.post('/shout', DocList[Note]([note]), return_type=DocList[Note])[0].text)

async with Flow(asyncio=True).add(uses=Shout).add(uses=Shout) as flow:
    print((await flow.post('/shout', DocList[Note]([note])))[0].text)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_class_of_a_cell_is_served():
    manager_module = pytest.importorskip("jupyter_client.manager", reason="ipykernel is part of `make setup`")
    manager, client = manager_module.start_new_kernel(kernel_name="python3", startup_timeout=50)
    try:
        printed: list[str] = []
        deadline = time.monotonic() + 50

        def on_output(message):
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = client.execute_interactive(CELL, timeout=deadline - time.monotonic(), output_hook=on_output)
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))
        assert "".join(printed).split() == ["HI!!!", "HI!!!", "HI!!!!!!"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
