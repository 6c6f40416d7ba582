"""A real server of a small Service on all protocols, in a thread of its own."""

import asyncio
import threading
from contextlib import contextmanager

from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from jina.codec.codec import codec_for
from jina.codec.messages import Reply
from jina.codec.payloads import DocsPayload
from jina.documents import Document
from jina.errors import (
    BadRequest,
    EndpointNotFound,
    ExecutorError,
    Overloaded,
    PermissionDenied,
    Unavailable,
    ValidationFailed,
)
from jina.net.service import EndpointInfo
from jina.plan.plans import ListenerPlan
from jina.server.server import serve
from tests.fake_service import FakeService


class Note(BaseDoc):
    text: str = ""
    number: int = 0
    tensor: NdArray | None = None


NOTES = codec_for(Note)
DOCUMENTS = codec_for(Document)
SCHEMA = {"title": "Note", "type": "object", "properties": {"text": {"type": "string"}, "number": {"type": "integer"}}}
FLAT = {"text": "string", "number": "integer"}
PATHS = ("/echo", "/upper", "/fail", "/flaky", "/jitter", "/seen", "/slow", "/refuse", "/busy", "/some", "/invalid")


class NoteService(FakeService):
    """Echoes, changes, streams, waits and fails as the endpoint says."""

    name = "notes/rep-0"

    def __init__(self):
        self.endpoints = {path: self._info(path) for path in PATHS}
        for path in ("/tokens", "/broken", "/forever"):
            self.endpoints[path] = self._info(path, is_generator=True, is_single=True)
        self.requests = []
        self.lock = threading.Lock()
        self.running = 0
        self.most_running = 0
        self.failures_left = 0
        self.closed = threading.Event()
        self.cancelled = threading.Event()

    @staticmethod
    def _info(path, **more):
        return EndpointInfo(path, "Note", SCHEMA, "Note", SCHEMA, flat_fields=FLAT, **more)

    async def call(self, request):
        with self.lock:
            self.requests.append(request)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.running -= 1

    async def _answer(self, request):
        match request.endpoint:
            case "/echo" | "/seen":
                return Reply(request.payload, dict(request.parameters))
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
                    stacks=["Traceback\n", "  line 7 in foo\n"],
                    executor="Notes",
                )
            case "/some":
                docs = request.payload.decode(NOTES)
                if any(doc.number == 13 for doc in docs):
                    raise ExecutorError("ValueError(13)", name="ValueError", exception_args=["13"], executor="Notes")
                return Reply(DocsPayload(docs, NOTES))
            case "/flaky":
                with self.lock:
                    self.failures_left -= 1
                    if self.failures_left >= 0:
                        raise Unavailable("starting up")
                return Reply(request.payload)
            case "/jitter":
                docs = request.payload.decode(NOTES)
                await asyncio.sleep(0.02 if docs[0].number % 3 == 0 else 0)
                return Reply(DocsPayload(docs, NOTES))
            case "/slow":
                await asyncio.sleep(30)
            case "/refuse":
                raise PermissionDenied("not for you")
            case "/busy":
                raise Overloaded("the queue is full", retry_after=0.01)
            case "/invalid":
                raise ValidationFailed(
                    "text: too short", errors=[{"type": "short", "loc": ["text"], "msg": "too short"}]
                )
        if request.endpoint in self.endpoints:
            raise BadRequest(f"{request.endpoint} is a generator: use a stream")
        raise EndpointNotFound(
            f"no endpoint {request.endpoint!r}; there are /echo, /upper", help="did you mean '/echo'?"
        )

    async def stream(self, request):
        if request.endpoint not in self.endpoints:
            raise EndpointNotFound(f"no endpoint {request.endpoint!r}")
        if not self.endpoints[request.endpoint].is_generator:
            raise BadRequest(f"{request.endpoint} is not a generator: use a call, not a stream")
        doc = request.payload.decode(NOTES)[0]
        suffix = request.parameters.get("suffix", "")
        try:
            if request.endpoint == "/forever":
                number = 0
                while True:
                    yield self._token(f"{number}")
                    number += 1
                    await asyncio.sleep(0.002)
            for number in range(doc.number):
                yield self._token(f"{doc.text}{number}{suffix}")
            if request.endpoint == "/broken":
                raise ExecutorError("ValueError('mid')", name="ValueError", exception_args=["mid"], executor="Notes")
        finally:
            self.closed.set()

    @staticmethod
    def _token(text):
        return Reply(DocsPayload(DocList[Note]([Note(text=text)]), NOTES))


class ProcessGroup:
    """What a test knows of a server that runs in a thread."""

    def __init__(self, service, ports, stop):
        self.service = service
        self.ports = ports
        self.stop = stop

    def url(self, protocol):
        scheme = {"grpc": "grpc", "http": "http", "websocket": "ws"}[protocol]
        return f"{scheme}://127.0.0.1:{self.ports[protocol]}"


@contextmanager
def running(service=None, ports=None, tls=None, **options):
    """The service on grpc, http and websocket until the block ends."""
    service = service or NoteService()
    protocols = ("grpc", "http", "websocket")
    started = threading.Event()
    outcome = {}

    async def main():
        listeners = [
            ListenerPlan(protocol=protocol, host="127.0.0.1", port=(ports or {}).get(protocol, 0), tls=tls)
            for protocol in protocols
        ]
        server = serve(listeners, service, **options)
        try:
            await server.start()
        except BaseException as error:
            outcome["error"] = error
            started.set()
            raise
        outcome["ports"] = {
            protocol: int(address.rpartition(":")[2])
            for protocol, address in zip(protocols, server.addresses, strict=True)
        }
        outcome["loop"] = asyncio.get_running_loop()
        outcome["stop"] = asyncio.Event()
        started.set()
        await outcome["stop"].wait()
        await server.stop(0.2)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert started.wait(20)
    if "error" in outcome:
        raise outcome["error"]

    def stop():
        if thread.is_alive():
            outcome["loop"].call_soon_threadsafe(outcome["stop"].set)
            thread.join(20)

    try:
        yield ProcessGroup(service, outcome["ports"], stop)
    finally:
        stop()
