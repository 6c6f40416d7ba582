"""The Executors that are attacked: their methods do little, and none of them fails by itself."""

import asyncio

from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel

from jina import DocumentArray, Executor, requests, write


class Part(BaseDoc):
    label: str = ""
    weights: list[float] = []


class Thing(BaseDoc):
    text: str
    number: int = 0
    ratio: float | None = None
    flags: dict[str, bool] = {}
    vector: NdArray | None = None
    parts: DocList[Part] | None = None
    blob: bytes = b""


class Said(BaseDoc):
    text: str = ""
    count: int = 0


class Wishes(BaseModel):
    limit: int = 3
    words: list[str] = []


class Taker(Executor):
    """Counts the documents that it gets."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.smuggled = 0

    @requests(on="/typed")
    def typed(self, docs: DocList[Thing], **kwargs) -> DocList[Said]:
        self.smuggled += sum(doc.text.startswith("smuggled") for doc in docs)
        return DocList[Said]([Said(text=docs[0].text[:20] if len(docs) else "", count=len(docs))])

    @requests(on="/wishes")
    async def wishes(self, docs: DocList[Part], parameters: Wishes, **kwargs) -> DocList[Said]:
        return DocList[Said]([Said(text="wishes", count=len(docs))])

    @requests(on="/loose")
    async def loose(self, docs: DocumentArray, parameters: dict, **kwargs) -> DocList[Said]:
        return DocList[Said]([Said(text="loose", count=len(docs))])

    @requests(on="/stream")
    async def stream(self, doc: Part, **kwargs) -> Said:
        for number in range(3):
            yield Said(text=doc.label[:20], count=number)

    @requests(on="/flood")
    async def flood(self, doc: Part, **kwargs) -> Said:
        for number in range(2000):
            yield Said(text="x" * 20_000, count=number)
            await asyncio.sleep(0)

    @requests(on="/smuggled")
    async def listing(self, docs: DocList[Part], **kwargs) -> DocList[Said]:
        """How many documents arrived that were hidden in another request."""
        return DocList[Said]([Said(count=self.smuggled)])


class Keeper(Taker):
    """The same as a stateful Executor."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on="/add")
    def add(self, docs: DocList[Part], **kwargs) -> DocList[Said]:
        self.lines.extend(doc.label for doc in docs)
        return DocList[Said]([Said(count=len(self.lines))])
