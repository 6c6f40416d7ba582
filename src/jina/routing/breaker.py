"""Circuit breakers: which replicas are left out because their requests fail, and when they are probed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

FAILURES: Final = 5
"""Failures in a row after which a replica is left out."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds before a replica that was left out is asked; doubled each time until it has answered a request."""


class _State(msgspec.Struct):
    failures: int = 0
    pause: float = FIRST_PAUSE
    ask_at: float | None = None
    """When to ask it; None while it is trusted."""
    asked: bool = False


class Breaker:
    """A circuit breaker for each replica, known by its position. Times are seconds of one clock.

    A failure is a request that the replica lost, refused because it is not ready, or let time out.
    """

    __slots__ = ("_open", "_states")

    def __init__(self, count: int) -> None:
        self._states = [_State() for _ in range(count)]
        self._open = 0

    @property
    def all_closed(self) -> bool:
        """Whether no circuit is open."""
        return not self._open

    def usable(self, up: Sequence[bool], tried: Collection[int] = ()) -> Sequence[bool]:
        """Those of the replicas that are `up` and trusted; all that are up where those have been `tried` already."""
        trusted = [is_up and state.ask_at is None for is_up, state in zip(up, self._states, strict=True)]
        untried = any(is_usable and index not in tried for index, is_usable in enumerate(trusted))
        return trusted if untried else up

    def record_success(self, replica: int) -> None:
        """A request was answered, be it by an error of the request."""
        state = self._states[replica]
        if state.failures:
            self._close(state)
            state.failures, state.pause = 0, FIRST_PAUSE

    def record_failure(self, replica: int, now: float) -> bool:
        """A request failed; returns whether the replica is left out from now on."""
        state = self._states[replica]
        state.failures += 1
        if state.ask_at is not None or state.failures < FAILURES:
            return False
        self._open += 1
        self._ask_later(state, now)
        return True

    def due(self, now: float) -> list[int]:
        """The replicas to be asked now; `answered` must follow for each."""
        indices = [
            index
            for index, state in enumerate(self._states)
            if state.ask_at is not None and state.ask_at <= now and not state.asked
        ]
        for index in indices:
            self._states[index].asked = True
        return indices

    def answered(self, replica: int, now: float, *, healthy: bool) -> None:
        """The result of a probe. A healthy replica gets requests; its next failure leaves it out again."""
        state = self._states[replica]
        state.asked = False
        if state.ask_at is None:
            return
        if healthy:
            self._close(state)
            state.failures = FAILURES - 1
        else:
            self._ask_later(state, now)

    def grow(self) -> None:
        """Add a replica at the end."""
        self._states.append(_State())

    def replaced(self, replica: int) -> None:
        """Another process took the replica's position."""
        self._close(self._states[replica])
        self._states[replica] = _State()

    def _close(self, state: _State) -> None:
        if state.ask_at is not None:
            state.ask_at = None
            self._open -= 1

    @staticmethod
    def _ask_later(state: _State, now: float) -> None:
        state.ask_at = now + state.pause
        state.pause = min(2 * state.pause, LONGEST_PAUSE)
