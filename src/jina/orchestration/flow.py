"""Names of Jina 3 whose place is kept: importing them works, using them says that they are not available yet."""

from __future__ import annotations

from typing import Any

from jina.errors import NotSupportedError


class _Later:
    """A class that cannot be constructed yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - whatever a program of Jina 3 gives
        raise _not_yet(type(self))

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG003 - as above
        """Not available yet: raises `NotSupportedError`."""
        raise _not_yet(cls)


class Flow(_Later):
    """A graph of Deployments behind a gateway."""


class AsyncFlow(Flow):
    """A Flow with asynchronous methods."""


class Gateway(_Later):
    """A server of the user's own in front of a Flow."""


def _not_yet(cls: type) -> NotSupportedError:
    return NotSupportedError(f"{cls.__name__}: not available yet", help="serve a single Executor with Deployment")
