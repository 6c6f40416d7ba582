"""A request without documents reaches the Executors, with its parameters, however they are deployed."""

import asyncio

import pytest
from docarray import BaseDoc, DocList

from jina import Client, Deployment, Executor, Flow, requests

pytestmark = pytest.mark.slow

PROTOCOLS = ["grpc", "http", "websocket"]


class Item(BaseDoc):
    text: str = ""


class Store(Executor):
    """Writes a line for each call, as its answers hold no documents that could tell."""

    @requests(on="/delete")
    def delete(self, docs: DocList[Item], parameters: dict, **kwargs) -> DocList[Item]:
        args = self.runtime_args
        with open(f"{parameters['file']}", "a", encoding="utf-8") as file:
            file.write(f"{self.metas.name} {args.shard_id} {len(docs)} {parameters['ids']}\n")
        return docs


def deployment(**options):
    return Deployment(uses=Store, name="store", host="127.0.0.1", quiet=True, **options)


def flow(**options):
    return Flow(protocol=PROTOCOLS, host="127.0.0.1", quiet=True).add(uses=Store, name="store", **options)


SHAPES = {
    "one": (lambda: deployment(protocol=PROTOCOLS), 1),
    "shards": (lambda: deployment(shards=2, polling="ALL"), 2),
    "flow of replicas": (lambda: flow(replicas=2), 1),
    "flow of shards": (lambda: flow(shards=2, polling={"/delete": "ALL"}), 2),
    "flow of steps": (lambda: flow().add(uses=Store, name="second"), 2),
    "flow with a condition": (lambda: flow(when={"text": {"$eq": "x"}}), 1),
}


def calls(path):
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize("shape", SHAPES)
def test_every_protocol_and_client(shape, tmp_path):
    make, wanted = SHAPES[shape]
    file = tmp_path / "calls"
    given = {"parameters": {"ids": ["a"], "file": str(file)}, "return_type": DocList[Item]}

    async def asynchronous(host):
        async with Client(host=host, asyncio=True) as client:
            return await client.post("/delete", DocList[Item](), **given)

    with make() as running:
        assert len(running.post("/delete", [], **given)) == 0
        assert len(calls(file)) == wanted
        for protocol, port in zip(running.protocols, running.ports, strict=True):
            host = f"{protocol.replace('websocket', 'ws')}://127.0.0.1:{port}"
            with Client(host=host) as client:
                assert len(client.delete([], **given)) == 0
                found = calls(file)
                assert len(found) == wanted, (host, found)
                assert all(line.endswith(" 0 ['a']") for line in found)
            assert len(asyncio.run(asynchronous(host))) == 0
            assert len(calls(file)) == wanted, host
