"""Executors of the acceptance tests; imported by the workers."""

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

from docarray import BaseDoc, DocList

from jina import DocumentArray, Executor, requests


class Item(BaseDoc):
    text: str
    number: int


class Token(BaseDoc):
    text: str = ""


class Desk(Executor):
    """Answers, waits, fails and streams as the tests need it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.well = True
        self.holding = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.produced = 0
        self.next = threading.Event()
        self.closed = threading.Event()

    async def health(self):
        return self.well

    @requests(on="/parameters")
    def parameters(self, docs: DocumentArray, parameters: dict, **kwargs):
        for doc in docs:
            doc.text = repr({key: value for key, value in sorted(parameters.items()) if key != "__results__"})

    @requests(on="/typed")
    def typed(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return docs

    @requests(on="/fail")
    def fail(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        raise LookupError("no such thing", 7)

    @requests(on="/hold")
    async def hold(self, **kwargs):
        self.holding += 1
        try:
            async with asyncio.timeout(50):
                await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.holding -= 1

    @requests(on="/state")
    async def state(self, parameters: dict, **kwargs) -> dict:
        """Set what the parameters say, give what is."""
        if "well" in parameters:
            self.well = parameters["well"]
        if parameters.get("next"):
            self.next.set()
        if parameters.get("forget"):
            self.produced = 0
            self.next.clear()
            self.closed.clear()
        return {
            "holding": self.holding,
            "cancelled": self.cancelled,
            "produced": self.produced,
            "closed": self.closed.is_set(),
        }

    @requests(on="/closed")
    async def wait_closed(self, **kwargs) -> dict:
        """Answer once the generator that streams is closed."""
        async with asyncio.timeout(20):
            while not self.closed.is_set():
                await asyncio.sleep(0.002)
        return {}

    @requests(on="/sync-tokens")
    def sync_tokens(self, doc: Token, **kwargs) -> Token:
        with self._streaming():
            yield self._token(doc)
            self.next.wait(20)
            while True:
                yield self._token(doc)
                time.sleep(0.02)

    @requests(on="/async-tokens")
    async def async_tokens(self, doc: Token, **kwargs) -> Token:
        with self._streaming():
            yield self._token(doc)
            while not self.next.is_set():
                await asyncio.sleep(0.002)
            while True:
                yield self._token(doc)
                await asyncio.sleep(0.02)

    @contextlib.contextmanager
    def _streaming(self):
        try:
            yield
        finally:
            self.closed.set()

    def _token(self, doc):
        self.produced += 1
        return Token(text=f"{doc.text}{self.produced}")


class Slow(Executor):
    """Holds up each request for a hundredth of a second."""

    @requests(on="/slow")
    def slow(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        time.sleep(0.01)
        return docs


class Counting(Executor):
    """Counts what it answers and writes the count to the file `RECORD` when it is closed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    @requests(on="/count")
    async def counted(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        await asyncio.sleep(0.02)
        self.count += len(docs)
        return docs

    @requests(on="/sleep")
    def sleep(self, **kwargs):
        time.sleep(2)

    @requests(on="/compute")
    def compute(self, **kwargs):
        until = time.monotonic() + 2
        while time.monotonic() < until:
            sum(range(100))

    @requests(on="/gil")
    def gil(self, **kwargs):
        """Never let another thread run: one call into C code."""
        Path(os.environ["RECORD"]).write_text("holds\n")
        sum(range(10**14))

    def close(self):
        with open(os.environ["RECORD"], "a") as file:
            file.write(f"{self.count}\n")


class Broken(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with open(os.environ["RECORD"], "w") as file:
            file.write(repr(time.time()))
        raise OSError("no model")
