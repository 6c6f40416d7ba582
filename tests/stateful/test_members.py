"""Replicas are added to and removed from a stateful Deployment while it runs and is written to."""

import contextlib
import json
import os
import shutil
import signal
import threading

import pytest

from jina import Deployment, Document, DocumentArray, Flow, requests
from jina.cli.main import main
from jina.errors import JinaError, RuntimeFailToStart, Unavailable, UsageError
from jina.orchestration import membership
from tests.stateful.conftest import FAST, group
from tests.stateful.test_faults import SHORT_LOG, check, until_all_serve, wait_for_more, writing
from tests.stateful.users import FolderLedger, Ledger, Marking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def members(running):
    """The members that the leader tells of, by number."""
    statuses = next(one for one in running.status() if one["role"] == "Leader")
    return sorted((int(member.partition("-")[0]), vote) for member, vote in statuses["members"].items())


def all_vote(*numbers):
    return [(number, "Voter") for number in numbers]


def folders(workspace):
    return sorted(os.listdir(workspace / "raft" / "executor"))


@pytest.mark.parametrize("configuration", [FAST, SHORT_LOG], ids=["from the log", "from a snapshot"])
def test_replicas_come_and_go_while_writes_go_on(tmp_path, configuration):
    with group(FolderLedger, tmp_path, raft_configuration=configuration) as running:
        with writing(running) as writers:
            wait_for_more(writers, 100)
            assert running.deployment.add_replica() == 3
            assert members(running) == all_vote(0, 1, 2, 3)
            wait_for_more(writers)
            leader = running.leader()
            assert running.deployment.remove_replica(leader) == leader
            assert running.leader() != leader
            wait_for_more(writers)
            assert running.deployment.add_replica() == leader
            running.deployment.scale(replicas=2)
            assert members(running) == all_vote(0, 1)
            wait_for_more(writers)
        assert not [error for one in writers for error in one.errors]
        assert max(one.longest_gap for one in writers) < 5.0
        check(running, writers, replicas=2)
        assert [one["replica"] for one in running.status()] == [0, 1]
        assert {"rep-2.removed", "rep-3.removed"} <= set(folders(tmp_path))
    with group(FolderLedger, tmp_path, replicas=2) as running:
        check(running, writers, replicas=2)


class Shy(FolderLedger):
    """Its fourth replica does not start."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.runtime_args.replica_id > 2:
            raise ValueError("three are enough")


def test_what_cannot_be_added_or_removed_is_told_and_leaves_all_as_it_was(tmp_path):
    with group(Shy, tmp_path) as running:
        running.add("before")
        for act in (running.deployment.add_replica, lambda: running.deployment.scale(replicas=5)):
            with pytest.raises(RuntimeFailToStart, match="three are enough"):
                act()
            assert members(running) == all_vote(0, 1, 2)
        with pytest.raises(UsageError, match="no replica 7; there are 0, 1, 2"):
            running.deployment.remove_replica(7)
        with pytest.raises(JinaError, match="replicas"):
            running.deployment.scale(replicas=0)
        dead = (running.leader() + 1) % 3
        running.deployment._processes[0].agents.agents[dead].ask_to_stop()
        running.deployment._processes[0].agents.agents[dead].join(5.0)
        with pytest.raises(UsageError, match="no majority"):
            running.deployment.remove_replica(running.leader())
        assert running.deployment.remove_replica(dead) == dead
        running.add("after")
        assert sorted(members(running)) == all_vote(*sorted({0, 1, 2} - {dead}))
        assert running.everywhere("/list", 2)[0]["lines"] == ["before", "after"]


def test_a_removal_that_a_fault_overtakes_is_finished_when_the_others_are_back(tmp_path, monkeypatch):
    """The Executor has ended already when the others are no majority for a while."""
    with group(Ledger, tmp_path) as running:
        running.add("before")
        leader = running.leader()
        gone, stopped = (number for number in range(3) if number != leader)
        retire = membership.retire

        def overtaken(*args):
            retire(*args)
            running.kill_agent(stopped, signal.SIGSTOP)
            threading.Timer(3.0, running.kill_agent, [stopped, signal.SIGCONT]).start()

        monkeypatch.setattr(membership, "retire", overtaken)
        assert running.deployment.remove_replica(gone) == gone
        assert members(running) == all_vote(*sorted((leader, stopped)))
        running.add("after")
        assert running.everywhere("/list", 2)[0]["lines"] == ["before", "after"]


def test_a_start_of_fewer_replicas_than_the_group_has_is_refused(tmp_path):
    with group(Ledger, tmp_path, replicas=3) as running:
        running.add("one")
    with (
        pytest.raises(
            RuntimeFailToStart,
            match=r"has 3 replicas, 0, 1, 2, but 0, 1 are.*replicas=3, and remove replicas while it runs",
        ),
        group(Ledger, tmp_path, replicas=2),
    ):
        pass
    with group(Ledger, tmp_path, replicas=5) as running:  # more join
        assert running.everywhere("/list", 5)[0]["lines"] == ["one"]
        until_all_serve(running)
        while members(running) != all_vote(0, 1, 2, 3, 4):
            running.add("more")
        running.deployment.remove_replica()
    with group(Ledger, tmp_path, replicas=4) as running:
        assert members(running) == all_vote(0, 1, 2, 3)


def test_a_number_in_the_middle_that_is_free_is_taken_at_the_next_start(tmp_path):
    with group(Ledger, tmp_path) as running:
        running.add("one")
        running.deployment.remove_replica(1)
        assert [one["replica"] for one in running.status()] == [0, 2]
        for agent in (0, 1):  # agents that are started again know who is there
            running.kill_agent(agent)
        running.add("two")
    with group(Ledger, tmp_path, replicas=2) as running:
        assert members(running) == all_vote(0, 2)
        assert running.everywhere("/list", 2)[0]["lines"] == ["one", "two"]
    with pytest.raises(RuntimeFailToStart, match=r"has 2 replicas, 0, 2, but 0 are.*replicas=2"):
        group(Ledger, tmp_path, replicas=1).__enter__()
    with group(Ledger, tmp_path) as running:
        assert running.everywhere("/list")[0]["lines"] == ["one", "two"]
        until_all_serve(running)
        assert [one["replica"] for one in running.status()] == [0, 1, 2]


@pytest.mark.timeout(300)
def test_a_start_takes_the_members_that_a_removal_left(tmp_path):
    with group(Ledger, tmp_path, replicas=5) as running:
        running.add("one")
        running.deployment.remove_replica(1)
    with group(Ledger, tmp_path, replicas=4) as running:
        assert members(running) == all_vote(0, 2, 3, 4)
        running.add("two")
        assert running.everywhere("/list", 4)[0]["lines"] == ["one", "two"]
        running.kill_agent(1)  # that of replica 2, which is told of all when it is started again
        running.add("three")
        assert running.deployment.add_replica() == 1


@pytest.mark.timeout(300)
def test_what_was_removed_while_it_ran_is_not_started_again(tmp_path):
    with group(Ledger, tmp_path) as running:
        running.add("one")
        running.deployment.remove_replica(0)
        running.deployment.close()
        running.deployment.start()  # the same object
        assert members(running) == all_vote(1, 2)
        assert running.deployment.remove_replica(1) == 1
    with group(Ledger, tmp_path, replicas=1) as running:
        assert members(running) == all_vote(2)
        assert running.everywhere("/list", 1)[0]["lines"] == ["one"]


def test_a_replica_that_a_command_removed_is_left_out_at_the_next_start(tmp_path):
    with group(Ledger, tmp_path, name="commanded", replicas=4) as running:
        running.add("one")
        assert main(["raft", "remove", "1", "commanded", "--workspace", str(tmp_path)]) == 0
    with group(Ledger, tmp_path, name="commanded") as running:  # rep-1 is there still
        assert members(running) == all_vote(0, 2, 3)
        assert running.everywhere("/list")[0]["lines"] == ["one"]


def test_a_member_without_its_disk_is_started_under_its_number(tmp_path):
    with group(Ledger, tmp_path, replicas=4) as running:
        running.add("one")
        running.deployment.remove_replica(1)
    shutil.rmtree(tmp_path / "raft" / "executor" / "rep-3")
    with group(Ledger, tmp_path) as running:
        until_all_serve(running)
        assert [one["replica"] for one in running.status()] == [0, 2, 3]
        assert running.everywhere("/list")[0]["lines"] == ["one"]


def test_shards_with_given_ports_start_with_the_members_that_are_left(tmp_path):
    with Deployment() as lent:
        ports = [lent._reservations.port() for _ in range(6)]
    options = {"shards": 2, "polling": {"/add": "ANY", "/list": "ALL"}, "consistency": "linearizable"}
    with group(Ledger, tmp_path, **options) as running:
        for number in range(6):
            running.add(f"line {number}")
        running.deployment.remove_replica(0)
    given = {"0": ports[:2], "1": ports[2:4]}
    with group(Ledger, tmp_path, replicas=2, peer_ports=given, **options) as running:
        statuses = {(one["shard"], one["replica"]): one["peers"][str(one["replica"])] for one in running.status()}
        assert statuses == {
            (shard, replica): f"127.0.0.1:{port}"
            for (shard, replica), port in zip([(0, 1), (0, 2), (1, 1), (1, 2)], ports, strict=False)
        }
        docs = running.post("/list", Document())
        assert sum(len(json.loads(doc.text)["lines"]) for doc in docs) == 6


def test_given_peer_ports_stay(tmp_path):
    with Deployment() as lent:
        ports = [lent._reservations.port() for _ in range(3)]
    with group(Ledger, tmp_path, peer_ports=ports) as running:
        running.deployment.add_replica()
        running.deployment.remove_replica(0)
        statuses = {one["replica"]: one["peers"][str(one["replica"])] for one in running.status()}
        assert {statuses[1], statuses[2]} == {f"127.0.0.1:{port}" for port in ports[1:]}
        running.add("x")


def test_one_replica_alone_gets_others_and_a_gateway(tmp_path):
    with group(Ledger, tmp_path, replicas=1) as running:
        port = running.deployment.port
        with writing(running, 1) as writers:
            wait_for_more(writers)
            running.deployment.scale(replicas=3)
            wait_for_more(writers)
        assert not writers[0].errors
        assert members(running) == all_vote(0, 1, 2)
        assert running.deployment.port == port
        check(running, writers)
        running.deployment.scale(replicas=1)
        with pytest.raises(UsageError, match="only replica"):
            running.deployment.remove_replica()
        running.add("two")
        assert running.everywhere("/list", 1)[0]["lines"][-1] == "two"


def test_one_replica_alone_stays_so_where_no_other_starts(tmp_path):
    with group(Shy, tmp_path, replicas=1) as running:
        with pytest.raises(RuntimeFailToStart, match="three are enough"):
            running.deployment.scale(replicas=4)
        running.add("one")
        assert [one["replica"] for one in running.status()] == [0]
        running.deployment.add_replica()
        assert running.everywhere("/list", 2)[0]["lines"] == ["one"]


class Versioned(FolderLedger):
    """Tells which version of it is there; some do not start."""

    def __init__(self, version="1", **kwargs):
        super().__init__(**kwargs)
        self.version = version
        if version == "missing":
            raise ValueError("this version cannot be found")
        if version == "broken" and self.runtime_args.replica_id != 0:
            raise ValueError("this version does not start")

    @requests(on="/version")
    def version_of(self, docs, **kwargs):
        return DocumentArray([Document(text=json.dumps({"version": self.version, "process": os.getpid()}))])


def test_another_executor_takes_over_while_writes_go_on(tmp_path):
    with group(Versioned, tmp_path, uses_with={"version": "1"}) as running:
        with writing(running, 1) as writers:
            wait_for_more(writers, 100)
            agents = [agent.pid for agent in running.agents]
            running.deployment.roll_out(uses_with={"version": "2"})
            wait_for_more(writers)
            assert [one["version"] for one in running.everywhere("/version")] == ["2"] * 3
            with pytest.raises(RuntimeFailToStart, match="this version does not start"):
                running.deployment.roll_out(uses_with={"version": "broken"})
            wait_for_more(writers)
            assert [one["version"] for one in running.everywhere("/version")] == ["2"] * 3
            assert [agent.pid for agent in running.agents] == agents
            running.deployment.remove_replica(1)
            running.deployment.roll_out()
            wait_for_more(writers)
        assert not [error for one in writers for error in one.errors]
        assert max(one.longest_gap for one in writers) < 5.0
        check(running, writers, replicas=2)
    with group(Versioned, tmp_path) as running:
        check(running, writers)


def test_one_replica_alone_is_replaced_with_a_pause(tmp_path):
    with group(Versioned, tmp_path, replicas=1) as running:
        running.add("one")
        port = running.deployment.port
        running.deployment.roll_out(uses_with={"version": "2"})
        assert running.everywhere("/version", 1)[0]["version"] == "2"
        running.add("two")
        with pytest.raises(RuntimeFailToStart, match="cannot be found"):
            running.deployment.roll_out(uses_with={"version": "missing"})
        running.add("three")
        assert running.everywhere("/version", 1)[0]["version"] == "2"
        assert running.everywhere("/list", 1)[0]["lines"] == ["one", "two", "three"]
        assert running.deployment.port == port


@contextlib.contextmanager
def flow_with_ledger(workspace, replicas=3):
    flow = Flow(host="127.0.0.1", quiet=True).add(name="before", uses=Marking).add(
        name="ledger", uses=Versioned, stateful=True, replicas=replicas, workspace=str(workspace),
        raft_configuration=FAST,
    )  # fmt: skip
    with flow:
        yield flow


def test_a_step_of_a_flow_is_changed_while_it_runs(tmp_path):
    with flow_with_ledger(tmp_path) as flow:
        port = flow.port
        flow.post("/add", Document(text="one"))
        assert flow.add_replica("ledger") == 3
        flow.scale("before", 2)
        assert flow.remove_replica("ledger", 0) == 0
        assert [one["replica"] for one in flow.consensus_status("ledger")] == [1, 2, 3]
        flow.roll_out("ledger", uses_with={"version": "2"})
        flow.snapshot("ledger")
        flow.scale("ledger", 2)
        flow.post("/add", Document(text="two"))
        headers = json.loads(flow.post("/list", Document(), headers={"jina-consistency": "linearizable"})[0].text)
        assert headers["lines"] == ["marked one", "marked two"]
        assert json.loads(flow.post("/version", Document())[0].text)["version"] == "2"
        assert flow.port == port
        with pytest.raises(UsageError, match="no step 'leger', did you mean 'ledger'"):
            flow.consensus_status("leger")
        for act in (lambda: flow.consensus_status("before"), lambda: flow.add_replica("before")):
            with pytest.raises(UsageError, match="before is not stateful"):
                act()
        flow.remove_replica("ledger", 1)
        left = [one["replica"] for one in flow.consensus_status("ledger")]
    assert left == [2]
    with flow_with_ledger(tmp_path, replicas=1) as flow:
        assert [one["replica"] for one in flow.consensus_status("ledger")] == left
        headers = json.loads(flow.post("/list", Document())[0].text)
        assert headers["lines"] == ["marked one", "marked two"]


def fail_once(monkeypatch, at):
    """Let the removal of a worker fail, the one with that number."""
    remove, calls = membership._remove, []

    def removing(*args):
        calls.append(args)
        if len(calls) == at:
            raise Unavailable("on purpose")
        remove(*args)

    monkeypatch.setattr(membership, "_remove", removing)


def test_replicas_of_all_shards_come_and_go(tmp_path, monkeypatch):
    options = {"shards": 2, "replicas": 1, "polling": {"/add": "ANY", "/list": "ALL"}, "consistency": "linearizable"}
    with group(FolderLedger, tmp_path, **options) as running:
        lines = [f"line {number}" for number in range(8)]
        for line in lines:
            running.add(line)
        running.deployment.scale(replicas=3)
        assert [(one["shard"], one["replica"]) for one in running.status()] == [
            (s, r) for s in (0, 1) for r in (0, 1, 2)
        ]
        fail_once(monkeypatch, at=2)
        with pytest.raises(Unavailable, match="on purpose"):
            running.deployment.remove_replica(0)
        running.deployment.remove_replica(0)  # it is gone from one of the shards
        running.deployment.roll_out()
        running.add("more")
        docs = running.post("/list", Document())
        assert sorted(line for doc in docs for line in json.loads(doc.text)["lines"]) == sorted([*lines, "more"])
