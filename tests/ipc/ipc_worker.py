"""A worker with an Executor of its own behind a link: `python -m tests.ipc.ipc_worker <fd>`."""

import asyncio
import os
import socket
import sys
import threading

from jina import DocumentArray, Executor, requests
from jina.ipc.server import LinkServer
from jina.plan.plans import ExecutorPlan, WorkerPlan
from jina.worker.service import WorkerService


class Slow(Executor):
    """Its `def` handler never returns, and says when it begins."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    @requests(on="/block")
    def block(self, docs: DocumentArray, **kwargs):
        os.write(1, b"begun\n")
        threading.Event().wait()

    @requests(on="/ping")
    async def ping(self, docs: DocumentArray, **kwargs):
        pass


async def main(fd):
    loop = asyncio.get_running_loop()
    plan = WorkerPlan(name="slow/rep-0", deployment="slow", executor=ExecutorPlan(), listeners=[])
    service = WorkerService(Slow(), plan, protocol_loop=loop, user_loop=loop)
    service.watchdog.start()
    service.state = "ready"
    server = LinkServer(socket.socket(fileno=fd), service, plan.max_message_size)
    await server.start()
    await server.lost()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
