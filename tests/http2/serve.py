"""A server in a process of its own: `python -m tests.http2.serve ENGINE WHAT [CERTIFICATE KEY [AUTHORITY]]`.

It prints its port. ENGINE is the library that speaks HTTP/2, WHAT is `notes`, the sample service on a listener, or
`testing`, gRPC's own service for interoperability. Clients must show a certificate that AUTHORITY signed. For each line
on its standard input it prints a line of JSON that says what it holds.
"""

import asyncio
import ctypes
import gc
import json
import os
import sys
from collections import deque
from pathlib import Path

ENGINE, WHAT, *FILES = sys.argv[1:]
if ENGINE == "h2":
    sys.modules["ngh2"] = None  # as where it has no wheel

from jina.net import http2_library  # noqa: E402
from jina.net.limits import Limits  # noqa: E402
from jina.net.tls import grpc_context  # noqa: E402
from jina.net.unread import Bounds, Unread  # noqa: E402
from jina.plan.plans import ListenerPlan, TlsPlan  # noqa: E402
from jina.server.grpc import aborted  # noqa: E402
from jina.server.grpc_protocol import ConnectionSettings, GrpcConnection, Terms  # noqa: E402
from jina.server.server import serve  # noqa: E402
from tests.http2.testing_service import TestService  # noqa: E402
from tests.server.sample_service import SampleService  # noqa: E402

FRAME = 16384
"""Bytes of the largest frame: h2spec takes it that no server takes larger ones."""

MESSAGE = 4_000_000
"""Bytes of the largest message."""
TLS = TlsPlan(certfile=FILES[0], keyfile=FILES[1], ca_file=FILES[2] if FILES[2:] else None) if FILES else None


async def notes():
    plan = ListenerPlan(protocol="grpc", host="127.0.0.1", port=0, timeout_read=3.0, tls=TLS)
    service = SampleService()
    service.requests = deque(maxlen=10)  # they may be millions
    limits = Limits(message_size=MESSAGE)
    server = serve([plan], service, limits=limits, grpc_options={"grpc.http2.max_frame_size": FRAME})
    await server.start()
    return int(server.addresses[0].rpartition(":")[2])


async def testing():
    terms = Terms(TestService().find, aborted, ConnectionSettings(), Unread(Bounds()), set())
    context = grpc_context(TLS) if TLS is not None else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: GrpcConnection(terms), "127.0.0.1", 0, ssl=context)
    return server.sockets[0].getsockname()[1]


def look():
    """Memory in KiB, without what only waits to be freed; connections and tasks."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "connections": sum(isinstance(one, GrpcConnection) for one in gc.get_objects()),
        "tasks": len(asyncio.all_tasks()) - 1,
    }


def say(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main():
    assert http2_library.library() == ENGINE
    port = await (testing() if WHAT == "testing" else notes())
    say(port)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):  # until who started it ends
        say(json.dumps(look()))


asyncio.run(main())
