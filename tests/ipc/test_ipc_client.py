"""What only local links do."""

import asyncio
import contextlib
import logging
import math
import os
import random
import resource
import socket
import sys
import time
import tracemalloc

import pytest
from tests.client.upstream_service import LIMIT, NAME, EchoService, blob, documents, linked, texts_of, until
from tests.server.sample_service import run

from jina.codec.messages import Reply, Request, Route
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.errors import BadRequest, DeadlineExceeded, ExecutorError, TooLarge, Unavailable
from jina.ipc import protocol as frames
from jina.ipc.client import ITEM_COST, WINDOW, LinkUpstream
from jina.ipc.protocol import HEAD, HEADERS_ROOM, SLOTS, read_request, receive_handshake, send_handshake, write_request
from jina.ipc.server import LinkServer
from jina.net.service import UpstreamUnavailable


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def loop(request, monkeypatch):
    if request.param == "uvloop":
        monkeypatch.setattr(asyncio.events, "new_event_loop", pytest.importorskip("uvloop").new_event_loop)


def request(endpoint="/echo", data=None, **more):
    return Request(endpoint, BytesPayload(documents("hello") if data is None else data), **more)


def others():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


# What travels


def test_json_travels_as_it_is():
    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            raw = b' [{"text": "\xc3\xa9", "n": 1e400, "i": 123456789012345678901234567890}]'
            reply = await upstream.call(Request("/echo", JsonPayload(raw), json_reply=True))
            assert isinstance(service.seen[0].payload, JsonPayload)
            assert service.seen[0].json_reply
            assert isinstance(reply.payload, JsonPayload)
            assert reply.payload.to_json() == raw

    run(main())


@pytest.mark.parametrize(
    ("payload", "location", "single"),
    [
        (JsonPayload(b"[{}]"), ("body", "data"), False),
        (JsonPayload(b"{}", location=("body",)), ("body",), True),
        (JsonPayload([{}], location=("body", 0), single=True), ("body", 0), True),
        (JsonPayload([{}, {}]), ("body", "data"), False),
    ],
)
def test_places_of_faults_stay(payload, location, single):
    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            await upstream.call(Request("/echo", payload, json_reply=True))
            received = service.seen[0].payload
            assert received.items() == payload.items()
            assert (received.location, received.single) == (location, single)

    run(main())


def test_parsed_json_keeps_what_json_lacks():
    sent = JsonPayload([{"nan": math.nan, "big": 2**80}])
    flags, meta, body = write_request(Request("/echo", sent), LIMIT)
    received = read_request(flags, meta, body).payload.items()
    assert math.isnan(received[0]["nan"])
    assert received[0]["big"] == 2**80


def test_validation_error_of_a_typed_endpoint_names_the_place():
    pytest.importorskip("docarray")
    from tests.server.sample_service import SampleService

    from jina.errors import ValidationFailed

    async def main():
        async with linked(SampleService()) as upstream:
            body = JsonPayload(b'[{"text":"a"},{"number":"many"}]')
            with pytest.raises(ValidationFailed) as caught:
                await upstream.call(Request("/upper", body, json_reply=True))
            assert list(caught.value.errors[0]["loc"]) == ["body", "data", 1, "number"]

    run(main())


def test_branches_travel_apart():
    first, second = BytesPayload(documents("a", "b")), BytesPayload(blob(100_000, 7))
    third = JsonPayload(b'[{"text":"c"}]')
    sent = Request("/echo", first, branches=[("one", first), ("two", second), ("three", third)])

    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            assert texts_of((await upstream.call(sent)).payload) == ["a", "b"]
            seen = service.seen[0]
            assert [name for name, _ in seen.branches] == ["one", "two", "three"]
            assert seen.branches[0][1] is seen.payload
            assert seen.branches[1][1].to_bytes() == second.data
            assert seen.branches[2][1].to_json() == b'[{"text":"c"}]'

    run(main())
    _, _, body = write_request(sent, LIMIT)
    assert body.count(first.data) == 1


def test_routes_of_a_reply_travel():
    class Routed(EchoService):
        async def call(self, request):
            return Reply(request.payload, {"a": 1}, [Route("inner", 1.5, 2.5)])

    async def main():
        async with linked(Routed()) as upstream:
            reply = await upstream.call(request())
            assert (reply.parameters, reply.routes) == ({"a": 1}, [Route("inner", 1.5, 2.5)])

    run(main())


def test_of_many_headers_those_of_the_trace_travel_first():
    headers = {f"x-{number}": "v" * 100 for number in range(200)} | {"traceparent": "00-1", "tracestate": "a=b"}

    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            await upstream.call(request(headers=headers))
            seen = service.seen[0].headers
            assert (seen["traceparent"], seen["tracestate"]) == ("00-1", "a=b")
            assert sum(len(name) + len(value) for name, value in seen.items()) <= HEADERS_ROOM
            assert len(seen) > 50

    run(main())


def test_large_parameters_travel():
    parameters = {"text": "x" * 300_000, "surrogate": "\ud800"}

    async def main():
        async with linked(EchoService()) as upstream:
            assert (await upstream.call(request(parameters=parameters))).parameters == parameters

    run(main())


def test_small_limit_counts_for_documents_alone():
    """Descriptions, errors and parameters pass whatever the limit on documents is."""

    class Verbose(EchoService):
        async def _answer(self, request):
            raise ExecutorError("x" * 50_000, name="ValueError", stacks=["y" * 50_000])

    async def main():
        service = EchoService()
        async with linked(service, max_message_size=100) as upstream:
            assert set(await upstream.describe()) == set(service.endpoints)
            parameters = {"text": "x" * 50_000}
            assert (await upstream.call(request(parameters=parameters))).parameters == parameters
            with pytest.raises(TooLarge, match="documents of the request have 101 bytes; max_message_size is 100"):
                await upstream.call(request(data=b"x" * 101))
        async with linked(Verbose(), max_message_size=100) as upstream:
            with pytest.raises(ExecutorError, match=r"x{50000}"):
                await upstream.call(request())

    run(main())


def test_parameters_have_a_limit_too():
    async def main():
        async with linked(EchoService()) as upstream:
            with pytest.raises(TooLarge, match="parameters of the request"):
                await upstream.call(request(parameters={"text": "x" * 17 * 2**20}))
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main())


def test_gigantic_error_is_shortened():
    class Gigantic(EchoService):
        async def _answer(self, request):
            raise ExecutorError("x" * 20 * 2**20, name="ValueError")

    async def main():
        async with linked(Gigantic()) as upstream:
            with pytest.raises(ExecutorError) as caught:
                await upstream.call(request())
            assert 0 < len(caught.value.message) < 2**21

    run(main())


# Turns


def test_large_message_delays_neither_small_ones_nor_cancels():
    async def main():
        service = EchoService()
        async with linked(service, max_message_size=64 * 2**20) as upstream:
            data = blob(32 * 2**20)
            await upstream.call(request())
            ended = []

            async def call(name, sent):
                await upstream.call(sent)
                ended.append(name)

            cancelled = asyncio.create_task(upstream.call(request("/wait")))
            await until(lambda: service.running == 1)
            large = asyncio.create_task(call("large", request(data=data)))
            await asyncio.sleep(0)
            cancelled.cancel()
            for number in range(20):
                await call(number, request())
            assert service.cancelled == 1
            assert not large.done()
            await large
            assert ended == [*range(20), "large"]

    run(main(), timeout=40)


def test_cancelled_large_request_is_not_sent_to_its_end():
    async def main():
        service = EchoService()
        async with linked(service, max_message_size=64 * 2**20) as upstream:
            await upstream.call(request())
            large = asyncio.create_task(upstream.call(request(data=blob(32 * 2**20))))
            await asyncio.sleep(0.001)
            large.cancel()
            await asyncio.wait([large])
            await upstream.call(request())
            assert len(service.seen) == 2
            assert upstream._connection.send_queue.size == 0
            assert upstream._held == 0

    run(main())


def test_large_reply_that_nobody_waits_for_leaves_nothing():
    class Large(EchoService):
        async def _answer(self, request):
            return Reply(BytesPayload(data))

        async def stream(self, request):
            while True:
                yield Reply(BytesPayload(data))

    data = blob(3 * 2**20)

    async def main():
        async with linked(Large()) as upstream:
            await upstream.call(request())
            for wait in range(12):
                call = asyncio.create_task(upstream.call(request()))
                reading = asyncio.create_task(anext(upstream.stream(request("/endless"))))
                for _ in range(2 * wait):
                    await asyncio.sleep(0)
                call.cancel()
                reading.cancel()
                await asyncio.wait([call, reading])
            connection = upstream._connection
            await until(lambda: not connection._inbox._sinks)
            assert (await upstream.call(request())).payload.to_bytes() == data
            assert not connection._inbox._sinks
            assert not upstream._streams
            assert not upstream._calls

    run(main())


def test_requests_wait_for_room_and_can_be_left():
    """At most twice `max_message_size` is in work at the worker."""

    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            data = blob(LIMIT * 3 // 4)
            calls = [asyncio.create_task(upstream.call(request("/wait", data=data))) for _ in range(4)]
            await until(lambda: service.running == 2)
            late = request("/wait", data=data, deadline=time.monotonic() + 0.05)
            with pytest.raises(DeadlineExceeded, match=NAME):
                await upstream.call(late)
            calls[2].cancel()
            await asyncio.wait([calls[2]])
            assert service.running == 2
            assert len(service.seen) == 2
            service.release.set()
            for call in (calls[0], calls[1], calls[3]):
                assert (await call).payload.to_bytes() == data
            assert len(service.seen) == 3
            assert upstream._held == 0

    run(main())


def test_streams_hold_room_until_their_first_reply():
    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            data = blob(LIMIT * 3 // 4)
            streams = [upstream.stream(request("/first", data=data)) for _ in range(5)]
            for replies in streams:
                assert texts_of((await anext(replies)).payload) == ["0"]
            assert upstream._held == 0
            for replies in streams:
                await replies.aclose()

    run(main())


def test_worker_stops_reading_while_its_replies_are_not_read():
    """A gateway that reads nothing must not make the worker keep the replies to ever more requests."""

    async def main():
        ours, theirs = socket.socketpair()
        service = EchoService()
        server = LinkServer(theirs, service, LIMIT)
        await server.start()
        send_handshake(ours)
        ours.setblocking(False)  # noqa: FBT003
        data = blob(LIMIT // 2)
        flags, meta, body = write_request(Request("/echo", BytesPayload(data)), LIMIT)

        async def flood():
            loop = asyncio.get_running_loop()
            send_queue = frames.SendQueue()
            for number in range(1, 60):
                send_queue.put(frames.REQUEST, flags, number, meta, body)
                while send_queue.size:
                    await loop.sock_sendall(ours, b"".join(send_queue.take()[0]))

        flooding = asyncio.create_task(flood())
        seen = -1
        while seen != len(service.seen):
            seen = len(service.seen)
            await asyncio.sleep(0.1)
        assert not flooding.done()
        assert 2 <= seen * len(data) // LIMIT <= 5
        flooding.cancel()
        await asyncio.wait([flooding])
        ours.close()
        await server.lost()
        await server.stop(0)

    run(main())


def test_window_of_a_stream_is_kept():
    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            replies = upstream.stream(request("/endless"))
            await anext(replies)
            produced = -1
            while produced != service.produced:
                produced = service.produced
                await asyncio.sleep(0.05)
            assert produced <= WINDOW // ITEM_COST + 2
            for _ in range(2000):
                await anext(replies)
            assert service.produced >= 2000
            await replies.aclose()

    run(main())


# Ends


def test_stop_lets_requests_in_work_finish_and_refuses_new_ones():
    async def main():
        service = EchoService()
        ours, theirs = socket.socketpair()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        waiting = asyncio.create_task(upstream.call(request("/wait")))
        await until(lambda: service.running == 1)
        stopping = asyncio.create_task(server.stop(5.0))
        late = asyncio.create_task(upstream.call(request()))
        with pytest.raises(UpstreamUnavailable, match=NAME) as caught:
            await late
        assert not caught.value.started
        await until(lambda: not upstream.up)
        service.release.set()
        assert texts_of((await waiting).payload) == ["hello"]
        await stopping
        assert len(service.seen) == 1
        await upstream.close()
        assert not others()

    run(main())


def test_stop_gives_up_what_outlasts_the_grace():
    async def main():
        service = EchoService()
        ours, theirs = socket.socketpair()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        waiting = asyncio.create_task(upstream.call(request("/wait")))
        await until(lambda: service.running == 1)
        started = time.monotonic()
        await server.stop(0.1)
        assert 0.09 <= time.monotonic() - started < 20
        with pytest.raises(Unavailable, match=NAME):
            await waiting
        assert service.cancelled == 1
        await upstream.close()

    run(main())


def test_a_link_that_is_aborted_loses_its_requests():
    """As with a worker that died: nobody cancelled them, so another replica may have them."""

    async def main():
        service = EchoService()
        ours, theirs = socket.socketpair()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        waiting = asyncio.create_task(upstream.call(request("/wait")))
        await until(lambda: service.running == 1)
        server.abort()
        for task in others():
            if task != waiting:
                task.cancel()  # as at the end of a process
        with pytest.raises(UpstreamUnavailable, match=NAME):
            await waiting
        await server.lost()
        await upstream.close()

    run(main())


def test_gateway_that_ends_says_that_nothing_needs_to_wait():
    class Patient(EchoService):
        said = ()

        def flush(self, *, on):
            self.said = (*self.said, on)

    async def main():
        service = Patient()
        async with linked(service) as upstream:
            upstream.flush()
            await upstream.call(request())
            upstream.flush()
            await upstream.call(request())
            assert service.said == (True,)
        await until(lambda: service.said == (True, False))
        async with linked(EchoService()) as upstream:
            upstream.flush()
            await upstream.call(request())

    run(main())


def test_gateway_that_leaves_cancels_its_requests():
    async def main():
        service = EchoService()
        ours, theirs = socket.socketpair()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        calls = [asyncio.create_task(upstream.call(request("/wait"))) for _ in range(3)]
        replies = upstream.stream(request("/first"))
        await anext(replies)
        await until(lambda: service.running == 4)
        ours.shutdown(socket.SHUT_RDWR)
        await server.lost()
        await until(lambda: service.running == 0)
        assert (service.cancelled, service.closed) == (3, 1)
        for call in calls:
            with pytest.raises(UpstreamUnavailable):
                await call
        await server.stop(1.0)
        await upstream.close()
        await until(lambda: not others())

    run(main())


@pytest.mark.parametrize("gone", ["before", "after"])
def test_worker_that_was_never_there(gone):
    async def main():
        ours, theirs = socket.socketpair()
        if gone == "before":
            theirs.close()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        theirs.close()
        with pytest.raises(UpstreamUnavailable, match=NAME) as caught:
            await upstream.describe()
        with pytest.raises(UpstreamUnavailable, match=NAME) as caught:
            await upstream.call(request())
        assert not caught.value.started
        assert not upstream.up
        await upstream.close()

    run(main())


def test_gateway_that_was_never_there():
    async def main():
        for early in (True, False):
            ours, theirs = socket.socketpair()
            server = LinkServer(theirs, EchoService(), LIMIT)
            await server.start()
            if early:
                ours.close()
                await server.lost()
            await server.stop(1.0)
            ours.close()
            assert theirs.fileno() == -1
        assert not others()

    run(main())


def test_gateway_that_leaves_at_once_does_not_delay_the_stop():
    async def main():
        ours, theirs = socket.socketpair()
        send_handshake(ours)
        flags, meta, body = write_request(request("/wait"), LIMIT)
        send_queue = frames.SendQueue()
        send_queue.put(frames.REQUEST, flags, 1, meta, body)
        ours.sendall(b"".join(send_queue.take()[0]))
        ours.close()
        server = LinkServer(theirs, EchoService(), LIMIT)
        await server.start()
        await server.lost()
        started = time.monotonic()
        await server.stop(10.0)
        assert time.monotonic() - started < 5
        assert not others()

    run(main())


@pytest.mark.parametrize("rounds", range(6))
def test_stop_while_opening(rounds):
    async def main():
        ours, theirs = socket.socketpair()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        server = LinkServer(theirs, EchoService(), LIMIT)
        await server.start()
        for _ in range(rounds):
            await asyncio.sleep(0)
        await server.stop(1.0)
        with pytest.raises(UpstreamUnavailable):
            await upstream.call(request())
        await upstream.close()
        assert not others()

    run(main())


def test_first_caller_that_is_cancelled_does_not_stop_the_others():
    async def main():
        async with linked(EchoService()) as upstream:
            first = asyncio.create_task(upstream.call(request()))
            second = asyncio.create_task(upstream.call(request()))
            await asyncio.sleep(0)
            first.cancel()
            assert texts_of((await second).payload) == ["hello"]
            assert first.cancelled()

    run(main())


def test_requests_wait_for_a_worker_that_is_still_starting():
    async def main():
        ours, theirs = socket.socketpair()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        early = asyncio.create_task(upstream.call(request()))
        await asyncio.sleep(0.01)
        server = LinkServer(theirs, EchoService(), LIMIT)
        await server.start()
        assert texts_of((await early).payload) == ["hello"]
        await upstream.close()
        await server.stop(1.0)

    run(main())


GARBAGE = {
    "text": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "kind of the other side": HEAD.pack(0x6A, frames.BYE, 0, 0, 0, 0) + HEAD.pack(0x6A, frames.CANCEL, 0, 0, 0, 0)
    + HEAD.pack(0x6A, frames.REQUEST, 0, 0, 0, 0),
    "too large": HEAD.pack(0x6A, frames.REPLY, 0, 0, 2**31, 0),
    "zeros": bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_the_worker_closes_the_link(name, caplog):
    async def main():
        ours, theirs = socket.socketpair()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        waiting = asyncio.create_task(upstream.call(request()))
        await asyncio.sleep(0.01)
        theirs.send(GARBAGE[name])
        with pytest.raises(UpstreamUnavailable, match=NAME):
            await waiting
        assert not upstream.up
        await upstream.close()
        theirs.close()

    with caplog.at_level(logging.ERROR):
        run(main())
    assert f"the link with {NAME} is closed" in caplog.text


@pytest.mark.parametrize("name", [*GARBAGE, "first byte"])
def test_garbage_from_the_gateway_closes_the_link(name, caplog):
    async def main():
        ours, theirs = socket.socketpair()
        service = EchoService()
        server = LinkServer(theirs, service, LIMIT)
        await server.start()
        if name == "first byte":
            ours.send(b"GET")
        else:
            send_handshake(ours)
            ours.send(GARBAGE[name])
        await server.lost()
        with contextlib.suppress(ConnectionError):
            assert ours.recv(10) == b""
        ours.close()
        await server.stop(1.0)
        assert not service.seen

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "the link with the gateway" in caplog.text


def test_request_that_cannot_be_read_fails_alone():
    async def main():
        async with linked(EchoService()) as upstream:
            await upstream.call(request())
            future = upstream._calls[77] = asyncio.get_running_loop().create_future()
            upstream._connection.send(frames.REQUEST, 0, 77, b"\xc1\xff", b"")
            with pytest.raises(BadRequest, match="cannot be read"):
                await future
            assert texts_of((await upstream.call(request())).payload) == ["hello"]

    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_ends_in_an_answer_or_a_lost_link(seed, caplog):
    """Bytes changed on the way never crash or hang an end."""
    rng = random.Random(seed)

    async def main():
        ours, middle = socket.socketpair()
        other, theirs = socket.socketpair()
        service = EchoService()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        _, fds, _, _ = socket.recv_fds(middle, 1, 1)
        socket.send_fds(other, [b"j"], fds)
        for fd in fds:
            os.close(fd)
        for sock in (middle, other):
            sock.setblocking(False)  # noqa: FBT003
        loop = asyncio.get_running_loop()

        async def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := await loop.sock_recv(source, 65536):
                    damaged = bytearray(data)
                    if rng.random() < 0.3:
                        damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
                    await loop.sock_sendall(sink, damaged)
            sink.shutdown(socket.SHUT_RDWR) if sink.fileno() >= 0 else None

        pumps = [asyncio.create_task(pump(middle, other)), asyncio.create_task(pump(other, middle))]
        calls = [
            asyncio.create_task(
                upstream.call(request(data=blob(rng.choice([10, 200_000])), deadline=time.monotonic() + 1))
            )
            for _ in range(20)
        ]
        await asyncio.wait(calls, timeout=5)
        assert all(call.done() for call in calls)
        for call in calls:
            call.exception()
        await upstream.close()
        await server.stop(0.1)
        for task in pumps:
            task.cancel()
        await asyncio.wait(pumps)
        middle.close()
        other.close()
        assert not others()

    run(main())


# What is known after a death


def test_what_was_begun_is_known_after_the_end():
    class Telling(EchoService):
        def begin(self, request):
            """Only some requests are begun."""

        async def _answer(self, request):
            if request.parameters["begin"]:
                request.began()
            await self.release.wait()

    async def main():
        service = Telling()
        ours, theirs = socket.socketpair()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        calls = {
            begin: asyncio.create_task(upstream.call(request(parameters={"begin": begin}))) for begin in (True, False)
        }
        await until(lambda: service.running == 2)
        server._connection.abort()
        for begin, call in calls.items():
            with pytest.raises(UpstreamUnavailable) as caught:
                await call
            assert caught.value.started is begin
        await upstream.close()
        await server.stop(0)

    run(main())


def test_what_a_worker_never_read_was_not_begun():
    async def main():
        ours, theirs = socket.socketpair()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        calls = [asyncio.create_task(upstream.call(request())) for _ in range(3)]
        await asyncio.sleep(0.01)
        theirs.close()
        for call in calls:
            with pytest.raises(UpstreamUnavailable) as caught:
                await call
            assert not caught.value.started
        await upstream.close()

    run(main())


def test_without_shared_memory_what_was_sent_counts_as_begun(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")

    async def main():
        service = EchoService()
        ours, theirs = socket.socketpair()
        server, upstream = LinkServer(theirs, service, LIMIT), LinkUpstream(NAME, ours, LIMIT)
        await server.start()
        sent = asyncio.create_task(upstream.call(request("/wait")))
        await until(lambda: service.running == 1)
        unsent = asyncio.create_task(upstream.call(request("/wait")))
        await asyncio.sleep(0)
        upstream._connection.abort()
        for call, started in ((sent, True), (unsent, False)):
            with pytest.raises(UpstreamUnavailable) as caught:
                await call
            assert caught.value.started is started
        await upstream.close()
        await server.stop(0)

    run(main())


def test_numbers_that_share_a_mark():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bitmap = send_handshake(ours)
        other = receive_handshake(theirs)
    other.setter(5)()
    assert bitmap.begun(5, 10)
    assert not bitmap.begun(6, 10)
    bitmap.forget(5 + SLOTS)
    assert not bitmap.begun(5 + SLOTS, 5 + SLOTS)
    assert bitmap.begun(5, 5 + SLOTS), "its mark is another's now"


# Nothing is left


@pytest.mark.parametrize("form", ["proto", "json"])
def test_large_documents_are_held_once_by_each_end(form):
    async def main():
        service = EchoService()
        async with linked(service, max_message_size=64 * 2**20) as upstream:
            await upstream.call(request())
            data = blob(8 * 2**20)
            sent = request(data=data)
            if form == "json":
                data = b'[{"text":"' + b"x" * (8 * 2**20 + 30_000) + b'"}]'
                sent = Request("/echo", JsonPayload(data), json_reply=True)
            tracemalloc.start()
            try:
                reply = await upstream.call(sent)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert (reply.payload.to_bytes() if form == "proto" else reply.payload.to_json()) == data
            # As received by the worker, and as received by the gateway; the worker echoes what it has.
            assert 2 * len(data) < peak < 2.2 * len(data)

    run(main())


def test_reply_belongs_to_its_reader_alone():
    async def main():
        async with linked(EchoService()) as upstream:
            reply = await upstream.call(request())
            assert sys.getrefcount(reply) <= 2

    run(main())


def test_memory_stays_flat_while_a_slow_reader_streams():
    async def main():
        service = EchoService()
        async with linked(service) as upstream:
            replies = upstream.stream(request("/endless", parameters={"size": 100_000}))
            for _ in range(20):
                await anext(replies)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for number in range(600):
                await anext(replies)
                if number % 50 == 0:
                    await asyncio.sleep(0.005)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
            await replies.aclose()

    run(main())


def test_while_the_gateway_reads_nothing_no_more_is_begun_than_the_link_holds():
    size = LIMIT // 4

    class Answers(EchoService):
        begun, throttled = 0, []

        async def call(self, request):
            self.begun += 1
            return Reply(BytesPayload(blob(size)))

        def throttle(self, *, on=True):
            self.throttled.append(on)

    async def main():
        ours, theirs = socket.socketpair()
        service = Answers()
        server = LinkServer(theirs, service, LIMIT)
        await server.start()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        try:
            await upstream.describe()
            upstream.throttle(on=True)
            calls = [asyncio.create_task(upstream.call(request(data=b""))) for _ in range(100)]
            await until(lambda: server._connection.full and server._connection._paused)
            for _ in range(200):
                await asyncio.sleep(0)
            assert service.throttled[-1] is True
            assert service.begun < 50
            upstream.throttle(on=False)
            for call in calls:
                assert len((await call).payload.to_bytes()) > size
            assert service.throttled[-1] is False
        finally:  # uvloop waits for what is not closed, without end
            await upstream.close()
            await server.stop(1)

    run(main())


def test_a_lost_link_holds_up_no_service():
    class Answers(EchoService):
        throttled = []

        async def call(self, request):
            return Reply(BytesPayload(blob(LIMIT // 2)))

        def throttle(self, *, on=True):
            self.throttled.append(on)

    async def main():
        ours, theirs = socket.socketpair()
        service = Answers()
        server = LinkServer(theirs, service, LIMIT)
        await server.start()
        upstream = LinkUpstream(NAME, ours, LIMIT)
        await upstream.describe()
        upstream.throttle(on=True)
        calls = [asyncio.create_task(upstream.call(request(data=b""))) for _ in range(50)]
        await until(lambda: server._connection.full and server._connection._paused)
        await upstream.close()
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: service.throttled.count(True) == service.throttled.count(False))
        await server.stop(1)

    run(main())
