"""An importable Executor for the tests of Deployments."""

import gc
import os
import time

from docarray import BaseDoc, DocList

from jina import Executor, requests


class Item(BaseDoc):
    text: str = ""


class Priced(BaseDoc):
    text: str
    price: int


class Shop(Executor):
    def __init__(self, currency="EUR", **kwargs):
        super().__init__(**kwargs)
        self.currency = currency

    @requests(on="/price")
    def price(self, docs: DocList[Item], **kwargs) -> DocList[Priced]:
        return DocList[Priced]([Priced(text=doc.text + self.currency, price=len(doc.text)) for doc in docs])

    @requests(on=["/index", "/search", "/update", "/delete"])
    def touch(self, docs: DocList[Item], parameters, **kwargs) -> DocList[Item]:
        for doc in docs:
            doc.text += str(parameters.get("mark", "!"))
        return docs

    @requests(on="/collections")
    def collections(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return DocList[Item]([Item(text=str(sum(one["collections"] for one in gc.get_stats())))])

    @requests(on="/count")
    async def count(self, doc: Item, **kwargs) -> Item:
        for number in range(3):
            yield Item(text=f"{doc.text}{number}")

    @requests(on="/die")
    def die(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        os.kill(os.getpid(), 9)
        time.sleep(60)
        return docs
