"""Executors of the tests with real collectors; imported by the workers."""

import asyncio
import ctypes
import time

from docarray import BaseDoc

from jina import DocumentArray, Executor, dynamic_batching, monitor, requests


class TracedToken(BaseDoc):
    text: str = ""


class TracedFirst(Executor):
    @requests(on="/x")
    @monitor(name="first_seconds", documentation="Time of the first step")
    def x(self, docs: DocumentArray, tracing_context=None, **kwargs):
        self.logger.info("first has %d", len(docs))
        self.meter.create_counter("users_own").add(len(docs))
        with self.tracer.start_as_current_span("inner", context=tracing_context), self.monitor("inner_seconds"):
            for doc in docs:
                doc.text += "1"

    @requests(on="/tokens")
    async def tokens(self, doc: TracedToken, **kwargs) -> TracedToken:
        for number in range(3):
            yield TracedToken(text=f"{doc.text}{number}")

    @requests(on="/fail")
    def fail(self, **kwargs):
        raise ValueError("not today")


class TracedSecond(Executor):
    @requests(on="/x")
    async def x(self, docs: DocumentArray, **kwargs):
        self.logger.info("second has %d", len(docs))
        for doc in docs:
            doc.text += "2"


class TracedBatch(Executor):
    @dynamic_batching(preferred_batch_size=2, timeout=20_000)
    @requests(on="/x")
    def x(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text += "b"


class Stuck(Executor):
    """Keeps its worker busy in each of the ways that there are."""

    @requests(on="/sync")
    def sync(self, parameters: dict, **kwargs):
        time.sleep(parameters["seconds"])

    @requests(on="/blocked-loop")
    async def blocked_loop(self, parameters: dict, **kwargs):
        time.sleep(parameters["seconds"])

    @requests(on="/python")
    def python(self, parameters: dict, **kwargs):
        until = time.monotonic() + parameters["seconds"]
        while time.monotonic() < until:
            sum(range(100))

    @requests(on="/gil")
    def gil(self, parameters: dict, **kwargs):
        """One call into C code that never lets another thread run."""
        sum(range(int(parameters["rounds"])))

    @requests(on="/usleep")
    def usleep(self, parameters: dict, **kwargs):
        """The same for so many seconds: PyDLL keeps the interpreter's lock during a call."""
        until = time.monotonic() + parameters["seconds"]
        ctypes.PyDLL(None).usleep(int(parameters["seconds"] * 1e6))
        assert time.monotonic() >= until

    @requests(on="/quick")
    async def quick(self, **kwargs):
        await asyncio.sleep(0)
