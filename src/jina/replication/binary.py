"""Where the consensus agent is."""

from __future__ import annotations

import importlib

from jina.errors import NotSupportedError


def path() -> str:
    """The program; raises `NotSupportedError` where it is not installed."""
    try:
        return str(importlib.import_module("jina_raft").PATH)
    except ImportError:
        raise NotSupportedError(
            "a stateful Deployment needs the consensus agent, which is not installed",
            help="pip install 'jina[stateful]'",
        ) from None
