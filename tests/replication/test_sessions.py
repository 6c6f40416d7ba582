"""Each request of a session is applied at most once, whatever is repeated, reordered, restored or forgotten."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.errors import InternalError
from jina.replication.dedup import DedupTable, DedupWindow, Sessions, refused
from jina.replication.log_entries import Answer, Entry, is_batch, join_operations, read_entries, write_entry


def answer(text=""):
    return Answer(error=False, meta=b"", body=text.encode())


def applied(memory, index, entry, answer):
    memory.enter(index, entry)
    memory.settle(entry, answer)


def entry(sequence, lowest=0, *, opened=1, client="c", digest=b""):
    return Entry(f"{client}-{opened}-{sequence}", digest, 0, client, opened, sequence, lowest)


def opened(**limits):
    sessions = Sessions(**limits)
    sessions.open(1, "c")
    return sessions


def test_a_known_request_is_answered_as_before_and_another_one_told_from_it():
    sessions = opened()
    assert sessions.classify(entry(4)) == "new"
    applied(sessions, 2, entry(4), answer("four"))
    assert sessions.classify(entry(4)) == "known"
    assert sessions.seen(entry(4)).answer.body == b"four"
    assert sessions.classify(entry(4, digest=b"x")) == "other"
    assert sessions.classify(entry(3)) == "new"


def test_what_the_client_does_not_wait_for_is_let_go_and_refused():
    sessions = opened()
    applied(sessions, 2, entry(0), answer())
    applied(sessions, 3, entry(2, lowest=1), answer())
    assert sessions.classify(entry(0)) == "gone"
    assert sessions.classify(entry(1)) == "new"
    assert sessions.classify(entry(2)) == "known"


def test_a_session_is_of_its_client_and_its_entry_alone():
    sessions = opened()
    assert sessions.classify(entry(0, client="someone else")) == "gone"
    assert sessions.classify(entry(0, opened=2)) == "gone"


def test_a_session_that_rests_goes_on_above_what_it_has_applied():
    sessions = opened(most=1)
    applied(sessions, 2, entry(5), answer("five"))
    sessions.open(3, "d")
    assert [sessions.classify(entry(number)) for number in (4, 5, 6)] == ["gone", "gone", "new"]
    applied(sessions, 4, entry(6, lowest=6), answer("six"))
    assert [sessions.classify(entry(number)) for number in (5, 6, 7)] == ["gone", "known", "new"]
    assert len(sessions) == 1


def test_sessions_expire_by_number_and_by_entries_of_the_log():
    sessions = opened(age=10)
    applied(sessions, 2, entry(0), answer())
    sessions.open(12, "d")
    assert sessions.classify(entry(0)) == "known"
    sessions.open(13, "e")
    assert sessions.classify(entry(0)) == "gone"
    forgetful = opened(most=1, resting=1)
    forgetful.open(2, "d")
    assert forgetful.classify(entry(0)) == "new"
    forgetful.open(3, "e")
    assert forgetful.classify(entry(0)) == "gone"


def test_answers_are_bounded_and_numbers_stay_known():
    sessions = opened(room=10)
    applied(sessions, 2, entry(0), answer("x" * 8))
    applied(sessions, 3, entry(1), answer("y" * 8))
    assert sessions.classify(entry(0)) == "known"
    assert not sessions.seen(entry(0)).answer.kept
    assert sessions.seen(entry(1)).answer.body == b"y" * 8
    few = opened(each=2)
    for number in range(3):
        applied(few, 2 + number, entry(number), answer())
    assert [few.classify(entry(number)) for number in range(4)] == ["gone", "known", "known", "new"]


def test_the_first_write_opens_the_session_and_is_known_by_its_id():
    memory = DedupTable("notes")
    first = Entry("id", b"", 0, "c", 0, 0, 0)
    assert memory.classify(first) == "new"
    applied(memory, 7, first, answer("first"))
    assert memory.classify(first) == "known"
    assert memory.seen(first).index == 7
    assert memory.classify(entry(1, opened=7)) == "new"
    applied(memory, 8, entry(1, opened=7), answer("second"))
    restored = DedupTable("notes")
    restored.load(memory.to_bytes())
    assert restored.classify(entry(1, opened=7)) == "known"
    assert restored.to_bytes() == memory.to_bytes()
    assert type(refused("gone", first)).__name__ == "SessionExpired"


def test_the_time_never_goes_back_also_over_a_snapshot():
    memory = DedupTable("notes")
    assert [memory.clock_and_seed(Entry("x", b"", 0, now=now, seed=now)) for now in (5, 3, 6)] == [
        (5, 5),
        (5, 3),
        (6, 6),
    ]
    restored = DedupTable("notes")
    restored.load(memory.to_bytes())
    assert restored.clock_and_seed(Entry("x", b"", 0, now=1.0, seed=9)) == (6, 9)


def test_several_operations_travel_as_one():
    def request(text):
        return Request("/add", BytesPayload(text), request_id=text.decode())

    single = [write_entry(Entry(name, b"d", 3, now=1.5), request(name.encode()), 1 << 20) for name in ("a", "b")]
    assert [one.key for one, _ in read_entries(b"".join(single[0]))] == ["a"]
    assert not is_batch(b"".join(single[0]))
    assert is_batch(join_operations(single[:1]))
    found = read_entries(join_operations(single))
    assert [(one.key, one.now, req.payload.data) for one, req in found] == [("a", 1.5, b"a"), ("b", 1.5, b"b")]
    for broken in (b"", b"\x07", join_operations(single)[:-1]):
        with pytest.raises(InternalError, match="log holds an operation"):
            read_entries(broken)


class Model(RuleBasedStateMachine):
    """Clients that number their requests, a log that repeats and reorders, and replicas that come from snapshots."""

    @initialize(
        most=st.integers(1, 3), resting=st.integers(1, 3), age=st.integers(3, 40), each=st.integers(1, 4),
        room=st.integers(1, 40),
    )  # fmt: skip
    def begin(self, **limits):
        self.limits = limits
        self.replicas = [Sessions(**limits), Sessions(**limits)]
        self.index = 0
        self.clients = {}  # opened -> [next number, numbers that are waited for]
        self.sent = []
        self.applied = {}

    @rule(name=st.sampled_from("abc"))
    def open(self, name):
        self.index += 1
        self.clients[self.index] = [name, 0, []]
        for sessions in self.replicas:
            sessions.open(self.index, name)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), size=st.integers(0, 20))
    def send(self, data, size):
        opened = data.draw(st.sampled_from(sorted(self.clients)))
        name, number, flying = self.clients[opened]
        self.clients[opened][1] += 1
        flying.append(number)
        self.sent.append((entry(number, min(flying), opened=opened, client=name), answer("x" * size)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def apply(self, data):
        """Any that was ever sent, once more or for the first time, at a later place of the log."""
        one, received = data.draw(st.sampled_from(self.sent))
        self.index += 1
        key = (one.opened, one.sequence)
        verdicts = {sessions.classify(one) for sessions in self.replicas}
        assert len(verdicts) == 1, "replicas differ"
        verdict = verdicts.pop()
        waiting = one.sequence in self.clients[one.opened][2]
        if verdict == "new":
            assert key not in self.applied, "applied twice"
            self.applied[key] = (self.index, received)
            for sessions in self.replicas:
                applied(sessions, self.index, one, received)
        elif verdict == "known":
            at, result = self.applied[key]
            for sessions in self.replicas:
                seen = sessions.seen(one)
                assert seen.index == at
                assert not seen.answer.kept or seen.answer == result
        else:
            assert verdict == "gone"
            # A client that waits is refused only because of a limit.
            limited = self.index > self.limits["age"] or len(self.clients) > self.limits["most"]
            assert not waiting or limited or len(self.clients[one.opened][2]) >= self.limits["each"]

    @precondition(lambda self: any(flying for _, _, flying in self.clients.values()))
    @rule(data=st.data())
    def answered(self, data):
        opened = data.draw(st.sampled_from([one for one, (_, _, flying) in self.clients.items() if flying]))
        flying = self.clients[opened][2]
        flying.remove(data.draw(st.sampled_from(flying)))

    @rule()
    def restart(self):
        """The second replica comes from a snapshot of the first."""
        fresh = Sessions(**self.limits)
        fresh.load(self.replicas[0].to_bytes())
        self.replicas[1] = fresh

    @invariant()
    def bounded(self):
        for sessions in getattr(self, "replicas", ()):
            assert len(sessions) <= self.limits["most"]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@given(st.lists(st.integers(0, 30), max_size=80))
def test_an_id_that_fell_out_of_the_window_is_no_hole_for_sessions(numbers):
    """Through another replica it comes with a fresh origin, of which the window cannot tell; a session can."""
    memory, done = DedupTable("notes"), set()
    memory.window = DedupWindow(ids=2)
    applied(memory, 1, Entry("first", b"", 0, "c", 0, 0, 0), answer())
    for index, number in enumerate(numbers, 2):
        one = Entry(str(number), b"", index - 1, "c", 1, number, max(0, number - 3))
        if memory.classify(one) == "new":
            assert number not in done
            done.add(number)
            applied(memory, index, one, answer())
