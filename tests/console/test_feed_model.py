"""What is computed of what processes told: rates, quantiles, the graph, groups, slow requests; in virtual time."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.console.model import STEP, WINDOW, Model, Track, known, merge_patch, quantile

BOUNDS = (0.1, 0.2, 0.4)


def status(*names, group=""):
    processes = [
        {
            "name": name, "deployment": name.partition("/")[0], "pid": 10 + at, "state": "ready", "seconds": 5.0,
            "in_flight": 0, "queued": 0, "restarts": 0, "metrics": "", "probes": "", "last_end": "", "group": group,
            "agent": "", "consensus": {},
        }
        for at, name in enumerate(names)
    ]  # fmt: skip
    return {"name": "shop", "state": "ready", "pid": 1, "processes": processes, "addresses": [], "steps": {}}


def endpoint(*counts, total=0.0, failures=None, batch=None):
    found = {
        "in_flight": 1, "succeeded": sum(counts), "failures": failures or {}, "documents": sum(counts),
        "seconds": [total, *counts], "queue": [0.0, *counts], "handler": [total, *counts],
    }  # fmt: skip
    return found if batch is None else {**found, "batch": batch, "batch_wait": [0.3, 3, 0, 0, 0]}


def sample(time, endpoints, *, started=0.0, cpu=0.0, **more):
    return {
        "time": time, "executor": "E", "started": started, "place": {"kind": "process", "host": "h"}, "cpu": cpu,
        "rss": 1000, "files": 3, "threads": 2, "bounds": BOUNDS, "endpoints": endpoints, "upstreams": {}, "slow": [],
        **more,
    }  # fmt: skip


def updated(*turns, names=("a/rep-0",)):
    """The last state after some turns, each a time and what the processes told."""
    model = Model()
    for now, observed in turns:
        state = model.update(now, {"status": status(*names), "observed": observed})
    return state


def test_rates_and_quantiles_are_those_since_the_last_message():
    before = endpoint(100, 0, 0, 0, total=5.0)
    after = endpoint(100, 8, 2, 0, total=7.0, failures={"ValidationFailed": 2})
    state = updated(
        (100.0, {"a/rep-0": sample(100.0, {"/x": before}, cpu=1.0)}),
        (102.0, {"a/rep-0": sample(102.0, {"/x": after}, cpu=1.5)}),
    )
    process = state["processes"]["a/rep-0"]
    assert process["cpu"] == 0.25
    assert process["endpoints"]["/x"] == {
        "rate": 5.0, "errors": 1.0, "mean": 0.2, "p50": 0.1625, "p90": 0.3, "p99": 0.39, "queue_p50": 0.1625,
        "queue_p99": 0.39, "handler_p50": 0.1625, "handler_p99": 0.39, "in_flight": 1, "count": 112, "failed": 2,
        "failures": {"ValidationFailed": 2},
    }  # fmt: skip
    assert state["total"]["rate"] == state["deployments"]["a"]["numbers"]["rate"] == 5.0


def test_the_first_message_has_counts_and_no_rates():
    state = updated((100.0, {"a/rep-0": sample(100.0, {"/x": endpoint(3, 0, 0, 0)})}))
    assert state["processes"]["a/rep-0"]["endpoints"]["/x"] == {"in_flight": 1, "count": 3, "failed": 0}
    assert "rate" not in state["total"]


def test_a_process_that_was_started_again_is_not_compared_with_the_one_before():
    state = updated(
        (100.0, {"a/rep-0": sample(100.0, {"/x": endpoint(100, 0, 0, 0)})}),
        (101.0, {"a/rep-0": sample(101.0, {"/x": endpoint(1, 0, 0, 0)}, started=100.5)}),
    )
    assert "rate" not in state["processes"]["a/rep-0"]["endpoints"]["/x"]


def test_an_answer_that_was_given_before_counts_nothing_twice():
    old = {"a/rep-0": sample(100.0, {"/x": endpoint(10, 0, 0, 0)})}
    new = {"a/rep-0": sample(102.0, {"/x": endpoint(20, 0, 0, 0)})}
    assert updated((100.0, old), (101.0, old), (102.0, new))["total"]["rate"] == 5.0


def test_replicas_are_added_up_and_batches_meant():
    def told(time, count, batch):
        return {name: sample(time, {"/x": endpoint(count, 0, 0, 0, batch=batch)}) for name in ("a/rep-0", "a/rep-1")}

    names = ("a/rep-0", "a/rep-1")
    state = updated((10.0, told(10.0, 0, [0.0, 0, 0])), (12.0, told(12.0, 10, [12.0, 2, 1])), names=names)
    numbers = state["deployments"]["a"]["numbers"]
    assert (numbers["rate"], numbers["batch"], numbers["count"]) == (10.0, 4.0, 20)
    assert state["deployments"]["a"]["replicas"] == 2


def test_a_deployment_has_the_versions_of_its_replicas():
    """Several while a new one takes the place of an old one; an image says its own by its name."""
    told = status("a/rep-0", "a/rep-1", "b/rep-0", "c/rep-0")
    for entry, version in zip(told["processes"], ("1.1", "1.0", "", ""), strict=True):
        entry["executor_version"] = version
    told["processes"][3]["image"] = "upper:v2"
    state = Model().update(1.0, {"status": told, "observed": {}})
    assert {name: one["versions"] for name, one in state["deployments"].items()} == {
        "a": ["1.0", "1.1"], "b": [], "c": ["upper:v2"],
    }  # fmt: skip
    assert state["processes"]["a/rep-1"]["executor_version"] == "1.0"


def test_the_numbers_of_a_flow_are_those_of_its_gateway_and_edges_those_of_its_hops():
    graph = {
        "a": {"needs": ["gateway"], "kind": "deployment", "floating": False, "shards": 1},
        "x": {"needs": ["a"], "kind": "external", "floating": False, "shards": 1},
    }

    def told(time, count):
        hop = {"seconds": [count * 0.05, count, 0, 0, 0], "up": 1, "of": 2}
        gateway = sample(time, {"/x": endpoint(count, 0, 0, 0)}, graph=graph, upstreams={"a": hop, "x": hop})
        return {"gateway": gateway, "a/rep-0": sample(time, {"/x": endpoint(3 * count, 0, 0, 0)})}

    state = updated((10.0, told(10.0, 0)), (12.0, told(12.0, 4)), names=("a/rep-0", "gateway"))
    assert state["total"]["rate"] == 2.0
    assert state["deployments"]["a"]["numbers"]["rate"] == 6.0
    # What only workers know is theirs.
    assert state["total"]["queue_p99"] == state["deployments"]["a"]["numbers"]["queue_p99"]
    assert state["graph"]["nodes"] == {
        "gateway": {"kind": "gateway"}, "a": {"kind": "deployment"}, "x": {"kind": "external"},
    }  # fmt: skip
    edge = state["graph"]["edges"]["gateway>a"]
    assert (edge["rate"], edge["latency"], edge["errors"], edge["up"], edge["of"]) == (2.0, 0.05, 0.0, 1, 2)
    assert state["graph"]["edges"]["a>x"]["from"] == "a"
    assert (state["deployments"]["x"]["state"], state["deployments"]["x"]["replicas"]) == ("degraded", 2)


def test_slow_requests_of_a_gateway_have_the_parts_that_workers_told():
    ended = {"ended": 102.0, "error": "", "endpoint": "/x", "id": "r1"}
    hop = {"at": 101.0, "seconds": 1.0, "hops": [("a", 101.1, 101.9)], **ended}
    work = {"at": 101.2, "seconds": 0.6, "queue": 0.2, "batch": 4, **ended}
    other = {**work, "id": "r2", "seconds": 9.0}
    told = {"gateway": sample(102.0, {}, slow=[hop], graph={}), "a/rep-0": sample(102.0, {}, slow=[other, work])}
    [request] = updated((102.0, told), names=("gateway", "a/rep-0"))["slow"]
    assert (request["id"], request["seconds"]) == ("r1", 1.0)
    assert [(one["kind"], one["start"], one["seconds"]) for one in request["spans"]] == [
        ("gateway", 0.0, 1.0), ("hop", 0.1, 0.8), ("worker", 0.2, 0.6), ("batch", 0.2, 0.2), ("handler", 0.4, 0.4),
    ]  # fmt: skip


def test_groups():
    told = status("s/rep-0", "s/rep-1", group="s")
    for number, entry in enumerate(told["processes"]):
        entry["consensus"] = {"role": "Follower" if number else "Leader", "term": 3, "serving": True, "lag": {}}
    told["processes"][0]["consensus"]["lag"] = {"1": 4, "2": None}
    group = Model().update(1.0, {"status": told, "observed": {}})["groups"]["s"]
    assert (group["leader"], group["term"], group["healthy"]) == (0, 3, True)
    assert (group["replicas"]["0"]["lag"], group["replicas"]["0"]["silent"]) == ({"1": 4}, ["2"])
    told["processes"][0]["consensus"] = {"error": "does not answer"}
    group = Model().update(1.0, {"status": told, "observed": {}})["groups"]["s"]
    assert ("leader" in group, group["healthy"], group["replicas"]["0"]["error"]) == (False, False, "does not answer")


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.05),
        ((0, 10, 0, 0), 0.9, 0.19),
        ((5, 0, 5, 0), 0.5, 0.1),
        ((0, 0, 0, 3), 0.99, 0.4),
    ],
)
def test_quantiles(counts, share, expected):
    assert quantile(counts, BOUNDS, share) == (None if expected is None else pytest.approx(expected))


def test_a_track_keeps_fifteen_minutes():
    track = Track()
    for second in range(3600):
        track.add(float(second), {"rate": second}, None, None)
    times = [point[0] for point in track.points]
    assert len(times) == WINDOW / STEP == 180
    assert (times[0], times[-1]) == (2700.0, 3595.0)


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def apply(target, patch):
    """The algorithm of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


@given(OBJECTS, OBJECTS)
def test_a_patch_makes_the_one_of_the_other(before, after):
    assert apply(before, json.loads(json.dumps(merge_patch(before, after)))) == after
    assert merge_patch(after, after) == {}


def test_what_is_none_is_left_out():
    assert known({"a": None, "b": {"c": None, "d": [None]}}) == {"b": {"d": [None]}}
