"""Changes of running processes, against a model of the processes: none is missing, and what fails is undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.plan.plans import ExecutorPlan, GatewayPlan, GraphPlan, ListenerPlan, WorkerPlan
from jina.supervisor.policies import Change, Discard, Retire, Rollout, Start, Take, stages_between


class Processes:
    """What serves (name -> version), what starts, and what finishes its work."""

    def __init__(self, serving, fails):
        self.serving = dict(serving)
        self.starting = {}
        self.leaving = set()
        self.fails = fails
        self.least = len(self.serving)
        self.most = len(self.serving)

    def do(self, actions):
        for action in actions:
            name = action.name
            if isinstance(action, Start):
                assert name not in self.starting
                if action.settled:  # it is started again until it serves
                    assert name not in self.serving
                    self.serving[name] = "old"
                else:
                    self.starting[name] = "old" if action.old else "new"
            elif isinstance(action, Take):
                assert name in self.serving
                self.serving[name] = self.starting.pop(name)
                self.leaving.add(name)
            elif isinstance(action, Retire):
                del self.serving[name]
                self.leaving.add(name)
            else:
                assert isinstance(action, Discard)
                del self.starting[name]
        self.least = min(self.least, len(self.serving))
        self.most = max(self.most, len(self.serving) + len(self.starting))

    def step(self, rollout, draw):
        """One of those that start gets ready or fails, or one that finishes has ended."""
        choices = [("starting", name) for name in self.starting] + [("leaving", name) for name in self.leaving]
        kind, name = draw(st.sampled_from(sorted(choices)))
        if kind == "leaving":
            self.leaving.remove(name)
            return self.do(rollout.gone(name))
        if name in self.fails and self.starting[name] == "new":
            return self.do(rollout.failed(name, ValueError(name)))
        adds = name not in self.serving
        actions = rollout.ready(name)
        if adds:
            self.serving[name] = self.starting.pop(name)
        return self.do(actions)


def played(rollout, old, fails, draw, look=lambda _: None):
    """The processes when all has happened that happens to them; where one fails, they are what they were."""
    processes = Processes(dict.fromkeys(old, "old"), fails)
    processes.do(rollout.begin())
    for _ in range(200):
        if rollout.finished:
            break
        look(processes)
        processes.step(rollout, draw)
    assert rollout.finished
    assert not processes.starting
    if fails:
        assert processes.serving == dict.fromkeys(old, "old")
        assert isinstance(rollout.error, ValueError)
    else:
        assert rollout.error is None
    return processes


def names(start, stop):
    return [f"a/rep-{number}" for number in range(start, stop)]


@given(st.data(), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_all_or_nothing_and_nobody_missing(data, before, after, renew):
    old, new = names(0, before), names(0, after)
    kept = [name for name in old if name in new]
    stages = [
        [Change("add", name) for name in new if name not in old],
        *([Change("replace", name)] for name in kept if renew),
        [Change("remove", name) for name in old if name not in new],
    ]
    changed = [change.name for stage in stages for change in stage if change.kind != "remove"]
    fails = data.draw(st.sets(st.sampled_from(changed))) if changed else set()
    processes = played(Rollout(stages), old, fails, data.draw)
    if not fails:
        expected = {name: "new" if renew or name not in old else "old" for name in new}
        assert processes.serving == expected
    assert processes.least >= min(before, after)
    assert processes.most <= max(before, after) + renew


@given(st.data(), st.integers(1, 5), st.integers(0, 2))
def test_one_after_the_other_is_renewed_and_comes_back_where_one_fails(data, count, more):
    old, added = names(0, count), names(count, count + more)
    stages = [[Change("add", name) for name in added], *([Change("renew", name)] for name in old)]
    fails = data.draw(st.sets(st.sampled_from([*old, *added])))
    rollout = Rollout([stage for stage in stages if stage])

    def look(processes):
        name = data.draw(st.sampled_from(old))
        if name in processes.serving:  # what happens to those that serve is nothing to it
            assert rollout.ready(name) == rollout.failed(name, ValueError()) == []

    processes = played(rollout, old, fails, data.draw, look)
    if not fails:
        assert processes.serving == dict.fromkeys([*old, *added], "new")
    assert processes.least >= count - 1


def test_one_that_cannot_go_back_stays_as_it_is():
    rollout = Rollout([[Change("replace", "a")], [Change("replace", "b")]])
    assert rollout.begin() == [Start("a")]
    assert rollout.ready("a") == [Take("a")]
    assert rollout.gone("a") == [Start("b")]
    assert rollout.failed("b", ValueError("new")) == [Discard("b"), Start("a", old=True)]
    assert rollout.failed("a", ValueError("old")) == [Discard("a")]
    assert rollout.finished
    assert str(rollout.error) == "new"


def test_the_one_that_was_taken_is_undone_too():
    rollout = Rollout([[Change("add", "b"), Change("replace", "a")]])
    rollout.begin()
    assert rollout.ready("a") == [Take("a")]
    assert rollout.ready("a") == []
    assert rollout.failed("b", ValueError("x")) == [Discard("b"), Start("a", old=True)]


@pytest.mark.parametrize("name", ["other", ""])
def test_what_concerns_nobody_changes_nothing(name):
    rollout = Rollout([[Change("replace", "a")]])
    rollout.begin()
    assert rollout.ready(name) == rollout.gone(name) == rollout.failed(name, ValueError()) == []
    assert rollout.gone("a") == []  # the old one crashed before the new one was ready
    assert not rollout.finished


def worker(number, port=None):
    listeners = [] if port is None else [ListenerPlan(protocol="grpc", host="127.0.0.1", port=port)]
    return WorkerPlan(name=f"a/rep-{number}", deployment="a", executor=ExecutorPlan(), listeners=listeners)


GATEWAY = GatewayPlan(listeners=[], graph=GraphPlan(nodes=[], ends=[]))


def test_stages():
    def stages(old, new, renew=False):
        found = stages_between(old, new, renew=renew)
        return [[f"{change.kind} {change.name[-5:]}" for change in stage] for stage in found]

    two = [worker(0), worker(1)]
    assert stages(two, [*two, worker(2), worker(3)]) == [["add rep-2", "add rep-3"]]
    assert stages([*two, worker(2), GATEWAY], [worker(0), GATEWAY]) == [["remove rep-1", "remove rep-2"]]
    assert stages([*two, GATEWAY], [*two, GATEWAY], renew=True) == [["replace rep-0"], ["replace rep-1"]]
    # One that served its port itself gets a gateway in front, which has that port from then on.
    assert stages([worker(0, 5)], [*two, GATEWAY]) == [["add rep-1", "add teway"], ["replace rep-0"]]
    assert stages(two, two) == []
