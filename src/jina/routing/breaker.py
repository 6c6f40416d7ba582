"""Which replicas are left out because their requests fail, and when they are asked whether they are well again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

FAULTS: Final = 5
"""Faults in a row after which a replica is left out."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds before a replica that was left out is asked; doubled each time until it has answered a request."""


@dataclass(slots=True)
class _State:
    faults: int = 0
    pause: float = FIRST_PAUSE
    ask_at: float | None = None
    """When to ask it; None while it is trusted."""
    asked: bool = False


class Breaker:
    """A circuit breaker for each replica, known by its position. Times are seconds of one clock.

    A fault is a request that the replica lost, refused because it is not ready, or let run out of time.
    """

    __slots__ = ("_open", "_states")

    def __init__(self, count: int) -> None:
        self._states = [_State() for _ in range(count)]
        self._open = 0

    @property
    def all_trusted(self) -> bool:
        """Whether none is left out."""
        return not self._open

    def usable(self, up: Sequence[bool], tried: Collection[int] = ()) -> Sequence[bool]:
        """Those of the replicas that are `up` and trusted; all that are up where those have been `tried` already."""
        trusted = [is_up and state.ask_at is None for is_up, state in zip(up, self._states, strict=True)]
        untried = any(is_usable and place not in tried for place, is_usable in enumerate(trusted))
        return trusted if untried else up

    def well(self, replica: int) -> None:
        """A request was answered, be it by an error of the request."""
        state = self._states[replica]
        if state.faults:
            self._close(state)
            state.faults, state.pause = 0, FIRST_PAUSE

    def fault(self, replica: int, now: float) -> bool:
        """A request ended in a fault; says whether the replica is left out from now on."""
        state = self._states[replica]
        state.faults += 1
        if state.ask_at is not None or state.faults < FAULTS:
            return False
        self._open += 1
        self._ask_later(state, now)
        return True

    def due(self, now: float) -> list[int]:
        """The replicas to be asked now; `answered` must follow for each."""
        places = [
            place
            for place, state in enumerate(self._states)
            if state.ask_at is not None and state.ask_at <= now and not state.asked
        ]
        for place in places:
            self._states[place].asked = True
        return places

    def answered(self, replica: int, now: float, *, well: bool) -> None:
        """What a replica said when it was asked. One that is well gets requests; the next fault leaves it out again."""
        state = self._states[replica]
        state.asked = False
        if state.ask_at is None:
            return
        if well:
            self._close(state)
            state.faults = FAULTS - 1
        else:
            self._ask_later(state, now)

    def grow(self) -> None:
        """One more replica has the next place."""
        self._states.append(_State())

    def replaced(self, replica: int) -> None:
        """Another process has the replica's place."""
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
