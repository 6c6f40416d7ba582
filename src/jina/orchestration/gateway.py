"""`Gateway`, the base of gateway classes: importing it works, using it says that it is not available yet."""

from __future__ import annotations

from typing import Any

from jina.errors import NotSupportedError


class Gateway:
    """A server of the user's own in front of a Flow."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - whatever a program of Jina 3 gives
        raise _not_yet(type(self))

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG003 - as above
        """Not available yet: raises `NotSupportedError`."""
        raise _not_yet(cls)


def _not_yet(cls: type) -> NotSupportedError:
    return NotSupportedError(f"{cls.__name__}: not available yet", help="a Flow serves gRPC, HTTP and WebSocket itself")
