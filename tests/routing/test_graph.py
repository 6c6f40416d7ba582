"""Contraction of graphs to routes."""

import pytest

from jina.errors import BadRequest, ConfigError, EndpointNotFound, NotSupportedError
from jina.plan.plans import NodePlan
from tests.routing.plans import graph, node, route


def test_plain_chain():
    r = route(node("a"), node("b", "a"), node("c", "b"))
    assert r.chain == ("a", "b", "c")
    assert "gateway" not in r.forks
    assert r.ends == ("c",)
    assert [step.json_ok for step in r.steps.values()] == [False, False, True]


def test_steps_that_do_not_know_the_endpoint_are_passed_through():
    known = {"a": {"/x"}, "b": {"/y"}, "c": {"/default"}, "d": None}
    r = route(node("a"), node("b", "a"), node("c", "b"), node("d", "c"), known=known)
    assert r.chain == ("a", "c", "d")
    r = route(node("a"), node("b", "a"), node("c", "b"), node("d", "c"), known=known, endpoint="/y")
    assert r.chain == ("b", "c", "d")


def test_fan_out_and_join():
    r = route(node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))
    assert r.chain is None
    assert r.steps["d"].merges
    assert r.steps["d"].fork == "a"
    assert r.forks == {"a"}
    assert "gateway" not in r.forks
    assert r.steps["d"].json_ok
    assert r.feeds == {"gateway": ("a",), "a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ("",)}


def test_a_join_that_knows_nothing_still_merges():
    r = route(node("a"), node("b"), node("j", "a", "b"), node("c", "j"), known={"j": set()})
    assert not r.steps["j"].runs
    assert r.steps["j"].merges
    assert "gateway" in r.forks
    assert r.chain is None


def test_a_join_of_one_branch_is_none():
    known = {"b": set(), "j": set()}
    r = route(node("a"), node("b", "a"), node("j", "a", "b"), node("c", "j"), known=known)
    assert r.chain == ("a", "c")
    assert r.forks == frozenset()


def test_a_branch_passed_through_is_merged_as_the_request():
    r = route(node("a"), node("b"), node("j", "a", "b"), known={"b": set()})
    assert r.steps["j"].needs == ("a", "gateway")
    assert r.steps["j"].fork == "gateway"


def test_several_ends_are_merged():
    r = route(node("a"), node("b"), ends=["a", "b"])
    assert r.end.merges
    assert not any(step.json_ok for step in r.steps.values())


def test_fork_is_the_nearest_common_point():
    r = route(
        node("a"), node("b", "a"), node("c", "b"), node("d", "b"), node("e", "c", "d"), node("f", "a"),
        node("g", "e", "f"),
    )  # fmt: skip
    assert r.steps["e"].fork == "b"
    assert r.steps["g"].fork == "a"


def test_documents_made_from_others_count_first():
    r = route(node("a"), node("b"), node("c", "a", "b"), node("d", "a", "c"))
    assert r.steps["d"].needs == ("c", "a")


def test_floating_steps_feed_nothing():
    r = route(node("a"), node("f", "a", floating=True), node("g", "f"), node("b", "a", "f"))
    assert r.steps["g"].floating
    assert r.steps["b"].needs == ("a",)
    assert r.chain is None
    assert r.waits[""] == 1


def test_reply_from_a_floating_branch_is_refused():
    with pytest.raises(ConfigError, match="the reply needs g, part of a floating branch"):
        graph(node("a"), node("f", "a", floating=True), node("g", "f"))


def test_hanging_steps_are_waited_for():
    r = route(node("a"), node("b"), ends=["b"])
    assert r.waits[""] == 2
    assert r.steps["b"].json_ok
    assert not r.steps["a"].json_ok


def test_unknown_endpoint_lists_and_suggests():
    g = graph(node("a"), node("b", "a"))
    with pytest.raises(EndpointNotFound) as caught:
        g.route("/serch", {"a": {"/search", "/index"}, "b": {"/search", "_jina_dry_run_"}})
    assert (
        str(caught.value)
        == "no Executor has the endpoint '/serch'; did you mean /search?\n  help: endpoints: /index, /search"
    )


@pytest.mark.parametrize("endpoint", ["/create", "/default"])
def test_floating_steps_alone_get_the_documents_and_the_request_is_the_reply(endpoint):
    g = graph(node("a"), node("f", "a", floating=True), ends=["a"])
    r = g.route("/create", {"a": {"/x"}, "f": {endpoint}})
    assert [(step.name, step.needs, step.floating) for step in r.steps.values()] == [("f", ("gateway",), True)]
    assert r.ends == ("gateway",)
    assert list(g.route("/create", {"a": {"/x"}, "f": {endpoint}}, "f").steps) == ["f"]
    with pytest.raises(EndpointNotFound, match="no Executor has the endpoint '/creat'; did you mean /create"):
        g.route("/creat", {"a": {"/x"}, "f": {"/create"}})
    only = graph(node("f", floating=True), ends=["gateway"])
    assert list(only.route("/y", {}).steps) == ["f"]


def test_strict_graphs_do_not_pass_through():
    g = graph(node("a"), strict=True)
    assert g.route("/x", {"a": {"/x"}}).chain == ("a",)
    with pytest.raises(EndpointNotFound, match=r"a has no endpoint '/y'") as caught:
        g.route("/y", {"a": {"/x"}})
    assert caught.value.help == "endpoints: /x"


def test_target_executor():
    steps = (node("a"), node("ab", "a"), node("c", "ab"))
    assert route(*steps, target="a").chain == ("a", "ab")
    assert route(*steps, target="a$|c").chain == ("a", "c")
    with pytest.raises(BadRequest, match="not a regular expression"):
        route(*steps, target="(")
    with pytest.raises(EndpointNotFound, match="matches no Executor"):
        route(*steps, target="zz")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("a", "b")], "a needs 'b', which is not a step before it"),
        ([node("index"), node("b", "indx")], "did you mean 'index'"),
        ([node("a"), node("a")], "two steps are called 'a'"),
        ([node("a", when={"text": {"$gtt": 1}})], r"a: when: text: no operator '\$gtt'; did you mean \$gte?"),
    ],
)
def test_broken_graphs(nodes, message):
    with pytest.raises(ConfigError, match=message):
        graph(*nodes)


@pytest.mark.parametrize(
    ("nodes", "ends", "message"),
    [
        ([NodePlan(name="a", needs=[], upstreams=[])], ["a"], "a needs no step"),
        ([node("index")], ["indx"], "the reply needs 'indx', which is not a step; did you mean 'index'?"),
        ([node("gateway")], ["gateway"], "name 'gateway'"),
    ],
)
def test_broken_plans(nodes, ends, message):
    with pytest.raises(ConfigError, match=message):
        graph(*nodes, ends=ends)


def test_when_needs_merged_documents():
    with pytest.raises(NotSupportedError, match="no_reduce"):
        graph(node("a"), node("b"), node("c", "a", "b", when={"text": "x"}, no_reduce=True))


def test_branches_keep_the_names_of_needs():
    r = route(node("a"), node("b"), node("c", "a", "b", no_reduce=True), known={"b": set()})
    assert r.steps["c"].branches == (("a", "a"), ("b", "gateway"))
    assert not r.steps["c"].merges
    assert "gateway" in r.forks


def test_no_steps_answer_with_the_request():
    from jina.plan.plans import GraphPlan
    from jina.routing.graph import Graph

    r = Graph(GraphPlan(nodes=[], ends=[])).route("/x", {})
    assert r.chain == ()


def shared(route):
    """The joins that several steps share: needs -> those that follow."""
    return {step.needs: route.feeds[name] for name, step in route.steps.items() if " " in name}


def test_steps_that_need_the_same_share_one_join():
    r = route(node("a"), node("b"), node("c", "a", "b"), node("d", "a", "b"), node("e", "c", "d"))
    assert shared(r) == {("a", "b"): ("c", "d")}
    (join,) = (step for step in r.steps.values() if not step.runs)
    assert (join.merges, join.fork, join.floating) == (True, "gateway", False)
    assert r.steps["c"].needs == r.steps["d"].needs == (join.name,)
    assert not r.steps["c"].merges
    assert r.steps["e"].fork == join.name
    assert r.waits == {"a": 1, "b": 1, join.name: 2, "c": 1, "d": 1, "e": 2, "": 1}
    assert r.reads == {"gateway": 3, "a": 1, "b": 1, join.name: 3, "c": 1, "d": 1, "e": 1}
    assert r.steps["e"].json_ok


def test_joins_in_another_order_are_not_shared():
    r = route(node("a"), node("b"), node("c", "a", "b"), node("d", "b", "a"), node("e", "c", "d"))
    assert shared(r) == {}
    assert r.steps["d"].needs == ("b", "a")


def test_unmerged_branches_are_not_shared():
    options = {"no_reduce": True}
    r = route(node("a"), node("b"), node("c", "a", "b", **options), node("d", "a", "b"), node("e", "c", "d"))
    assert shared(r) == {}
    assert r.steps["c"].branches == (("a", "a"), ("b", "b"))
    r = route(
        node("a"), node("b"), node("c", "a", "b", **options), node("d", "a", "b"), node("e", "a", "b"),
        node("f", "c", "d", "e"),
    )  # fmt: skip
    assert shared(r) == {("a", "b"): ("d", "e")}
    assert r.steps["c"].needs == ("a", "b")


def test_the_reply_shares_a_join_too():
    r = route(node("a"), node("b"), node("f", "a", "b", floating=True), ends=["a", "b"])
    assert shared(r) == {("a", "b"): ("f", "")}
    assert not r.end.merges
    assert not any(step.json_ok for step in r.steps.values())
    (join,) = (step for step in r.steps.values() if not step.runs)
    assert not join.floating


def test_a_join_for_floating_steps_alone_is_floating():
    r = route(
        node("a"), node("b"), node("f", "a", "b", floating=True), node("g", "a", "b", floating=True), node("c", "a"),
        ends=["c"],
    )  # fmt: skip
    assert shared(r) == {("a", "b"): ("f", "g")}
    (join,) = (step for step in r.steps.values() if not step.runs)
    assert join.floating


def test_a_join_without_an_executor_shares():
    """The named join merges nothing itself then."""
    r = route(node("a"), node("b"), node("j", "a", "b"), node("c", "a", "b"), node("e", "c", "j"), known={"j": set()})
    assert shared(r) == {("a", "b"): ("j", "c")}
    assert r.steps["e"].needs == ("c", "j")
    assert not r.steps["j"].merges
    assert r.steps["e"].fork == r.steps["c"].needs[0]
