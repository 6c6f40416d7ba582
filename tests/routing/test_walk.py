"""Walks step by step."""

import pytest

from jina.errors import ExecutorError, Unavailable
from tests.routing.plans import Cancel, Done, Fail, Send, docs, done, node, payload, route, run, walk


def append(name, send):
    """An Executor that appends its name to the text of each document."""
    return payload(*({**doc, "text": doc.get("text", "") + name} for doc in docs(send.payload)))


def test_chain():
    answer, order = done(route(node("a"), node("b", "a")), payload({"id": "1", "text": "-"}), append)
    assert answer == [{"id": "1", "text": "-ab"}]
    assert order == ["a", "b"]


def test_chain_hands_on_the_very_payload():
    w = walk(route(node("a"), node("b", "a")))
    first, second = payload({"id": "1"}), payload({"id": "2"})
    assert w.begin(first) == [Send("a", first)]
    assert w.replied("a", second) == [Send("b", second)]
    assert w.in_flight == ["b"]
    assert w.replied("b", first) == [Done(first)]
    assert w.over
    assert not w._outputs


def test_fan_out_and_join():
    def handle(name, send):
        return payload(*({**doc, name: True} for doc in docs(send.payload)))

    r = route(node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))
    answer, order = done(r, payload({"id": "1"}, {"id": "2"}), handle)
    assert answer == [{"id": n, "a": True, "b": True, "c": True, "d": True} for n in "12"]
    assert order == ["a", "b", "c", "d"]


def test_documents_without_ids_get_one_before_a_fork():
    r = route(node("a"), node("b"), ends=["a", "b"])
    answer, _ = done(r, payload({"text": "x"}), lambda name, send: send.payload)
    assert answer == [{"id": "new0", "text": "x"}]


def test_unmerged_branches():
    seen = {}

    def handle(name, send):
        seen[name] = send.branches and [(label, docs(branch)) for label, branch in send.branches]
        return append(name, send)

    r = route(node("a"), node("b"), node("c", "a", "b", no_reduce=True))
    answer, _ = done(r, payload({"id": "1", "text": ""}), handle)
    assert seen == {
        "a": None,
        "b": None,
        "c": [("a", [{"id": "1", "text": "a"}]), ("b", [{"id": "1", "text": "b"}])],
    }
    assert answer == [{"id": "1", "text": "ac"}]


def test_failure_names_the_step_and_cancels_the_others():
    w = walk(route(node("a"), node("b"), node("f", floating=True), ends=["a", "b"]), request_id="r1")
    w.begin(payload({"id": "1"}))
    actions = w.failed("b", Unavailable("gone"))
    assert actions[0] == Cancel("a")
    assert isinstance(actions[1], Fail)
    assert actions[1].error.message == "b, request r1: gone"
    assert w.in_flight == ["f"]
    assert w.replied("a", payload()) == []
    assert w.replied("f", payload()) == []
    assert w.cancel() == []


def test_what_a_handler_raised_stays_its_message():
    w = walk(route(node("a")), request_id="r1")
    w.begin(payload())
    (failure,) = w.failed("a", ExecutorError("ValueError('x')", name="ValueError"))
    assert failure.error.message == "ValueError('x')"
    assert failure.error.help == "raised in a, request r1"


def test_floating_steps_neither_delay_nor_fail():
    r = route(node("a"), node("f", "a", floating=True), node("g", "f"), node("b", "a"), ends=["b"])
    w = walk(r)
    request = payload({"id": "1"})
    w.begin(request)
    assert w.replied("a", request) == [Send("f", request), Send("b", request)]
    assert w.replied("b", request) == [Done(request)]
    assert w.in_flight == ["f"]
    assert w.replied("f", request) == [Send("g", request)]
    assert w.failed("g", Unavailable("gone")) == []


def test_floating_branches_go_no_further_after_a_failure():
    w = walk(route(node("a"), node("f", floating=True), node("g", "f"), ends=["a"]))
    w.begin(payload())
    w.failed("a", Unavailable("gone"))
    assert w.in_flight == ["f"]
    assert w.replied("f", payload()) == []


def test_a_client_that_leaves_after_the_reply_stops_no_floating_branch():
    w = walk(route(node("a"), node("f", floating=True), node("g", "f"), ends=["a"]))
    request = payload()
    w.begin(request)
    w.replied("a", request)
    assert w.cancel() == []
    assert w.replied("f", request) == [Send("g", request)]


def test_a_join_for_floating_steps_alone_fails_nothing():
    from jina.codec.payloads import BytesPayload

    r = route(node("a"), node("b"), node("j", "a", "b"), node("f", "j", floating=True), ends=["b"], known={"j": set()})
    w = walk(r)
    w.begin(payload())
    reply = payload({"id": "1"})
    assert w.replied("b", reply) == []
    assert w.replied("a", BytesPayload(b"\xff")) == [Done(reply)]


def test_hanging_steps_are_waited_for():
    w = walk(route(node("a"), node("b"), ends=["b"]))
    w.begin(payload())
    reply = payload({"id": "1"})
    assert w.replied("b", reply) == []
    assert w.replied("a", payload()) == [Done(reply)]


def test_cancel():
    w = walk(route(node("a"), node("b"), node("f", floating=True), ends=["a", "b"]))
    w.begin(payload())
    assert w.cancel() == [Cancel("a"), Cancel("b")]
    assert w.in_flight == ["f"]
    assert w.replied("a", payload()) == []
    assert w.cancel() == []


def test_garbled_documents_fail_the_request():
    from jina.codec.payloads import BytesPayload

    w = walk(route(node("a"), node("b"), ends=["a", "b"]))
    (failure,) = w.begin(BytesPayload(b"\xff\xff"))
    assert isinstance(failure, Fail)
    assert not w.in_flight
    w = walk(route(node("a", when={"text": "x"}), node("b")))
    (failure,) = w.begin(BytesPayload(b"\xff\xff"))
    assert isinstance(failure, Fail)


@pytest.mark.parametrize("floating", [False, True])
def test_garbled_reply_beside_documents_that_passed(floating):
    from jina.codec.payloads import BytesPayload

    w = walk(route(node("a", when={"text": "x"}, floating=floating), node("b"), ends=["b"]), request_id="r")
    w.begin(payload({"text": "x"}, {"text": "y"}))
    actions = w.replied("a", BytesPayload(b"\xff"))
    if floating:
        assert actions == []
        return
    assert actions[0] == Cancel("b")
    assert str(actions[1].error).startswith("a, request r: the documents are not a docarray.DocListProto")


def test_nothing_is_sent_beside_a_failure():
    from jina.codec.payloads import BytesPayload

    w = walk(route(node("a"), node("b", when={"text": "x"}), ends=["b"]))
    (failure,) = w.begin(BytesPayload(b"\xff\xff"))
    assert isinstance(failure, Fail)
    assert not w.in_flight


def test_garbled_documents_of_a_floating_step_do_not():
    from jina.codec.payloads import BytesPayload

    garbled = BytesPayload(b"\xff\xff")
    w = walk(route(node("a"), node("f", when={"text": "x"}, floating=True), ends=["a"]))
    assert w.begin(garbled) == [Send("a", garbled)]


@pytest.mark.parametrize("pick", [0, -1])
def test_merge_does_not_depend_on_who_answers_first(pick):
    def handle(name, send):
        return payload(*({**doc, "text": name} for doc in docs(send.payload)))

    answer, _ = done(
        route(node("a"), node("b"), ends=["a", "b"]),
        payload({"id": "1", "text": "old"}),
        handle,
        choose=lambda waiting: pick,
    )
    assert answer == [{"id": "1", "text": "a"}]


def test_conditions_in_a_chain():
    r = route(node("a", when={"tags__n": {"$gt": 1}}), node("b", "a"))
    request = payload(*({"id": str(n), "text": "", "tags": {"n": n}} for n in (1, 2, 0, 3)))
    answer, order = done(r, request, append)
    assert [(doc["id"], doc["text"]) for doc in answer] == [("1", "b"), ("2", "ab"), ("0", "b"), ("3", "ab")]
    assert order == ["a", "b"]


def test_nobody_matches():
    r = route(node("a", when={"text": "x"}), node("b", "a"))
    assert done(r, payload({"id": "1", "text": ""}), append) == ([{"id": "1", "text": "b"}], ["b"])


def test_no_documents_at_all_reach_everybody():
    r = route(node("a", when={"text": "x"}), node("b", "a"))
    assert done(r, payload(), append) == ([], ["a", "b"])


def test_conditions_of_branches():
    r = route(
        node("a", when={"tags__n": {"$gt": 1}}), node("b", when={"tags__n": 1}), node("j", "a", "b"), ends=["j"]
    )  # fmt: skip
    request = payload(*({"id": str(n), "text": "", "tags": {"n": n}} for n in (1, 2, 0)))
    answer, _ = done(r, request, append)
    assert [(doc["id"], doc["text"]) for doc in answer] == [("1", "bj"), ("2", "aj"), ("0", "j")]


def test_failed_request_sends_nothing_more():
    outcome, order = run(
        walk(route(node("a"), node("b", "a"), node("c", "b"))),
        payload(),
        lambda name, send: Unavailable("gone") if name == "b" else send.payload,
    )
    assert isinstance(outcome, Fail)
    assert order == ["a", "b"]


def test_a_change_after_a_shared_join_counts():
    """c and d both get a and b merged; what c left as it was is no change, however far to the left it stands."""
    r = route(node("a"), node("b"), node("c", "a", "b"), node("d", "a", "b"), node("e", "c", "d"))

    def handle(name, send):
        return append(name, send) if name in "ad" else send.payload

    answer, order = done(r, payload({"id": "1", "text": "x"}), handle)
    assert answer == [{"id": "1", "text": "xad"}]
    assert order == ["a", "b", "c", "d", "e"]


def test_a_change_of_what_a_branch_had_counts():
    """d has what a gave, and b; it left the text of a as it was, c changed it."""
    r = route(node("a"), node("b"), node("c", "a"), node("d", "a", "b"), node("e", "d", "c"))

    def handle(name, send):
        return append(name, send) if name in "ac" else send.payload

    answer, _ = done(r, payload({"text": "x"}), handle)
    assert answer == [{"id": "new0", "text": "xac"}]
