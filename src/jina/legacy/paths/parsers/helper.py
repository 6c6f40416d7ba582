# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.parsers.helper` of Jina 3."""

from jina.legacy.parsers import (
    CastHostAction as CastHostAction,
    CastPeerPorts as CastPeerPorts,
    CastToIntAction as CastToIntAction,
    KVAppendAction as KVAppendAction,
    _ColoredHelpFormatter as _ColoredHelpFormatter,
    _SHOW_ALL_ARGS as _SHOW_ALL_ARGS,
    _chf as _chf,
    add_arg_group as add_arg_group,
)

__all__ = [
    "CastHostAction",
    "CastPeerPorts",
    "CastToIntAction",
    "KVAppendAction",
    "_ColoredHelpFormatter",
    "_SHOW_ALL_ARGS",
    "_chf",
    "add_arg_group",
]
