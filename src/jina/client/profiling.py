"""`profiling`: where the time of one request goes, from the routes of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jina.client.async_client import AsyncClient
    from jina.client.response import Response
    from jina.client.sync_client import SyncClient

DRY_RUN = "_jina_dry_run_"


def measure(client: SyncClient) -> Response | None:
    """The answer to an empty request on gRPC, which no handler sees; the other protocols say no routes for it."""
    if client.protocol != "grpc":
        client.is_flow_ready()
        return None
    return first(client.post(DRY_RUN, return_responses=True))


async def measure_async(client: AsyncClient) -> Response | None:
    """The same for the async client."""
    if client.protocol != "grpc":
        await client.is_flow_ready()
        return None
    return first(await client.post(DRY_RUN, return_responses=True))


def first(responses: list[Response]) -> Response | None:
    """The first of the answers."""
    return responses[0] if responses else None


def times_of(response: Response | None, roundtrip: float) -> dict[str, float]:
    """Name -> milliseconds, the names as in Jina 3; `roundtrip` is in milliseconds.

    The first route is the server that was asked, the others are the Executors behind it.
    """
    times = {"Roundtrip": roundtrip}
    routes = list(response.routes) if response is not None else []
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


def _milliseconds(route: Any) -> float:
    return float(route.end_time.ToNanoseconds() - route.start_time.ToNanoseconds()) / 1e6


def print_table(times: dict[str, float], title: str) -> None:
    """Show the times with their shares of the roundtrip on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "ms", "%", title=title)
    for name, value in times.items():
        table.add_row(name, f"{value:.2f}", f"{value / times['Roundtrip']:.0%}")
    Console().print(table)
