"""What stateful Deployments do over restarts, snapshots and with writes of all kinds."""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest
from docarray import DocList

from jina import Client, Deployment, Document, DocumentArray, Flow
from jina.errors import ExecutorError, NotSupportedError, RuntimeFailToStart
from tests.founding.programs import serving
from tests.stateful.conftest import FAST, PATIENCE, Writer, group
from tests.stateful.users import (
    FileLedger,
    FolderLedger,
    Item,
    Ledger,
    ManyWays,
    SlowSnapshots,
    UnableToRestore,
)

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
FRESH = {"headers": {"jina-consistency": "linearizable"}}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    # With the timings of production: short ones call an election too where the machine has other work for a moment.
    with group(ManyWays, tmp_path_factory.mktemp("many"), protocol=["grpc", "http"], raft_configuration={}) as running:
        yield running


def items(*texts):
    return DocList[Item]([Item(text=text) for text in texts])


def calls(many):
    """What the replicas noted, which is the same."""
    states = many.everywhere("/calls", documents=items("x"), return_type=DocList[Item], **FRESH)
    assert states[0] == states[1] == states[2]
    return states[0]["calls"]


def test_snapshots_shorten_the_log_of_each_replica(tmp_path):
    with group(FolderLedger, tmp_path, raft_configuration={**FAST, "trailing_logs": 5}) as running:
        running.add(*map(str, range(100)))
        for number in range(30):
            running.add(f"later{number}")
        running.post("/keep", DocumentArray([Document(text="in a file")]))
        assert running.everywhere("/kept", **FRESH) == [{"kept": ["in a file"], "found": []}] * 3
        running.deployment.snapshot()
        assert all(one["first"] > 20 and one["snapshot"] > 20 for one in running.status()), running.status()
        running.add("after the snapshot")
    with group(FolderLedger, tmp_path) as running:
        states = running.everywhere("/list")
        assert states[0] == states[1] == states[2]
        assert states[0]["lines"] == [*map(str, range(100)), *(f"later{n}" for n in range(30)), "after the snapshot"]
        # Files of an earlier incarnation are gone: what is to last belongs into the snapshot.
        assert running.everywhere("/kept", **FRESH) == [{"kept": [], "found": []}] * 3


def test_snapshots_of_jina_3_are_files(tmp_path):
    with group(FileLedger, tmp_path, replicas=1) as running:
        running.add("one", "two")
        running.deployment.snapshot()
        running.add("three")
    with group(FileLedger, tmp_path, replicas=1) as running:
        assert running.everywhere("/list", 1)[0]["lines"] == ["one", "two", "three"]


def test_without_the_methods_the_log_is_kept_and_replayed(tmp_path):
    with group(Ledger, tmp_path, replicas=1) as running:
        running.add("one", "two")
        with pytest.raises(Exception, match="no worker that can write a snapshot"):
            running.deployment.snapshot()
    with group(Ledger, tmp_path, replicas=1) as running:
        assert running.everywhere("/list", 1)[0]["lines"] == ["one", "two"]


def test_a_failing_restore_is_loud_and_nothing_is_served(tmp_path):
    with group(UnableToRestore, tmp_path, replicas=1) as running:
        running.add("precious")
        running.deployment.snapshot()
    with (
        pytest.raises(RuntimeFailToStart, match=r"failed to join its group .*this state cannot be read"),
        group(UnableToRestore, tmp_path, replicas=1),
    ):
        pass
    with group(FolderLedger, tmp_path, replicas=1) as mended:
        assert mended.everywhere("/list", 1)[0]["lines"] == ["precious"]


def test_writes_go_on_during_a_snapshot(tmp_path):
    with group(SlowSnapshots, tmp_path) as running:
        running.add("before")
        shooting = threading.Thread(target=running.deployment.snapshot)
        shooting.start()
        writer = Writer(running, "meanwhile")
        for number in range(5):
            writer.write(number)
        shooting.join()
        assert not writer.errors
        states = running.everywhere("/list", **FRESH)
        assert states[0] == states[1] == states[2]
        assert len(states[0]["lines"]) == 6


def test_async_writes_and_documents_that_come_back(many):
    sent = items("a", "b")
    back = many.post("/async", sent, return_type=DocList[Item])
    assert [doc.id for doc in back] == [doc.id for doc in sent]
    assert calls(many)[-2:] == [doc.id for doc in sent]


@pytest.mark.parametrize(("endpoint", "error"), [("/leave", "SystemExit"), ("/leave-async", "KeyboardInterrupt")])
def test_a_write_that_asks_for_the_end_is_a_result_as_any_other(many, endpoint, error):
    """Applied again from the log, it would end each worker at each start."""
    before, pids = calls(many).count("left"), [worker.pid for worker in many.workers]
    with pytest.raises(ExecutorError, match=error):
        many.post(endpoint, items("a"), return_type=DocList[Item])
    assert calls(many).count("left") == before + 1
    assert [worker.pid for worker in many.workers] == pids


def test_an_exception_is_a_result_and_applied_once_everywhere(many):
    before = calls(many).count("raised")
    with pytest.raises(ExecutorError, match="on purpose"):
        many.post("/raise", items("a"), return_type=DocList[Item])
    assert calls(many).count("raised") == before + 1


def test_parameters_keep_their_types(many):
    many.post("/parameters", items("a"), parameters={"name": 7})
    assert calls(many)[-1] == 7


def test_time_and_seed_are_the_same_on_every_replica(many):
    before = time.time() - 1
    reply = [many.post("/moment", items("x"), return_type=DocList[Item])[0].text for _ in range(9)]
    assert calls(many)[-9:] == reply
    times = [float(one.split()[0]) for one in reply]
    assert times == sorted(times)
    assert before < times[0] <= times[-1] < time.time() + 1
    assert len({one.split()[1] for one in reply}) > 1


def over_http(many, endpoint, body):
    port = many.deployment.port[1]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{endpoint}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def test_documents_without_ids_get_the_same_ones_everywhere(many):
    answer = over_http(many, "/async", {"data": [{"text": "no id"}, {"text": "none either"}]})
    assert calls(many)[-2:] == [doc["id"] for doc in answer["data"]]


def test_a_request_that_comes_again_is_applied_once(many):
    body = {"data": [{"text": "again"}], "header": {"request_id": "the same"}}
    first, before = over_http(many, "/async", body), len(calls(many))
    for _ in range(5):
        assert over_http(many, "/async", body)["data"] == first["data"]
    assert len(calls(many)) == before
    with pytest.raises(urllib.error.HTTPError) as refused:
        over_http(many, "/async", {**body, "data": [{"text": "something else"}]})
    assert refused.value.code == 400
    assert "was used for another request" in refused.value.read().decode()


def test_requests_of_5_mb(many):
    """Jina 3 refuses them."""
    many.post("/large", items("x" * 5_000_000))
    assert calls(many)[-1] == "5000000"


def test_all_is_there_after_a_restart_and_nothing_is_served_before(tmp_path):
    with group(Ledger, tmp_path) as running:
        for number in range(50):
            running.add(str(number))
    with group(Ledger, tmp_path) as running:
        # Without asking for consistency: a replica that is ready has caught up.
        assert all(one["lines"] == [*map(str, range(50))] for one in running.everywhere("/list"))


def test_given_peer_ports_are_used(tmp_path):
    with Deployment() as lent:
        ports = [lent._reservations.port() for _ in range(3)]
    with group(Ledger, tmp_path, peer_ports=ports, raft_configuration={"heartbeat_timeout": 1500}) as running:
        assert [agent.plan.peers[agent.plan.replica] for agent in running.agents] == [f"127.0.0.1:{p}" for p in ports]
        running.add("x")


def test_as_a_step_of_a_flow(tmp_path):
    flow = Flow(quiet=True).add(
        name="notes", uses=Ledger, stateful=True, replicas=3, workspace=str(tmp_path), raft_configuration=FAST
    )
    with flow:
        for number in range(10):
            flow.post("/add", DocumentArray([Document(text=str(number))]))
        reply = [json.loads(flow.post("/list", Document(), **FRESH)[0].text) for _ in range(9)]
        assert all(one["lines"] == [*map(str, range(10))] for one in reply)
        assert len({one["process"] for one in reply}) > 1


def test_a_write_applied_by_one_replica_alone_is_an_ordinary_one(tmp_path):
    with group(Ledger, tmp_path, replicas=1) as running:
        assert [running.add(text)[0].text for text in "abc"] == ["0", "1", "2"]


def test_two_services_do_not_share_a_folder(tmp_path):
    with group(Ledger, tmp_path, replicas=1) as running:
        running.add("mine")
        with pytest.raises(RuntimeFailToStart, match="another agent runs here"), group(Ledger, tmp_path, replicas=1):
            pass
        assert running.everywhere("/list", 1)[0]["lines"] == ["mine"]


def test_nothing_is_left(tmp_path):
    with group(Ledger, tmp_path) as running:
        agents, folders = [agent.pid for agent in running.agents], [agent.plan.socket for agent in running.agents]
        assert all(os.path.exists(path) for path in folders)
    assert not any(os.path.exists(os.path.dirname(path)) for path in folders)
    for pid in agents:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_requests_of_30_mb_hold_no_election(many):
    terms = {one["term"] for one in many.status()}
    many.post("/large", items("x" * 30_000_000))
    assert calls(many)[-1] == "30000000"
    assert {one["term"] for one in many.status()} == terms


def test_a_write_that_takes_long_costs_no_leader_its_place(many):
    """It takes several times the election timeout, and holds the interpreter of each replica's handlers."""
    terms = {one["term"] for one in many.status()}
    many.post("/slow", items("x"), parameters={"seconds": 2.0})
    assert calls(many)[-1] == "slow"
    assert {one["term"] for one in many.status()} == terms


def test_in_the_program_itself_there_is_no_replication(tmp_path):
    deployment = Deployment(uses=Ledger, stateful=True, workspace=str(tmp_path))
    with pytest.raises(NotSupportedError, match="needs processes of its own"), deployment.in_process():
        pass
    with pytest.raises(NotSupportedError, match="needs processes of its own"):
        deployment.asgi()
    deployment.close()


def test_the_command_serves_one_replica(tmp_path):
    options = ["--uses", "tests.stateful.users.Ledger", "--stateful", "--workspace", str(tmp_path)]
    for wanted in ("0", "1"):
        with serving("executor", *options, "--host", "127.0.0.1", cwd=os.getcwd(), home=tmp_path) as service:
            with Client(host=service.address("grpc")) as client:
                assert client.post("/add", Document(text="x"))[0].text == wanted
            assert service.end(signal.SIGTERM) == 0, service.output
