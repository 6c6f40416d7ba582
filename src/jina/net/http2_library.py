"""Which library speaks HTTP/2: `ngh2`, a binding of nghttp2, where it has a wheel, else `h2`, which is pure Python and
takes about ten times the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jina.net.http2 import Engine, Events, Settings
from jina.observe.logs import get_logger


def connect(events: Events, settings: Settings, *, client: bool) -> Engine:
    """One side of a new connection; the first `output` is what begins it."""
    engine: Engine = _kind()(events, settings, client=client)
    return engine


def library() -> str:
    """The name of the package."""
    return _kind().__module__.rpartition("_")[2]


@cache
def _kind() -> Callable[..., Any]:
    try:
        from jina.net.http2_ngh2 import Connection
    except ImportError:
        from jina.net.http2_h2 import Connection  # type: ignore[assignment]

        get_logger("jina.net").info("HTTP/2 is done by h2, which takes more CPU: there is no wheel of ngh2 here")
    return Connection
