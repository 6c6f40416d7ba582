"""What a handler's exception looks like to those outside."""

from __future__ import annotations

import os
import traceback
from types import TracebackType

from jina.errors import ExecutorError

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STOPPING = (SystemExit, KeyboardInterrupt)


def executor_error(error: BaseException, executor: str) -> ExecutorError:
    """The error of a request whose handler raised `error`.

    `stacks` are the traceback's lines from the user's first frame on, with all causes.
    """
    wrapped = ExecutorError(
        repr(error),
        name=type(error).__name__,
        exception_args=[_text(value) for value in error.args],
        stacks=traceback.format_exception(type(error), error, users_part(error.__traceback__)),
        executor=executor,
    )
    wrapped.__cause__ = error
    return wrapped


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without jina's frames at its top; whole where all frames are jina's."""
    part = trace
    while part is not None and part.tb_frame.f_code.co_filename.startswith(_HERE + os.sep):
        part = part.tb_next
    return part if part is not None else trace


def exit_code_of(error: BaseException) -> int | None:
    """The exit code that a handler asks for by `SystemExit` or `KeyboardInterrupt`; None for other errors."""
    if not isinstance(error, _STOPPING):
        return None
    if isinstance(error, KeyboardInterrupt):
        return 130
    code = error.code
    return code if isinstance(code, int) else 0 if code is None else 1


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - __str__ of user code
        return f"<{type(value).__name__}: its __str__ raised {type(error).__name__}>"
