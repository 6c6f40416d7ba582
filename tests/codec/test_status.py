"""Errors travel in a status, for our peers and for Jina 3's."""

import pytest

from jina import errors
from jina.codec import pb, status


def through(error: BaseException) -> errors.JinaError:
    message = pb.StatusProto()
    status.write_error(error, message)
    rebuilt = status.read_error(pb.StatusProto.FromString(message.SerializeToString()))
    assert rebuilt is not None
    return rebuilt


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_no_error_is_none():
    assert status.read_error(pb.StatusProto()) is None


@pytest.mark.parametrize("name", sorted(errors.WIRE_ERRORS))
def test_each_class_comes_back(name):
    error = errors.WIRE_ERRORS[name]("what happened", help="do this")
    got = through(raised(error))
    assert type(got) is type(error)
    assert (got.message, got.help) == ("what happened", "do this")


def test_details_come_back():
    found = [{"type": "missing", "loc": ["body", "data", 0, "text"], "msg": "Field required", "input": {}}]
    assert through(errors.ValidationFailed("no", errors=found)).errors == found
    assert through(errors.Overloaded("full", retry_after=2.5)).retry_after == 2.5
    error = errors.ExecutorError(
        "ValueError('boom')", name="ValueError", exception_args=["boom"], stacks=["line\n"], executor="MyExec"
    )
    got = through(error)
    assert (got.name, got.exception_args, got.stacks, got.executor) == ("ValueError", ["boom"], ["line\n"], "MyExec")
    assert "remote traceback" in got.__notes__[0]


def test_what_jina_3_reads_of_a_handlers_exception():
    message = pb.StatusProto()
    what = {"name": "ValueError", "exception_args": ["boom", "3"], "stacks": ["a", "b"], "executor": "E"}
    status.write_error(errors.ExecutorError("ValueError('boom', 3)", **what), message)
    assert message.code == pb.StatusProto.ERROR
    assert message.description == "ValueError('boom', 3)"
    exception = message.exception
    assert (exception.name, list(exception.args), list(exception.stacks), exception.executor) == (
        "ValueError", ["boom", "3"], ["a", "b"], "E",
    )  # fmt: skip


def test_exceptions_that_are_not_ours():
    message = pb.StatusProto()
    status.write_error(raised(ValueError("boom", 3)), message)
    assert message.description == "ValueError('boom', 3)"
    assert message.exception.name == "ValueError"
    assert list(message.exception.args) == ["boom", "3"]
    assert any("Traceback" in line for line in message.exception.stacks)
    assert type(status.read_error(message)) is errors.BadServer


def test_a_subclass_travels_as_the_class_that_peers_know():
    class Special(errors.EndpointNotFound):
        """Known here only."""

    assert type(through(Special("no"))) is errors.EndpointNotFound
    assert type(through(errors.RemoteError("no"))) is errors.InternalError


def test_a_status_of_jina_3():
    message = pb.StatusProto(code=pb.StatusProto.ERROR, description="KeyError('a')")
    message.exception.name = "KeyError"
    message.exception.stacks.append("Traceback\n")
    got = status.read_error(message)
    assert isinstance(got, errors.ExecutorError)
    assert got.name == "KeyError"
    assert type(status.read_error(pb.StatusProto(code=pb.StatusProto.ERROR, description="x"))) is errors.BadServer


def test_garbled_details_do_not_hide_the_error():
    message = pb.StatusProto(code=pb.StatusProto.ERROR, description="x", error="TooLarge", details_json=b"{")
    assert type(status.read_error(message)) is errors.TooLarge
    message.details_json = b"[]"
    assert type(status.read_error(message)) is errors.TooLarge
