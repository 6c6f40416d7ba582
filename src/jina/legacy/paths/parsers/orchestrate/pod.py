# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.pod` of Jina 3."""

from jina.legacy.parsers import (
    mixin_pod_parser as mixin_pod_parser,
    mixin_pod_runtime_args_parser as mixin_pod_runtime_args_parser,
    mixin_stateful_parser as mixin_stateful_parser,
)

__all__ = [
    "mixin_pod_parser",
    "mixin_pod_runtime_args_parser",
    "mixin_stateful_parser",
]
