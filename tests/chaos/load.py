"""Requests at a steady rate, whatever becomes of those before; from a thread of its own."""

import asyncio
import contextlib
import threading
from collections import Counter

from jina import Client, Document
from jina.errors import JinaError

TIMEOUT = 20


class Load:
    """While it is entered, `rate` requests a second go to a port, to one endpoint after the other.

    `answered` maps the number of a request to the reply's text, `failed` to its error; `seen` counts replies by text
    since it was last cleared.
    """

    def __init__(self, port, rate=200, endpoints=("/once",), protocol="grpc"):
        self.answered, self.failed, self.seen = {}, {}, Counter()
        self.sent = 0
        self._to = {"port": port, "protocol": protocol, "host": "127.0.0.1"}
        self._rate, self._endpoints = rate, endpoints
        self._stop, self._warm = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self.broken = None

    def __enter__(self):
        self._thread.start()
        assert self._warm.wait(30), self.broken
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.broken is not None:
            raise self.broken

    def endpoint(self, number):
        """Where a request went."""
        return self._endpoints[number % len(self._endpoints)]

    async def _run(self):
        try:
            async with Client(asyncio=True, **self._to) as client:
                await client.post("/safe", Document(text="warm"))
                self._warm.set()
                await self._steadily(client)
        except BaseException as error:
            self.broken = error

    async def _steadily(self, client):
        loop, tasks = asyncio.get_running_loop(), set()
        due = loop.time()
        while not self._stop.is_set():
            task = loop.create_task(self._ask(client, self.sent))
            self.sent += 1
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due = max(due + 1 / self._rate, loop.time() - 1)
            await asyncio.sleep(due - loop.time())
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, client, number):
        try:
            docs = await client.post(self.endpoint(number), Document(text=str(number)), timeout=TIMEOUT)
        except JinaError as error:
            self.failed[number] = error
        else:
            with contextlib.suppress(IndexError):
                text = docs[0].text
                assert number not in self.answered
                self.answered[number] = text
                self.seen[text] += 1
