# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers` of Jina 3."""

from jina.legacy.parsers import (
    get_main_parser as get_main_parser,
    set_client_cli_parser as set_client_cli_parser,
    set_deployment_parser as set_deployment_parser,
    set_gateway_parser as set_gateway_parser,
    set_gateway_runtime_args_parser as set_gateway_runtime_args_parser,
    set_help_parser as set_help_parser,
    set_pod_parser as set_pod_parser,
)

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

__all__ = [
    "get_main_parser",
    "set_client_cli_parser",
    "set_deployment_parser",
    "set_gateway_parser",
    "set_gateway_runtime_args_parser",
    "set_help_parser",
    "set_pod_parser",
]
