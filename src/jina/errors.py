"""The one error tree.

Three families, by who must act::

    JinaError
    ├── UsageError              fix your code, configuration or request
    │   ├── ConfigError         an option, a YAML file, a class (exit code 2)
    │   │   ├── BadConfigSource         no such file, unreadable YAML
    │   │   │   ├── ExecutorNotFound    nothing is where `uses` or `py_modules` points; also a RuntimeFailToStart
    │   │   │   └── BadYAMLVersion      a version of the format that is not known
    │   │   ├── ExecutorDefinitionError the Executor class breaks the contract
    │   │   ├── FlowBuildLevelError     a running Flow cannot be changed
    │   │   ├── FlowTopologyError       the graph of a Flow is wrong
    │   │   ├── NoContainerizedError    an export needs an image, and the Executor is none
    │   │   ├── NotSupportedError       not available (yet), or not together
    │   │   │   └── MissingExtra        a library that only some need is not installed
    │   │   └── PortAlreadyUsed         the port is taken
    │   └── BadClient           the request is at fault
    │       ├── BadClientInput      400  the inputs of `post` are no documents
    │       ├── BadClientCallback   400  a callback raised
    │       ├── BadRequest          400  the body cannot be parsed
    │       ├── ValidationFailed    422  wrong type, missing field
    │       ├── EndpointNotFound    404  no such endpoint
    │       ├── MethodNotAllowed    405  the route exists, the HTTP method does not
    │       ├── InputRequired       428  the method asks the client for more first
    │       ├── SessionExpired      409  a write came again so late that it is unknown whether it was applied
    │       ├── TooLarge            413  over a limit on bytes, documents or parameters
    │       ├── UnsupportedMediaType 415  the endpoint takes no such bodies or files
    │       ├── RangeNotSatisfiable 416  the part of a file is not in it
    │       ├── Unauthenticated     401  no or wrong key
    │       └── PermissionDenied    403  the key does not allow this
    ├── RemoteError             the peer failed; retrying may help
    │   ├── BadServer           500  the server failed
    │   │   └── ExecutorError   500  a handler raised
    │   ├── OutOfStorage        507  no room on the disk for a file
    │   ├── Overloaded          429  a queue is full
    │   ├── Unavailable         503  not ready, not reachable, worker down
    │   │   └── CrashLoop       503  a process crashed too often (exit code 3)
    │   ├── DeadlineExceeded    504  too late
    │   ├── Cancelled           499  the client left
    │   └── RuntimeFailToStart       a worker did not become ready (exit code 1)
    └── InternalError           500  our bug: report it

Every class carries `grpc_code` (https://grpc.io/docs/guides/status-codes/), `http_status` (RFC 9110),
`exit_code` and `retryable`. Codes are plain integers, so that importing this module imports nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self


class JinaError(Exception):
    """Root of every error that jina raises on purpose.

    `message` is one line that names what happened and where; `help`, when given, says what to do next.
    """

    grpc_code: ClassVar[int] = 13
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    deployment: str = ""
    """The step of a Flow in which it happened, where a gateway knows."""
    routes: Sequence[Any] = ()
    """The Executors (`codec.messages.Route`) that the request has visited, the failing one last; from a gateway."""

    def __init__(self, message: str = "", *, help: str = "") -> None:  # noqa: A002 - what users read
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        return f"{self.message}\n  help: {self.help}" if self.help else self.message

    def _repr_html_(self) -> str:
        from jina import notebook

        return notebook.error_html(self)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows where nothing catches the error; no other program asks."""
        from jina import notebook

        return notebook.traceback_lines(self)

    def reword(self, message: str) -> Self:
        """Give the error another message."""
        self.message = message
        self.args = (message,)
        return self

    def prefix(self, place: str) -> Self:
        """Say at which place, if at any, the error was found."""
        return self.reword(f"{place}: {self.message}") if place else self

    def details(self) -> dict[str, Any]:
        """Further fields that travel with the error as JSON; see `from_wire`."""
        result = {"help": self.help, "deployment": self.deployment}
        return {name: value for name, value in result.items() if value}

    @classmethod
    def from_details(cls, message: str, details: Mapping[str, Any]) -> JinaError:
        """Rebuild the error from what `details` gave at the other end."""
        return cls(message, help=str(details.get("help", "")))


class UsageError(JinaError):
    """The caller can fix this."""

    grpc_code = 3
    http_status = 400
    exit_code = 2


class ConfigError(UsageError, ValueError):
    """An option, a YAML file or a class is wrong; the message names file, line and key."""


class BadConfigSource(ConfigError, FileNotFoundError):
    """A configuration cannot be found or read."""


class NoContainerizedError(ConfigError):
    """An Executor is not in an image, which is needed for an export."""


class BadYAMLVersion(BadConfigSource):
    """The `version` of a YAML file is not known."""


class ExecutorDefinitionError(ConfigError, TypeError):
    """An Executor class breaks the contract."""


class FlowBuildLevelError(ConfigError):
    """A method of a Flow was called too early or too late."""


class FlowTopologyError(ConfigError):
    """The graph of a Flow is wrong."""


class NotSupportedError(ConfigError):
    """Not available (yet), or not in this combination."""


class MissingExtra(NotSupportedError, ImportError):
    """A library that is not installed is needed for what was asked; the help is the command that installs it."""


class PortAlreadyUsed(ConfigError, RuntimeError):
    """Another process listens on the port."""


class BadClient(UsageError):
    """The request is at fault."""


class BadClientInput(BadClient, ValueError):
    """The inputs of `post` are not documents."""


class BadClientCallback(BadClient):
    """A callback given to `post` raised; the original is `__cause__`."""


class BadRequest(BadClient):
    """The body cannot be parsed."""


class ValidationFailed(BadClient, ValueError):
    """The documents or parameters do not fit the endpoint's types.

    `errors` is a list of `{"type", "loc", "msg", "input"}` as pydantic gives them.
    """

    http_status = 422

    def __init__(self, message: str = "", *, errors: Sequence[Mapping[str, Any]] = (), help: str = "") -> None:  # noqa: A002
        super().__init__(message, help=help)
        self.errors = [dict(error) for error in errors]

    def details(self) -> dict[str, Any]:
        """The list of errors beside the help."""
        return {**super().details(), "errors": self.errors}

    @classmethod
    def from_details(cls, message: str, details: Mapping[str, Any]) -> ValidationFailed:
        """Rebuild with the list of errors."""
        return cls(message, errors=details.get("errors", ()), help=str(details.get("help", "")))


class EndpointNotFound(BadClient):
    """No such endpoint; the message lists those that exist and the nearest."""

    grpc_code = 5
    http_status = 404


class MethodNotAllowed(BadClient):
    """The route exists, the HTTP method does not."""

    grpc_code = 12
    http_status = 405


class SessionExpired(BadClient):
    """A write to a stateful Executor came in an expired session: it was not applied now, and may have been before."""

    grpc_code = 9
    http_status = 409


class InputRequired(BadClient):
    """A method asks the client for more before it does anything; see `jina.mcp.McpClient`.

    `requests` are the questions by name, as MCP writes them; `state` is what the method wants back with the answers.
    """

    grpc_code = 9
    http_status = 428

    def __init__(
        self,
        message: str = "",
        *,
        requests: Mapping[str, Any] | None = None,
        state: Any = None,
        help: str = "",  # noqa: A002
    ) -> None:
        super().__init__(message, help=help)
        self.requests = {str(name): request for name, request in (requests or {}).items()}
        self.state = state

    def details(self) -> dict[str, Any]:
        """The questions beside the help."""
        return {**super().details(), "requests": self.requests, "state": self.state}

    @classmethod
    def from_details(cls, message: str, details: Mapping[str, Any]) -> InputRequired:
        """Rebuild with the questions."""
        requests = details.get("requests")
        found = requests if isinstance(requests, Mapping) else {}
        return cls(message, requests=found, state=details.get("state"), help=str(details.get("help", "")))


class TooLarge(BadClient):
    """Over a limit on the bytes, documents or parameters of a request; the message names the option."""

    grpc_code = 8
    http_status = 413


class UnsupportedMediaType(BadClient):
    """The endpoint does not take bodies, or files, of this media type."""

    http_status = 415


class RangeNotSatisfiable(BadClient):
    """The part of a file that was asked for is not in it."""

    http_status = 416


class Unauthenticated(BadClient):
    """No key, or a wrong one."""

    grpc_code = 16
    http_status = 401


class PermissionDenied(BadClient):
    """The key does not allow this."""

    grpc_code = 7
    http_status = 403


class RemoteError(JinaError):
    """The peer failed."""


class BadServer(RemoteError):
    """The server failed to process the request."""

    grpc_code = 2


class ExecutorError(BadServer, RuntimeError):
    """A handler of an Executor raised.

    `name`, `exception_args` (as text) and `stacks` (traceback lines) describe the exception where it was
    raised; `executor` names the class. The traceback is attached as a note.
    """

    def __init__(
        self,
        message: str = "",
        *,
        name: str = "",
        exception_args: Sequence[str] = (),
        stacks: Sequence[str] = (),
        executor: str = "",
        help: str = "",  # noqa: A002
    ) -> None:
        super().__init__(message, help=help)
        self.name = name
        self.exception_args = list(exception_args)
        self.stacks = list(stacks)
        self.executor = executor
        if stacks:
            self.add_note("remote traceback:\n" + "".join(stacks).rstrip())

    def details(self) -> dict[str, Any]:
        """What describes the exception beside the help."""
        return {
            **super().details(),
            "name": self.name,
            "args": self.exception_args,
            "stacks": self.stacks,
            "executor": self.executor,
        }

    @classmethod
    def from_details(cls, message: str, details: Mapping[str, Any]) -> ExecutorError:
        """Rebuild with the remote traceback."""
        return cls(
            message,
            name=str(details.get("name", "")),
            exception_args=details.get("args", ()),
            stacks=details.get("stacks", ()),
            executor=str(details.get("executor", "")),
            help=str(details.get("help", "")),
        )


def _seconds(value: Any, default: float = 1.0) -> float:
    """What a peer says as a duration that can be waited for."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    return float(value) if usable else default


class Overloaded(RemoteError):
    """A queue is full, or the caller is over its rate limit; `retry_after` is in seconds."""

    grpc_code = 8
    http_status = 429
    retryable = True

    def __init__(self, message: str = "", *, retry_after: float = 1.0, help: str = "") -> None:  # noqa: A002
        super().__init__(message, help=help)
        self.retry_after = retry_after

    def details(self) -> dict[str, Any]:
        """The retry hint beside the help."""
        return {**super().details(), "retry_after": self.retry_after}

    @classmethod
    def from_details(cls, message: str, details: Mapping[str, Any]) -> Overloaded:
        """Rebuild with the retry hint."""
        return cls(message, retry_after=_seconds(details.get("retry_after")), help=str(details.get("help", "")))


class OutOfStorage(RemoteError):
    """There is no room on the server's disk for a file that was sent, or is to be sent."""

    grpc_code = 8
    http_status = 507


class Unavailable(RemoteError, ConnectionError):
    """Not ready, not reachable, or the worker is down; `retry_after` is in seconds, 0 where the server does not say."""

    advice: ClassVar[str] = (
        "try again in a moment; if the error stays, see the log of the service, and its processes in `jina status`"
    )
    """What to do where the error does not say so itself."""

    retry_after: float = 0.0
    reached: bool = True
    """False where no server was reached: `post` then raises although `on_error` takes failures."""
    begun: bool = True
    """False where a server that stopped certainly never began the request, so that it may be sent again."""

    grpc_code = 14
    http_status = 503
    retryable = True

    def __init__(self, message: str = "", *, help: str = "") -> None:  # noqa: A002 - what users read
        super().__init__(message, help=help or self.advice)

    @classmethod
    def unreached(cls, message: str, *, help: str = "") -> Self:  # noqa: A002 - what users read
        """The error where no server was reached."""
        error = cls(message, help=help)
        error.reached = False
        return error


class CrashLoop(Unavailable):
    """A process crashed repeatedly and is not restarted any more (`restart_limit`)."""

    advice = "correct what its log shows, and start the service again: the process is not restarted any more"
    exit_code = 3
    retryable = False


class DeadlineExceeded(RemoteError, ConnectionError, TimeoutError):
    """The deadline passed."""

    grpc_code = 4
    http_status = 504
    retryable = True


class Cancelled(RemoteError):
    """The client left before the answer."""

    grpc_code = 1
    http_status = 499


class RuntimeFailToStart(RemoteError, SystemError):
    """A worker did not become ready; `__cause__` or the note has its traceback."""


class ExecutorNotFound(BadConfigSource, RuntimeFailToStart):
    """The file, module or class that `uses` or `py_modules` names does not exist.

    Raised before a process starts. In Jina 3 the process fails to start instead, so the class is both errors.
    """


class InternalError(JinaError):
    """A bug of jina: please report it with the message."""


WIRE_ERRORS: dict[str, type[JinaError]] = {
    cls.__name__: cls
    for cls in (
        ConfigError, NotSupportedError, BadClient, BadClientInput, BadRequest, ValidationFailed, InputRequired,
        EndpointNotFound, MethodNotAllowed, SessionExpired, TooLarge, UnsupportedMediaType, RangeNotSatisfiable,
        Unauthenticated, PermissionDenied, BadServer, ExecutorError, OutOfStorage, Overloaded, Unavailable,
        DeadlineExceeded, Cancelled, InternalError,
    )
}  # fmt: skip
"""The classes that travel, by the name that travels."""

_BY_GRPC_CODE: dict[int, type[JinaError]] = {
    1: Cancelled, 2: BadServer, 3: BadRequest, 4: DeadlineExceeded, 5: EndpointNotFound, 7: PermissionDenied,
    8: Overloaded, 12: MethodNotAllowed, 13: InternalError, 14: Unavailable, 16: Unauthenticated,
}  # fmt: skip
_BY_HTTP_STATUS: dict[int, type[JinaError]] = {
    400: BadRequest, 401: Unauthenticated, 403: PermissionDenied, 404: EndpointNotFound, 405: MethodNotAllowed,
    413: TooLarge, 415: UnsupportedMediaType, 416: RangeNotSatisfiable, 422: ValidationFailed, 429: Overloaded,
    499: Cancelled, 502: Unavailable, 503: Unavailable, 504: DeadlineExceeded, 507: OutOfStorage,
}  # fmt: skip


def from_wire(
    name: str,
    message: str,
    details: Mapping[str, Any],
    *,
    grpc_code: int | None = None,
    http_status: int | None = None,
) -> JinaError:
    """The error that the server raised, rebuilt in the client.

    `name` is the class name that travelled; when the peer sent none (Jina 3, a proxy), the nearest class is
    chosen by `grpc_code` or `http_status`.
    """
    error = _class_of(name, grpc_code, http_status).from_details(message, details)
    if deployment := str(details.get("deployment", "")):
        error.deployment = deployment
        error.add_note(f"in Deployment {deployment!r}")
    return error


def _class_of(name: str, grpc_code: int | None, http_status: int | None) -> type[JinaError]:
    if cls := WIRE_ERRORS.get(name):
        return cls
    if grpc_code is not None:
        return _BY_GRPC_CODE.get(grpc_code, BadServer)
    if http_status is not None:
        return _BY_HTTP_STATUS.get(http_status, BadClient if 400 <= http_status < 500 else BadServer)
    return BadServer


DISTRIBUTION = "rejina"
"""What the package is called where packages are installed: `jina` on the index is Jina 3."""


def install_command(extra: str) -> str:
    """What installs an extra of this package: the help of an error that misses it.

    `dist` is the folder that `make wheels` fills.
    """
    return f"pip install --find-links dist '{DISTRIBUTION}[{extra}]'"


def missing_extra(module: str, extra: str, what: str) -> MissingExtra | None:
    """The error to raise where `what` needs a library that is not installed; None where it is."""
    import importlib.util

    if importlib.util.find_spec(module) is not None:
        return None
    return MissingExtra(f"{what} needs {module}, which is not installed", help=install_command(extra))


_BEGINNING = 3
_LONGEST = 200
"""Letters that say which name was meant."""

_ALIKE = 0.6
"""How like a name must be that begins with the same letter (0 to 1)."""
_ALIKE_OTHERWISE = 0.75
"""The same for others: below it, an ending in common, such as `_endpoint`, makes names of different things alike."""


def quoted(text: str, limit: int = 100) -> str:
    """`text` as in `repr`, cut to `limit` characters: what a client sent, for messages and logs."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}... ({len(text)} characters)"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that begins with `name`, else the one most like it, or None when nothing is near."""
    names = list(known)
    if len(name) > _LONGEST:  # the comparison takes quadratic time, and names may come from outside
        return None
    if len(name) >= _BEGINNING and (longer := [one for one in names if one.startswith(name)]):
        return min(longer, key=len)
    import difflib

    for match in difflib.get_close_matches(name, names, n=len(names) or 1, cutoff=_ALIKE):
        if match[:1] == name[:1] or difflib.SequenceMatcher(None, match, name).ratio() >= _ALIKE_OTHERWISE:
            return match
    return None


_SHELL = 128
"""What shells, and we after a second signal, add to the number of a signal for an exit code."""


def ending_of(status: int) -> str:
    """How a process ended: `exited with code 3`, or, by a negative status, `was killed by signal 9 (SIGKILL)`."""
    import signal

    number = -status if status < 0 else status - _SHELL if status > _SHELL else 0
    name = signal.Signals(number).name if number in signal.valid_signals() and number else ""
    if status < 0:
        return f"was killed by signal {number}" + (f" ({name})" if name else "")
    return f"exited with code {status}" + (f" (that of {name})" if name else "")
