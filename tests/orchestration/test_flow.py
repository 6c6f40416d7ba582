"""Flows as users hold them. Those that run are shared by the tests that only ask them."""

import asyncio
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from docarray import DocList
from flow_steps import Add, Count, Failing, Left, Note, Recording, Right, Sleeping
from tests.processes import children, gone

from jina import AsyncFlow, Client, Deployment, Flow
from jina.errors import (
    ConfigError,
    DeadlineExceeded,
    EndpointNotFound,
    FlowBuildLevelError,
    PortAlreadyUsed,
    RuntimeFailToStart,
    Unavailable,
    UsageError,
)

LOCAL = {"host": "127.0.0.1", "quiet": True}


@pytest.fixture(scope="module")
def chain():
    """Two steps on all protocols."""
    flow = Flow(protocol=["grpc", "http", "websocket"], env={"COLOUR": "red"}, **LOCAL)
    flow = flow.expose_endpoint("/add", path="/plus", methods=["POST"])
    with flow.add(uses=Add).add(uses=Add, uses_with={"letter": "b"}, name="second") as flow:
        yield flow


@pytest.fixture(scope="module")
def branches():
    """Two branches that are joined, behind a first step, in a running loop too."""
    flow = (
        AsyncFlow(**LOCAL)
        .add(uses=Add, name="first")
        .add(uses=Left, name="left")
        .add(uses=Right, name="right", needs="first")
    )
    with flow.needs_all() as flow:
        yield flow


def test_documents_pass_all_steps(chain):
    docs = chain.post("/add", DocList[Note]([Note(text="x"), Note(text="y")]))
    assert docs.text == ["xab", "yab"]
    assert type(docs[0]) is Note


@pytest.mark.parametrize("position", range(3))
def test_every_protocol(chain, position):
    with Client(host="127.0.0.1", port=chain.port[position], protocol=chain.protocol[position]) as client:
        assert client.post("/add", Note(text="x"), return_type=Note).text == "xab"


def test_an_endpoint_under_a_path_of_its_own(chain):
    body = json.dumps({"data": [{"text": "x"}]}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{chain.port[1]}/plus", body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=20) as reply:
        assert json.load(reply)["data"][0]["text"] == "xab"


def test_endpoints_by_name(chain):
    assert chain.index(Note(text="x")).text == ["xab"]
    with pytest.raises(EndpointNotFound, match="/search"):
        chain.search(Note(text="x"))


def test_only_the_target_is_visited(chain):
    assert chain.post("/add", Note(text="x"), target_executor="second").text == ["xb"]


def test_each_step_has_a_process(chain):
    pids = chain.post("/pid", Note()).text[0].split()
    assert len({*pids, str(os.getpid())}) == 3
    assert chain.num_pods == 3
    assert chain.num_deployments == 3  # with the gateway, as in Jina 3


def test_the_environment_is_that_of_the_flow_while_it_runs(chain):
    assert os.environ["COLOUR"] == "red"
    assert chain.post("/env", Note()).text == ["redred"]


def test_the_environment_is_restored(monkeypatch):
    monkeypatch.setenv("COLOUR", "blue")
    flow = Flow(env={"COLOUR": "green", "SHADE": "1"})
    flow._export_environment(flow)
    assert os.environ["COLOUR"] + os.environ["SHADE"] == "green1"
    flow.close()
    assert os.environ["COLOUR"] == "blue"
    assert "SHADE" not in os.environ


def test_readiness_and_profile(chain, capsys):
    assert chain.is_flow_ready()
    assert chain.dry_run()
    assert chain.is_ready
    times = chain.profiling(show_table=True)
    steps = [name for name, _ in chain]
    assert len(steps) > 1
    assert [name.strip() for name in times][-len(steps) :] == steps
    assert all(name in capsys.readouterr().out for name in steps[:1])


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "websocket"])
def test_the_profile_names_the_executors_on_the_other_protocols_too(protocol):
    with Flow(protocol=protocol, **LOCAL).add(name="a").add(name="b", replicas=2) as flow:
        times = flow.profiling(show_table=False)
        assert list(times) == [
            "Roundtrip", "Client-server network", "Server", "  Gateway-executors network", "  a", "  b",
        ]  # fmt: skip
        assert 0 < times["  b"] <= times["Server"] < times["Roundtrip"]

        async def ask():
            async with Client(port=flow.port, protocol=protocol, asyncio=True, host="127.0.0.1") as client:
                return await client.profiling(show_table=False)

        assert asyncio.run(ask()).keys() == times.keys()


@pytest.mark.parametrize(("mode", "names"), [("COLLECT", "a i b"), ("HANG", "a i b"), ("REMOVE", "a b")])
def test_the_steps_that_are_left_with_inspections(mode, names):
    flow = Flow(inspect=mode).add(name="a").inspect(name="i").add(name="b")
    assert [name for name, _ in flow] == names.split()
    assert [flow[place].name for place in range(len(names.split()))] == names.split()
    assert flow.num_deployments == flow.num_pods == len(names.split()) + 1
    assert ("i" in dict(flow)) == (mode != "REMOVE")
    assert not Flow().is_flow_ready()


def test_a_running_flow_cannot_be_changed(chain):
    for change in (
        lambda: chain.add(uses=Add),
        lambda: chain.config_gateway(cors=True),
        lambda: setattr(chain, "port", 1),
    ):
        with pytest.raises(FlowBuildLevelError, match="running"):
            change()


def test_steps_can_be_looked_at(chain):
    assert [name for name, _ in chain] == ["executor0", "second"]
    assert chain[0].name == "executor0"
    assert chain["second"].spec.uses is Add
    with pytest.raises(KeyError):
        chain["third"]
    with pytest.raises(IndexError):
        chain[2]


def test_calls_in_a_loop(branches):
    async def calls():
        replies = [docs async for docs in branches.post("/add", [Note(text="x"), Note(text="y")], request_size=1)]
        together = await branches.post("/add", [Note(text="x"), Note(text="y")])
        ready = await branches.is_flow_ready()
        await branches.client.close()
        return replies, together, ready

    replies, together, ready = asyncio.run(calls())
    assert sorted(docs[0].left for docs in replies) == ["xa", "ya"]
    assert together.left == together.right == ["xa", "ya"]
    assert type(together[0]) is Note
    assert ready


def test_async_with_and_streams():
    async def run():
        async with Flow(asyncio=True, **LOCAL).add(uses=Count) as flow:
            assert isinstance(flow, AsyncFlow)
            return [doc.text async for doc in flow.stream_doc("/count", Note(text="n"))]

    assert asyncio.run(run()) == ["n0", "n1", "n2"]


def test_a_deployment_as_a_step_and_replicas_in_a_running_loop():
    async def run():
        step = Deployment(uses=Add, name="worker", replicas=2, uses_with={"letter": "z"})
        with Flow(**LOCAL).add(step) as flow:
            assert flow["worker"].num_pods == 2
            docs = flow.post("/pid", [Note() for _ in range(20)], request_size=1)
            return flow.post("/add", Note(text="x")).text, len(set(docs.text))

    assert asyncio.run(run()) == (["xz"], 2)


def test_a_deployment_with_replicas_serves_behind_a_gateway():
    with Deployment(uses=Add, replicas=2, **LOCAL) as deployment:
        assert deployment.num_pods == 3
        assert len(set(deployment.post("/pid", [Note() for _ in range(20)], request_size=1).text)) == 2
        with pytest.raises(EndpointNotFound):
            deployment.post("/nowhere", Note())
        outside = Deployment(external=True, host="127.0.0.1", port=deployment.port, name="outside")
        with outside:
            assert outside.num_pods == 0
            assert outside.post("/add", Note(text="x"), return_type=Note).text == "xa"
            with Flow(**LOCAL).add(outside).add(uses=Add, uses_with={"letter": "b"}) as flow:
                assert flow.num_pods == 2
                assert flow.post("/add", Note(text="x")).text == ["xab"]


@pytest.mark.slow
def test_a_failing_executor_ends_the_start(tmp_path):
    record = tmp_path / "record"
    flow = Flow(env={"RECORD": str(record)}, **LOCAL)
    flow = flow.add(uses=Recording, name="good").add(uses=Failing, name="bad")
    before = children()
    with pytest.raises(RuntimeFailToStart) as caught:
        flow.start()
    assert str(caught.value).startswith("Flow 'flow' is aborted: bad failed in __init__ (flow_steps.py:")
    assert "no such file model.bin" in str(caught.value)
    assert type(caught.value.__cause__) is RuntimeError
    assert children() <= before
    assert "RECORD" not in os.environ
    if record.exists():  # it may have been interrupted before
        assert record.read_text().split() in (["init"], ["init", "closed"])


def test_nothing_is_printed_before_the_error_of_a_failed_start(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    flow = Flow(host="127.0.0.1").add(uses=Failing, name="bad").add(uses=Sleeping, name="asleep")
    with pytest.raises(RuntimeFailToStart, match="bad failed in __init__"):
        flow.start()
    assert capfd.readouterr().err == ""  # the gateway and the other Executor were ended while they started


def test_a_taken_port_is_named_and_nothing_is_left():
    before = children()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortAlreadyUsed, match=str(port)):
            Flow(port=port, **LOCAL).add(uses=Add).start()
    assert children() <= before


def test_a_killed_executor_fails_its_requests_only():
    with Flow(**LOCAL, restart_limit=0).add(uses=Add, name="a").add(uses=Add, name="b") as flow:
        with pytest.raises(Unavailable, match="a"):
            flow.post("/die", Note(), target_executor="a")
        assert flow.post("/add", Note(text="x"), target_executor="b").text == ["xb"[:1] + "a"]
        deadline = time.monotonic() + 10
        while not flow._processes[0].dead:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "was killed by signal 9" in flow._processes[0].dead[0]
        assert not flow.is_ready
        took = []
        for _ in range(10):  # whatever else the machine does makes it slower: the least is what it costs
            began = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                flow.post("/add", Note(text="x"))
            took.append(time.monotonic() - began)
            assert "was killed by signal 9 (SIGKILL)" in caught.value.message
        assert min(took) < 0.4  # known already: nothing to wait for
        gateway = flow._processes[0].front[0]
        os.kill(gateway.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match=r"gateway .*was killed by signal 9"):
            flow.post("/add", Note(text="x"))


@pytest.mark.slow
def test_what_takes_too_long_is_said_at_once(tmp_path):
    took = []
    with Flow(timeout_send=100, **LOCAL).add(uses=Add, name="a") as flow:
        for number in range(5):  # as above
            waiting = {"begun": str(tmp_path / f"begun{number}"), "go": str(tmp_path / f"go{number}")}
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                flow.post("/slow", Note(), parameters=waiting)
            took.append(time.monotonic() - began)
            open(waiting["go"], "w").close()
    assert min(took) < 0.5  # with the half second that a dead process takes to be known it would be 0.6


def test_an_async_flow_is_a_flow():
    flow = Flow(asyncio=True, **LOCAL).add(uses=Add)
    assert type(flow) is AsyncFlow
    assert isinstance(flow, Flow)
    assert issubclass(AsyncFlow, Flow)
    assert len(AsyncFlow.__bases__) == len(Flow.__bases__) == len(Deployment.__bases__) == 2


def test_calls_before_the_start():
    with pytest.raises(UsageError, match="Flow 'flow' is not started"):
        Flow().add(uses=Add).post("/add", Note())


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"Flow: locked: .*lock"):
        Flow(**LOCAL).add(uses=Add, name="locked", uses_with={"lock": lock}).start()
    with pytest.raises(ConfigError, match=r"Flow: lost: .*no_such_module"):
        Flow().add(uses="no_such_module.Executor", name="lost").build()


def test_fifty_executors_are_built_quickly():
    """Counted in calls of functions, about half a million a second, because CPU time grows with other load."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    Flow(**LOCAL).add(uses=Add).build()  # imports
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        flow = Flow(**LOCAL)
        for _ in range(50):
            flow = flow.add(uses=Add)
        flow.build()
    finally:
        sys.setprofile(before)
    assert flow.num_pods == 51
    assert calls < 60_000


@pytest.mark.slow
def test_fifty_executors_start():
    flow = Flow(**LOCAL)
    for _ in range(50):
        flow = flow.add(uses=Add)
    with flow:
        assert flow.post("/add", Note(text="x")).text == ["x" + 50 * "a"]


@pytest.mark.slow
def test_two_flows_in_one_process(chain):
    with Flow(**LOCAL).add(uses=Add, uses_with={"letter": "z"}) as other:
        assert other.post("/add", Note(text="x")).text == ["xz"]
        assert chain.post("/add", Note(text="x")).text == ["xab"]


@pytest.mark.slow
def test_ctrl_c_while_starting_leaves_nothing(tmp_path):
    program = """
import sys
from jina import Flow
print("go", flush=True)
Flow(host="127.0.0.1").add(uses="flow_steps.Add").add(uses="flow_steps.Sleeping").start()
"""
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__), "RECORD": str(tmp_path / "record")}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "go\n"
        deadline = time.monotonic() + 40
        while not (tmp_path / "record").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pids = [int(pid) for pid in (tmp_path / "record").read_text().split()]
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        error = child.stderr.read()
        assert child.wait(20)
    assert time.monotonic() - began < 5
    assert "KeyboardInterrupt" in error
    assert all(map(gone, pids))


def test_yaml_and_back(tmp_path):
    flow = (
        Flow(port=12345, protocol="http").add(uses=Add, name="a").add(uses=Left, needs="gateway", name="b").needs_all()
    )
    flow.save_config(str(tmp_path / "flow.yml"))
    again = Flow.load_config(str(tmp_path / "flow.yml"))
    assert again == flow
    assert again != flow.add(uses=Add)
    assert again.to_dict() == flow.to_dict()
    assert type(Flow.load_config({"jtype": "Flow", "with": {"asyncio": True}})) is AsyncFlow
    assert Flow.load_config(str(tmp_path / "flow.yml"), port=54321).port == 54321


def test_building_copies_unless_asked_not_to():
    flow = Flow()
    assert flow.add(uses=Add) is not flow
    assert len(flow.spec.executors) == 0
    assert flow.add(uses=Add, copy_flow=False) is flow
    assert [name for name, _ in flow.needs_all("all", copy_flow=False)] == ["executor0", "all"]


def test_a_step_from_the_yaml_of_a_deployment(tmp_path):
    path = tmp_path / "step.yml"
    Deployment(uses=Add, name="kept", replicas=3).save_config(str(path))
    flow = Flow().add(str(path), uses_with={"letter": "q"}).add(Deployment(uses=Left))
    assert [name for name, _ in flow] == ["kept", "executor"]
    assert flow["kept"].num_pods == 3
    assert flow.num_pods == 5
    for wrong in (Add, 7):
        with pytest.raises(ConfigError, match=r"Flow.add: .* is neither a Deployment nor"):
            Flow().add(wrong)


def test_setters_before_the_start():
    flow = Flow().add(uses=Add)
    flow.protocol, flow.port, flow.host, flow.workspace = ["grpc", "http"], [1111, 2222], "127.0.0.1", "/somewhere"
    flow.env = {"COLOUR": "pink"}
    assert (flow.protocol, flow.port, flow.host) == (["grpc", "http"], [1111, 2222], "127.0.0.1")
    assert flow[0].workspace == "/somewhere"
    assert flow.env == {"COLOUR": "pink"}
    assert flow.workspace_id == flow.workspace_id != Flow().workspace_id
    with pytest.raises(ConfigError, match="nonsense"):
        flow.port = "nonsense"


def test_ports_and_protocols_may_be_set_in_any_order():
    flow = Flow().add(uses=Add)
    flow.port = [1111, 2222]
    flow.host = "127.0.0.1"
    flow.protocol = ["grpc", "http"]
    assert (flow.protocol, flow.port, flow.host) == (["grpc", "http"], [1111, 2222], "127.0.0.1")
    flow.protocol = "http"
    with pytest.raises(ConfigError, match=r"Flow: port: 2 ports for 1 protocol\(s\) \(http\)"):
        _ = flow.port
    with pytest.raises(ConfigError, match=r"Flow: port: 2 ports for 1 protocol\(s\) \(http\)"):
        flow.build()
    flow.port = 3333
    assert (flow.protocol, flow.port) == ("http", 3333)
    with pytest.raises(ConfigError, match=r"Flow: port: 4444 is given twice"):
        flow.port = [4444, 4444]
    assert flow.port == 3333


def test_signatures_show_the_options():
    parameters = inspect.signature(Flow.add).parameters
    assert list(parameters)[:3] == ["self", "deployment", "copy_flow"]
    assert parameters["replicas"].default == 1
    assert "cors" in inspect.signature(Flow.config_gateway).parameters
    assert inspect.signature(Flow).parameters["inspect"].default == "COLLECT"
    assert "needs='gateway'" in Flow.add.__doc__


def test_an_early_stop_ends_the_program(monkeypatch, capsys):
    monkeypatch.setenv("JINA_EARLY_STOP", "1")
    with pytest.raises(SystemExit) as caught:
        Flow(**LOCAL).add(uses=Failing).start()
    assert caught.value.code == 1
    assert "no such file model.bin" in capsys.readouterr().err


def _wait_for(path):
    deadline = time.monotonic() + 40
    while not path.exists():
        assert time.monotonic() < deadline, f"waited in vain for {path}"
        time.sleep(0.01)


def test_requests_in_flight_are_answered_before_the_end(tmp_path):
    flow = Flow(**LOCAL).add(uses=Add, name="a").add(uses=Add, name="b").start()
    replies = []

    def call():
        parameters = {"begun": str(tmp_path / "begun"), "go": str(tmp_path / "go")}
        with Client(host="127.0.0.1", port=flow.port) as client:
            replies.append(client.post("/slow", Note(text="x"), parameters=parameters, return_type=Note))

    calling = threading.Thread(target=call)
    calling.start()
    _wait_for(tmp_path / "begun")
    closing = threading.Thread(target=flow.close)
    closing.start()
    gateway = flow._processes[0].front[0]
    deadline = time.monotonic() + 20
    while gateway.phase != "draining":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (tmp_path / "go").touch()
    calling.join(20)
    closing.join(20)
    assert replies[0].text == "x"
    assert not closing.is_alive()


def test_nothing_outlives_a_killed_program(tmp_path):
    program = """
import os, time
from jina import Flow
with Flow(host="127.0.0.1").add(uses="flow_steps.Add", replicas=2) as flow:
    print(*(process.pid for process in flow._processes[0].processes), flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) as child:
        pids = [int(pid) for pid in child.stdout.readline().split()]
        child.kill()
    assert len(pids) == 3
    deadline = time.monotonic() + 20
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, "a process outlives its parent"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"text": {"$gtt": 1}}, r"Flow: picky: when: text: no operator '\$gtt'; did you mean \$gt\?"),
        ({"text": {"$regex": "("}}, r"Flow: picky: when: .*\$regex"),
        ({"$nand": []}, r"Flow: picky: when: "),
    ],
)
def test_conditions_are_checked_when_the_flow_is_built(when, message):
    flow = Flow().add(uses=Add).add(name="picky", uses=Add, when=when)
    with pytest.raises(ConfigError, match=f"^{message}"):
        flow.build()


@pytest.mark.slow
def test_a_condition_in_a_file_is_named_by_its_place(tmp_path):
    source = tmp_path / "flow.yml"
    source.write_text("jtype: Flow\nexecutors:\n  - name: a\n  - name: b\n    when: {text: {$gtt: 1}}\n")
    with pytest.raises(ConfigError, match=r"flow\.yml.*: when: text: no operator '\$gtt'"):
        Flow.load_config(str(source)).build()
