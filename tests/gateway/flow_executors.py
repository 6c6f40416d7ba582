"""Executors for Flows of real processes."""

import asyncio

from docarray import BaseDoc, DocList

from jina import Executor, requests


class Text(BaseDoc):
    text: str = ""


class Letter(Executor):
    def __init__(self, letter: str = "?", **kwargs):
        super().__init__(**kwargs)
        self.letter = letter

    @requests(on="/add")
    async def add(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text += self.letter

    @requests(on="/wait")
    async def wait(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        await asyncio.sleep(parameters.get("seconds", 0))


class Tokens(Executor):
    @requests(on="/tokens")
    async def tokens(self, doc: Text, parameters: dict, **kwargs) -> Text:
        for number in range(parameters.get("count", 3)):
            yield Text(text=f"{doc.text}{number}")


class Echoing(Executor):
    @requests(on="/tokens")
    async def tokens(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text += "!"
