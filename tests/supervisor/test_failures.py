import json
import traceback

import pytest

from jina.errors import ConfigError, ExecutorError, ExecutorNotFound, PortAlreadyUsed, RuntimeFailToStart
from jina.supervisor.process import describe, rebuild


def _report(raising, phase="init"):
    """What arrives: the report after its way through JSON."""
    try:
        raising()
    except BaseException as error:
        return json.loads(json.dumps(describe(error, phase)))
    raise AssertionError("did not raise")


def _init():
    raise RuntimeError("no such file model.bin")


LINE = _init.__code__.co_firstlineno + 1


def test_one_line_names_worker_place_and_cause():
    error = rebuild("executor0", _report(_init))
    assert isinstance(error, RuntimeFailToStart)
    assert str(error) == f"executor0 failed in __init__ (test_failures.py:{LINE}): RuntimeError: no such file model.bin"


def _refused():
    """What our own check of a class raises, before any constructor runs."""
    from jina import Executor, requests
    from jina.executor.loading import load_executor
    from jina.plan.plans import ExecutorPlan

    class Listed(Executor):
        @requests
        def foo(self, docs: list[str], **kwargs):
            """Does not say what it gives."""

    load_executor(ExecutorPlan(), {}, Listed)


def test_a_class_that_is_refused_did_not_fail_in_init():
    error = rebuild("executor0", _report(_refused))
    assert str(error).startswith("executor0 failed to load the class: Listed.foo (")
    assert "write `-> list[Out]`" in error.help


def test_a_class_that_is_not_found_has_no_traceback_of_ours():
    from jina.executor.loading import find_class
    from jina.plan.plans import ExecutorPlan

    try:
        find_class(ExecutorPlan(jtype="Missing"))
    except ExecutorNotFound as error:
        found = error
    ours = found.with_traceback(found.__traceback__.tb_next)  # as in a worker, where no frame is of the user's
    report = describe(ours, "importing")
    assert report["stacks"] == []
    error = rebuild("clean", report)
    assert str(error).startswith("clean failed to import: no Executor class is named 'Missing'")
    assert not hasattr(error.__cause__, "__notes__")


def test_a_refusal_by_the_constructor_is_one_in_init():
    class Constructed:
        def __init__(self):
            raise ConfigError("no such model: 'x'")

    assert str(rebuild("e", _report(Constructed))) == "e failed in __init__: no such model: 'x'"


def test_cause_is_the_exception_and_the_note_its_traceback():
    error = rebuild("executor0", _report(_init))
    assert type(error.__cause__) is RuntimeError
    assert error.__cause__.args == ("no such file model.bin",)
    shown = "".join(traceback.format_exception(error))
    assert f'test_failures.py", line {LINE}, in _init' in shown


def test_the_place_is_the_users_own_frame():
    def library():
        json.loads("{")

    report = _report(library)
    assert report["where"] == f"test_failures.py:{library.__code__.co_firstlineno + 1}"
    assert report["name"] == "JSONDecodeError"


def test_an_exception_class_that_is_not_known_here_is_described():
    report = _report(_init) | {"module": "no.such.module", "name": "ModelBroken"}
    cause = rebuild("e", report).__cause__
    assert isinstance(cause, ExecutorError)
    assert cause.name == "ModelBroken"
    assert cause.exception_args == ["'no such file model.bin'"]


class Demanding(Exception):
    def __init__(self, *, needed):
        super().__init__("x")


def test_an_exception_that_cannot_be_made_again_is_described():
    def raising():
        raise Demanding(needed=1)

    error = rebuild("e", _report(raising))
    assert isinstance(error.__cause__, ExecutorError)
    assert "Demanding: x" in str(error)


def test_an_exception_with_a_broken_str():
    class Broken(Exception):
        def __str__(self):
            raise ValueError

    def raising():
        raise Broken(object())

    assert "its __str__ raised ValueError" in str(rebuild("e", _report(raising)))


def test_a_taken_port_keeps_its_class():
    def raising():
        raise PortAlreadyUsed("port 80 is taken", help="take another")

    error = rebuild("e", _report(raising))
    assert type(error) is PortAlreadyUsed
    assert error.help == "take another"


def test_our_own_errors_name_their_place_themselves():
    def raising():
        raise ConfigError("my.py:3 is wrong", help="mend it")

    error = rebuild("e", _report(raising, "importing"))
    assert isinstance(error, RuntimeFailToStart)
    assert str(error) == "e failed to import: my.py:3 is wrong\n  help: mend it"
    assert isinstance(error.__cause__, ConfigError)


def test_frames_of_compiled_libraries_are_no_place(monkeypatch):
    frame = traceback.FrameSummary("uvloop/loop.pyx", 1515, "run_until_complete")
    monkeypatch.setattr(traceback, "extract_tb", lambda _: traceback.StackSummary.from_list([frame]))
    assert str(rebuild("gateway", _report(_init, "starting"))) == (
        "gateway failed to start: RuntimeError: no such file model.bin"
    )


def test_syntax_errors_name_the_line_of_the_source():
    def raising():
        compile("a = (", "my_exec.py", "exec")

    assert "(my_exec.py:1)" in str(rebuild("e", _report(raising, "importing")))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_ways_out_are_reported_too(error):
    def raising():
        raise error

    assert type(error).__name__ in str(rebuild("e", _report(raising)))
