"""What can be seen of a stateful Deployment: metrics, status, spans."""

import json
import subprocess
import time
import urllib.request
import uuid

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.observe.collectors import needs, read
from tests.stateful.conftest import PATIENCE, group
from tests.stateful.users import FolderLedger, TracedLedger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    with group(FolderLedger, tmp_path_factory.mktemp("ledger"), protocol="http") as running:
        for number in range(5):
            running.add(f"line {number}")
        running.deployment.snapshot()
        yield running


def scraped(ledger):
    """Sample name -> by replica, or by replica and another label."""
    text = read(f"http://127.0.0.1:{ledger.deployment.ports[0]}/metrics", "application/openmetrics-text")
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            name = labels.pop("runtime_name", "").rpartition("-")[2]
            key = (name, *labels.values()) if labels else name
            found.setdefault(sample.name.removeprefix("jina_consensus_"), {})[key] = sample.value
    return found


def test_metrics_of_agents_and_workers_come_with_those_of_the_gateway(ledger):
    ledger.settled("/list", ledger.everywhere("/list", headers={"jina-consistency": "linearizable"})[0])
    statuses, seen, leader = ledger.status(), scraped(ledger), str(ledger.leader())
    assert {key for key, value in seen["role"].items() if value and key[1] == "leader"} == {(leader, "leader")}
    assert set(seen["term"].values()) == {statuses[0]["term"]}
    assert all(seen["applied_index"][n] == seen["committed_index"][n] >= 5 for n in "012")
    assert all(seen["elections_total"][n] >= 1 for n in "012")
    assert seen["peer_up"] == {(leader, n): 1 for n in "012" if n != leader}
    assert set(seen["peer_lag_entries"].values()) == {0}
    assert all(seen["apply_seconds_count"][n] == 5 for n in "012")
    assert sum(seen["commit_seconds_count"].values()) == 5
    assert all(seen["sync_seconds_count"][n] > 0 < seen["sync_seconds_sum"][n] for n in "012")
    # The first one and that which opened the session, which forgets what its client has the answer of.
    assert set(seen["remembered_requests"].values()) == {2}
    assert all(seen["log_bytes"][n] > 0 < seen["snapshot_bytes"][n] for n in "012")
    assert all(abs(time.time() - seen["snapshot_timestamp_seconds"][n]) < PATIENCE for n in "012")
    assert set(seen["waiting_writes"].values()) == set(seen["diverged_index"].values()) == {0}


def test_writes_that_come_again_are_counted(ledger):
    before = sum(scraped(ledger)["repeated_requests_total"].values())
    body = json.dumps({"data": [{"id": "a", "text": "once"}], "header": {"request_id": uuid.uuid4().hex}}).encode()
    for _ in range(2):
        url = f"http://127.0.0.1:{ledger.deployment.ports[0]}/add"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    assert sum(scraped(ledger)["repeated_requests_total"].values()) > before


@needs("promtool")
def test_the_linter_is_silent(ledger):
    text = read(f"http://127.0.0.1:{ledger.deployment.ports[0]}/metrics", "text/plain")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, timeout=20, check=False
    )
    assert "jina_consensus_sync_seconds_bucket" in text
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_status_tells_who_leads_and_how_far_each_is(ledger):
    status, leader = ledger.deployment.status(), ledger.leader()
    by_name = {one.name: one for one in status.processes}
    led = by_name[f"executor/rep-{leader}"].consensus
    assert led["role"] == "Leader"
    assert led["pid"] == ledger.agents[leader].pid
    assert led["lag"].keys() == {str(n) for n in range(3) if n != leader}
    assert f"executor/rep-{leader}: leader of term {led['term']}, applied " in str(status)
    assert by_name["gateway"].consensus == {}


def test_a_write_is_one_trace_over_all_replicas(tmp_path):
    pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed", exc_type=ImportError)
    spans = tmp_path / "spans"
    trace = uuid.uuid4().hex
    with group(TracedLedger, tmp_path / "ws", uses_with={"spans": str(spans)}) as running:
        running.add("one", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        deadline, found = time.monotonic() + PATIENCE, []
        while len(found) < 8:
            assert time.monotonic() < deadline, found
            found = [one for one in map(json.loads, spans.read_text().splitlines()) if one["trace"] == trace]
    named = {}
    for one in found:
        named.setdefault(one["name"], []).append(one)
    assert {name: len(some) for name, some in named.items()} == {
        "/add": 1, "commit": 1, "apply /add": 3, "TracedLedger.add": 3
    }  # fmt: skip
    [request], applied = named["/add"], named["apply /add"]
    assert request["parent"] == "b7ad6b7169203331"
    assert {one["parent"] for one in (*named["commit"], *applied)} == {request["id"]}
    assert {one["parent"] for one in named["TracedLedger.add"]} == {one["id"] for one in applied}
    assert len({one["about"]["jina.entry"] for one in applied}) == 1
    assert {one["about"]["jina.replica"] for one in applied} == {f"executor/rep-{n}" for n in range(3)}
