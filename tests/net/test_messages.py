"""Failures of requests as errors of ours."""

import asyncio
import gc
import weakref

from jina.net.messages import as_jina_error


class Frame(str):
    """A text that can be watched."""

    __slots__ = ("__weakref__",)


def test_a_cancelled_request_keeps_nothing_that_waited():
    """Its error has the frames of the request, which must not have the error again: that is a cycle."""
    gone = []

    async def emit(frame):
        gone.append(weakref.ref(frame))
        await asyncio.Event().wait()

    async def work():
        try:
            await emit(Frame("large"))
        except asyncio.CancelledError as error:
            as_jina_error(error)

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    gc.disable()
    try:
        asyncio.run(main())
        assert gone[0]() is None
    finally:
        gc.enable()
