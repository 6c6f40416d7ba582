"""Executors that are given garbage; none of their methods can fail by itself."""

import asyncio
import gc

from docarray import DocList

from jina import DocumentArray, Executor, requests
from tests.attacks.executors import Part, Thing, Wishes


class Taker(Executor):
    """Takes what it is given and gives it back."""

    @requests(on="/typed")
    def typed(self, docs: DocList[Thing], **kwargs) -> DocList[Thing]:
        return docs

    @requests(on="/wishes")
    async def wishes(self, docs: DocList[Part], parameters: Wishes, **kwargs) -> DocList[Part]:
        return docs

    @requests(on="/loose")
    async def loose(self, docs: DocumentArray, **kwargs):
        return docs

    @requests(on="/stream")
    async def stream(self, doc: Part, **kwargs) -> Part:
        for _ in range(3):
            yield doc

    @requests(on="/census")
    async def census(self, **kwargs) -> dict:
        """Tasks of all loops that have not ended."""
        gc.collect()
        return {"tasks": sum(isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects())}


class Beside(Taker):
    """The same in another branch of a Flow."""


class Behind(Taker):
    """The same behind both."""
