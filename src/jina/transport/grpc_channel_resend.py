"""Calls that gRPC took on and never gave to the server.

A gRPC server that stops cancels those, and their clients see a `CANCELLED` without any metadata, or an `UNAVAILABLE`
where its connections are closed first. Servers of ours end no call like that once it has begun, so it may be sent
again, to whoever listens at the address by then. Those of others may have begun it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from jina.transport.base_channel import CallOptions

_CANCELLED = 1
_UNIMPLEMENTED = 12
_UNAVAILABLE = 14
_UNSEEN = {(_CANCELLED, "CANCELLED"), (_UNAVAILABLE, "Cancelling all calls")}
"""Code and message of calls that gRPC itself ended."""
_FIRST_OF_OURS = 4
"""The first major version that is this implementation."""
_TRIES = 10
_SHORTEST, _LONGEST = 0.005, 0.25
"""Seconds before the second repetition, for each further one twice as long, and at most; none before the first.

While a server stops, each call on its connection ends so, until the client has read that it shall connect anew.
"""
_ASKING = 5.0
"""Seconds in which a server says what it is."""


class Tries:
    """One call and its repetitions; `options` are those of the next, with the time that is left."""

    __slots__ = ("_due", "_left", "options")

    def __init__(self, options: CallOptions) -> None:
        self.options = options
        self._left = _TRIES
        self._due = None if options.timeout is None else time.monotonic() + options.timeout

    def unbegun(self, error: Any) -> bool:
        """Whether a call that ended so was never begun, if the server is ours, and may be tried once more."""
        self._left -= 1
        return self._left > 0 and never_begun(error)

    def unanswered(self, error: Any) -> bool:
        """Whether a question that ended so may be asked once more; the server may have been replaced meanwhile."""
        code = error.code()
        return self.unbegun(error) or (self._left > 0 and code is not None and code.value[0] == _UNAVAILABLE)

    def pause(self) -> float:
        """Seconds to wait before the next repetition, which gets the time that is left then."""
        done = _TRIES - self._left
        pause = min(_SHORTEST * 2 ** (done - 2), _LONGEST) if done > 1 else 0.0
        if self._due is not None:
            left = max(0.0, self._due - time.monotonic())
            pause = min(pause, left)
            self.options = replace(self.options, timeout=left - pause)
        return pause

    @property
    def for_asking(self) -> CallOptions:
        """Options of a question to the server in between."""
        timeout = self.options.timeout
        return replace(self.options, timeout=_ASKING if timeout is None else min(timeout, _ASKING))


def never_begun(error: Any) -> bool:
    """Whether a call failed as those do that a server of ours never saw."""
    code = error.code()
    bare = not error.initial_metadata() and not error.trailing_metadata()
    return code is not None and (code.value[0], error.details()) in _UNSEEN and bare


def is_ours(info: Any) -> bool:
    """Whether the `JinaInfoProto` of a server is that of this implementation."""
    major = info.jina["jina"].partition(".")[0]
    return major.isdecimal() and int(major) >= _FIRST_OF_OURS


def told_by(error: Any) -> bool | None:
    """What the failure of the question says: a server that does not know it is another's, else nothing."""
    code = error.code()
    return False if code is not None and code.value[0] == _UNIMPLEMENTED else None
