# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway.load_balancer` of Jina 3."""

from jina.legacy.later import (
    LoadBalancerGateway as LoadBalancerGateway,
)

__all__ = [
    "LoadBalancerGateway",
]
