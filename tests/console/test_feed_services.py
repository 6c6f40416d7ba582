"""The console of services that run: a Flow, a worker without a gateway, `jina console`."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from jina import Deployment, Document, Flow
from tests.console import feed_services
from tests.console.feed_services import First, Ledger, Second
from tests.stateful.conftest import FAST

FILE = feed_services.__file__
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


def refused(address, path, key="", **more):
    """The status of a refusal."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, path, key, **more)
    caught.value.close()
    return caught.value.code


@pytest.fixture(scope="module")
def flow():
    service = (
        Flow(protocol="http", quiet=True, host="127.0.0.1")
        .add(uses=First, name="one", replicas=2)
        .add(uses=Second, name="two", uses_dynamic_batching={"/work": {"preferred_batch_size": 4, "timeout": 50}})
    )
    with service:
        yield service


@pytest.mark.slow
def test_the_console_of_a_flow(flow):
    address = f"http://127.0.0.1:{flow.port}"
    [modules] = flow.post("/modules", inputs=Document())
    assert modules.text.split() == []  # of a worker that serves no HTTP, nothing at all
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
        state = first(found, lambda state: state["total"]["count"] >= 14 and state["total"].get("rate") == 0)
        line = next(line for line in lines if line.startswith(b"data: "))
    assert (state["total"]["count"], state["total"]["failed"]) == (14, 1)
    one, two = (state["deployments"][name] for name in ("one", "two"))
    assert (one["replicas"], one["numbers"]["count"], two["numbers"]["count"]) == (2, 14, 12)
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
            ours = [
                one for one in fetched(address, "/info", key)["services"] if one["id"].startswith(f"{os.getpid()}/")
            ]
            assert [one["name"] for one in ours] == ["flow"]
            with ask(address, f"/feed?service={ours[0]['id']}", key) as stream:
                found = states(stream)
                first(found, lambda state: len(state["processes"]) == 4)
                flow.post("/work", inputs=Document())
                first(found, lambda state: "/work" in state["processes"]["gateway"]["endpoints"])
        finally:
            console.send_signal(signal.SIGINT)
        assert console.wait(TIME) == 0


def test_a_worker_imports_nothing_of_it_before_it_is_asked():
    with Deployment(uses=First, protocol="http", quiet=True, host="127.0.0.1", include_gateway=False) as worker:
        address = f"http://127.0.0.1:{worker.port}"

        def imported():
            return worker.post("/modules", inputs=Document())[0].text.split()

        assert imported() == ["jina.runtime.console", "jina.server.apis"]
        with ask(address, "/feed") as stream:
            state = first(states(stream), lambda state: state["processes"])
        assert list(state["processes"]) == ["executor/rep-0"]
        assert state["total"]["count"] == 1
        assert {"jina.console.feed", "jina.observe.observation"} <= {*imported()}


@pytest.mark.slow
def test_it_can_be_left_out_and_its_path_be_an_endpoint():
    with Deployment(uses=First, protocol="http", quiet=True, host="127.0.0.1", console=False) as worker:
        assert refused(f"http://127.0.0.1:{worker.port}", "") == 404


@pytest.mark.slow
def test_a_process_without_a_supervisor_shows_itself():
    """As in a container, where an Executor is the only process."""
    command = [sys.executable, "-m", "jina", "executor", "--uses", "First", "--py-modules", FILE, "--protocol", "http"]
    with subprocess.Popen([*command, "--host", "127.0.0.1"], stderr=subprocess.PIPE, text=True) as served:
        try:
            address = next(found[0] for line in served.stderr if (found := re.findall(r"http://127.0.0.1:\d+", line)))
            with ask(address, "/feed") as stream, ask(address, "/logs") as lines:
                found = states(stream)
                [(name, process)] = first(found, lambda state: state["processes"])["processes"].items()
                assert (process["pid"], process["executor"], process["gateway"]) == (served.pid, "First", False)
                body = json.dumps({"data": [{"text": "x"}]}).encode()
                headers = {"Content-Type": "application/json"}
                urllib.request.urlopen(urllib.request.Request(f"{address}/work", body, headers), timeout=TIME).close()
                first(found, lambda state: state["total"]["count"] == 1)
                told = next(json.loads(line[6:]) for line in lines if b"worked on" in line)
            assert told["process"] == name
        finally:
            served.send_signal(signal.SIGTERM)
        assert served.wait(TIME) == 0


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jina_raft") is None, reason="the consensus agent is not built: make agent"
)
def test_groups_and_their_actions(tmp_path):
    keys = {
        "reader": {"key": "reader-key", "scopes": ["console"]},
        "operator": {"key": "operator-key", "scopes": ["console", "admin"]},
    }
    options = {"raft_configuration": FAST, "host": "127.0.0.1", "quiet": True, "protocol": "http", "api_keys": keys}
    with Deployment(
        name="ledger", uses=Ledger, stateful=True, replicas=3, workspace=str(tmp_path), **options
    ) as deployment:
        address = f"http://127.0.0.1:{deployment.port}"

        def act(**action):
            body = json.dumps({"group": "ledger", **action}).encode()
            more = {"data": body, "headers": {"X-API-Key": "operator-key", "Content-Type": "application/json"}}
            with urllib.request.urlopen(
                urllib.request.Request(f"{address}/console/actions", **more), timeout=90
            ) as answer:
                return json.load(answer)["message"]

        deployment.post("/add", inputs=Document(text="a"))
        with ask(address, "/feed", "reader-key") as stream:
            found = states(stream)
            group = first(found, lambda state: state["groups"].get("ledger", {}).get("healthy"))["groups"]["ledger"]
            assert group["replicas"].keys() == {"0", "1", "2"}
            assert all(one["applied"] >= 1 for one in group["replicas"].values())
            other = next(number for number in range(3) if number != group["leader"])
            assert act(do="transfer", replica=other) == "ledger: the leadership was handed over"
            first(found, lambda state: state["groups"]["ledger"].get("leader") == other)
            assert "replica 0, replica 1, replica 2" in act(do="snapshot")
            first(found, lambda state: all(one["snapshot"] for one in state["groups"]["ledger"]["replicas"].values()))
        body = json.dumps({"do": "snapshot", "group": "ledger"}).encode()
        assert refused(address, "/actions", "reader-key", data=body, method="POST") == 415
        assert refused(address, "/feed") == 401
