"""Shards of a stateful Deployment: each is a group of its own, with its own log and files."""

import json
import threading
import urllib.request

import pytest

from jina import Client, Document, DocumentArray, Flow
from jina.errors import BadServer
from tests.stateful.conftest import FAST, Writer, check_history, group
from tests.stateful.users import Counted, FolderLedger, Ledger, Marking

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
FRESH = {"headers": {"jina-consistency": "linearizable"}}
POLLING = {"/add": "ANY", "/everywhere": "ALL", "/list": "ALL", "/kept": "ALL", "*": "ANY"}
REQUESTS = {"/add": "add", "/everywhere": "add", "/list": "list"}


def lines(running):
    """What each shard has, read so that nothing acknowledged is missing."""
    reply = running.post("/list", Document(), **FRESH)
    return sorted(json.loads(text)["lines"] for text in reply.texts)


def test_each_shard_is_a_group_of_its_own(tmp_path):
    options = {"shards": 2, "polling": POLLING, "uses_requests": REQUESTS}
    with group(FolderLedger, tmp_path, replicas=2, name="ledger", **options) as running:
        statuses = running.status()
        assert [(one["shard"], one["replica"]) for one in statuses] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        members = [set(one["members"]) for one in statuses]
        assert members[0] == members[1]
        assert members[2] == members[3]
        assert not members[0] & members[2]
        for number in range(12):
            running.add(f"one {number}")
        running.post("/everywhere", DocumentArray([Document(text="all")]))
        shards = lines(running)
        assert all(shards)
        assert sorted(shards[0] + shards[1]) == sorted([*(f"one {number}" for number in range(12)), "all", "all"])
        running.deployment.snapshot()
    for shard in "01":
        assert (tmp_path / "raft" / "ledger" / shard / "rep-1" / "identity.json").is_file()
    with group(FolderLedger, tmp_path, replicas=2, name="ledger", **options) as running:
        assert lines(running) == shards


def test_a_shard_that_loses_its_leader_does_not_hold_up_the_other(tmp_path):
    with group(Ledger, tmp_path, shards=2, polling=POLLING) as running:
        running.add("first")  # the gateway knows which endpoints write
        leader = next(at for at, one in enumerate(running.status()) if one["role"] == "Leader")
        writers = [Writer(running, f"w{number}") for number in range(4)]
        threads = [threading.Thread(target=lambda one=one: [one.write(n) for n in range(40)]) for one in writers]
        for thread in threads:
            thread.start()
        running.kill_agent(leader)
        for thread in threads:
            thread.join()
        assert not [error for one in writers for error in one.errors]
        shards = lines(running)
        written = {line for one in writers for line in one.attempts}
        assert sorted([*shards[0], *shards[1]]) == sorted([*written, "first"])
        for shard in shards:  # each line is where the shard that took it said
            mine = {line: place for one in writers for line, place in one.attempts.items() if line in shard}
            check_history({**mine, **({"first": None} if "first" in shard else {})}, shard)


def test_a_write_that_comes_again_goes_to_the_shard_that_has_it(tmp_path):
    options = {"shards": 3, "polling": {**POLLING, "/add": "ANY"}, "uses_requests": REQUESTS, "protocol": "http"}
    with group(Ledger, tmp_path, replicas=1, **options) as running:
        port = running.deployment.port
        for endpoint, copies in (("add", 1), ("everywhere", 3)):
            body = json.dumps({"data": [{"text": endpoint}], "header": {"request_id": f"again-{endpoint}"}}).encode()
            for _ in range(6):
                asked = urllib.request.Request(
                    f"http://127.0.0.1:{port}/{endpoint}", body, {"content-type": "application/json"}
                )
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    assert answer.status == 200
            assert sum(shard.count(endpoint) for shard in lines(running)) == copies


def test_a_write_to_all_is_done_by_the_shard_that_has_what_it_names(tmp_path):
    options = {"shards": 2, "polling": {**POLLING, "/strike": "ALL"}, "uses_requests": REQUESTS}
    with group(Ledger, tmp_path, replicas=2, **options) as running:
        for number in range(4):
            running.add(f"one {number}")
        assert running.post("/strike", DocumentArray([Document(text="one 2")])).texts == ["one 2"]
        shards = lines(running)
        assert sorted(shards[0] + shards[1]) == ["one 0", "one 1", "one 3"]
        with pytest.raises(BadServer, match="KeyError"):
            running.post("/strike", DocumentArray([Document(text="one 2")]))
        assert lines(running) == shards


def test_what_is_around_the_shards_keeps_no_state(tmp_path):
    options = {"shards": 2, "polling": "ALL", "uses_before": Marking, "uses_after": Counted}
    with group(Ledger, tmp_path, replicas=1, **options) as running:
        assert len(running.status()) == 2
        assert running.add("one").texts == ["2 shards answered"]
        assert [json.loads(text)["lines"] for text in running.post("/list", Document()).texts] == [["marked one"]] * 2


def test_shards_in_a_flow(tmp_path):
    flow = Flow(host="127.0.0.1", quiet=True).add(
        name="ledger",
        uses=Ledger,
        stateful=True,
        shards=2,
        replicas=2,
        polling=POLLING,
        workspace=str(tmp_path),
        raft_configuration=FAST,
    )
    with flow, Client(host="127.0.0.1", port=flow.port) as client:
        for number in range(8):
            client.post("/add", Document(text=str(number)))
        reply = client.post("/list", Document(), **FRESH)
        found = [line for text in reply.texts for line in json.loads(text)["lines"]]
        assert sorted(found) == [str(number) for number in range(8)]
