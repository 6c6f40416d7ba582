"""The feed of one service: asked once a second while somebody looks, sent to each viewer as it takes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, NamedTuple

import msgspec

from jina.console.model import Model, merge_patch
from jina.errors import Overloaded
from jina.observe.logs import get_logger
from jina.server.http import dumps

INTERVAL: Final = 1.0
"""Seconds between two messages."""
MOST_VIEWERS: Final = 16
"""Of the feeds and the logs of one process."""
SLOW: Final = 15.0
"""Seconds that a viewer may take for one message."""
LINGER: Final = 10.0
"""Seconds for which the feed goes on without viewers, such as one that loads the page again."""
SHARE: Final = 0.01
"""Of one processor, that messages may take: where a service is so large that they would take more, they are rarer."""
MOST_IN_ONE: Final = 100
"""Processes in one event of changes."""
Ask = Callable[[bytes], bytes]
"""Answers a question, see `jina.supervisor.observing`; blocks."""


def event(name: str, data: Any) -> bytes:
    """A server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), dumps(data))


def delta_events(patch: dict[str, Any]) -> bytes:
    """A patch as one event, or as several where it is about many processes, so that a page can draw in between.

    All but the last are without `time`.
    """
    parts, processes = b"", list(patch.get("processes", {}).items())
    while len(processes) > MOST_IN_ONE:
        parts += event("delta", {"processes": dict(processes[:MOST_IN_ONE])})
        del processes[:MOST_IN_ONE]
    return parts + event("delta", {**patch, "processes": dict(processes)} if processes else patch)


class Viewer:
    """One who looks. What it did not take yet is replaced by what is newer, so that it never costs more."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self.behind = True
        """Whether it needs the whole state, as it missed some of the changes."""
        self.busy_since: float | None = None
        self.reason: str | None = None
        """Why its stream ends."""
        self._drop = drop
        self._waiting: bytes | None = None
        self._changed = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether it has taken all that it was given."""
        return self.busy_since is None

    def give(self, data: bytes, now: float) -> None:
        """The next message; only for one that is idle."""
        self._waiting, self.busy_since = data, now
        self._changed.set()

    def end(self, reason: str) -> None:
        """No more follows."""
        self.reason = reason
        self._changed.set()

    def drop(self) -> None:
        """Close its connection, as it does not take what was sent."""
        self.reason = "too slow"
        self._drop()

    async def messages(self) -> AsyncGenerator[bytes]:
        """What is to be sent to it, until it ends."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            data, self._waiting = self._waiting, None
            if data is not None:
                yield data
                self.busy_since = None
            if self.reason is not None:
                yield event("end", {"reason": self.reason})
                return


class Turn(NamedTuple):
    """What is sent once: the state, if anybody needs it, and what changed; and the seconds of a processor for it."""

    whole: bytes
    delta: bytes
    seconds: float


def pause(interval: float, seconds: float) -> float:
    """Seconds from one message to the next, so that what they cost stays a small share of a processor."""
    return max(interval, seconds / SHARE)


class Places:
    """How many look at one process, at whatever."""

    def __init__(self, most: int = MOST_VIEWERS) -> None:
        self._most = most
        self.taken = 0

    def take(self) -> None:
        """One more; raises `Overloaded` where there are too many."""
        if self.taken >= self._most:
            raise Overloaded(f"{self.taken} look at the console of this process already", retry_after=5.0)
        self.taken += 1

    def free(self) -> None:
        """One less."""
        self.taken -= 1


class Feed:
    """The state of one service; on one loop. `clock` gives monotonic seconds, `wall` seconds since the epoch."""

    def __init__(
        self,
        ask: Ask,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.model = Model()
        self._ask = ask
        self._interval = interval
        self._clock = clock
        self._wall = wall
        self._viewers: set[Viewer] = set()
        self._running: asyncio.Task[None] | None = None
        self._number = 0
        self._sent: dict[str, Any] = {}
        self._log = get_logger("jina.console")

    @property
    def running(self) -> bool:
        """Whether anything is asked at present."""
        return self._running is not None and not self._running.done()

    def enter(self, drop: Callable[[], None]) -> Viewer:
        """One more looks; `drop` closes its connection."""
        viewer = Viewer(drop)
        self._viewers.add(viewer)
        if not self.running:
            self._running = asyncio.create_task(self._run())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """One looks no more."""
        self._viewers.discard(viewer)

    def stop(self, reason: str) -> None:
        """End all streams."""
        if self._running is not None:
            self._running.cancel()
        for viewer in self._viewers:
            viewer.end(reason)

    async def _run(self) -> None:
        """Ask and tell until nobody has looked for a while."""
        empty_since: float | None = None
        while empty_since is None or self._clock() - empty_since < LINGER:
            began = self._clock()
            self._number += 1
            everything = any(viewer.behind for viewer in self._viewers)
            turn = await asyncio.to_thread(self._turn, everything=everything)
            self._tell(turn)
            if self._viewers:
                empty_since = None
            elif empty_since is None:
                empty_since = began
            await asyncio.sleep(max(0.0, pause(self._interval, turn.seconds) - (self._clock() - began)))
        self._sent = {}

    def _turn(self, *, everything: bool) -> Turn:
        """Ask, compute and encode; on a thread, as much comes of a large service."""
        began = time.thread_time()
        try:
            answer = msgspec.json.decode(self._ask(b"{}"))
            if "status" in answer:
                state = dict(self.model.update(self._wall(), answer))
            else:
                state = {**self._sent, "problems": ["the supervisor of this process does not answer"]}
        except Exception as error:  # noqa: BLE001 - the next turn may succeed
            self._log.warning("the console could not ask its service: %r", error)
            state = {**self._sent, "problems": [f"the service could not be asked: {error}"]}
        state |= {"seq": self._number, "viewers": len(self._viewers)}
        whole = event("state", state) if everything else b""
        delta = delta_events(merge_patch(self._sent, state)) if self._sent else b""
        self._sent = state
        return Turn(whole, delta, time.thread_time() - began)

    def _tell(self, turn: Turn) -> None:
        """Give each viewer what has changed since the last message, or all where it has not got that."""
        now = self._clock()
        for viewer in list(self._viewers):
            if not viewer.idle:
                viewer.behind = True
                if now - (viewer.busy_since or now) > SLOW:
                    self._log.warning("a viewer of the console is dropped: it does not take what is sent")
                    self._viewers.discard(viewer)
                    viewer.drop()
            elif not viewer.behind:
                viewer.give(turn.delta, now)
            elif turn.whole:  # else it came while this was made, and gets the next
                viewer.behind = False
                viewer.give(turn.whole, now)
