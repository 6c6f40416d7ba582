"""Workers that serve on the port itself and are replaced while requests keep coming."""

import asyncio
import threading

import pytest

from jina import Client, Deployment, Document, DocumentArray, Executor, requests
from jina.errors import JinaError

CALLERS = 24
"""Requests that wait for their answers at any time; each is followed by another one at once."""
ROUNDS = 3


class Answering(Executor):
    """Says whose it is."""

    def __init__(self, word: str = "", **kwargs):
        super().__init__(**kwargs)
        self.word = word

    @requests(on="/word")
    async def say(self, docs: DocumentArray, **kwargs):
        docs.texts = [f"{text} {self.word}" for text in docs.texts]


class Callers:
    """Ask all the time while it is entered."""

    def __init__(self, port):
        self.answered, self.words, self.failures = 0, set(), []
        self._port, self._over = port, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)

    async def _run(self):
        async with Client(host="127.0.0.1", port=self._port, asyncio=True) as client:
            await asyncio.gather(*(self._ask(client, f"{number}") for number in range(CALLERS)))

    async def _ask(self, client, text):
        while not self._over.is_set():
            try:
                said, word = (await client.post("/word", Document(text=text), timeout=20)).texts[0].split()
            except JinaError as error:
                self.failures.append(error)
            else:
                assert said == text
                self.answered += 1
                self.words.add(word)


@pytest.mark.slow
def test_no_request_fails():
    served = Deployment(uses=Answering, uses_with={"word": "first"}, host="127.0.0.1", quiet=True)
    with served as deployment, Callers(deployment.port) as callers:
        for number in range(ROUNDS):
            deployment.roll_out(uses_with={"word": f"word-{number}"})
        assert deployment.status().state == "ready"
    assert callers.failures == []
    assert callers.words >= {f"word-{number}" for number in range(ROUNDS - 1)}
