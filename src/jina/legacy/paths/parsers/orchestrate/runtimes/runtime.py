# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.orchestrate.runtimes.runtime` of Jina 3."""

from jina.legacy.parsers import (
    mixin_base_runtime_parser as mixin_base_runtime_parser,
    mixin_raft_parser as mixin_raft_parser,
)

__all__ = [
    "mixin_base_runtime_parser",
    "mixin_raft_parser",
]
