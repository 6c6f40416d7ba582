"""The console of services that run: a Flow, a worker without a gateway, `jina console`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from jina import Deployment, Document, Flow
from tests.console.feed_services import First, Second

TIME = 60.0
"""Seconds that an answer, and what it is waited for, may take on a busy machine."""


def ask(address, path, key="", **more):
    """An open answer."""
    headers = {"X-API-Key": key} if key else {}
    return urllib.request.urlopen(
        urllib.request.Request(f"{address}/console{path}", headers=headers, **more), timeout=TIME
    )


def fetched(address, path, key=""):
    with ask(address, path, key) as answer:
        return json.load(answer)


def merged(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        result[name] = merged(result.get(name), value)
    return {name: value for name, value in result.items() if value is not None}


def states(stream):
    """The states that a feed tells, one after the other."""
    state, kind = {}, ""
    for line in stream:
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind != "end":
            state = json.loads(value) if kind == "state" else merged(state, json.loads(value))
            yield state


def first(found, wanted, most=40):
    """The first of the states that follow of which something is true."""
    for number, state in enumerate(found):
        if wanted(state):
            return state
        assert number < most, state
    raise AssertionError("the feed ended")


@pytest.fixture(scope="module")
def flow():
    service = (
        Flow(protocol="http", quiet=True, host="127.0.0.1")
        .add(uses=First, name="one", replicas=2)
        .add(uses=Second, name="two", uses_dynamic_batching={"/work": {"preferred_batch_size": 4, "timeout": 50}})
    )
    with service:
        yield service


def test_the_console_of_a_flow(flow):
    address = f"http://127.0.0.1:{flow.port}"
    assert fetched(address, "/info")["rights"] == ["view", "logs"]
    with ask(address, "/feed") as stream, ask(address, "/logs?process=one&level=WARNING") as lines:
        found = states(stream)
        state = first(found, lambda state: len(state["processes"]) == 3 + 1)
        assert state["service"]["name"] == "flow"
        assert state["graph"]["edges"].keys() == {"gateway>one", "one>two"}
        assert {one["state"] for one in state["processes"].values()} == {"ready"}
        for number in range(12):
            flow.post("/work", inputs=Document(text=f"t{number}"))
        with contextlib.suppress(Exception):
            flow.post("/work", inputs=Document(text="fail"))
        state = first(found, lambda state: state["total"]["count"] >= 13 and state["total"].get("rate") == 0)
        line = next(line for line in lines if line.startswith(b"data: "))
    assert (state["total"]["count"], state["total"]["failed"]) == (13, 1)
    one, two = (state["deployments"][name] for name in ("one", "two"))
    assert (one["replicas"], one["numbers"]["count"], two["numbers"]["count"]) == (2, 13, 12)
    assert state["processes"]["two/rep-0"]["rss"] > 10_000_000
    told = json.loads(line[6:])
    assert (told["level"], told["message"]) == ("WARNING", "worked on <b>t0</b>")
    assert told["process"] in {"one/rep-0", "one/rep-1"}
    request = next(one for one in state["slow"] if not one["error"])
    assert {"gateway", "hop", "worker", "queue", "batch", "handler"} == {span["kind"] for span in request["spans"]}
    assert {span["process"].partition("/")[0] for span in request["spans"]} == {"gateway", "one", "two"}
    assert all(0 <= span["start"] <= request["seconds"] + 0.1 for span in request["spans"])
    assert any(one["error"] for one in state["slow"])
    history = fetched(address, "/history?track=deployment:two")
    assert history["columns"][:2] == ["time", "rate"]
    assert history["points"]


def test_all_services_of_a_user(flow):
    command = [sys.executable, "-m", "jina", "console"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as console:
        try:
            address, _, key = console.stdout.readline().strip().partition("/console#key=")
            found = [
                one for one in fetched(address, "/info", key)["services"] if one["id"].startswith(f"{os.getpid()}/")
            ]
            assert [one["name"] for one in found] == ["flow"]
            with ask(address, f"/feed?service={found[0]['id']}", key) as stream:
                state = first(states(stream), lambda state: len(state["processes"]) == 4)
            assert state["processes"]["gateway"]["endpoints"]
        finally:
            console.send_signal(signal.SIGINT)
        assert console.wait(TIME) == 0


def test_a_worker_imports_nothing_of_it_before_it_is_asked():
    with Deployment(uses=First, protocol="http", quiet=True, host="127.0.0.1", include_gateway=False) as worker:
        address = f"http://127.0.0.1:{worker.port}"

        def imported():
            return worker.post("/modules", inputs=Document())[0].text.split()

        assert imported() == ["jina.runtime.console"]
        with ask(address, "/feed") as stream:
            state = first(states(stream), lambda state: state["processes"])
        assert list(state["processes"]) == ["executor/rep-0"]
        assert state["total"]["count"] == 1
        assert {"jina.console.feed", "jina.observe.observation"} <= {*imported()}


def test_it_can_be_left_out_and_its_path_be_an_endpoint():
    with Deployment(uses=First, protocol="http", quiet=True, host="127.0.0.1", console=False) as worker:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(f"http://127.0.0.1:{worker.port}", "")
        assert caught.value.code == 404
        caught.value.close()
