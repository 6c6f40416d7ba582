"""Files that change, in virtual time and for real."""

import threading

from jina.supervisor.reloading import QUIET, Changes, Reloader, stamps_of, wait_for_change


def test_a_change_counts_once_and_after_a_moment_of_quiet():
    changes = Changes()
    assert changes.look(0.0, {"a": 1, "b": 1}) == set()
    assert changes.look(1.0, {"a": 1, "b": 1}) == set()
    assert changes.look(2.0, {"a": 2, "b": 1}) == set()
    assert changes.look(2.0 + QUIET / 2, {"a": 3, "b": 1}) == set()  # still being written
    assert changes.look(2.0 + QUIET, {"a": 3, "b": 1}) == set()
    assert changes.look(2.0 + 2 * QUIET, {"a": 3, "b": 1}) == {"a"}
    assert changes.look(9.0, {"a": 3, "b": 1}) == set()


def test_a_file_that_vanishes_and_comes_back_has_changed():
    changes = Changes()
    changes.look(0.0, {"a": 1})
    changes.look(1.0, {"a": None})
    assert changes.look(2.0, {"a": 1}) == set()
    assert changes.look(3.0, {"a": 1}) == {"a"}


def test_a_file_that_is_new_to_us_has_not_changed():
    changes = Changes()
    changes.look(0.0, {"a": 1})
    changes.look(1.0, {"a": 1, "b": 1})
    assert changes.look(9.0, {"a": 1, "b": 1}) == set()


def test_files(tmp_path):
    file = tmp_path / "a.py"
    assert stamps_of([str(file)]) == {str(file): None}
    file.write_text("1")
    before = stamps_of([str(file)])
    file.write_text("22")
    assert stamps_of([str(file)]) != before


def test_the_reloader_calls_for_what_changed_only(tmp_path):
    files = {name: tmp_path / f"{name}.py" for name in "ab"}
    for file in files.values():
        file.write_text("1")
    called, events = [], threading.Event()

    def reload(name):
        called.append(name)
        events.set()

    reloader = Reloader(lambda: {name: {str(file)} for name, file in files.items()}, reload)
    try:
        files["b"].write_text("22")
        assert events.wait(10)
    finally:
        reloader.stop()
    assert called == ["b"]
    assert "reloader" not in {thread.name for thread in threading.enumerate()}


def test_waiting_ends_with_a_change_or_when_told(tmp_path):
    file = tmp_path / "a.py"
    stop, found = threading.Event(), []
    waiting = threading.Thread(target=lambda: found.append(wait_for_change([str(file)], stop)))
    waiting.start()
    stop.set()
    waiting.join(10)
    assert found == [False]
