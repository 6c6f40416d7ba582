"""What every upstream does, whatever carries it: the same scenarios for each kind."""

import asyncio
import gc
import random
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.errors import (
    DeadlineExceeded,
    EndpointNotFound,
    ExecutorError,
    InternalError,
    JinaError,
    TooLarge,
    Unavailable,
)
from jina.net.service import UpstreamUnavailable
from tests.client.upstream_service import (
    CONNECT,
    CONNECT_CHILD,
    FAILURES,
    LIMIT,
    NAME,
    EchoService,
    blob,
    documents,
    failure,
    texts_of,
    until,
)
from tests.server.sample_service import run


@pytest.fixture(params=["link", "link on uvloop", "grpc"])
def hop_kind(request, monkeypatch):
    kind, _, loop = request.param.partition(" on ")
    if loop:
        monkeypatch.setattr(asyncio.events, "new_event_loop", pytest.importorskip(loop).new_event_loop)
    return kind


@pytest.fixture
def connect(hop_kind):
    """Called with a service, gives an upstream to it as an async context."""
    return CONNECT[hop_kind]


@pytest.fixture
def connect_child(hop_kind):
    """Gives an upstream to a service in a child process, and the child, as an async context."""
    return CONNECT_CHILD[hop_kind]


def request(endpoint="/echo", data=None, **more):
    return Request(endpoint, BytesPayload(documents("hello") if data is None else data), **more)


def others():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def read(replies):
    return [text async for reply in replies for text in texts_of(reply.payload)]


# Calls


def test_describes_the_endpoints_of_the_worker(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            assert upstream.up
            described = await upstream.describe()
            assert set(described) == set(service.endpoints)
            assert described["/count"].is_generator
            assert described["/echo"].input_schema == service.endpoints["/echo"].input_schema
            assert described["/echo"].flat_fields == {"text": "string"}

    run(main())


def test_description_waits_until_the_worker_is_ready(connect):
    async def main():
        service = EchoService()
        service.up = False
        async with connect(service) as upstream:
            describing = asyncio.create_task(upstream.describe())
            await asyncio.sleep(0.05)
            assert not describing.done()
            service.up = True
            assert "/echo" in await describing

    run(main())


def test_ready_says_whether_a_request_would_be_served(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            await upstream.ready()
            service.up = False
            with pytest.raises(Unavailable):
                await upstream.ready()

    run(main())


def test_call_carries_documents_and_header(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            reply = await upstream.call(
                request(
                    data=documents("a", "b"),
                    request_id="r1",
                    target_executor="ec.*",
                    headers={"traceparent": "00-1-2-3"},
                )
            )
            assert texts_of(reply.payload) == ["a", "b"]
            seen = service.seen[0]
            assert (seen.endpoint, seen.request_id, seen.target_executor) == ("/echo", "r1", "ec.*")
            assert seen.headers["traceparent"] == "00-1-2-3"
            assert seen.deadline is None

    run(main())


def test_call_without_documents(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            assert texts_of((await upstream.call(request(data=b""))).payload) == []

    run(main())


@pytest.mark.parametrize("size", [1, 65_000, 65_536, 70_000, 1_000_001, 3_900_000])
def test_large_documents_come_whole(connect, size):
    async def main():
        async with connect(EchoService()) as upstream:
            data = blob(size, size)
            assert (await upstream.call(request(data=data))).payload.to_bytes() == data

    run(main())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def same(one, other):
    """Equal, and of the same types."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(batch=st.lists(st.dictionaries(st.text(min_size=1, max_size=6), json_values, max_size=4), max_size=8))
def test_parameters_keep_their_types(batch):
    async def main(kind):
        service = EchoService()
        async with CONNECT[kind](service) as upstream:
            for parameters in batch:
                parameters.pop("pause", None)
                reply = await upstream.call(request(parameters=parameters))
                assert same(service.seen[-1].parameters, parameters)
                assert same(reply.parameters, parameters)

    for kind in CONNECT:
        run(main(kind))


def test_nan_and_infinities_in_parameters(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            sent = {"nan": float("nan"), "list": [float("inf"), -float("inf")]}
            reply = (await upstream.call(request(parameters=sent))).parameters
            assert reply["nan"] != reply["nan"]
            assert reply["list"] == sent["list"]

    run(main())


# Errors


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("endpoint", ["/fail", "/stream"])
def test_errors_come_as_they_were_raised(connect, kind, endpoint):
    class Failing(EchoService):
        async def stream(self, request):
            raise failure(request.parameters["with"])
            yield

    async def main():
        async with connect(Failing()) as upstream:
            sent = request(endpoint, parameters={"with": kind})
            raised = failure(kind)
            with pytest.raises(type(raised)) as caught:
                await (upstream.call(sent) if endpoint == "/fail" else read(upstream.stream(sent)))
            error = caught.value
            assert type(error) is type(raised)
            assert error.message == raised.message
            assert error.details() == raised.details()
            assert getattr(error, "__notes__", []) == getattr(raised, "__notes__", [])
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main())


def test_unforeseen_failure_is_an_internal_error(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            with pytest.raises(InternalError, match="ZeroDivisionError: a bug of the service"):
                await upstream.call(request("/explode"))

    run(main())


def test_unknown_endpoint(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            with pytest.raises(EndpointNotFound, match="did you mean '/echo'"):
                await upstream.call(request("/eco"))

    run(main())


def test_too_large_request_names_the_option(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            with pytest.raises(TooLarge, match="max_message_size"):
                await upstream.call(request(data=blob(LIMIT + 1)))
            with pytest.raises(TooLarge, match="max_message_size"):
                await read(upstream.stream(request("/count", data=blob(LIMIT + 1))))
            assert not service.seen
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main())


def test_too_large_reply_names_the_option(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            with pytest.raises(TooLarge, match="max_message_size"):
                await upstream.call(request("/double", data=blob(LIMIT * 3 // 4)))
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main())


# Cancellation and deadlines


def test_cancelling_a_call_cancels_the_work(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            waiting = [asyncio.create_task(upstream.call(request("/wait"))) for _ in range(3)]
            await until(lambda: service.running == 3)
            waiting[1].cancel()
            await until(lambda: service.cancelled == 1)
            assert waiting[1].cancelled()
            service.release.set()
            assert texts_of((await waiting[0]).payload) == texts_of((await waiting[2]).payload) == ["hello"]
            await until(lambda: service.running == 0)

    run(main())


def test_deadline_names_the_worker_and_cancels_the_work(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=NAME):
                await upstream.call(request("/wait", deadline=started + 1))
            assert 0.99 <= time.monotonic() - started < 20
            assert service.seen[0].deadline == pytest.approx(started + 1, abs=10)  # what is left of it travels
            await until(lambda: service.cancelled == 1)

    run(main())


def test_deadline_that_the_worker_keeps_names_it(connect):
    class Punctual(EchoService):
        async def call(self, request):
            raise DeadlineExceeded("the deadline of the request passed before the handler answered")

    async def main():
        async with connect(Punctual()) as upstream:
            with pytest.raises(DeadlineExceeded, match=NAME):
                await upstream.call(request(deadline=time.monotonic() + 5))

    run(main())


def test_deadline_in_the_past_is_not_sent(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            await upstream.ready()
            with pytest.raises(DeadlineExceeded, match=NAME):
                await upstream.call(request(deadline=time.monotonic() - 1))
            assert not service.seen

    run(main())


@pytest.mark.slow
def test_deadline_of_a_stream(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            replies = upstream.stream(request("/first", deadline=time.monotonic() + 2))
            assert texts_of((await anext(replies)).payload) == ["0"]
            with pytest.raises(DeadlineExceeded, match=NAME):
                await anext(replies)
            await until(lambda: service.closed == 1)

    run(main())


# Streams


@pytest.mark.parametrize("count", [0, 1, 500])
def test_stream_keeps_order_and_ends(connect, count):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            got = await read(upstream.stream(request("/count", parameters={"count": count})))
            assert got == [str(number) for number in range(count)]
            assert service.closed == 1

    run(main())


def test_stream_of_large_items(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            sent = request("/count", parameters={"count": 5, "size": 300_000})
            got = [reply.payload.to_bytes() async for reply in upstream.stream(sent)]
            assert got == [blob(300_000, number) for number in range(5)]

    run(main())


def test_first_item_comes_before_the_second_is_made(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            replies = upstream.stream(request("/first"))
            assert texts_of((await anext(replies)).payload) == ["0"]
            assert not service.release.is_set()
            await replies.aclose()

    run(main())


def test_error_comes_after_the_items_before_it(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            replies = upstream.stream(request("/broken"))
            assert texts_of((await anext(replies)).payload) == ["0"]
            with pytest.raises(ExecutorError) as caught:
                await anext(replies)
            assert caught.value.executor == "Echo"
            with pytest.raises(StopAsyncIteration):
                await anext(replies)

    run(main())


def test_slow_reader_stops_the_generator(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            replies = upstream.stream(request("/endless", parameters={"size": 20_000}))
            for _ in range(3):
                await anext(replies)
            produced = -1
            while produced != service.produced:
                produced = service.produced
                await asyncio.sleep(0.1)
            assert produced * 20_000 < 16 * 2**20
            for _ in range(3 * produced):
                await anext(replies)
            assert service.produced >= 3 * produced
            await replies.aclose()

    run(main())


def test_aclose_closes_the_generator_promptly(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            for endpoint in ("/first", "/endless"):
                replies = upstream.stream(request(endpoint))
                await anext(replies)
                closed, left = service.closed, time.monotonic()
                await replies.aclose()
                await until(lambda: service.closed == closed + 1)  # noqa: B023
                assert time.monotonic() - left < 10
                with pytest.raises(StopAsyncIteration):
                    await anext(replies)

    run(main())


@pytest.mark.slow
def test_stream_that_is_forgotten_is_closed(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            replies = upstream.stream(request("/first"))
            await anext(replies)
            del replies
            gc.collect()
            await until(lambda: service.closed == 1)

    run(main())


def test_stream_that_is_never_read_costs_nothing(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            await upstream.ready()
            await upstream.stream(request("/endless")).aclose()
            await upstream.ready()
            assert not service.seen

    run(main())


@pytest.mark.slow
def test_many_left_streams_leave_nothing(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            await upstream.ready()
            before = len(others())

            async def leave(number):
                replies = upstream.stream(request("/endless" if number % 2 else "/first"))
                await anext(replies)
                if number % 3 == 0:
                    reading = asyncio.create_task(anext(replies))
                    await asyncio.sleep(0)
                    reading.cancel()
                    await asyncio.wait([reading])
                await replies.aclose()

            for start in range(0, 1000, 50):
                await asyncio.gather(*(leave(number) for number in range(start, start + 50)))
            await until(lambda: service.closed == 1000 and service.running == 0)
            await until(lambda: len(others()) <= before)
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main(), timeout=40)


# Ends


def test_death_of_the_worker_fails_what_is_in_flight(connect_child):
    async def main():
        async with connect_child() as (upstream, child):
            replies = upstream.stream(request("/first"))
            await anext(replies)
            in_flight = [asyncio.create_task(upstream.call(request("/wait"))) for _ in range(20)]
            in_flight.append(asyncio.create_task(anext(replies)))
            await upstream.call(request())
            child.kill()
            for ended in await asyncio.gather(*in_flight, return_exceptions=True):
                assert isinstance(ended, UpstreamUnavailable), ended
                assert NAME in ended.message
                assert ended.started
            for _ in range(2):
                # What carries the request may notice the death only while it is being sent.
                with pytest.raises(UpstreamUnavailable, match=NAME) as caught:
                    await upstream.call(request())
            assert not caught.value.started
            assert not upstream.up

    run(main(), timeout=40)


@pytest.mark.slow
def test_death_in_the_middle_of_large_messages(connect_child):
    async def main():
        async with connect_child() as (upstream, child):
            data = blob(LIMIT - 1000)
            calls = [asyncio.create_task(upstream.call(request(data=data))) for _ in range(8)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            child.kill()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            for one in ended:
                assert isinstance(one, UpstreamUnavailable) or one.payload.to_bytes() == data, one
            with pytest.raises(UpstreamUnavailable, match=NAME):
                await upstream.call(request())

    run(main(), timeout=40)


def test_many_cancelled_calls_leave_nothing(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            await upstream.ready()
            before = len(others())
            for start in range(0, 1000, 100):
                calls = [
                    asyncio.create_task(upstream.call(request("/wait", data=blob(100_000 if number % 10 == 0 else 10))))
                    for number in range(start, start + 100)
                ]
                for _ in range(start // 100):
                    await asyncio.sleep(0)
                for call in calls:
                    call.cancel()
                await asyncio.wait(calls)
                assert all(call.cancelled() for call in calls)
            await until(lambda: service.running == 0 and len(others()) <= before)
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main(), timeout=40)


def test_closed_hop_fails_what_is_in_flight(connect):
    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            waiting = asyncio.create_task(upstream.call(request("/wait")))
            streaming = asyncio.create_task(read(upstream.stream(request("/first"))))
            await until(lambda: service.running == 2)
            await upstream.close()
            for task in (waiting, streaming):
                with pytest.raises(UpstreamUnavailable, match=NAME):
                    await task
            with pytest.raises(UpstreamUnavailable, match=NAME):
                await upstream.call(request())
            assert not upstream.up
            await until(lambda: service.running == 0)

    run(main())


def test_hop_that_was_never_used_can_be_closed(connect):
    async def main():
        async with connect(EchoService()) as upstream:
            await upstream.close()
            await upstream.close()

    run(main())


# Everything at once


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_mixed_traffic_is_answered_rightly(connect, seed):
    rng = random.Random(seed)

    async def one(upstream, number):
        kind = rng.choice(["small", "small", "small", "big", "stream", "fail", "cancel", "leave"])
        if kind == "small":
            parameters = {"pause": rng.choice([0, 0, 0.001]), "number": number}
            reply = await upstream.call(request(data=documents(str(number)), parameters=parameters))
            assert texts_of(reply.payload) == [str(number)]
            assert reply.parameters == parameters
        elif kind == "big":
            data = blob(rng.randrange(50_000, 700_000), number)
            assert (await upstream.call(request(data=data))).payload.to_bytes() == data
        elif kind == "stream":
            count, size = rng.randrange(40), rng.choice([0, 0, 100_000])
            sent = request("/count", parameters={"count": count, "size": size})
            got = [reply.payload.to_bytes() async for reply in upstream.stream(sent)]
            assert b"".join(got) == b"".join(blob(size, n) if size else documents(str(n)) for n in range(count))
        elif kind == "fail":
            with pytest.raises(JinaError):
                await upstream.call(request("/fail", parameters={"with": rng.choice(list(FAILURES))}))
        elif kind == "cancel":
            data = blob(rng.choice([10, 600_000]), number)
            task = asyncio.create_task(upstream.call(request("/wait", data=data)))
            await asyncio.sleep(rng.choice([0, 0, 0.002]))
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        else:
            replies = upstream.stream(request("/endless", parameters={"size": rng.choice([0, 200_000])}))
            for _ in range(rng.randrange(1, 20)):
                await anext(replies)
            await replies.aclose()

    async def main():
        service = EchoService()
        async with connect(service) as upstream:
            limit = asyncio.Semaphore(40)

            async def limited(number):
                async with limit:
                    await one(upstream, number)

            await asyncio.gather(*map(partial(limited), range(250)))
            await until(lambda: service.running == 0)
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main(), timeout=40)
