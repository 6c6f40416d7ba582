"""A stateful Deployment with three replicas as real processes."""

import json
import sys
import threading

import pytest

from jina import Deployment, Document
from jina.errors import ConfigError, NotSupportedError, UsageError
from tests.stateful.conftest import Writer, check_history, group
from tests.stateful.users import FolderLedger, Ledger

pytestmark = [pytest.mark.timeout(120)]
FRESH = {"headers": {"jina-consistency": "linearizable"}}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    with group(FolderLedger, tmp_path_factory.mktemp("ledger")) as running:
        yield running


def test_every_replica_applies_every_write_in_one_order(ledger):
    writers = [Writer(ledger, f"order{number}") for number in range(3)]
    threads = [threading.Thread(target=lambda one=one: [one.write(n) for n in range(20)]) for one in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = ledger.everywhere("/list", **FRESH)
    assert states[0] == states[1] == states[2]
    check_history(
        {key: place for one in writers for key, place in one.attempts.items()}, states[0]["lines"], all_of_them=False
    )
    assert not [error for one in writers for error in one.errors]


def test_linearizable_reads_miss_nothing_on_any_replica(ledger):
    for number in range(30):
        ledger.add(f"fresh{number}")
        reply = json.loads(ledger.post("/list", Document(), **FRESH)[0].text)
        assert reply["lines"][-1] == f"fresh{number}"


def test_status_tells_of_every_replica(ledger):
    statuses = ledger.status()
    assert [one["replica"] for one in statuses] == [0, 1, 2]
    assert sorted(one["role"] for one in statuses) == ["Follower", "Follower", "Leader"]
    assert all(one["serving"] and list(one["members"].values()) == ["Voter"] * 3 for one in statuses)


def test_a_missing_agent_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jina_raft", None)
    with pytest.raises(NotSupportedError, match="needs the consensus agent") as caught, group(Ledger, tmp_path):
        pass
    assert "pip install --find-links dist 'rejina[stateful]'" in str(caught.value) + caught.value.help


def test_a_workspace_that_is_a_file_is_said_before_anything_starts(tmp_path):
    file = tmp_path / "file"
    file.touch()
    deployment = Deployment(uses=Ledger, name="filed", stateful=True, workspace=str(file))
    with pytest.raises(ConfigError, match=r"^workspace: .*rep-0 cannot be made: Not a directory"), deployment:
        pass


def test_a_workspace_is_needed():
    """Jina 3 fails there, with an AttributeError."""
    with pytest.raises(ConfigError, match="homeless is stateful, but has no workspace") as caught:
        Deployment(uses=Ledger, name="homeless", stateful=True, host="127.0.0.1", quiet=True).start()
    assert "the folder that the log and the snapshots of its replicas are kept in" in caught.value.help


def test_only_stateful_deployments_have_a_status():
    with pytest.raises(UsageError, match="not stateful"):
        Deployment(uses=Ledger).consensus_status()
