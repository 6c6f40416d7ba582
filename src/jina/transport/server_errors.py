"""Failures of any kind as errors that a face can answer with."""

from __future__ import annotations

from jina.errors import InternalError, JinaError
from jina.observe.logs import get_logger

_log = get_logger("jina.transport")


def as_jina_error(error: Exception) -> JinaError:
    """The error itself, or an `InternalError` whose traceback is logged: a service raises only `JinaError`s."""
    if isinstance(error, JinaError):
        return error
    _log.error("a request failed for a reason that jina did not foresee", exc_info=error)
    wrapped = InternalError(f"{type(error).__name__}: {error}", help="the server's log has the traceback")
    wrapped.__cause__ = error
    return wrapped
