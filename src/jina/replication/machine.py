"""The Executor as a replica sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jina.replication.outcomes import Outcome
from jina.wire.messages import Request


class StateMachine(Protocol):
    """The Executor."""

    can_snapshot: bool

    async def execute(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Call the `@write` methods one after another; gives the outcomes of the first ones, of one at least."""
        ...

    async def execute_together(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Call one `@write` method with all the requests as one batch."""
        ...

    async def snapshot(self, folder: str, index: int, window: bytes) -> None:
        """Have the Executor write its state into the folder, and seal it."""
        ...

    async def restore(self, folder: str) -> tuple[int, bytes]:
        """Have the Executor read the folder; gives index and window."""
        ...
