"""Streams through a Flow: what a generator yields goes on at once, through all steps, to the client.

What a single Executor does: `test_streams.py`.
"""

import asyncio
import itertools
import statistics
import time

import pytest
from docarray import DocList

from jina import Client, Flow
from jina.errors import BadRequest, ExecutorError
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.flow_asking import PAUSE, processes_of, pss, results
from tests.acceptance.flow_services import Flood, SetField, Sink, Stamped, Word, Words
from tests.acceptance.services import Token
from tests.acceptance.test_streams import PROMPTLY, WAYS

PER_STEP = 0.010
"""Seconds that a document may take from one step to the next, in the middle of a stream."""


@pytest.fixture(params=WAYS)
def reading(request, port_of):
    """A context manager that gives a function to read the next text of a stream."""
    way, how = WAYS[request.param]
    return lambda endpoint: way(port_of, how, endpoint)


@pytest.fixture
def first(line):
    """Ask the first step what it saw, over a connection of its own."""

    def ask(endpoint="/state", **parameters):
        (response,) = line.post(endpoint, parameters=parameters, return_responses=True)
        return next(found for name, found in response.parameters["__results__"].items() if name.startswith("first"))

    return ask


@pytest.mark.parametrize("endpoint", ["/sync-tokens", "/async-tokens"])
def test_a_stream(reading, endpoint, first):
    """The first document has passed all steps before the second is made; leaving closes the generator at once."""
    took = []
    for _ in range(3):  # the machine may be busy: one prompt end shows that it is not waited for anything
        first(forget=True)
        with reading(endpoint) as read:
            assert read() == "t1+m+l"
            assert first()["produced"] == 1
            first(next=True)
            assert [read(), read()] == ["t2+m+l", "t3+m+l"]
            assert not first()["closed"]
            left = time.monotonic()
        first("/closed")
        took.append(time.monotonic() - left)
        if took[-1] < PROMPTLY:
            return
    pytest.fail(f"closed only after {took} s")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_each_step_adds(port_of, protocol):
    """By the clock of the machine: from the generator to the steps behind it and to the client."""
    with Client(host="127.0.0.1", port=port_of[protocol], protocol=protocol) as client:
        tries = []
        for _ in range(3):
            times = []
            for doc in client.stream_doc("/stamps", Stamped(number=40), return_type=Stamped):
                times.append([*doc.times, time.monotonic()])
            assert len(times) == 40
            assert {len(one) for one in times} == {4}
            medians = [statistics.median(one[i + 1] - one[i] for one in times) for i in range(3)]
            tries.append(medians)
            if max(medians) < PER_STEP:
                return
    pytest.fail(f"seconds to the next step: {tries}")


@pytest.fixture(scope="module")
def forked():
    """A stream, a fork of which one branch is slower, an automatic join, and a step behind it."""
    flow = Flow(protocol=list(PROTOCOLS), host="127.0.0.1", quiet=True).add(name="words", uses=Words)
    flow = flow.add(name="left", uses=SetField, uses_with={"field": "left", "seconds": 0.005}, needs="words")
    flow = flow.add(name="right", uses=SetField, uses_with={"field": "right"}, needs="words")
    flow = flow.needs(["left", "right"], name="both").add(name="after", uses=SetField, uses_with={"field": "after"})
    with flow as running:
        yield running


def test_a_fork_behind_a_stream(forked, protocol):
    """Each document is joined by itself, and leaves before the next is made; order is kept."""
    listener = forked.plan.gateway.listeners[PROTOCOLS.index(protocol)]
    forked.post("/next", parameters={"go": False})
    with Client(host="127.0.0.1", port=listener.port, protocol=protocol) as client:
        found = client.stream_doc("/words", Word(text="w"), return_type=Word, parameters={"count": 40})
        docs = [next(found)]
        forked.post("/next", parameters={"go": True})
        docs += found
    assert [(doc.text, doc.left, doc.right, doc.after) for doc in docs] == [
        (f"w{i}", f"lw{i}", f"rw{i}", f"aw{i}") for i in range(40)
    ]


def test_streams_side_by_side(line, port_of):
    """A hundred at once, none mixed up."""

    async def main():
        async with Client(host="127.0.0.1", port=port_of["grpc"], asyncio=True) as client:

            async def one(number):
                stream = client.stream_doc("/numbers", Token(text=f"{number}:"), return_type=Token)
                return [doc.text async for doc in stream]

            async with asyncio.timeout(40):
                return await asyncio.gather(*(one(number) for number in range(100)))

    for number, texts in enumerate(asyncio.run(main())):
        assert texts == [f"{number}:{i}" for i in range(5)]


def test_streaming_what_does_not_yield(port_of, protocol):
    with (
        Client(host="127.0.0.1", port=port_of[protocol], protocol=protocol) as client,
        pytest.raises(BadRequest, match=r"no Executor streams|not a generator"),
    ):
        list(client.stream_doc("/echo", Token(text="t"), return_type=Token))


def test_a_step_behind_the_stream_fails(port_of, protocol):
    """What came before is there; then comes the error, naming the step."""
    seen = []
    with Client(host="127.0.0.1", port=port_of[protocol], protocol=protocol) as client:
        stream = client.stream_doc("/picky", Token(text="t"), return_type=Token)
        with pytest.raises(ExecutorError, match="not this one") as caught:
            for doc in stream:
                seen.append(doc.text)
        assert "Middle" in caught.value.executor
    assert seen == ["0", "1"]


GROWTH = 50_000
"""kB more than after the first documents."""


@pytest.fixture(scope="module")
def flooded():
    """A quick step with a slow one behind it, on all protocols; and their process ids."""
    flow = Flow(protocol=list(PROTOCOLS), host="127.0.0.1", quiet=True)
    with flow.add(name="flood", uses=Flood).add(name="sink", uses=Sink) as running:
        yield running, processes_of(running)


@pytest.mark.slow
def test_a_reader_that_pauses(flooded, protocol):
    """The generator does not run ahead of its reader by more than the connections buffer."""
    flow, _ = flooded
    port = flow.plan.gateway.listeners[PROTOCOLS.index(protocol)].port

    def made():
        return results(flow, "/made")["flood"]["made"]

    with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
        start = Stamped(number=1_000_000, ballast="x" * 20_000)
        stream = client.stream_doc("/flood", start, return_type=Stamped)
        for _ in range(3):
            next(stream)
        seen = [made()]
        while len(seen) < 4 or seen[-1] != seen[-4]:
            PAUSE.wait(0.1)
            seen.append(made())
            assert seen[-1] < 5_000, "it does not stop"
        stream.close()


@pytest.mark.slow
@pytest.mark.timeout(170)
@pytest.mark.parametrize(
    ("protocol", "count"),
    [pytest.param("grpc", 1_000_000, marks=pytest.mark.long), ("http", 200_000), ("websocket", 200_000)],
)
def test_a_million_documents_through_a_slow_step(flooded, protocol, count):
    """In requests of a thousand: neither the gateway nor a worker keeps what has passed."""
    flow, pids = flooded
    port = flow.plan.gateway.listeners[PROTOCOLS.index(protocol)].port
    answered, samples = itertools.count(1), []

    def look(response):
        if next(answered) % 20 == 0:
            samples.append({name: pss(pid) for name, pid in pids.items()})

    with Client(host="127.0.0.1", port=port, protocol=protocol, prefetch=8) as client:

        def post(documents):
            made = itertools.repeat(Token(text="passes"), documents)
            client.post("/bulk", made, on_done=look, request_size=1000, return_type=DocList[Token])

        post(40_000)
        start = samples.pop()
        samples.clear()
        post(count)
    assert len(samples) == count // 20_000
    grown = {name: max(sample[name] for sample in samples) - start[name] for name in pids}
    assert max(grown.values()) < GROWTH, grown


@pytest.mark.slow
@pytest.mark.timeout(170)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_long_stream_through_a_slow_step(flooded, protocol):
    """Each document by itself, five kilobytes each: what all of them take would not go unnoticed."""
    flow, pids = flooded
    port = flow.plan.gateway.listeners[PROTOCOLS.index(protocol)].port
    start = Stamped(number=1_000_000, ballast="x" * 5_000)
    with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
        samples = []
        stream = client.stream_doc("/flood", start, return_type=Stamped)
        for number, doc in enumerate(itertools.islice(stream, 15_000)):
            assert doc.number == number
            if number % 1000 == 999:
                samples.append({name: pss(pid) for name, pid in pids.items()})
        stream.close()
    start, *later = samples[1:]
    grown = {name: max(sample[name] for sample in later) - start[name] for name in pids}
    assert max(grown.values()) < GROWTH, grown
