"""A WorkerService on two loops, as in a worker, but driven by the test."""

import asyncio
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import ProtoPayload
from jina.plan.plans import ExecutorPlan, WorkerPlan
from jina.runtime.process import LoopThread, new_loop
from jina.worker.service import WorkerService


def plan(**options):
    options = {
        "name": "executor/rep-0",
        "deployment": "executor",
        "executor": ExecutorPlan(),
        "listeners": [],
        **options,
    }
    return WorkerPlan(**options)


def request(endpoint="/", texts=(), **options):
    message = pb.DocListProto()
    for number, text in enumerate(texts):
        doc = message.docs.add()
        doc.data["id"].text = str(number)
        doc.data["text"].text = text
    return Request(endpoint, ProtoPayload(message), **options)


def texts(reply):
    message = pb.DocListProto.FromString(reply.payload.to_bytes())
    return [doc.data["text"].text for doc in message.docs]


@contextmanager
def serving(executor, *, one_loop=False, give_up=None, **options):
    """Gives `service`, `run(coroutine)` on the protocol loop, and `user`, the user loop's thread."""
    user = LoopThread("user")
    made, protocol = [], None if one_loop else new_loop()

    async def make():
        loop = asyncio.get_running_loop()
        service = WorkerService(
            executor, plan(**options), protocol_loop=protocol or loop, user_loop=loop, give_up=give_up
        )
        service.watchdog.start()
        service.state = "ready"
        made.append(service)

    try:
        asyncio.run(user.run(make()))
    except BaseException:
        user.stop()
        raise
    (service,) = made

    def run(work, seconds=10.0):
        if protocol is not None:
            return protocol.run_until_complete(asyncio.wait_for(work, seconds))
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), user.loop).result(seconds + 1)

    try:
        yield SimpleNamespace(service=service, run=run, user=user)
        assert run(service.dispatcher.quiet(5)), "a handler still runs"
    finally:
        user.loop.call_soon_threadsafe(service.watchdog.stop)
        service.dispatcher.stop()
        user.stop()
        if protocol is not None:
            protocol.close()


@pytest.fixture
def worker():
    """The helpers above, by name."""
    return SimpleNamespace(serving=serving, plan=plan, request=request, texts=texts)


@pytest.fixture(autouse=True)
def _no_thread_left():
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if "_poll_wrapper" in thread.name:  # gRPC's own, one a process
            continue
        thread._started.wait(5)  # one that another thread starts at this moment cannot be joined yet
        thread.join(5)
        assert not thread.is_alive(), f"{thread} was left behind"
