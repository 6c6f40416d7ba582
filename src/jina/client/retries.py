"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jina.errors import ConfigError, InternalError, JinaError, Overloaded, Unavailable

if TYPE_CHECKING:
    from jina.transport.base_channel import CallOptions

_REPETITIONS = 9
_SHORTEST, _LONGEST = 0.005, 0.25


class Repetitions:
    """The repetitions of a stream of requests that a server which stops never began; they are no attempts.

    `options` are those of the next, with the time that is left.
    """

    def __init__(self, options: CallOptions) -> None:
        self.options = options
        self._done = 0
        self._due = None if options.timeout is None else time.monotonic() + options.timeout

    def may(self, error: JinaError) -> bool:
        """Whether the stream that ended so is to be sent once more."""
        return isinstance(error, Unavailable) and not error.begun and self._done < _REPETITIONS

    def pause(self) -> float:
        """Seconds to wait before the next one: none at first, then longer and longer."""
        self._done += 1
        pause = min(_SHORTEST * 2 ** (self._done - 2), _LONGEST) if self._done > 1 else 0.0
        if self._due is not None:
            left = max(0.0, self._due - time.monotonic())
            pause = min(pause, left)
            self.options = replace(self.options, timeout=left - pause)
        return pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """The rule of `post`'s `max_attempts`; durations are in seconds.

    A second attempt may run a handler twice, so nothing is retried unless the caller raises `max_attempts`. Writes to
    stateful Executors are an exception: they are applied once.
    """

    max_attempts: int = 1
    initial_backoff: float = 0.5
    max_backoff: float = 2.0
    backoff_multiplier: float = 1.5

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts: {self.max_attempts} is less than 1")
        for name in ("initial_backoff", "max_backoff", "backoff_multiplier"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is not above 0")

    def again(self, attempt: int, error: JinaError) -> bool:
        """True when attempt `attempt` (from 1), which ended in `error`, is to be followed by another."""
        return attempt < self.max_attempts and self.is_passing(error)

    @staticmethod
    def is_passing(error: JinaError) -> bool:
        """True for failures that may be over at the next attempt."""
        return error.retryable or isinstance(error, InternalError)

    def wait(self, attempt: int, error: JinaError) -> float:
        """Seconds to wait after attempt `attempt`: the back-off, at least what the server asks for."""
        if attempt == 1:
            backoff = self.initial_backoff
        else:
            ceiling = self.initial_backoff * self.backoff_multiplier ** (attempt - 1)
            backoff = random.uniform(0, min(ceiling, self.max_backoff))  # noqa: S311 - jitter, not a secret
        return max(backoff, error.retry_after) if isinstance(error, Overloaded | Unavailable) else backoff
