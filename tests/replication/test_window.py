"""Each request is applied once, whatever the log holds."""

from hypothesis import given
from hypothesis import strategies as st

from jina.replication.dedup import DedupTable, DedupWindow
from jina.replication.log_entries import Answer, Entry


def answer(text=""):
    return Answer(error=False, meta=b"", body=text.encode())


def applied(window, index, entry, answer):
    window.enter(index, entry)
    window.settle(entry, answer)


def test_a_known_request_is_answered_as_before():
    window = DedupWindow()
    entry = Entry("a", b"1", 0)
    assert window.classify(entry) == "new"
    applied(window, 5, entry, answer("five"))
    assert window.classify(Entry("a", b"1", 3)) == "known"
    assert window.seen(entry).answer.body == b"five"


def test_a_request_that_is_being_applied_has_no_answer_yet():
    memory = DedupTable("notes")
    entry = Entry("a", b"1", 0)
    memory.enter(1, entry)
    assert memory.classify(entry) == "known"
    assert memory.answered(entry) is None
    memory.settle(entry, answer("one"))
    assert memory.answered(entry).answer.body == b"one"
    assert memory.answered(Entry("a", b"2", 0)) is None


def test_another_request_under_a_known_id_is_told_from_it():
    window = DedupWindow()
    applied(window, 1, Entry("a", b"1", 0), answer())
    assert window.classify(Entry("a", b"2", 1)) == "other"


def test_what_is_forgotten_is_refused_rather_than_applied_again():
    window = DedupWindow(ids=2)
    for index in range(1, 4):
        applied(window, index, Entry(str(index), b"", 0), answer())
    assert window.classify(Entry("1", b"", 0)) == "expired"
    assert window.classify(Entry("new", b"", window.horizon)) == "new"


def test_answers_are_forgotten_before_ids():
    window = DedupWindow(answers=10)
    applied(window, 1, Entry("a", b"", 0), answer("x" * 8))
    applied(window, 2, Entry("b", b"", 0), answer("y" * 8))
    assert window.classify(Entry("a", b"", 0)) == "known"
    assert not window.seen(Entry("a", b"", 0)).answer.kept
    assert window.seen(Entry("b", b"", 0)).answer.body == b"y" * 8


operations = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=60)


@given(operations, st.integers(1, 5), st.integers(0, 60))
def test_no_request_is_applied_twice_wherever_a_snapshot_is_taken(log, ids, at):
    """A replica that went through a snapshot decides as one that did not."""

    def run(cut):
        window, done, verdicts = DedupWindow(ids=ids, answers=30), [], []
        for index, (key, lag) in enumerate(log, 1):
            if index == cut:
                data, window = window.to_bytes(), DedupWindow(ids=ids, answers=30)
                window.load(data)
            entry = Entry(str(key), b"", max(0, index - 1 - lag))
            verdict = window.classify(entry)
            verdicts.append(verdict)
            if verdict == "new":
                done.append((key, index))
                applied(window, index, entry, answer("z" * key))
        return verdicts, done

    verdicts, done = run(None)
    assert run(at) == (verdicts, done)
    last = {}
    for key, index in done:
        # Applied again only as a request that began after the first was certainly over.
        lag = log[index - 1][1]
        assert key not in last or index - 1 - lag >= last[key]
        last[key] = index
