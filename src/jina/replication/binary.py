"""Where the consensus agent is."""

from __future__ import annotations

import importlib

from jina.errors import NotSupportedError, install_command


def path() -> str:
    """The program; raises `NotSupportedError` where it is not installed."""
    try:
        return str(importlib.import_module("jina_raft").PATH)
    except ImportError:
        raise NotSupportedError(
            "a stateful Deployment needs the consensus agent, which is not installed",
            help=f"{install_command('stateful')} (dist: the folder that `make wheels` fills); in a checkout make agent",
        ) from None
