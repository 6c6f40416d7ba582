"""The async client: many tasks, loops and threads, nothing left behind."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading

import pytest
from docarray import DocList

from jina import Client
from jina.errors import BadClientInput, ExecutorError, Unavailable
from tests.client.note_server import Note


def notes(count):
    return [Note(text=f"n{number}", number=number) for number in range(count)]


async def notes_async(count):
    for note in notes(count):
        await asyncio.sleep(0)
        yield note


@pytest.fixture
def async_client(server, protocol):
    return Client(host=server.url(protocol), asyncio=True)


def test_iterate(async_client):
    async def main():
        async with async_client as client:
            stream = client.post("/upper", notes(5), request_size=2, return_type=DocList[Note], results_in_order=True)
            return [[doc.text for doc in docs] async for docs in stream]

    assert asyncio.run(main()) == [["N0", "N1"], ["N2", "N3"], ["N4"]]


def test_await(async_client):
    async def main():
        async with async_client as client:
            docs = await client.post(
                "/jitter", notes_async(60), request_size=1, return_type=Note, results_in_order=True
            )
            one = await client.post("/upper", Note(text="a"), return_type=Note)
            [response] = await client.post("/echo", Note(), parameters={"k": 3}, return_responses=True)
            return [doc.number for doc in docs], one.text, response.parameters

    assert asyncio.run(main()) == (list(range(60)), "A", {"k": 3})


def test_errors_and_callbacks(async_client):
    async def main():
        async with async_client as client:
            with pytest.raises(ExecutorError, match="boom"):
                await client.post("/fail", Note())
            with pytest.raises(BadClientInput):
                await client.post("/echo", [5])
            failed, done = [], []
            result = await client.post(
                "/some",
                notes(20),
                request_size=1,
                on_error=failed.append,
                on_done=done.append,
                return_type=DocList[Note],
            )
            return result, len(failed), len(done)

    assert asyncio.run(main()) == (None, 1, 19)


@pytest.mark.parametrize("inputs", [None, [], (), DocList[Note]()])
def test_an_empty_container_is_a_request_without_documents(server, async_client, inputs):
    async def main():
        async with async_client as client:
            iterated = [len(docs) async for docs in client.post("/seen", inputs, parameters={"k": 1})]
            return iterated, len(await client.post("/seen", inputs, parameters={"k": 2}))

    before = len(server.service.requests)
    assert asyncio.run(main()) == ([0], 0)
    assert [request.parameters for request in server.service.requests[before:]] == [{"k": 1}, {"k": 2}]


def test_a_broken_generator(async_client):
    async def broken():
        yield Note()
        raise LookupError("mine")

    async def main():
        async with async_client as client:
            with pytest.raises(LookupError, match="mine"):
                await client.post("/echo", broken(), request_size=1)
            return await client.post("/echo", Note(text="x"), return_type=Note)

    assert asyncio.run(main()).text == "x"


def test_retries_read_an_async_generator_on(server, async_client):
    server.service.failures_left = 3

    async def main():
        async with async_client as client:
            return await client.post(
                "/flaky", notes_async(30), request_size=3, max_attempts=8,
                initial_backoff=0.01, max_backoff=0.01, return_type=DocList[Note],
            )  # fmt: skip

    assert sorted(doc.number for doc in asyncio.run(main())) == list(range(30))


def test_leaving_early_cancels(server, async_client):
    server.service.cancelled.clear()

    async def main():
        async with async_client as client:
            task = asyncio.ensure_future(client.post("/slow", notes(3), request_size=1)._all())
            before = len(server.service.requests)
            while len(server.service.requests) == before:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(server.service.cancelled.wait, 10)

    assert asyncio.run(main())


def test_many_tasks_share_a_client(async_client):
    async def main():
        async with async_client as client:
            results = await asyncio.gather(
                *(client.post("/upper", Note(text=f"t{number}"), return_type=Note)._all() for number in range(60))
            )
            return [doc.text for doc in results]

    assert asyncio.run(main()) == [f"T{number}" for number in range(60)]


def test_loops_one_after_the_other_and_in_threads(async_client):
    async def once():
        return (await async_client.post("/upper", Note(text="a"), return_type=Note)).text

    assert [asyncio.run(once()) for _ in range(3)] == ["A"] * 3
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(asyncio.run(once()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == ["A"] * 4


def test_ready(server, async_client):
    async def main():
        async with async_client as client:
            return await client.is_flow_ready(), (await client.profiling(show_table=False))["Roundtrip"] > 0

    assert asyncio.run(main()) == (True, True)
    nobody = Client(port=1, protocol=async_client.protocol, asyncio=True)
    assert asyncio.run(nobody.is_flow_ready()) is False


def test_nobody_there(protocol):
    async def main():
        async with Client(port=1, protocol=protocol, asyncio=True) as client:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
                await client.post("/echo", Note())

    asyncio.run(main())


def test_an_unused_call_is_silent(async_client):
    async def main():
        async_client.post("/echo", Note())
        gc.collect()

    asyncio.run(main())


NOISE = """
    import asyncio, gc, os, subprocess, sys, threading
    from docarray import BaseDoc
    from jina import Client

    class Note(BaseDoc):
        text: str = ''
        number: int = 0

    urls = sys.argv[1:]

    async def use(client):
        await client.post('/upper', [Note(text='a')] * 5, request_size=1)
        async for _ in client.stream_doc('/forever', Note()):
            break
        async for _ in client.post('/echo', [Note()] * 50, request_size=1):
            break
        try:
            await client.post('/slow', Note(), timeout=0.05)
        except TimeoutError:
            pass

    shared = [Client(host=url, asyncio=True) for url in urls]
    for url, client in zip(urls, shared):
        asyncio.run(use(client))
        asyncio.run(use(Client(host=url, asyncio=True)))
        sync = Client(host=url)
        sync.post('/upper', [Note(text='a')] * 5, request_size=1)
        for _ in sync.stream_doc('/forever', Note()):
            break
        subprocess.run(['true'], check=True)
        if hasattr(os, 'fork'):
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
    threads = [threading.Thread(target=lambda c=c: asyncio.run(use(c))) for c in shared for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    del sync
    gc.collect()
    print('done')
"""


@pytest.mark.slow
def test_stderr_stays_empty(server):
    """Loops, threads, early leavers, forks and forgotten clients: not one line on stderr, warnings shown."""
    urls = [server.url(protocol) for protocol in ("grpc", "http", "websocket")]
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-W", "always::RuntimeWarning",
         "-W", "ignore:This process:DeprecationWarning",  # Python 3.12 and later say it at every fork with threads
         "-c", textwrap.dedent(NOISE), *urls],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
