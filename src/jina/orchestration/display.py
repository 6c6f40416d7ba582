"""What people are shown: while a service starts, once it is ready, and the picture of a Flow.

On a terminal a line now and then with what is waited for, and then a table of addresses; anywhere else one plain line.
It goes to stderr, so that a program's own output stays its own. Executors write to the same terminal from processes of
their own: the cursor never goes back over lines that are there, which may be theirs.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jina.errors import ConfigError
from jina.observe.terminal import SparseReports

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.export.picture import GraphPicture
    from jina.plan.plans import FlowPlan, ListenerPlan

_SCHEMES = {"grpc": "grpc", "http": "http", "websocket": "ws"}
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not bound


def address(listener: ListenerPlan, host: str | None = None) -> str:
    """`grpc://0.0.0.0:12345`; the scheme says TLS where the listener has a certificate."""
    name = host or listener.host
    scheme = _SCHEMES[listener.protocol] + ("s" if listener.tls else "")
    return f"{scheme}://[{name}]:{listener.port}" if ":" in name else f"{scheme}://{name}:{listener.port}"


def reachable(host: str) -> str:
    """The host by which this machine reaches a server that listens on `host`."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def network_host() -> str | None:
    """The address of this machine in its network, or None without one; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # an address reserved for documentation: only the route is looked up
        except OSError:
            return None
        host = str(sock.getsockname()[0])
    return None if host.startswith("127.") else host


@contextlib.contextmanager
def progress(name: str, *, quiet: bool = False) -> Iterator[Callable[[str], None] | None]:
    """Show what a starting service does, at first often and then rarely; nothing waits for it.

    Returns the function to report progress with, or None where stderr is no terminal. The first report is shown after
    a second, later ones after twice as long each time, up to ten seconds.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    reports = SparseReports()
    yield lambda phase: reports.report(f"{name}: {'; '.join(phase.splitlines())}")


def notifier(name: str, *, quiet: bool = False) -> Callable[[str, str], None]:
    """Returns the function that reports events of a running service to people: `notify(level, line)`.

    It is logged; where the program configured no logging, warnings and errors go to stderr.
    """
    from jina.observe import logs

    log = logs.get_logger(name)

    def notify(level: str, line: str) -> None:
        number = getattr(logging, level.upper())
        log.log(number, "%s", line)
        if not quiet and number >= logging.WARNING and not _logs_are_shown(log):
            print(f"{time.strftime('%H:%M:%S')} {level.upper()} {name}: {line}", file=sys.stderr, flush=True)  # noqa: T201 - as above

    return notify


def _logs_are_shown(log: logging.Logger) -> bool:
    found: logging.Logger | None = log
    while found is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in found.handlers):
            return True
        found = found.parent if found.propagate else None
    return False


def announce(
    name: str, listeners: Sequence[ListenerPlan], *, behind: Sequence[tuple[str, str]] = (), quiet: bool = False
) -> None:
    """Say that a service is ready, where it listens, where its documentation is, and what is `behind` its listeners."""
    if quiet:
        return
    if not sys.stderr.isatty():
        print(f"{name} is ready: {' '.join(address(listener) for listener in listeners)}", file=sys.stderr, flush=True)  # noqa: T201 - the announcement
        return
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    console = Console(stderr=True)
    table = Table.grid(padding=(0, 2))
    for label, text in [*rows(listeners, network_host()), *behind]:
        table.add_row(f"[dim]{label}[/dim]", text)
    console.line()  # below what Executors wrote, even where they have not ended the line
    console.print(Panel(table, title=f"{name} is ready to serve", expand=False))


def rows(listeners: Sequence[ListenerPlan], network: str | None) -> list[tuple[str, str]]:
    """The lines of the board: (label, text)."""
    found = []
    for listener in listeners:
        local = address(listener, reachable(listener.host))
        found += [("Protocol", listener.protocol.upper()), ("Local", local)]
        if listener.host in _EVERYWHERE and network:
            found.append(("Network", address(listener, network)))
        if listener.protocol == "http":
            found.append(("Docs", f"{local}/docs"))
    if any(listener.host in _EVERYWHERE for listener in listeners):
        found.append(("Note", "listens on every interface (0.0.0.0); host='127.0.0.1' keeps it on this machine"))
    return found


def notebook_cell() -> tuple[Any, int] | None:
    """The notebook in which this runs, and the number of the cell."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return None if shell is None else (shell, shell.execution_count)


def picture(
    plan: FlowPlan,
    classes: Mapping[str, type[Executor] | None],
    *,
    running: bool,
    endpoints_of_steps: Mapping[str, list[list[Any]]] = MappingProxyType({}),
) -> GraphPicture:
    """The picture of a plan; `classes` are those at hand, by the name of the step, and tell their endpoints.

    Those of the others are `told` by the gateway of a Flow that runs, see `GatewayService.step_endpoints`.
    """
    from jina.export.picture import EndpointPicture, endpoints_of_class, picture_of

    known = {name: cls for name, cls in classes.items() if cls is not None}
    bound = {one.name: one.workers[0].executor.requests for one in plan.deployments if one.workers}
    endpoints = {
        name: tuple(EndpointPicture(*one) for one in endpoints) for name, endpoints in endpoints_of_steps.items()
    }
    endpoints |= {name: endpoints_of_class(cls, bound.get(name)) for name, cls in known.items()}
    return picture_of(plan, endpoints, {name: cls.__name__ for name, cls in known.items()}, running=running)


def write_picture(shown: GraphPicture, path: Path, *, vertical: bool = False) -> None:
    """Write a picture in the format of the file's suffix; raises `ConfigError` where that is not possible."""
    from jina.export import flowchart

    data = flowchart.render(shown, path.suffix, vertical=vertical)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write the picture to {path}: {error.strerror or error}") from error
