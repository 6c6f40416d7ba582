"""Executors of the checks, importable by worker processes."""

import asyncio
import threading

from docarray import BaseDoc, DocList
from pydantic import BaseModel

from jina import Executor, requests


class Item(BaseDoc):
    text: str = ""


class Options(BaseModel):
    top: int
    mark: str = "!"


class Priced(BaseDoc):
    price: float


class Together(Executor):
    """A plain method that ends when two requests are in it at once."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.both = threading.Barrier(2, timeout=30)

    @requests(on="/meet")
    def meet(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        self.both.wait()


class Kinds(Executor):
    """Methods of all kinds that a handler may be, and of what it may return."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = 0
        self.both = asyncio.Event()

    @requests
    def default(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        for doc in docs:
            doc.text += f" {self.runtime_args.name}"

    @requests(on="/nothing")
    def nothing(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        docs[0].text = "changed in place"

    @requests(on="/list")
    def a_list(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return DocList[Item]([Item(text="another")])

    @requests(on="/dict")
    def a_dict(self, docs: DocList[Item], **kwargs):
        return {"answer": 42}

    @requests(on="/wrong")
    def wrong(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return [1]

    @requests(on="/meet")
    async def meet(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        """Ends when two requests are in it at once."""
        self.inside += 1
        if self.inside == 2:
            self.both.set()
        await asyncio.wait_for(self.both.wait(), 30)

    @requests(on="/model")
    def model(self, docs: DocList[Item], parameters: Options, **kwargs) -> DocList[Item]:
        docs[0].text = f"{type(parameters).__name__} {parameters.top} {parameters.mark}"

    @requests(on="/typed", request_schema=DocList[Item], response_schema=DocList[Priced])
    def typed(self, docs, **kwargs):
        return DocList[Priced]([Priced(price=len(doc.text)) for doc in docs])

    @requests(on="/one")
    def one(self, doc: Item, **kwargs) -> Item:
        return Item(text=doc.text.upper())
