# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers` of Jina 3."""

from jina.legacy.later import (
    set_client_cli_parser as set_client_cli_parser,
    set_deployment_parser as set_deployment_parser,
    set_gateway_parser as set_gateway_parser,
    set_pod_parser as set_pod_parser,
)

__all__ = [
    "set_client_cli_parser",
    "set_deployment_parser",
    "set_gateway_parser",
    "set_pod_parser",
]
