"""What waits for clients that do not take it: bounded in bytes for each connection and over all, and in time.

Connections are looked at once a second while something waits for one of them, and more often when it is too much. One
that took less than `LEAST_RATE` over the last `timeout` seconds is closed. Where more than `total` bytes wait for all,
those that take least are closed, so that the others stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

from jina.observe import logs

LEAST_RATE: Final = 1024
"""Bytes a second that a client must take, or send, on average once its time is up."""
EVERY: Final = 1.0
"""Seconds between two looks."""
SOON: Final = 0.05
"""Seconds between two looks when too much waits."""
LARGE: Final = 1024 * 1024
"""Bytes from which it is worth to give memory back to the system."""
COST: Final = 1024
"""Bytes that an answer counts for at least."""
_BEHIND: Final = 512 * 1024
_MOST_BEHIND: Final = 64
"""What the places on its way hold of a stream that waits: so many bytes, or so many documents."""
_MARGIN: Final = 10.0
"""Seconds by which a look may be late on a machine with other work."""
_LOG_INTERVAL: Final = 10.0
_COLLECT_AFTER: Final = 1.0
"""Seconds after which connections that were closed here are collected: before memory goes back to the system."""


class Bounds(NamedTuple):
    """Bytes that may wait for one connection and for all, and seconds without progress; 0 seconds: no limit."""

    each: int = 32 * 1024 * 1024
    total: int = 256 * 1024 * 1024
    timeout: float = 60.0


def behind(size: int) -> int:
    """About how many bytes of a stream are held behind an answer of `size` bytes that waits."""
    return min(_BEHIND, _MOST_BEHIND * size)


class Waiting:
    """What waits for one client. Subclasses say how to see what it takes, and how to close its connection."""

    __slots__ = (
        "__weakref__", "_due", "_last", "_least", "_room", "answers", "began", "held", "moved", "paused", "peak",
        "unread",
    )  # fmt: skip

    def __init__(self, unread: Unread) -> None:
        self.unread = unread
        self.held = 0
        """Bytes that were not handed to the transport yet."""
        self.answers = 0
        self.paused = False
        """Whether the transport takes no more."""
        self.peak = 0
        self.began = 0.0
        self.moved = 0
        """Bytes taken since then."""
        self._last: int | None = None
        self._due = self._least = 0.0
        self._room: list[asyncio.Future[None]] = []

    def left(self) -> int:
        """A number that falls by each byte that the client takes: bytes in a buffer, for one."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection, whatever waits."""
        raise NotImplementedError

    def release(self) -> None:
        """Nothing waits any more; what is dropped later does not count as waiting."""
        self.paused = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits, here or in the transport."""
        return not self.held and not self.paused

    @property
    def full(self) -> bool:
        """Whether as much waits as may."""
        return self.held >= self.unread.bounds.each

    async def room(self) -> None:
        """Return once it is not full."""
        while self.full:
            waiter = asyncio.get_running_loop().create_future()
            self._room.append(waiter)
            await waiter

    def add(self, size: int) -> None:
        """An answer waits."""
        size = max(size, COST)
        self.answers += 1
        self.held += size
        self.peak = max(self.peak, self.held)
        self.unread.added(self, size)

    def take(self, size: int) -> None:
        """It was handed to the transport, or dropped."""
        size = max(size, COST)
        self.answers -= 1
        self.held -= size
        self.moved += size
        self._due = 0.0
        if self._room and not self.full:
            for waiter in self._room:
                if not waiter.done():
                    waiter.set_result(None)
            self._room.clear()
        self.unread.taken(self, size)

    def reserve(self, size: int) -> None:
        """So much is held behind an answer that waits; a negative size: no more."""
        self.held += size
        self.peak = max(self.peak, self.held)
        if size > 0:
            self.unread.added(self, size)
        else:
            self.unread.taken(self, -size)

    def pause(self) -> None:
        """The transport takes no more."""
        self.paused = True
        self.unread.watch(self)

    def resume(self) -> None:
        """The transport takes more again."""
        self.paused = False
        self._due = 0.0
        if not self.held:
            self.unread.forget(self)

    def begin(self, now: float) -> None:
        """Something waits from now on."""
        self.began, self.moved, self.peak, self._last = now, 0, self.held, None
        self._await(now)

    def is_late(self, now: float) -> bool:
        """Whether its time is up; looks at what it took since the last time."""
        left = self.left()
        moved = 0 if self._last is None else max(0, self._last - left)
        self._last = left
        self.moved += moved
        if self.paused and self._due and now >= self._due and self.moved < self._least:
            return True
        if not (self.paused and now < self._due):
            self._await(now)
        return False

    def _await(self, now: float) -> None:
        """Within `timeout` seconds from now so much must be taken."""
        timeout = self.unread.bounds.timeout
        self._due, self._least = now + timeout, self.moved + timeout * LEAST_RATE

    def size(self) -> int:
        """Bytes that wait, with those in the transport's buffer."""
        size = self.held + max(0, self._last or 0)
        self.peak = max(self.peak, size)
        return size

    def rate(self, now: float) -> float:
        """Bytes that it took a second; infinite while it is too early to say."""
        passed = now - self.began
        return self.moved / passed if passed >= EVERY else math.inf


class OnTransport(Waiting):
    """What waits for the client of a transport of asyncio."""

    __slots__ = ("_transport",)

    def __init__(self, unread: Unread, transport: asyncio.Transport) -> None:
        super().__init__(unread)
        self._transport = transport
        if unread.bounds.timeout and (sock := transport.get_extra_info("socket")) is not None:
            # For what is left of an answer when the connection is closed: it is not watched any more then. While it is
            # watched, the kernel must not close it first, which would neither be counted nor logged.
            with contextlib.suppress(OSError, AttributeError):
                seconds = unread.bounds.timeout + _MARGIN
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds))

    def left(self) -> int:
        """Bytes in the buffer of the transport."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Drop the buffer too."""
        self._transport.abort()


class Pausing(asyncio.Protocol):
    """A protocol whose transport tells when it takes no more, and when it does again: `Waiting` hears of it."""

    _waiting: OnTransport

    def pause_writing(self) -> None:
        """The client does not take what was sent."""
        super().pause_writing()
        self._waiting.pause()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._waiting.resume()


class Unread:
    """What waits for the clients of one server; used on its loop.

    `freed` is called when much was given back, `throttle` with True when too much waits and with False once the slowest
    are closed.
    """

    def __init__(
        self, bounds: Bounds, freed: Callable[[], None] | None = None, throttle: Callable[[bool], None] | None = None
    ) -> None:
        self.bounds = bounds
        self._throttle = throttle
        self.waiting: set[Waiting] = set()
        """The connections for which something waits."""
        self.closed = 0
        """How many were closed."""
        self.held = 0
        """Bytes that wait for all."""
        self._freed = freed
        self._buffered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False
        self._collecting = False
        self._log = logs.get_logger("transport")
        self._logged_at = -_LOG_INTERVAL
        self._logged_at_of = 0

    def added(self, waiting: Waiting, size: int) -> None:
        """More waits for a connection."""
        if waiting in self.waiting:
            self.held += size
        else:
            self.watch(waiting)
        if self.held + self._buffered > self.bounds.total and not self._soon:
            self._soon = True
            if self._throttle is not None:
                self._throttle(True)  # noqa: FBT003 - on or off is all it says
            self._look_in(SOON)

    def taken(self, waiting: Waiting, size: int) -> None:
        """Less waits for it."""
        if waiting in self.waiting:
            self.held -= size
            if waiting.idle:
                self.forget(waiting)

    def watch(self, waiting: Waiting) -> None:
        """Something waits for a connection."""
        if waiting in self.waiting:
            return
        self.waiting.add(waiting)
        self.held += waiting.held
        waiting.begin(asyncio.get_running_loop().time())
        if self._timer is None:
            self._look_in(self._every)

    def forget(self, waiting: Waiting) -> None:
        """Nothing waits any more, or the connection is gone."""
        if waiting not in self.waiting:
            return
        waiting.size()
        waiting.release()
        self.waiting.discard(waiting)
        self.held -= waiting.held
        if waiting.peak >= LARGE and self._freed is not None:
            self._freed()

    @property
    def _every(self) -> float:
        return min(EVERY, self.bounds.timeout / 4) if self.bounds.timeout else EVERY

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        held, self._soon = self._soon, False
        now = asyncio.get_running_loop().time()
        for waiting in list(self.waiting):
            if waiting.is_late(now) and self.bounds.timeout:
                self._close(waiting, f"it took nothing for {self.bounds.timeout:g} s (timeout_write)")
        sizes = {waiting: waiting.size() for waiting in self.waiting}
        total = sum(sizes.values())
        for waiting in sorted(sizes, key=lambda one: (one.rate(now), -sizes[one])):
            # The last one may be a single answer that is larger than all may be together.
            if total <= self.bounds.total or (len(self.waiting) == 1 and waiting.answers <= 1):
                break
            total -= sizes[waiting]
            self._close(waiting, f"more than {self.bounds.total} bytes wait for all clients (max_unread_total)")
        self._buffered = total - self.held
        if held and self._throttle is not None:
            self._throttle(False)  # noqa: FBT003
        if self.waiting:
            self._look_in(self._every)

    def _close(self, waiting: Waiting, reason: str) -> None:
        size = waiting.size()
        self.forget(waiting)
        self.closed += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_INTERVAL:  # one line for many connections
            number = self.closed - self._logged_at_of
            self._log.warning("closed connections: %d, the last with %d bytes unread: %s", number, size, reason)
            self._logged_at, self._logged_at_of = now, self.closed
        waiting.close()
        if not self._collecting:
            self._collecting = True
            asyncio.get_running_loop().call_later(_COLLECT_AFTER, self._collect)

    def _collect(self) -> None:
        """Free the connections: each is in a cycle with its transport, and that of TLS holds megabytes."""
        self._collecting = False
        gc.collect()
