"""Executors that gather; imported by the workers."""

import asyncio

from docarray import BaseDoc, DocList

from jina import Executor, dynamic_batching, requests

LONG = 600_000
"""Milliseconds that no test waits."""


class Loaf(BaseDoc):
    text: str = ""
    size: int = 0


class Bakery(Executor):
    """Says of each document how many were in its batch."""

    @dynamic_batching(preferred_batch_size=4, timeout=LONG)
    @requests(on="/bake")
    def bake(self, docs: DocList[Loaf], **kwargs) -> DocList[Loaf]:
        if any(doc.text == "burnt" for doc in docs):
            raise ValueError("burnt")
        return DocList[Loaf](Loaf(id=doc.id, text=doc.text + "!", size=len(docs)) for doc in docs)

    @dynamic_batching(preferred_batch_size=4, timeout=LONG)
    @requests(on="/bake_async")
    async def bake_async(self, docs: DocList[Loaf], **kwargs) -> DocList[Loaf]:
        await asyncio.sleep(0)
        return self.bake(docs)


class PlainBakery(Executor):
    """Gathers only where configuration says so."""

    @requests(on="/bake")
    def knead(self, docs: DocList[Loaf], **kwargs) -> DocList[Loaf]:
        return DocList[Loaf](Loaf(id=doc.id, text=doc.text, size=len(docs)) for doc in docs)
