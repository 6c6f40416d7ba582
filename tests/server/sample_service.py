"""A small real Service, and servers of it on free ports."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from docarray import BaseDoc, DocList

from jina.codec.codec import codec_for
from jina.codec.messages import Reply, Request
from jina.codec.payloads import DocsPayload
from jina.errors import BadRequest, EndpointNotFound, ExecutorError, Overloaded
from jina.net.service import EndpointInfo
from jina.plan.plans import ListenerPlan
from jina.server.server import Server, serve
from tests.fake_service import FakeService


class Note(BaseDoc):
    text: str = ""
    number: int = 0


NOTES = codec_for(Note)
NOTE_SCHEMA = {
    "title": "Note",
    "type": "object",
    "properties": {"id": {"type": "string"}, "text": {"type": "string"}, "number": {"type": "integer"}},
}
PATHS = ("/echo", "/upper", "/fail", "/slow", "/busy", "/explode", "/desert")
LOOSE_SCHEMA = {"title": "Document", "type": "object", "additionalProperties": True}


def info(path, **more):
    values = {
        "input_name": "Note",
        "input_schema": NOTE_SCHEMA,
        "output_name": "Note",
        "output_schema": NOTE_SCHEMA,
        "flat_fields": {"id": "string", "text": "string", "number": "integer"},
        **more,
    }
    return EndpointInfo(path, **values)


class SampleService(FakeService):
    """Echoes, changes, streams, waits and fails."""

    name = "sample/rep-0"

    def __init__(self, *, default=False, with_generators=True):
        self.endpoints = {path: info(path) for path in PATHS}
        self.endpoints["/write"] = info("/write", is_write=True, description="Keeps the notes.")
        if with_generators:
            for path in ("/tokens", "/broken", "/forever", "/late", "/deserted"):
                self.endpoints[path] = info(path, is_generator=True, is_single=True)
        if default:
            self.endpoints["/default"] = info("/default", input_name="Document", input_schema=LOOSE_SCHEMA)
        self.requests: list[Request] = []
        self.running = 0
        self.most_running = 0
        self.cancelled = asyncio.Event()
        self.closed = asyncio.Event()
        self.release = asyncio.Event()
        self.produced = 0

    async def call(self, request):
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.running -= 1

    async def _answer(self, request):
        if request.endpoint not in self.endpoints and "/default" not in self.endpoints:
            raise EndpointNotFound(
                f"no endpoint {request.endpoint!r}; there are /echo, /upper", help="did you mean '/echo'?"
            )
        match request.endpoint:
            case "/upper":
                docs = request.payload.decode(NOTES)
                for doc in docs:
                    doc.text = doc.text.upper()
                return Reply(DocsPayload(docs, NOTES), dict(request.parameters))
            case "/fail":
                raise ExecutorError(
                    "ValueError('boom', 3)",
                    name="ValueError",
                    exception_args=["boom", "3"],
                    stacks=["line\n"],
                    executor="Sample",
                )
            case "/explode":
                raise ZeroDivisionError("a bug of the service")
            case "/desert":
                raise asyncio.CancelledError("and nobody cancelled it")
            case "/busy":
                raise Overloaded("the queue is full", retry_after=2.0)
            case "/slow":
                docs = request.payload.decode(NOTES)
                if not docs or docs[0].text != "quick":
                    await self.release.wait()
                return Reply(DocsPayload(docs, NOTES))
            case "/tokens":
                raise BadRequest("/tokens is a generator: use a stream")
        return Reply(request.payload, dict(request.parameters))

    async def stream(self, request) -> AsyncIterator[Reply]:
        self.requests.append(request)
        if request.endpoint not in self.endpoints:
            raise EndpointNotFound(f"no endpoint {request.endpoint!r}")
        if not self.endpoints[request.endpoint].is_generator:
            raise BadRequest(f"{request.endpoint} is not a generator", help="use call")
        doc = request.payload.decode(NOTES)[0]
        try:
            if request.endpoint == "/deserted":
                raise asyncio.CancelledError("and nobody cancelled it")
            if request.endpoint == "/late":
                await self.release.wait()
            if request.endpoint == "/forever":
                for number in range(10**9):
                    self.produced = number
                    yield self._tokens([f"{doc.text}{number}"])
                    await asyncio.sleep(0.005)
            yield self._tokens([f"{doc.text}0"])
            if request.endpoint == "/broken":
                raise ExecutorError("ValueError('mid')", name="ValueError", exception_args=["mid"], executor="Sample")
            yield self._tokens([f"{doc.text}{number}" for number in range(1, max(1, doc.number))])
        finally:
            self.closed.set()

    @staticmethod
    def _tokens(texts):
        return Reply(DocsPayload(DocList[Note](Note(text=text) for text in texts), NOTES))

    async def metrics(self, *, openmetrics=True):
        return b"# TYPE sample counter\nsample_total 1\n# EOF\n"


@contextlib.asynccontextmanager
async def served(service, *protocols, grace=1.0, timeout_read=30.0, **options):
    """A started server with a free port for each protocol."""
    listeners = [
        ListenerPlan(protocol=protocol, host="127.0.0.1", port=0, timeout_read=timeout_read) for protocol in protocols
    ]
    server: Server = serve(listeners, service, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace)


def run(main, timeout=50):
    """Run a coroutine to its end, within a time limit in seconds."""

    async def limited():
        async with asyncio.timeout(timeout):
            return await main

    return asyncio.run(limited())


def authority(server, index=0):
    """`host:port` of a listener."""
    return server.addresses[index].partition("://")[2]


def url(server, path="", index=0):
    """The URL of a path on a listener."""
    return server.addresses[index] + path
