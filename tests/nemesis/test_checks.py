"""The checks of histories against all orders that there are, and against mistakes that are made on purpose."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nemesis import checks
from tests.nemesis.history import NEVER, History, Op, load
from tests.nemesis.registers import UNKNOWN, linearizable, step
from tests.nemesis.state import link


@st.composite
def register_histories(draw, most=6):
    """Operations of up to three clients on a register, with results that may be possible or not."""
    ops = []
    for client in range(3):
        now = 0
        for _ in range(draw(st.integers(0, most // 3))):
            kind = draw(st.sampled_from(["set", "get", "swap"]))
            invoked = now + draw(st.integers(1, 4))
            now = invoked + draw(st.integers(1, 8))
            value = draw(st.sampled_from("ab")) if kind == "set" else None
            if kind == "swap":
                value = [draw(st.sampled_from([None, "a", "b"])), draw(st.sampled_from("ab"))]
            result = {"set": 1, "get": draw(st.sampled_from([None, "a", "b"])), "swap": draw(st.integers(0, 1))}[kind]
            returned = NEVER if draw(st.integers(0, 5)) == 0 else now
            # Times of all clients differ, as those of a clock do.
            ops.append(Op(f"c{client}", kind, "k", value, invoked * 3 + client, returned * 3 + client, result))
    return ops[:5]


def precedes(one, other):
    return one.returned < other.invoked


def fits_some_order(ops):
    """The same by trying everything."""
    pending = [op for op in ops if op.returned == NEVER]
    ended = [op for op in ops if op.returned != NEVER]
    for count in range(len(pending) + 1):
        for happened in itertools.combinations(pending, count):
            for order in itertools.permutations([*ended, *happened]):
                if any(precedes(b, a) for a, b in itertools.combinations(order, 2)):
                    continue
                state = None
                for op in order:
                    state = step(state, op)
                    if state is UNKNOWN:
                        break
                else:
                    return True
    return False


@given(register_histories())
def test_registers_are_judged_as_by_trying_every_order(ops):
    assert linearizable(ops) == fits_some_order(ops)


@st.composite
def runs(draw):
    """Operations of a list that happened one after another, at times around the moment when each did."""
    ops, lines, chain = [], [], ""
    for number in range(draw(st.integers(1, 12))):
        moment = 100 * number + 50
        invoked, returned = moment - draw(st.integers(1, 600)), moment + draw(st.integers(1, 600))
        if draw(st.booleans()):
            line = f"w-{number}"
            ops.append(Op(f"c{number}", "append", line, None, invoked, returned, len(lines)))
            lines.append(line)
            chain = link(chain, line)
            if draw(st.integers(0, 5)) == 0:
                ops[-1] = replace(ops[-1], returned=NEVER, result=None)
        else:
            ops.append(Op(f"c{number}", "read", "", None, invoked, returned, {"count": len(lines), "chain": chain}))
    return ops, lines


@given(runs())
def test_a_list_that_did_everything_in_order_passes(run):
    ops, lines = run
    assert checks.check_list(ops, lines) == []


@given(runs(), st.data())
def test_mistakes_in_a_list_are_found(run, data):
    """Each is one that the times cannot excuse."""
    ops, lines = run
    appended = [op for op in ops if op.kind == "append" and op.returned != NEVER]
    if not appended:
        return
    victim = data.draw(st.sampled_from(appended))
    without = [line for line in lines if line != victim.key]
    assert any(f"lost: {victim.key}" in what for what in checks.check_list(ops, without))
    assert f"applied twice: {victim.key}" in checks.check_list(ops, [*lines, victim.key])
    assert any("not written by any client" in what for what in checks.check_list(ops, [*lines, "of nobody"]))
    late = Op("late", "read", "", None, 10**6, 10**6 + 1, {"count": 0, "chain": ""})
    assert any("stale read" in what for what in checks.check_list([*ops, late], lines))
    early = Op("early", "append", "early", None, -(10**6), -(10**6) + 1, len(lines))
    assert any("had ended when" in what for what in checks.check_list([*ops, early], [*lines, "early"]))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12), st.booleans()), min_size=1, max_size=5))
def test_the_order_is_judged_as_by_trying_every_order(told):
    """A list has one order of writes; only reads that told of the same place can change places."""
    ops = [
        Op(
            f"c{place}",
            "append" if is_write else "read",
            f"{place}",
            None,
            7 * begin + place,
            7 * (begin + length) + place,
        )
        for place, (begin, length, is_write) in enumerate(told)
    ]
    count, ordered = 0, []
    for op in ops:
        ordered.append(((count, int(op.kind == "append"), op.invoked), replace(op, result={"count": count})))
        count += op.kind == "append"
    fitting = False
    for order in itertools.permutations(ordered):
        places = [key[:2] for key, _ in order]
        fitting |= places == sorted(places) and not any(
            precedes(b, a) for (_, a), (_, b) in itertools.combinations(order, 2)
        )
    assert (checks.check_order(ordered) == []) == fitting


def test_eventual_reads_of_one_process_do_not_go_back():
    def glance(invoked, returned, process, count):
        return Op("c", "glance", "", None, invoked, returned, {"process": process, "count": count})

    assert checks.check_glances([glance(1, 2, 7, 5), glance(3, 4, 8, 3), glance(3, 5, 7, 5)]) == []
    assert checks.check_glances([glance(1, 4, 7, 5), glance(3, 5, 7, 4)]) == []
    assert checks.check_glances([glance(1, 2, 7, 5), glance(3, 5, 7, 4)]) == [
        "process 7 told of 5 lines, and later of 4"
    ]


def test_bounds_of_reads_do_not_go_back():
    ops = [
        Op("a", "bound", "", None, 1, 4, 7),
        Op("b", "bound", "", None, 3, 5, 6),
        Op("a", "bound", "", None, 6, 8, 7),
    ]
    assert checks.check_bounds(ops) == []
    assert checks.check_bounds([*ops, Op("b", "bound", "", None, 9, 10, 6)])


@pytest.mark.parametrize("what", ["lines", "registers", "hash", "written"])
def test_replicas_that_differ_are_found(what):
    one = {"replica": 0, "lines": ["a"], "written": ["a"], "registers": {}, "hash": "x"}
    assert checks.check_replicas([one, {**one, "replica": 1}]) == []
    assert checks.check_replicas([one, {**one, "replica": 1, what: ["b"]}])


def test_a_history_is_read_as_it_was_written(tmp_path):
    history = History()
    history.begin("w", "swap", "k", [None, "v"], 5)
    history.begin("r", "read", "", None, 3).returned = 9
    history.save(tmp_path / "history.jsonl")
    assert load(tmp_path / "history.jsonl") == sorted(history.ops, key=lambda op: op.invoked)
