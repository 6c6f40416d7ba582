"""Batches in virtual time: sizes, waiting, order, parameters, cancels, and what is tried again after errors."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jina.routing.batching import Batcher, Part, Rules, attempts, pieces


def taken(batcher, now):
    """The next batch as (ticket, start, stop)."""
    return [(part.item, part.start, part.stop) for part in batcher.take(now)]


def test_a_batch_is_due_when_it_is_full_or_when_its_first_request_waited_long_enough():
    batcher = Batcher(Rules(4, 1.0))
    assert batcher.due() is None
    batcher.add(0.0, "", "a", 2)
    batcher.add(0.5, "", "b", 1)
    assert batcher.due() == 1.0
    assert not batcher.ready(0.99)
    assert taken(batcher, 0.99) == []
    batcher.add(0.6, "", "c", 1)
    assert batcher.due() == -math.inf
    assert taken(batcher, 0.6) == [("a", 0, 2), ("b", 0, 1), ("c", 0, 1)]
    batcher.add(0.7, "", "d", 1)
    assert batcher.due() == 1.7
    assert taken(batcher, 1.7) == [("d", 0, 1)]
    assert batcher.due() is None
    assert batcher.requests == 0


def test_requests_are_not_cut_unless_one_alone_is_larger_than_a_batch():
    batcher = Batcher(Rules(4, 1.0))
    for item, size in (("a", 3), ("b", 2), ("c", 9)):
        batcher.add(0.0, "", item, size)
    assert taken(batcher, 0.0) == [("a", 0, 3)]
    assert taken(batcher, 0.0) == [("b", 0, 2)]
    assert taken(batcher, 0.0) == [("c", 0, 4)]
    assert taken(batcher, 0.0) == [("c", 4, 8)]
    assert taken(batcher, 0.0) == []
    assert batcher.requests == 1
    batcher.add(0.5, "", "d", 3)
    assert taken(batcher, 0.5) == [("c", 8, 9), ("d", 0, 3)]


def test_a_batch_is_made_when_it_is_taken():
    batcher = Batcher(Rules(4, 1.0))
    batcher.add(0.0, "", "a", 1)
    assert batcher.ready(1.0)
    batcher.add(5.0, "", "b", 1)
    assert taken(batcher, 6.0) == [("a", 0, 1), ("b", 0, 1)]


def test_everything_at_once():
    batcher = Batcher(Rules(4, 1.0, all_at_once=True))
    batcher.add(0.0, "", "a", 3)
    assert not batcher.ready(0.5)
    batcher.add(0.5, "", "b", 9)
    assert taken(batcher, 0.5) == [("a", 0, 3), ("b", 0, 9)]


def test_keys_wait_apart_and_the_longest_waiting_goes_first():
    batcher = Batcher(Rules(2, 1.0))
    batcher.add(0.0, "x", "a", 1)
    batcher.add(0.1, "y", "b", 1)
    batcher.add(0.2, "y", "c", 1)
    batcher.add(0.3, "z", "d", 5)
    assert taken(batcher, 0.5) == [("b", 0, 1), ("c", 0, 1)]
    assert taken(batcher, 1.5) == [("a", 0, 1)]
    assert taken(batcher, 1.5) == [("d", 0, 2)]


def test_full_queues_take_turns():
    batcher = Batcher(Rules(1, 100.0))
    for number in range(3):
        for key in "xy":
            batcher.add(0.0, key, key + str(number), 1)
    assert [taken(batcher, 0.0)[0][0] for _ in range(6)] == ["x0", "y0", "x1", "y1", "x2", "y2"]


def test_a_cancelled_request_leaves_and_a_batch_that_is_not_full_any_more_waits_again():
    batcher = Batcher(Rules(3, 1.0))
    batcher.add(0.0, "", "a", 1)
    batcher.add(0.2, "", "b", 2)
    batcher.discard("a")
    batcher.discard("a")
    assert batcher.due() == 1.2
    assert batcher.requests == 1
    batcher.add(0.3, "", "c", 1)
    batcher.discard("b")
    assert taken(batcher, 1.2) == []
    assert taken(batcher, 1.3) == [("c", 0, 1)]
    batcher.add(2.0, "", "d", 7)
    assert taken(batcher, 2.0) == [("d", 0, 3)]
    batcher.discard("d")
    assert batcher.due() is None


def test_nothing_waits_for_company_after_flush():
    batcher = Batcher(Rules(4, 10.0))
    batcher.add(0.0, "", "a", 1)
    batcher.flush()
    assert taken(batcher, 0.0) == [("a", 0, 1)]
    assert batcher.due() is None
    batcher.add(0.1, "", "b", 1)
    assert taken(batcher, 0.1) == [("b", 0, 1)]
    batcher.flush(on=False)
    batcher.add(0.2, "", "c", 1)
    assert taken(batcher, 0.2) == []
    assert batcher.due() == 10.2


def test_the_heap_of_times_does_not_grow_with_requests_that_left():
    batcher = Batcher(Rules(1, 1000.0))
    batcher.add(0.0, "old", "old", 0)
    for number in range(1000):
        batcher.add(1.0, "busy", number, 1)
        assert taken(batcher, 1.0) == [(number, 0, 1)]
    assert len(batcher._dues) < 100
    assert batcher.due() == 1000.0


@pytest.mark.parametrize(
    ("weights", "size", "expected"),
    [
        (0, 4, [(0, 0, 0)]),
        (4, 4, [(0, 4, 4)]),
        (9, 4, [(0, 4, 4), (4, 8, 4), (8, 9, 1)]),
        ([], 4, [(0, 0, 0)]),
        ([1.5, 1.5], 4, [(0, 2, 3)]),
        ([3, 3, 1, 9, 1], 4, [(0, 1, 3), (1, 3, 4), (3, 4, 9), (4, 5, 1)]),
        ([9], 4, [(0, 1, 9)]),
    ],
)
def test_pieces(weights, size, expected):
    assert pieces(weights, Rules(size, 1.0)) == expected


WEIGHTS = st.one_of(st.integers(0, 12), st.lists(st.integers(0, 36).map(lambda quarters: quarters / 4), max_size=6))


@given(weights=WEIGHTS, size=st.integers(1, 5))
def test_pieces_cover_the_request_in_order(weights, size):
    each = [1.0] * weights if isinstance(weights, int) else weights
    found = pieces(weights, Rules(size, 1.0))
    assert [stop for _, stop, _ in found[:-1]] == [start for start, _, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (0, len(each))
    for start, stop, weight in found:
        assert weight == pytest.approx(sum(each[start:stop]))
        assert weight <= size or stop - start == 1


@given(bad=st.sets(st.integers(0, 15)), count=st.integers(1, 16), apart=st.booleans())
def test_after_an_error_only_what_fails_alone_fails(bad, count, apart):
    batch = [Part(number, 0, 1, 1.0, 0.0) for number in range(count)]
    bad &= set(range(count))
    tries = attempts(batch, apart=apart)
    done, failed, calls = [], [], 0
    parts = next(tries)
    while parts is not None:
        calls += 1
        numbers = [part.item for part in parts]
        well = not bad.intersection(numbers)
        if well:
            done += numbers
        elif len(numbers) == 1 or not apart:
            failed += numbers
        try:
            parts = tries.send(well)
        except StopIteration:
            parts = None
    assert sorted(done + failed) == list(range(count))
    assert done == sorted(done)
    assert failed == (sorted(bad) if apart else list(range(count)) if bad else [])
    assert calls <= 1 + 2 * len(bad) * math.ceil(math.log2(count)) if apart and count > 1 else calls == 1


class Machine(RuleBasedStateMachine):
    """The batcher against a plain model: a list of what waits, looked through again each time."""

    @initialize(
        size=st.integers(1, 9), timeout=st.sampled_from([0.0, 1.0, 3.0]), all_at_once=st.booleans(), apart=st.booleans()
    )
    def start(self, size, timeout, all_at_once, apart):
        self.rules = Rules(size, timeout, all_at_once)
        self.batcher = Batcher(self.rules)
        self.now, self.flushed = 0.0, False
        self.names = itertools.count()
        self.apart = apart
        self.sizes, self.answered, self.gone, self.bad, self.failed = {}, {}, set(), set(), set()
        self.waiting = {key: [] for key in "xyz"}

    @rule(key=st.sampled_from("xyz"), weights=st.one_of(st.integers(0, 3), WEIGHTS), bad=st.integers(0, 5))
    def add(self, key, weights, bad):
        item = next(self.names)
        self.batcher.add(self.now, key, item, weights)
        each = [1.0] * weights if isinstance(weights, int) else weights
        self.sizes[item], self.answered[item] = each, []
        if not bad:
            self.bad.add(item)
        self.waiting[key] += [(item, *piece, self.now) for piece in pieces(weights, self.rules)]

    @precondition(lambda self: self.sizes)
    @rule(data=st.data())
    def cancel(self, data):
        # The last ones mostly wait still.
        item = data.draw(st.sampled_from(sorted(self.sizes)[-4:]))
        self.gone.add(item)
        self.leave(item)

    def leave(self, item):
        self.batcher.discard(item)
        for key, parts in self.waiting.items():
            self.waiting[key] = [part for part in parts if part[0] != item]

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0]))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: len(self.sizes) > 12)  # from then on all is due, and little else is seen
    @rule()
    def flush(self):
        self.batcher.flush()
        self.flushed = True

    def due_keys(self):
        """Keys of which a batch is due now, by the words of the rules."""
        due = set()
        for key, parts in self.waiting.items():
            full = sum(part[3] for part in parts) >= self.rules.size - 1e-9
            late = parts and self.now >= parts[0][4] + self.rules.timeout
            if parts and (full or late or self.flushed):
                due.add(key)
        return due

    @rule()
    def take(self):
        due = self.due_keys()
        batch = self.batcher.take(self.now)
        assert bool(batch) == bool(due)
        if not batch:
            return
        rows = [(part.item, part.start, part.stop, part.weight, part.arrived) for part in batch]
        (key,) = [key for key in due if self.waiting[key][: len(rows)] == rows]
        rest = self.waiting[key] = self.waiting[key][len(rows) :]
        weight = sum(part.weight for part in batch)
        if self.rules.all_at_once:
            assert not rest
        else:
            heavy = [part for part in batch if part.weight]
            alone = len(heavy) == 1 and len(heavy[0]) == 1
            assert weight <= self.rules.size + 1e-9 or alone
            assert not rest or weight + rest[0][3] > self.rules.size - 1e-9, "it could have been larger"
        late = [rows[0] for rows in self.waiting.values() if rows and self.now >= rows[0][4] + self.rules.timeout]
        if self.now >= batch[0].arrived + self.rules.timeout:
            assert all(batch[0].arrived <= other[4] for other in late)
        assert not {part.item for part in batch} & (self.gone | self.failed)
        self.run_batch(batch)

    def run_batch(self, batch):
        """The handler fails for each call that holds something bad."""
        tries = attempts(batch, apart=self.apart)
        parts = next(tries, None)
        while parts is not None:
            well = not any(part.item in self.bad for part in parts)
            for part in parts:
                if well:
                    self.answered[part.item] += range(part.start, part.stop)
                elif len(parts) == 1 or not self.apart:
                    assert self.apart <= (part.item in self.bad)
                    self.failed.add(part.item)
                    self.leave(part.item)
            try:
                parts = tries.send(well)
            except StopIteration:
                parts = None

    @invariant()
    def agrees(self):
        due = self.due_keys()
        assert self.batcher.ready(self.now) == bool(due)
        left = [part for parts in self.waiting.values() for part in parts]
        assert self.batcher.requests == len({part[0] for part in left})
        when = self.batcher.due()
        assert (when is None) == (not left)
        if left and not due:
            assert when == min(parts[0][4] for parts in self.waiting.values() if parts) + self.rules.timeout

    def teardown(self):
        """After a flush all that waits comes, and each request has its answer: once, in order, or its own error."""
        self.flush()
        while self.batcher.ready(self.now):
            self.take()
        for item, documents in self.answered.items():
            whole = list(range(len(self.sizes[item])))
            assert documents == whole[: len(documents)]
            assert documents == whole or item in self.gone | self.failed
            assert item not in self.bad or item in self.gone | self.failed


TestMachine = Machine.TestCase
