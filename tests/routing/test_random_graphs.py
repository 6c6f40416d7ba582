"""What holds for every graph, in any order of answers, and whatever fails."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.errors import EndpointNotFound, Unavailable
from tests.routing.plans import Cancel, Done, Fail, Send, docs, done, graph, node, payload, walk

REQUEST = [{"id": str(n), "seen": [], "n": n} for n in range(3)]


@st.composite
def graphs(draw, when=False):
    """Nodes with what they need, which of them know the endpoint, and the ends."""
    nodes, floating = [], set()
    for number in range(draw(st.integers(1, 12))):
        name = f"e{number}"
        before = [f"e{n}" for n in range(max(0, number - 5), number)]
        needs = draw(st.lists(st.sampled_from(["gateway", *before]), min_size=1, max_size=3, unique=True))
        is_floating = draw(st.integers(0, 5)) == 0
        if is_floating or all(need in floating for need in needs):
            floating.add(name)
        options = {"floating": is_floating}
        if when and draw(st.booleans()):
            options["when"] = {"n": draw(st.sampled_from([0, {"$gt": 0}, {"$gt": 5}]))}
        elif draw(st.integers(0, 5)) == 0:
            options["no_reduce"] = True
        nodes.append(node(name, *needs, **options))
    firm = [each.name for each in nodes if each.name not in floating]
    needed = {need for each in nodes if each.name in firm for need in each.needs}
    leaves = [name for name in firm if name not in needed]
    ends = draw(st.lists(st.sampled_from(leaves), min_size=1, unique=True)) if leaves else ["gateway"]
    known = {each.name: {"/x"} if draw(st.integers(0, 3)) else set() for each in nodes}
    return graph(*nodes, ends=ends), nodes, floating, known, ends


def routed(drawn):
    g, _, _, known, _ = drawn
    try:
        return g.route("/x", known)
    except EndpointNotFound:
        return None


def worked(send):
    """An Executor that marks the documents, and writes where others write too."""
    return payload(
        *({**doc, send.node: True, "seen": [*doc["seen"], send.node], "text": send.node} for doc in docs(send.payload))
    )


class Client:
    """Holds a walk to its rules while it answers in random order."""

    def __init__(self, route, random):
        self.route = route
        self.random = random
        self.walk = walk(route)
        self.waiting = {}
        self.sent = Counter()
        self.seen_by = {}
        self.end = None
        self.cancelled = False
        self.obey(self.walk.begin(payload(*REQUEST)))

    def obey(self, actions):
        for action in actions:
            if isinstance(action, Send):
                assert not isinstance(self.end, Fail), "sent after a failure"
                assert not self.cancelled, "sent after a cancel"
                assert self.end is None or self.floating(action.node), "sent after the reply"
                self.sent[action.node] += 1
                self.waiting[action.node] = action
                self.seen_by[action.node] = [doc["id"] for doc in docs(action.payload)]
            elif isinstance(action, Cancel):
                del self.waiting[action.node]
            else:
                assert self.end is None, "ended twice"
                assert not self.cancelled
                self.end = action
        assert sorted(self.walk.in_flight) == sorted(self.waiting)
        if self.end is not None or self.cancelled:
            assert self.walk.over
            assert all(self.floating(name) for name in self.waiting), "in flight after the end"

    def floating(self, name):
        return self.route.steps[name].floating

    def reply(self):
        name = self.random.choice(sorted(self.waiting))
        self.obey(self.walk.replied(name, worked(self.waiting.pop(name))))

    def fail(self):
        name = self.random.choice(sorted(self.waiting))
        del self.waiting[name]
        expected = self.end is None and not self.cancelled and not self.floating(name)
        self.obey(self.walk.failed(name, Unavailable("gone")))
        assert not expected or (isinstance(self.end, Fail) and name in str(self.end.error))

    def cancel(self):
        over = self.end is not None
        self.obey(self.walk.cancel())
        self.cancelled = not over
        assert all(self.floating(name) for name in self.waiting if not over)

    def late(self):
        """An answer of somebody who is not in flight any more changes nothing."""
        gone = [name for name in self.sent if name not in self.waiting]
        if gone:
            assert self.walk.replied(self.random.choice(gone), payload()) == []

    def to_the_end(self):
        while self.waiting:
            self.reply()
        return self


def marks(doc):
    return {name for name in doc if name.startswith("e")}


def sources(drawn, name, seen=None):
    """All Executors that know the endpoint and that documents pass on the way to a step, itself too."""
    _, nodes, floating, known, _ = drawn
    found = seen if seen is not None else set()
    if name == "gateway":
        return found
    (step,) = (each for each in nodes if each.name == name)
    if known[name]:
        found.add(name)
    for need in step.needs:
        if need not in floating or name in floating:
            sources(drawn, need, found)
    return found


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_each_executor_once_and_the_same_answer_in_any_order(drawn, random):
    route = routed(drawn)
    if route is None:
        return
    _, nodes, _floating, known, ends = drawn
    one, other = Client(route, random).to_the_end(), Client(route, random).to_the_end()
    assert isinstance(one.end, Done)
    assert docs(one.end.payload) == docs(other.end.payload)
    assert one.sent == other.sent == Counter(name for name in known if known[name])
    if any(each.no_reduce for each in nodes):
        return  # there the Executor chooses what becomes of the branches
    answer = docs(one.end.payload)
    assert [doc["id"] for doc in answer] == ["0", "1", "2"]
    expected = set().union(*(sources(drawn, end) for end in ends))
    for doc in answer:
        assert marks(doc) == expected
        assert set(doc["seen"]) == expected


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(graphs(when=True), st.randoms(use_true_random=False))
def test_failures_and_cancels(drawn, random):
    route = routed(drawn)
    if route is None:
        return
    client = Client(route, random)
    while client.waiting:
        random.choice([client.reply, client.reply, client.reply, client.fail, client.cancel, client.late])()
    assert client.end is not None or client.cancelled
    assert max(client.sent.values(), default=0) <= 1


@settings(max_examples=100, deadline=None)
@given(graphs(when=True), st.randoms(use_true_random=False))
def test_conditions_lose_nothing(drawn, random):
    route = routed(drawn)
    if route is None or any(step.branches for step in route.steps.values()):
        return
    one, other = Client(route, random).to_the_end(), Client(route, random).to_the_end()
    answer = docs(one.end.payload)
    assert answer == docs(other.end.payload)
    assert [doc["id"] for doc in answer] == ["0", "1", "2"]
    _, nodes, _, known, ends = drawn
    wanted = {each.name: each.when for each in nodes}
    passed = set().union(*(sources(drawn, end) for end in ends))
    for doc in answer:
        expected = {name for name in passed if matches(wanted[name], doc["n"])}
        assert marks(doc) == expected
    for name in (each for each in route.steps if each in wanted):
        reached = [str(n) for n in range(3) if matches(wanted[name], n)]
        assert one.seen_by.get(name, []) == (reached if known[name] else [])


def matches(when, n):
    if when is None:
        return True
    wanted = when["n"]
    return n > wanted["$gt"] if isinstance(wanted, dict) else n == wanted


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_documents_are_held_no_longer_than_needed(drawn):
    route = routed(drawn)
    if route is None:
        return
    w = walk(route)
    actions = w.begin(payload(*REQUEST))
    while actions:
        action = actions.pop(0)
        if isinstance(action, Send):
            actions += w.replied(action.node, worked(action))
    assert not w._outputs
    assert not w.in_flight


@st.composite
def worlds(draw):
    """Steps with what they need, the field that each appends to (its own, or none), and the end."""
    nodes, changes = [], {}
    for number in range(draw(st.integers(2, 10))):
        name = f"e{number}"
        before = [f"e{n}" for n in range(max(0, number - 4), number)]
        nodes.append(node(name, *draw(st.lists(st.sampled_from(["gateway", *before]), min_size=1, unique=True))))
        changes[name] = draw(st.booleans())
    needed = {need for each in nodes for need in each.needs}
    ends = [each.name for each in nodes if each.name not in needed]
    return nodes, changes, draw(st.permutations(ends))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(worlds(), st.booleans())
def test_what_one_step_changed_survives(drawn, had_values):
    nodes, changes, ends = drawn
    request = {"id": "1", **(dict.fromkeys(changes, "old") if had_values else {})}

    def handle(name, send):
        (doc,) = docs(send.payload)
        return payload({**doc, name: doc.get(name, "") + "+"} if changes[name] else doc)

    (answer,), _ = done(graph(*nodes, ends=ends).route("/x", {}), payload(request), handle)
    assert answer == request | {name: request.get(name, "") + "+" for name, does in changes.items() if does}


@st.composite
def layers(draw):
    """Layers of steps that all need all of the layer before, one of each layer is chosen."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    order = st.permutations if draw(st.booleans()) else st.just
    nodes, chosen, before = [], [], ["gateway"]
    for number, size in enumerate(sizes):
        layer = [f"e{number}{place}" for place in range(size)]
        needs = draw(order(before))
        nodes += [node(name, *needs) for name in layer]
        chosen.append(draw(st.sampled_from(layer)))
        before = layer
    return nodes, chosen, draw(order(before))


@settings(max_examples=100, deadline=None)
@given(layers())
def test_what_one_step_after_the_other_changed_survives(drawn):
    nodes, chosen, ends = drawn

    def handle(name, send):
        return payload(*({**doc, "text": doc["text"] + "+"} if name in chosen else doc for doc in docs(send.payload)))

    answer, order = done(graph(*nodes, ends=ends).route("/x", {}), payload({"id": "1", "text": "x"}), handle)
    assert answer == [{"id": "1", "text": "x" + "+" * len(chosen)}]
    assert sorted(order) == sorted(each.name for each in nodes)
