"""Frames from a consensus agent, read into the place where they stay (pure)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jina.replication.frames import HEAD, Frame, size_of

_SCRATCH: Final = 128 * 1024
_LARGE: Final = 32 * 1024
"""Bytes from which a body is not copied out of the scratch buffer."""


class Intake:
    """`buffer` is where the next bytes belong, `advance` takes note of them and delivers the frames that are whole."""

    def __init__(self, deliver: Callable[[Frame], None]) -> None:
        self._deliver = deliver
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._end = 0
        self._large: memoryview | None = None
        self._kind = (0, 0)
        self._at = 0

    def buffer(self) -> memoryview:
        """Where the next bytes belong."""
        return self._scratch[self._end :] if self._large is None else self._large[self._at :]

    def advance(self, count: int) -> None:
        """So many bytes came; raises `InternalError` for garbage."""
        if self._large is not None:
            self._at += count
            if self._at == len(self._large):
                body, self._large = self._large, None
                self._deliver(Frame(*self._kind, body))
            return
        self._end += count
        scratch, end, start = self._scratch, self._end, 0
        while end - start >= HEAD.size:
            size, kind, ident = size_of(scratch, start)
            start += HEAD.size
            if end - start >= size:
                self._deliver(Frame(kind, ident, scratch[start : start + size].tobytes()))
                start += size
            elif size >= _LARGE:
                self._kind, self._at = (kind, ident), end - start
                self._large = memoryview(bytearray(size))
                self._large[: self._at] = scratch[start:end]
                start = end
            else:
                start -= HEAD.size
                break
        if start:
            scratch[: end - start] = scratch[start:end].tobytes()
        self._end = end - start
