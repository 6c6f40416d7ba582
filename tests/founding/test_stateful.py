"""Stateful Executors: replicas that keep one state. Faults: `tests/stateful/test_faults.py`."""

import threading
from pathlib import Path

import pytest

from jina import Document, DocumentArray
from tests.founding.marks import sentence
from tests.founding.users import Index
from tests.stateful.conftest import FAST, group

pytest.importorskip("jina_raft", reason="the consensus agent is not built: make agent")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
FRESH = {"headers": {"jina-consistency": "linearizable"}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="module")
def index(workspace):
    with group(Index, workspace, raft_configuration={**FAST, "trailing_logs": 5}) as running:
        yield running


def add(index, *texts):
    index.post("/index", DocumentArray([Document(text=text) for text in texts]))


@sentence(13, 78, 79, 80, 81, 83)
def test_what_was_written_is_found_whichever_replica_is_hit(index):
    add(index, "a cat purrs", "a dog barks")
    states = index.everywhere("/search", documents=DocumentArray([Document(text="cat")]), **FRESH)
    assert [one["found"] for one in states] == [["a cat purrs"]] * 3


@sentence(84, 85, 86, 91)
def test_concurrent_writes_leave_the_same_state_on_every_replica(index):
    """They are applied one after another, in one order, so what a replica becomes is determined."""
    threads = [threading.Thread(target=add, args=(index, f"line {one} {n}")) for one in range(4) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = index.everywhere("/search", documents=DocumentArray([Document(text="line")]), **FRESH)
    assert states[0]["found"] == states[1]["found"] == states[2]["found"]
    assert len(states[0]["found"]) == 20


@sentence(87)
def test_requests_are_in_the_log_of_every_replica(index, workspace):
    add(index, "a line for the log")
    index.everywhere("/search", documents=DocumentArray([Document(text="log")]), **FRESH)
    logs = [path for path in Path(workspace).rglob("*.wal") if b"a line for the log" in path.read_bytes()]
    assert {path.parent.parent.name for path in logs} == {"rep-0", "rep-1", "rep-2"}


@sentence(88, 89, 90)
def test_snapshots_keep_the_log_short_and_the_state_comes_from_both(index, workspace):
    for number in range(30):
        add(index, f"many {number}")
    before = [one["last"] - one["first"] for one in index.status()]
    index.deployment.snapshot()
    after = [one["last"] - one["first"] for one in index.status()]
    assert all(kept < 10 < had for kept, had in zip(after, before, strict=True))
    add(index, "many since the snapshot")
    wanted = index.everywhere("/search", documents=DocumentArray([Document(text="")]), **FRESH)[0]["found"]
    index.deployment.close()
    with group(Index, workspace) as again:
        states = again.everywhere("/search", documents=DocumentArray([Document(text="")]))
        assert [one["found"] for one in states] == [wanted] * 3
        assert all(one["restored"] for one in states)
