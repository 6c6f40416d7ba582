"""`profiling`: where the time of one request goes, from the routes of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jina.client.post import Response
    from jina.codec.messages import Route

DRY_RUN = "_jina_dry_run_"


def measure(post: Callable[..., list[Response]]) -> list[Route]:
    """The server and the Executors behind it that a gRPC request visits which no handler sees; `post` is a client's."""
    return _routes(post(DRY_RUN, return_responses=True))


async def measure_async(post: Callable[..., Awaitable[list[Response]]]) -> list[Route]:
    """The same for the async client."""
    return _routes(await post(DRY_RUN, return_responses=True))


def _routes(responses: list[Response]) -> list[Route]:
    from jina.codec.messages import Route

    def seconds(moment: Any) -> float:
        return float(moment.ToNanoseconds()) / 1e9

    visited = responses[0].routes if responses else ()
    return [Route(one.executor, seconds(one.start_time), seconds(one.end_time)) for one in visited]


def times_of(routes: list[Route], roundtrip: float) -> dict[str, float]:
    """Name -> milliseconds, the names as in Jina 3; `roundtrip` is in milliseconds.

    The first route is the server that was asked, the others are the Executors behind it.
    """
    times = {"Roundtrip": roundtrip}
    if not routes:
        return times
    server, *executors = routes
    total = _milliseconds(server)
    times["Client-server network"] = roundtrip - total
    times["Server"] = total
    if executors:
        each = {route.executor: _milliseconds(route) for route in executors}
        times["  Gateway-executors network"] = max(0.0, total - sum(each.values()))
        times |= {f"  {name}": value for name, value in each.items()}
    return times


def _milliseconds(route: Route) -> float:
    return 1e3 * (route.end_time - route.start_time)


def print_table(times: dict[str, float], title: str) -> None:
    """Show the times with their shares of the roundtrip on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "ms", "%", title=title)
    for name, value in times.items():
        table.add_row(name, f"{value:.2f}", f"{value / times['Roundtrip']:.0%}")
    Console().print(table)
