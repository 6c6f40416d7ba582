"""Failures of any kind as errors that a face can answer with."""

from __future__ import annotations

from asyncio import CancelledError, current_task

from jina.errors import InternalError, JinaError
from jina.observe.logs import get_logger

_log = get_logger("jina.transport")

FAILURES = (Exception, CancelledError)
"""What can end a request. A `CancelledError` that leaves a handler of grpc.aio unasked leaves its call unanswered, or
ends it like one that was never begun."""


def is_cancelled() -> bool:
    """Whether somebody cancelled the running task; code can raise `CancelledError` without that."""
    task = current_task()
    return task is not None and task.cancelling() > 0


def as_jina_error(error: BaseException) -> JinaError:
    """The error itself, or an `InternalError` whose traceback is logged: a service raises only `JinaError`s.

    A cancellation of the running task is raised again.
    """
    if isinstance(error, CancelledError) and is_cancelled():
        raise error
    if isinstance(error, JinaError):
        return error
    _log.error("a request failed for a reason that jina did not foresee", exc_info=error)
    wrapped = InternalError(f"{type(error).__name__}: {error}", help="the server's log has the traceback")
    wrapped.__cause__ = error
    return wrapped
