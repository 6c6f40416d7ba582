"""The Executor that is measured, the same source for ours and for Jina 3."""

import asyncio
from typing import Optional

from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from jina import Executor, requests


class Text(BaseDoc):
    text: str = ""


class Vector(BaseDoc):
    embedding: Optional[NdArray] = None  # noqa: UP045 - the oldest Python of a peer decides


class Blob(BaseDoc):
    blob: bytes = b""


class Bench(Executor):
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
        import time

        for _ in range(50):
            await asyncio.sleep(0.01)
            yield Text(id="a", text=f"{time.monotonic_ns()}")
