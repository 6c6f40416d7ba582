"""A failed start, told by the worker and raised in the orchestrator.

The worker describes the exception as JSON; the orchestrator raises `RuntimeFailToStart` whose one line names
worker, phase, file, line and cause, and whose `__cause__` is the exception (its own class where that is known
here) with the worker's traceback as a note.
"""

from __future__ import annotations

import builtins
import os
import sys
import sysconfig
import traceback
from types import TracebackType
from typing import Any

from jina import errors
from jina.spec.paths import absolute

_DURING = {
    "importing": "to import",
    "class": "to load the class",
    "init": "in __init__",
    "joining": "to join its group",
    "setup": "in setup_server",
}
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def describe(exc: BaseException, phase: str) -> dict[str, Any]:
    """The report of a start that failed in `phase`."""
    during = "class" if phase == "init" and not _ran_init(exc) else phase
    report: dict[str, Any] = {
        "phase": "failed",
        "during": during,
        "module": type(exc).__module__,
        "name": type(exc).__qualname__,
        "text": _text_of(exc),
        "where": _where(exc),
        "stacks": [] if during == "class" else _lines(exc),  # the message names the line of the user's
    }
    arguments = list(getattr(exc, "args", ()))
    if all(isinstance(value, str | int | float | bool | None) for value in arguments):
        report["args"] = arguments
    if isinstance(exc, errors.JinaError):
        report["details"] = {key: value for key, value in exc.details().items() if isinstance(value, str | int | float)}
    return report


def _ran_init(exc: BaseException) -> bool:
    """Whether a constructor of the user's ran; our own checks of the class come before and after it."""
    frames = traceback.extract_tb(exc.__traceback__)
    ran = any(frame.name == "__init__" and not _is_ours(frame.filename) for frame in frames)
    return ran or not isinstance(exc, errors.ConfigError)


def files_of_user(error: BaseException | None = None) -> list[str]:
    """The files of the modules of this process that are neither libraries' nor ours, and that of a syntax error."""
    modules = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {absolute(file) for file in modules if isinstance(file, str)}
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            files.add(absolute(error.filename))
        error = error.__cause__ or error.__context__
    return sorted(file for file in files if file.endswith(".py") and not _is_ours(file) and not _is_library(file))


def rebuild(worker: str, report: dict[str, Any]) -> errors.JinaError:
    """The error to raise for a report of `describe`: `RuntimeFailToStart`, or `PortAlreadyUsed` as it is."""
    cause = _cause(report)
    if isinstance(cause, errors.PortAlreadyUsed):
        return cause
    if stacks := "".join(report.get("stacks", ())).rstrip():
        # On the cause, which is printed first, so that the last line of a program's output is the one below.
        cause.add_note(f"traceback of {worker}:\n{stacks}")
    error = errors.RuntimeFailToStart(_line(worker, report, cause), help=str(getattr(cause, "help", "")))
    error.__cause__ = cause
    return error


def _line(worker: str, report: dict[str, Any], cause: BaseException) -> str:
    during = _DURING.get(report["during"], "to start")
    if isinstance(cause, errors.JinaError) and not isinstance(cause, errors.ExecutorError):
        return f"{worker} failed {during}: {report['text']}"  # our own errors name their place
    where = f" ({report['where']})" if report.get("where") else ""
    text = f": {report['text']}" if report.get("text") else ""
    return f"{worker} failed {during}{where}: {report['name']}{text}"


def _text_of(exc: BaseException) -> str:
    try:
        return exc.message if isinstance(exc, errors.JinaError) else str(exc)
    except Exception as failure:  # noqa: BLE001 - __str__ of user code
        return f"(its __str__ raised {type(failure).__name__})"


def _where(exc: BaseException) -> str:
    """`file.py:6`: the deepest frame in the user's own code, else the deepest outside jina."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{os.path.basename(exc.filename)}:{exc.lineno}"
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if not _says_nothing(frame.filename)]
    own = [frame for frame in frames if not _is_library(frame.filename)] or frames
    return f"{os.path.basename(own[-1].filename)}:{own[-1].lineno}" if own else ""


def _lines(exc: BaseException) -> list[str]:
    """The traceback from the user's first frame on; whole where there is none.

    A file with bad syntax has none, nor has an error of ours in what the user wrote.
    """
    if isinstance(exc.__cause__, SyntaxError):
        exc = exc.__cause__
    if isinstance(exc, SyntaxError):
        return traceback.format_exception_only(exc)
    users = _users_part(exc.__traceback__)
    if users is None and isinstance(exc, errors.UsageError):
        return []  # it says itself what is to be changed, and where
    return traceback.format_exception(type(exc), exc, users or exc.__traceback__)


def _users_part(tb: TracebackType | None) -> TracebackType | None:
    below_ours = None  # an Executor that is installed as a library has no frames of the user's own
    while tb is not None:
        filename = tb.tb_frame.f_code.co_filename
        if _is_ours(filename):
            below_ours = tb.tb_next
        elif not _is_library(filename):
            return tb
        tb = tb.tb_next
    return below_ours


def _is_ours(filename: str) -> bool:
    return filename.startswith((_HERE + os.sep, "<frozen "))


def _says_nothing(filename: str) -> bool:
    return _is_ours(filename) or _is_compiled(filename)


def _is_compiled(filename: str) -> bool:
    return filename.endswith((".pyx", ".pxd"))  # uvloop's, named relative to nothing that is here


def _is_library(filename: str) -> bool:
    roots = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return _is_compiled(filename) or any(filename.startswith(root + os.sep) for root in roots)


def _cause(report: dict[str, Any]) -> BaseException:
    """The exception itself where its class is at hand, else an ExecutorError that describes it."""
    arguments = report.get("args")
    cls = _class_at_hand(report["module"], report["name"])
    if cls is not None and issubclass(cls, errors.JinaError):
        return cls.from_details(report["text"], report.get("details", {}))
    if cls is not None and arguments is not None:
        try:
            return cls(*arguments)
        except Exception:  # noqa: BLE001 - constructors of users may take anything
            cls = None
    return errors.ExecutorError(
        f"{report['name']}: {report['text']}",
        name=report["name"],
        exception_args=[repr(value) for value in arguments or ()],
    )


def _class_at_hand(module: str, name: str) -> type[BaseException] | None:
    """The exception class if its module is loaded here; nothing is imported for an error."""
    home: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        home = getattr(home, part, None)
    return home if isinstance(home, type) and issubclass(home, Exception) else None
