"""A small real Service for upstreams, and ways to reach it: in this process, or in a child that can be killed.

Loads no documents' classes, so that a child is up soon: `python -m tests.client.upstream_service <kind> <fd>`.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from jina import errors
from jina.codec import pb
from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.net.limits import Limits
from jina.net.service import EndpointInfo, Upstream
from tests.fake_service import FakeService

NAME = "echo/rep-0"
LIMIT = 4 * 1024 * 1024
SCHEMA = {"title": "Note", "type": "object", "properties": {"text": {"type": "string", "default": "é"}}}


def documents(*texts: str) -> bytes:
    """Serialised documents, one for each text."""
    message = pb.DocListProto()
    for text in texts:
        message.docs.add().data["text"].text = text
    return message.SerializeToString()


def texts_of(payload) -> list[str]:
    """What `documents` was made from."""
    message = pb.DocListProto.FromString(payload.to_bytes())
    return [doc.data["text"].text for doc in message.docs]


def blob(size: int, seed: int = 0) -> bytes:
    """Serialised documents of about `size` bytes, different for each seed."""
    message = pb.DocListProto()
    message.docs.add().data["blob"].blob = (seed.to_bytes(4, "little") + bytes(range(251))) * (size // 255 + 1)
    return message.SerializeToString()


FAILURES: dict[str, Callable[[], Exception]] = {
    "executor": lambda: errors.ExecutorError(
        "ValueError('boom', 3)", name="ValueError", exception_args=["boom", "3"],
        stacks=["Traceback\n", "  line\n"], executor="Echo",
    ),
    "validation": lambda: errors.ValidationFailed(
        "body.data.0.text: is missing",
        errors=[{"type": "missing", "loc": ["body", "data", 0, "text"], "msg": "is missing"}],
    ),
    "overloaded": lambda: errors.Overloaded("the queue is full", retry_after=2.5),
    "not found": lambda: errors.EndpointNotFound("no endpoint '/eco'", help="did you mean '/echo'?"),
    "denied": lambda: errors.PermissionDenied("not for you"),
    "unavailable": lambda: errors.Unavailable("draining"),
}  # fmt: skip


def failure(name: str) -> Exception:
    """A fresh one of `FAILURES`."""
    return FAILURES[name]()


class EchoService(FakeService):
    """Echoes, waits, streams and fails. Counts what runs."""

    name = NAME

    def __init__(self) -> None:
        paths = ("/echo", "/wait", "/fail", "/explode", "/double")
        streams = ("/count", "/endless", "/broken", "/first")
        self.endpoints = {
            path: EndpointInfo(
                path, "Note", SCHEMA, "Note", SCHEMA, is_generator=path in streams, flat_fields={"text": "string"}
            )
            for path in (*paths, *streams)
        }
        self.seen: list[Request] = []
        self.running = 0
        self.cancelled = 0
        self.closed = 0
        self.produced = 0
        self.release = asyncio.Event()
        self.changed = asyncio.Condition()

    async def call(self, request: Request) -> Reply:
        self.seen.append(request)
        self.begin(request)
        self.running += 1
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _answer(self, request: Request) -> Reply:
        if request.endpoint == "/wait":
            await self.release.wait()
        elif request.endpoint == "/fail":
            raise failure(request.parameters["with"])
        elif request.endpoint == "/explode":
            raise ZeroDivisionError("a bug of the service")
        elif request.endpoint == "/double":
            return Reply(BytesPayload(request.payload.to_bytes() * 2))
        elif request.endpoint not in self.endpoints:
            raise failure("not found")
        pause = request.parameters.get("pause")
        if pause is not None:
            await asyncio.sleep(pause)
        return Reply(request.payload, dict(request.parameters))

    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        self.seen.append(request)
        self.begin(request)
        self.running += 1
        try:
            if request.endpoint == "/broken":
                yield Reply(BytesPayload(documents("0")))
                raise failure("executor")
            if request.endpoint == "/first":
                yield Reply(BytesPayload(documents("0")))
                await self.release.wait()
            size = request.parameters.get("size", 0)
            for number in range(request.parameters.get("count", 10**9)):
                self.produced = number + 1
                yield self._item(request, number, size)
                if number % 100 == 0:
                    await asyncio.sleep(0)
        finally:
            self.running -= 1
            self.closed += 1

    @staticmethod
    def _item(request: Request, number: int, size: int) -> Reply:
        if request.json_reply:
            return Reply(JsonPayload(b'[{"text":"%d"}]' % number))
        return Reply(BytesPayload(documents(str(number)) if not size else blob(size, number)))

    def begin(self, request: Request) -> None:
        """Tell that the work on a request begins."""
        if request.began is not None:
            request.began()


async def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def linked(service: EchoService, max_message_size: int = LIMIT, grace: float = 0.5) -> AsyncIterator[Upstream]:
    """An upstream to a service of this process over a local link."""
    from jina.ipc.client import LinkUpstream
    from jina.ipc.server import LinkServer

    ours, theirs = socket.socketpair()
    server = LinkServer(theirs, service, max_message_size)
    upstream = LinkUpstream(NAME, ours, max_message_size)
    await server.start()
    try:
        yield upstream
    finally:
        await upstream.close()
        await server.stop(grace)


@asynccontextmanager
async def linked_child(max_message_size: int = LIMIT) -> AsyncIterator[tuple[Upstream, subprocess.Popen]]:
    """An upstream to a service of a child process over a local link."""
    from jina.ipc.client import LinkUpstream

    ours, theirs = socket.socketpair()
    with theirs:
        child = start_child("link", theirs.fileno())
    upstream = LinkUpstream(NAME, ours, max_message_size)
    try:
        await upstream.describe()
        yield upstream, child
    finally:
        await upstream.close()
        end_child(child)


@asynccontextmanager
async def remote(service: EchoService, max_message_size: int = LIMIT, grace: float = 0.5) -> AsyncIterator[Upstream]:
    """An upstream to a service of this process over gRPC."""
    server, port = await serve_port(service, max_message_size)
    upstream = grpc_hop(port, max_message_size)
    try:
        yield upstream
    finally:
        await upstream.close()
        await server.stop(grace)


@asynccontextmanager
async def remote_child(max_message_size: int = LIMIT) -> AsyncIterator[tuple[Upstream, subprocess.Popen]]:
    """An upstream to a service of a child process over gRPC."""
    ours, theirs = socket.socketpair()
    with theirs:
        child = start_child("grpc", theirs.fileno())
    with ours:
        port = int(await asyncio.to_thread(ours.recv, 16))
    upstream = grpc_hop(port, max_message_size)
    try:
        await upstream.describe()
        yield upstream, child
    finally:
        await upstream.close()
        end_child(child)


def grpc_hop(port: int, max_message_size: int) -> Upstream:
    """An upstream to a port of this machine."""
    from jina.client.grpc import GrpcUpstream
    from jina.plan.plans import NodePlan, UpstreamPlan

    plan = UpstreamPlan(kind="grpc", name=NAME, address=f"127.0.0.1:{port}")
    return GrpcUpstream(plan, NodePlan(name="echo", needs=["gateway"], upstreams=[plan]), max_message_size)


async def serve_port(service: EchoService, max_message_size: int):
    """A started gRPC server, and its port."""
    from jina.plan.plans import ListenerPlan
    from jina.server.server import serve

    server = serve([ListenerPlan(protocol="grpc", host="127.0.0.1", port=0)], service, limits=Limits(max_message_size))
    await server.start()
    return server, int(server.addresses[0].rpartition(":")[2])


def start_child(kind: str, fd: int) -> subprocess.Popen:
    """This module as a child process that inherits a file descriptor."""
    command = [sys.executable, "-m", __spec__.name, kind, str(fd)]
    return subprocess.Popen(command, pass_fds=[fd], cwd=Path(__file__).parents[2])


def end_child(child: subprocess.Popen) -> None:
    """Kill the child, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    child.wait(10)


CONNECT: dict[str, Callable[..., AbstractAsyncContextManager[Upstream]]] = {"link": linked, "grpc": remote}
"""By kind: called with a service, `max_message_size` and `grace`."""

CONNECT_CHILD: dict[str, Callable[..., AbstractAsyncContextManager[tuple[Upstream, subprocess.Popen]]]] = {
    "link": linked_child,
    "grpc": remote_child,
}
"""By kind: an upstream to a child, and the child."""


async def serve_link(fd: int) -> None:
    """Serve one link until its gateway leaves."""
    from jina.ipc.server import LinkServer

    server = LinkServer(socket.socket(fileno=fd), EchoService(), LIMIT)
    await server.start()
    await server.lost()


async def serve_grpc(fd: int) -> None:
    """Serve a gRPC port, told over a socket, until killed."""
    _, port = await serve_port(EchoService(), LIMIT)
    with socket.socket(fileno=fd) as channel:
        channel.send(str(port).encode())
    await asyncio.Event().wait()


SERVE = {"link": serve_link, "grpc": serve_grpc}
"""By kind: what a child does."""

if __name__ == "__main__":
    asyncio.run(SERVE[sys.argv[1]](int(sys.argv[2])))
    os._exit(0)
