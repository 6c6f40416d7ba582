# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.runtimes.container` of Jina 3."""

from jina.legacy.parsers import (
    mixin_container_runtime_parser as mixin_container_runtime_parser,
)

__all__ = [
    "mixin_container_runtime_parser",
]
