# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.clients.base` of Jina 3."""

from jina.client.base import (
    BaseClient as BaseClient,
)

from jina.legacy.requests import (
    CallbackFnType as CallbackFnType,
    InputType as InputType,
)

__all__ = [
    "BaseClient",
    "CallbackFnType",
    "InputType",
]
