"""Errors <-> `jina.StatusProto`.

What Jina 3 shows is written as it does: `code` ERROR, `description` the `repr` of the exception, `exception` with
its class name, arguments, traceback lines and the Executor. Beside it, in fields that such a peer ignores, the class
of the error tree, its gRPC code and its details, from which `read_error` rebuilds the error.
"""

from __future__ import annotations

import json
import traceback
from typing import Any

from jina import errors
from jina.codec import pb


def write_error(error: BaseException, into: pb.StatusProto) -> None:
    """Describe an exception in a status that is empty so far."""
    into.code = pb.StatusProto.ERROR
    exception = into.exception
    if isinstance(error, errors.ExecutorError) and error.name:
        into.description = error.message
        exception.name = error.name
        exception.args.extend(error.exception_args)
        exception.stacks.extend(error.stacks)
        exception.executor = error.executor
    else:
        into.description = repr(error) if not isinstance(error, errors.JinaError) else error.message
        exception.name = type(error).__name__
        exception.args.extend(str(argument) for argument in error.args)
        exception.stacks.extend(traceback.format_exception(error))
    if isinstance(error, errors.JinaError):
        into.error = _public_name(error)
        into.grpc_code = error.grpc_code
        into.details_json = json.dumps(error.details(), default=repr).encode()
    else:
        into.error = "BadServer"
        into.grpc_code = errors.BadServer.grpc_code


def read_error(status: pb.StatusProto) -> errors.JinaError | None:
    """The error that a status describes, or None for a success."""
    if status.code != pb.StatusProto.ERROR:
        return None
    if status.error:
        return errors.from_wire(status.error, status.description, _details(status), grpc_code=status.grpc_code)
    exception = status.exception
    if exception.name:
        return errors.ExecutorError(
            status.description,
            name=exception.name,
            exception_args=list(exception.args),
            stacks=list(exception.stacks),
            executor=exception.executor,
        )
    return errors.BadServer(status.description)


def _public_name(error: errors.JinaError) -> str:
    return next(
        cls.__name__ for cls in (*type(error).__mro__, errors.InternalError) if cls.__name__ in errors.WIRE_ERRORS
    )


def _details(status: pb.StatusProto) -> dict[str, Any]:
    try:
        details = json.loads(status.details_json or b"{}")
    except ValueError:
        return {}
    return details if isinstance(details, dict) else {}
