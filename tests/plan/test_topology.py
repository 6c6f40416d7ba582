import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.config import FlowSpec
from jina.config.models import StepSpec
from jina.errors import ConfigError, FlowTopologyError
from jina.plan.topology import topology_of
from tests.plan.flows import flow


def graph(spec):
    return {node.name: list(node.needs) for node in topology_of(spec).nodes}


def problem(spec, error=FlowTopologyError):
    with pytest.raises(ConfigError) as caught:
        topology_of(spec)
    assert type(caught.value) is error
    return str(caught.value)


def test_a_step_follows_the_one_before_and_the_last_gives_the_reply():
    spec = flow("a", "b", "c")
    assert graph(spec) == {"a": ["gateway"], "b": ["a"], "c": ["b"]}
    assert topology_of(spec).ends == ("c",)


def test_a_flow_without_steps_gives_back_the_request():
    assert topology_of(FlowSpec()).ends == ("gateway",)
    assert graph(FlowSpec()) == {}


def test_branches_and_joins():
    spec = flow("a", ("b", "gateway"), ("c", ["b", "a"]))
    assert graph(spec) == {"a": ["gateway"], "b": ["gateway"], "c": ["b", "a"]}


def test_a_branch_that_nobody_waits_for_is_not_joined():
    topology = topology_of(flow("a", ("b", "gateway"), ("c", "a"), ("d", "b")))
    assert topology.ends == ("d",)
    assert {node.name: node.floating for node in topology.nodes} == {"a": True, "b": False, "c": True, "d": False}


def test_the_step_after_a_floating_one_follows_the_one_before_it():
    spec = flow("a", {"name": "f", "floating": True}, "b")
    assert graph(spec) == {"a": ["gateway"], "f": ["a"], "b": ["a"]}
    assert {node.name: node.floating for node in topology_of(spec).nodes} == {"a": False, "f": True, "b": False}


def test_a_floating_last_step_is_not_waited_for():
    topology = topology_of(flow("a", {"name": "f", "floating": True}))
    assert topology.ends == ("a",)
    assert topology_of(flow({"name": "f", "floating": True})).ends == ("gateway",)


def test_who_needs_a_floating_step_waits_for_it():
    topology = topology_of(flow("a", {"name": "f", "floating": True}, ("b", "f")))
    assert [node.floating for node in topology.nodes] == [False, False, False]


def test_needs_all_joins_what_hangs_besides_floating_steps_and_inspections():
    spec = flow(
        "a", ("b", "gateway"), {"name": "f", "floating": True, "needs": "a"}, {"method": "inspect", "name": "i"},
        ("c", "gateway"), {"method": "needs_all"}, inspect="HANG",
    )  # fmt: skip
    assert graph(spec)["joiner"] == ["a", "_aux_i", "c"]


def test_needs_all_with_one_that_hangs_joins_it():
    assert graph(flow("a", "b", {"method": "needs_all"}))["joiner"] == ["b"]


def test_needs_all_without_steps():
    assert problem(flow({"method": "needs_all"})) == "Flow.needs_all: there is nothing to wait for"


@pytest.mark.parametrize(
    ("inspect", "expected", "end", "floating"),
    [
        (
            "COLLECT",
            {"a": ["gateway"], "i": ["a"], "_aux_i": ["a"], "b": ["_aux_i"], "gather_inspect": ["b", "i"]},
            "gather_inspect",
            set(),
        ),
        ("HANG", {"a": ["gateway"], "i": ["a"], "_aux_i": ["a"], "b": ["_aux_i"]}, "b", {"i"}),
        ("REMOVE", {"a": ["gateway"], "b": ["a"]}, "b", set()),
    ],
)
def test_inspect(inspect, expected, end, floating):
    spec = flow("a", {"method": "inspect", "name": "i", "uses": "Any"}, "b", inspect=inspect)
    topology = topology_of(spec)
    assert graph(spec) == expected
    assert topology.ends == (end,)
    assert {node.name for node in topology.nodes if node.floating} == floating


def test_who_needs_an_inspected_step_stands_behind_the_inspection():
    spec = flow("a", {"method": "inspect", "name": "i"}, ("b", "gateway"), ("c", ["a", "b"]), inspect="HANG")
    assert graph(spec)["c"] == ["_aux_i", "b"]


def test_inspections_are_gathered_once():
    spec = flow("a", {"method": "inspect"}, "b", {"method": "inspect"}, {"method": "gather_inspect"}, "c")
    assert graph(spec)["gather_inspect"] == ["_aux_inspect4", "inspect", "inspect4"]
    assert graph(spec)["c"] == ["gather_inspect"]
    assert graph(flow("a", {"method": "gather_inspect"})) == {"a": ["gateway"]}


def test_names_may_belong_to_later_steps():
    spec = flow(("b", "a"), ("a", "gateway"), ("c", "b"))
    assert list(graph(spec)) == ["a", "b", "c"]


def test_unknown_names_with_the_nearest():
    assert problem(flow("encoder", ("b", "encodr"))) == (
        "Flow: b: needs: 'encodr' is not a step of the Flow, did you mean 'encoder'?"
    )
    assert problem(flow("a", ("b", "zzz"))).endswith("is not a step of the Flow; there are gateway, a")
    assert problem(flow("a", ("bb", "bbb"))).endswith("is not a step of the Flow; there are gateway, a")


def test_cycles_name_the_steps():
    text = problem(flow(("a", "c"), ("b", "a"), ("c", "b"), ("d", "gateway")))
    assert text.startswith("Flow: dependency cycle: ")
    chain = text.rpartition(": ")[2].split(" -> ")
    assert chain[0] == chain[-1]
    assert set(chain) == {"a", "b", "c"}


def test_what_parse_would_refuse_is_refused_here_too():
    steps = [StepSpec(name="a", needs=["a"]), StepSpec(name="b", needs=[]), StepSpec(name="gateway")]
    words = ["can not be itself", "cannot be reached", "two steps have the name 'gateway'"]
    for step, word in zip(steps, words, strict=True):
        error = ConfigError if "two steps" in word else FlowTopologyError
        assert word in problem(FlowSpec().model_copy(update={"executors": (step,)}), error)


def test_a_name_that_an_inspection_uses():
    assert problem(flow("a", {"method": "inspect", "name": "i"}, "_aux_i"), ConfigError) == (
        "Flow: _aux_i: two steps have the name '_aux_i'"
    )


def test_external_joins_have_to_merge():
    step = {"name": "c", "needs": ["a", "b"], "external": True, "port": 5}
    spec = flow("a", ("b", "gateway"), {**step, "no_reduce": True})
    with pytest.raises(ValueError, match=r"External Executors with multiple needs have to do auto reduce\."):
        topology_of(spec)
    assert "auto reduce" in problem(flow("a", ("b", "gateway"), step, no_reduce=True), ConfigError)
    assert graph(flow("a", ("b", "gateway"), step))["c"] == ["a", "b"]


NAMES = list(string.ascii_lowercase[:8])


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.permutations(NAMES),
    st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=8, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_any_graph_without_cycles_is_ordered_however_it_was_written(order, edges, floating):
    needs = {
        name: [NAMES[other] for other in edges[index] if other < index] or ["gateway"]
        for index, name in enumerate(NAMES)
    }
    spec = flow(*({"name": name, "needs": needs[name], "floating": floating[NAMES.index(name)]} for name in order))
    topology = topology_of(spec)
    seen = {"gateway"}
    for node in topology.nodes:
        assert seen.issuperset(node.needs)
        assert list(node.needs) == list(dict.fromkeys(needs[node.name]))
        seen.add(node.name)
    assert seen == {"gateway", *NAMES}
    waited = set(topology.ends)
    for node in reversed(topology.nodes):
        waited |= set(node.needs) if node.name in waited else set()
    assert {node.name for node in topology.nodes if not node.floating} == waited - {"gateway"}
