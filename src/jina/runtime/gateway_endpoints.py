"""The endpoints of a whole graph, from those of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jina.plan.plans import GraphPlan
from jina.transport.service import EndpointInfo

DEFAULT = "/default"


def answers(endpoints: Mapping[str, EndpointInfo], path: str) -> EndpointInfo | None:
    """What answers the path at one step: its own endpoint, else `/default`; None where it passes documents on."""
    return endpoints.get(path) or endpoints.get(path.removeprefix("/")) or endpoints.get(DEFAULT)


def merged_endpoints(graph: GraphPlan, known: Mapping[str, Mapping[str, EndpointInfo]]) -> dict[str, EndpointInfo]:
    """By path: the input of the first step that knows it, the output of the last."""
    merged: dict[str, EndpointInfo] = {}
    paths = {path for endpoints in known.values() for path in endpoints}
    for path in sorted(paths):
        on_the_way = [info for node in graph.nodes if (info := answers(known[node.name], path)) is not None]
        first, last = on_the_way[0], on_the_way[-1]
        merged[path] = replace(
            first,
            path=path,
            output_name=last.output_name,
            output_schema=last.output_schema,
            is_generator=any(info.is_generator for info in on_the_way),
        )
    return merged
