"""The plan of a streamer that is made by hand, from addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jina.plan.plans import GatewayPlan


class _NoPorts:
    def port(self) -> NoReturn:
        raise AssertionError("a streamer listens nowhere")


def plan_of(options: Mapping[str, Any]) -> GatewayPlan:
    """The graph that the options of a gateway describe, without a face; raises `ConfigError` naming what is wrong."""
    import msgspec

    from jina.plan.gateway import plan_gateway
    from jina.spec import GatewaySpec, parse

    given = {name: value for name, value in options.items() if value is not None}
    spec = parse(GatewaySpec, {**given, "port": 1}, "GatewayStreamer")
    return msgspec.structs.replace(plan_gateway(spec, None, _NoPorts()), faces=[])
