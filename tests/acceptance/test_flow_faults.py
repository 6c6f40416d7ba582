"""What goes wrong inside a Flow: a step that is killed, that is silent, that clients do not wait for."""

import asyncio
import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from docarray import DocList

from jina import Client, Executor, Flow, requests
from jina.errors import DeadlineExceeded, Unavailable
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.flow_asking import get, health, processes_of, results, until
from tests.acceptance.flow_services import First, Last, Middle, OneByOne
from tests.acceptance.services import Token
from tests.acceptance.test_statuses import RAW

LOCAL = {"host": "127.0.0.1", "quiet": True, "protocol": list(PROTOCOLS)}


def ports_of(flow):
    return dict(zip(PROTOCOLS, (listener.port for listener in flow.plan.gateway.listeners), strict=True))


def inside(flow, **arguments):
    return {step: found["inside"] for step, found in results(flow, "/count", **arguments).items()}


WAYS = [  # how many of each protocol wait where, and whether they visit the step that will be killed
    (40, {"parameters": {"at": "middle"}}),
    (14, {"parameters": {"at": "first"}, "target_executor": "first|last"}),
    (14, {"parameters": {"at": "last"}}),
]


class Refusing(Executor):
    @requests(on="/count")
    def count(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        raise ValueError("no")


@pytest.mark.slow
def test_callbacks_see_what_a_failed_request_has_visited():
    flow = Flow(**LOCAL).add(name="first", uses=First).add(name="bad", uses=Refusing)
    with flow as running:
        for protocol, port in ports_of(running).items():
            failed = []
            with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
                client.post("/count", Token(text="t"), on_error=failed.append)
            [response] = failed
            content = json.loads(response.json())["routes"]
            assert [route["executor"] for route in content] == ["gateway", "first", "bad"], protocol
            assert [route.status.code == route.status.ERROR for route in response.routes] == [False, False, True]
            assert (
                content[0]["start_time"] <= content[1]["start_time"] <= content[1]["end_time"] <= content[0]["end_time"]
            )


@pytest.mark.slow
def test_a_killed_step():
    """204 requests are in flight: only those that were inside it fail, and later ones that need it."""
    flow = Flow(**LOCAL, restart_limit=0)
    flow = flow.add(name="first", uses=First).add(name="middle", uses=Middle).add(name="last", uses=Last)
    with flow as running:
        ports = ports_of(running)
        asyncio.run(asyncio.wait_for(kill_the_middle(running, ports), 50))
        for protocol in PROTOCOLS:
            status, code, text = RAW[protocol](ports[protocol], "/wait", '{"data": [{"text": "t"}]}')
            assert status == ("UNAVAILABLE" if protocol == "grpc" else 503)
            assert code in {None, "Unavailable"}
            assert "middle" in text
        # In it, not in the Flow: whatever passes it by is served.
        assert running.post("/wait", Token(text="t"), target_executor="last", return_type=Token).text == "tl"


async def kill_the_middle(flow, ports):
    async with contextlib.AsyncExitStack() as stack:
        waiting = {where: [] for where in ("middle", "first", "last")}
        for protocol, port in ports.items():
            client = await stack.enter_async_context(
                Client(host="127.0.0.1", port=port, protocol=protocol, asyncio=True)
            )
            for count, how in WAYS:
                for _ in range(count):
                    call = client.post("/wait", Token(text="t"), return_type=Token, timeout=45, **how)
                    waiting[how["parameters"]["at"]].append(asyncio.ensure_future(gathered(call)))
        expected = {"first": 42, "middle": 120, "last": 42}
        await asyncio.to_thread(until, lambda: inside(flow) == expected)
        os.kill(processes_of(flow)["middle"], signal.SIGKILL)
        for error in await asyncio.gather(*waiting["middle"], return_exceptions=True):
            assert type(error) is Unavailable, repr(error)
            assert error.deployment == "middle"
        await asyncio.to_thread(until, lambda: get(ports["http"], "/readyz")[0] == 503)
        assert await asyncio.to_thread(health, ports["grpc"]) == 2
        assert not await asyncio.to_thread(flow.is_flow_ready)
        assert not await asyncio.to_thread(Client(host="127.0.0.1", port=ports["grpc"]).is_flow_ready)
        rest = {"target_executor": "first|last"}
        assert await asyncio.to_thread(inside, flow, **rest) == {"first": 42, "last": 42}
        await asyncio.to_thread(results, flow, "/gate", parameters={"open": True}, **rest)
        assert set(await asyncio.gather(*waiting["first"])) == {"tfl"}
        assert set(await asyncio.gather(*waiting["last"])) == {"tfml"}


async def gathered(call):
    return (await call).text


def test_a_killed_replica(tmp_path, protocol):
    """What it had begun fails; what waited there for its turn is answered by the other one."""
    flow = Flow(**LOCAL, restart_limit=0).add(name="before", uses=Middle)
    flow = flow.add(name="twice", uses=OneByOne, uses_with={"folder": str(tmp_path)}, replicas=2)
    with flow as running, ThreadPoolExecutor(40) as pool:
        ports = ports_of(running)
        with Client(host="127.0.0.1", port=ports[protocol], protocol=protocol) as client:
            calls = [
                pool.submit(client.post, "/one", Token(text=str(number)), return_type=Token, timeout=60)
                for number in range(40)
            ]
            until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
            victim = next(pid for name, pid in processes_of(running).items() if name == "twice/rep-0")
            os.kill(victim, signal.SIGKILL)
            until(lambda: not running.is_ready)
            (tmp_path / "go").touch()
            failed = [error for call in calls if (error := call.exception(60)) is not None]
            assert [type(error) for error in failed] == [Unavailable]
            assert failed[0].deployment == "twice"
            begun = (tmp_path / f"begun-{victim}").read_text().split()
            assert len(begun) == 1
            for number, call in enumerate(calls):
                assert (str(number) in begun) == (call.exception() is not None)
            # One replica is enough to serve, but not all of the Flow is there.
            assert client.post("/one", Token(text="x"), return_type=Token).text == "x"
        assert health(ports["grpc"]) == 1
        assert get(ports["http"], "/readyz")[0] == 200
        assert not running.is_flow_ready()


@pytest.fixture(scope="module")
def impatient():
    """The second of two steps gets 300 ms."""
    flow = Flow(**LOCAL).add(name="first", uses=First).add(name="middle", uses=Middle, timeout_send=300, retries=0)
    with flow as running:
        yield running


@pytest.mark.slow
def test_a_silent_step(impatient, protocol):
    """The answer names it, the option, and comes in time; its handler is cancelled; the Flow goes on."""
    port = ports_of(impatient)[protocol]
    results(impatient, "/gate", parameters={"open": False})
    body = json.dumps({"data": [{"text": "t"}], "parameters": {"at": "middle"}})
    began = time.monotonic()
    with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
        with pytest.raises(DeadlineExceeded, match=r"middle.*timeout_send") as caught:
            client.post("/wait", Token(text="t"), parameters={"at": "middle"})
        assert time.monotonic() - began < 10
        assert caught.value.deployment == "middle"
        if protocol != "grpc":  # a message without parameters is all that the helper makes
            status, code, text = RAW[protocol](port, "/wait", body)
            assert (status, code) == (504, "DeadlineExceeded")
            assert "middle" in text
        until(lambda: results(impatient, "/count")["middle"]["inside"] == 0)
        assert results(impatient, "/count")["middle"]["stopped"] >= 1
        assert client.post("/wait", Token(text="t"), return_type=Token).text == "tfm"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["first", "middle", "last"])
def test_a_client_that_does_not_wait(line, port_of, protocol, step):
    """Its work is cancelled in whatever step it is."""
    results(line, "/gate", parameters={"open": False})
    with Client(host="127.0.0.1", port=port_of[protocol], protocol=protocol) as client:
        with pytest.raises(DeadlineExceeded):
            client.post("/wait", Token(), parameters={"at": step}, timeout=2)
        until(lambda: results(line, "/count")[step]["inside"] == 0)
    counted = results(line, "/count")
    assert {name: found["stopped"] for name, found in counted.items()} == {
        name: int(name == step) for name in ("first", "middle", "last")
    }


@pytest.mark.slow
def test_the_work_of_all_branches_is_cancelled():
    """By the client's timeout, and by the failure of one of them."""
    flow = Flow(host="127.0.0.1", quiet=True)
    flow = flow.add(name="first", uses=First, needs="gateway").add(name="middle", uses=Middle, needs="gateway")
    flow = flow.needs_all(name="both")
    with flow as running:
        with pytest.raises(DeadlineExceeded):
            running.post("/wait", Token(), parameters={"at": "first", "middle__at": "middle"}, timeout=2)
        until(lambda: set(inside(running).values()) == {0})
        assert {step: found["stopped"] for step, found in results(running, "/count").items()} == {
            "first": 1,
            "middle": 1,
        }
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(running.post, "/wait", Token(), parameters={"at": "first", "middle__at": "middle"})
            until(lambda: set(inside(running).values()) == {1})
            os.kill(processes_of(running)["middle"], signal.SIGKILL)
            with pytest.raises(Unavailable) as caught:
                call.result(30)
            assert caught.value.deployment == "middle"
        until(lambda: results(running, "/count", target_executor="first")["first"]["stopped"] == 2)
