"""Sessions of clients (pure): what was answered to each of their requests, by number (RIFL, Lee et al., SOSP 2015).

A client numbers its requests and tells the lowest number that it still waits for; answers from there on are kept. A
number below is refused: that it was applied already can be neither excluded nor repeated. All that happens here depends
on the log alone, so that it is the same on every replica.

A session that was not used for long *rests*: its answers are forgotten, and with them all numbers up to the highest one
applied; higher ones cannot have been applied before and go on. What rests longest is forgotten altogether; then every
number is refused.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Final

import msgspec

from jina.replication.entries import Entry
from jina.replication.outcomes import Answer
from jina.replication.window import COMING, NONE, Seen, Verdict

MOST: Final = 4_096
"""Sessions that keep answers."""
RESTING: Final = 65_536
"""Sessions of which the highest number is known still."""
AGE: Final = 1_000_000
"""Entries of the log after which an unused session rests."""
EACH: Final = 4_096
"""Answers that one session keeps; the lowest numbers beyond that are refused as those below the client's lowest are."""
ROOM: Final = 16 * 1024 * 1024
"""Bytes of all answers; the oldest beyond that are forgotten, their numbers are not."""


class Session(msgspec.Struct, array_like=True):
    """`done` has the requests from `floor` on that were applied, by number; `used` is the entry that used it last."""

    floor: int
    used: int
    done: dict[int, Seen]
    order: list[int]
    """The numbers of `done` as a heap."""


class _Saved(msgspec.Struct, array_like=True):
    active: list[tuple[str, Session]]
    resting: list[tuple[str, int]]
    kept: list[tuple[str, int]]


class Sessions:
    """Those of one group."""

    def __init__(
        self, most: int = MOST, resting: int = RESTING, age: int = AGE, each: int = EACH, room: int = ROOM
    ) -> None:
        self._most, self._most_resting, self._age, self._each, self._room = most, resting, age, each, room
        self._active: OrderedDict[str, Session] = OrderedDict()
        self._resting: OrderedDict[str, int] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], int] = OrderedDict()
        """Bytes of the answers that are kept, the oldest first; some may be of sessions that have let go of them."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._active)

    def judge(self, entry: Entry) -> Verdict:
        """What an operation is: new, known already, another one under a known number, or of a number that is gone."""
        name = name_of(entry)
        session = self._active.get(name)
        if session is None:
            floor = self._resting.get(name)
            return "gone" if floor is None or entry.sequence < floor else "new"
        seen = session.done.get(entry.sequence)
        if seen is not None:
            return "known" if seen.digest == entry.digest else "other"
        return "gone" if entry.sequence < session.floor else "new"

    def seen(self, entry: Entry) -> Seen:
        """What is known of an operation that is known."""
        return self._active[name_of(entry)].done[entry.sequence]

    def open(self, index: int, client: str) -> None:
        """A session of the client, which is known by the entry that opened it."""
        self._active[f"{client}/{index}"] = Session(0, index, {}, [])
        self._rest(index)

    def enter(self, index: int, entry: Entry) -> None:
        """Note a new request, which is about to be applied."""
        name = name_of(entry)
        session = self._active.get(name)
        if session is None:
            session = self._active[name] = Session(self._resting.pop(name), index, {}, [])
        self._active.move_to_end(name)
        session.used = index
        self._drop(name, session, entry.lowest)
        session.done[entry.sequence] = Seen(index, entry.digest, COMING)
        heapq.heappush(session.order, entry.sequence)
        if len(session.done) > self._each:
            self._drop(name, session, session.order[0] + 1)
        self._rest(index)

    def settle(self, entry: Entry, answer: Answer) -> None:
        """Note what was answered to it."""
        name = name_of(entry)
        session = self._active.get(name)
        if session is None or (seen := session.done.get(entry.sequence)) is None:
            return
        seen.answer = answer
        self._kept[name, entry.sequence] = answer.size
        self._bytes += answer.size
        while self._bytes > self._room and len(self._kept) > 1:
            (other, number), size = self._kept.popitem(last=False)
            self._bytes -= size
            self._active[other].done[number].answer = NONE

    def _drop(self, name: str, session: Session, number: int) -> None:
        """Refuse all numbers below; the answers to them are not needed any more."""
        session.floor = max(session.floor, number)
        while session.order and session.order[0] < session.floor:
            gone = heapq.heappop(session.order)
            del session.done[gone]
            self._bytes -= self._kept.pop((name, gone), 0)

    def _rest(self, index: int) -> None:
        """Let the sessions rest that are too many or were not used for too long."""
        while self._active:
            name, session = next(iter(self._active.items()))
            if len(self._active) <= self._most and index - session.used <= self._age:
                return
            self._drop(name, session, max(session.done, default=-1) + 1)
            del self._active[name]
            self._resting[name] = session.floor
            if len(self._resting) > self._most_resting:
                self._resting.popitem(last=False)

    def to_bytes(self) -> bytes:
        """For a snapshot."""
        return msgspec.msgpack.encode(_Saved(list(self._active.items()), list(self._resting.items()), list(self._kept)))

    def load(self, data: bytes) -> None:
        """Take the place of the sessions that `to_bytes` wrote."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self._active, self._resting = OrderedDict(saved.active), OrderedDict(saved.resting)
        self._kept = OrderedDict(((name, one), self._active[name].done[one].answer.size) for name, one in saved.kept)
        self._bytes = sum(self._kept.values())


def name_of(entry: Entry) -> str:
    """The session of an operation: two clients that were given the same entry, in two lives of a group, differ."""
    return f"{entry.client}/{entry.opened}"
