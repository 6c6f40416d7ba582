"""Adapters of other APIs to the endpoints of a service: thin, one a module, loaded only where they are asked for.

Takes requests of clients that know another API, and gives the service's answers in its form, over the routes of
`jina.server`. Never keeps state of its own, and never talks to an Executor but through the gate.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jina.server.apis import ApiClass

_ADAPTERS: Final = {"mcp": "McpApi", "oip": "OipApi", "openai": "OpenAiApi"}
"""Module of this room -> its class."""


def load(names: Sequence[str]) -> list[ApiClass]:
    """The classes of the adapters of these names."""
    return [getattr(importlib.import_module(f"jina.apis.{name}"), _ADAPTERS[name]) for name in names]
