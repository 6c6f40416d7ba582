"""The Executor that is measured, the same source for ours and for Jina 3."""

import asyncio
import time
from typing import Optional

from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from jina import Executor, dynamic_batching, requests


class Text(BaseDoc):
    text: str = ""


class Vector(BaseDoc):
    embedding: Optional[NdArray] = None  # noqa: UP045 - the oldest Python of a peer decides


class Blob(BaseDoc):
    blob: bytes = b""


def modelled(docs):
    """A model that takes 5 ms and 0.1 ms a text, and blocks as models do; says how many texts it got."""
    time.sleep(0.005 + 0.0001 * len(docs))
    for doc in docs:
        doc.text = f"{doc.text.upper()} {len(docs)}"


class Bench(Executor):
    @dynamic_batching(preferred_batch_size=32, timeout=5)
    @requests(on="/gathered")
    async def gathered(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        modelled(docs)
        return docs

    @dynamic_batching(preferred_batch_size=32, timeout=5)
    @requests(on="/gathered_sync")
    def gathered_sync(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        modelled(docs)
        return docs

    @requests(on="/wait")
    async def wait(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        await asyncio.sleep(0.05)
        return docs

    @requests(on="/compute")
    def compute(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for number in range(100_000):  # some milliseconds
            hash(number)
        return docs

    @requests(on="/upper")
    async def upper(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs

    @requests(on="/upper_sync")
    def upper_sync(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs

    @requests(on="/double")
    async def double(self, docs: DocList[Vector], **kwargs) -> DocList[Vector]:
        for doc in docs:
            doc.embedding = doc.embedding * 2
        return docs

    @requests(on="/echo")
    async def echo(self, docs: DocList[Blob], **kwargs) -> DocList[Blob]:
        return docs

    @requests(on="/tokens")
    async def tokens(self, doc: Text, **kwargs) -> Text:
        for i in range(1000):
            yield Text(id="a", text=f"token {i}")

    @requests(on="/paced")
    async def paced(self, doc: Text, **kwargs) -> Text:
        for _ in range(50):
            await asyncio.sleep(0.01)
            yield Text(id="a", text=f"{time.monotonic_ns()}")
