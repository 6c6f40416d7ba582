"""Which requests were applied, and what was answered (pure): by session (RIFL) or by id in a window."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from jina.codec.messages import Reply
from jina.codec.session_headers import INDEX, SESSION
from jina.errors import BadRequest, JinaError, SessionExpired, Unavailable
from jina.replication.log_entries import Answer, Entry, read_outcome

IDS: Final = 65_536
ANSWERS: Final = 16 * 1024 * 1024
NONE: Final = Answer(error=False, meta=b"", body=b"", kept=False)
"""In the place of an answer that was forgotten."""
PENDING: Final = Answer(error=False, meta=b"", body=b"", kept=False)
"""In the place of an answer to what is being applied just now."""


class Seen(msgspec.Struct, array_like=True, gc=False):
    """A request that was applied at `index`."""

    index: int
    digest: bytes
    answer: Answer


class _SavedWindow(msgspec.Struct, array_like=True):
    horizon: int
    seen: list[tuple[str, Seen]]
    chain: int = 0


Verdict = Literal["new", "known", "other", "expired", "gone"]
"""`gone` is of a session that was forgotten."""


class DedupWindow:
    """The newest requests, by id."""

    def __init__(self, ids: int = IDS, answers: int = ANSWERS) -> None:
        self._limit = ids
        self._room = answers
        self._seen: dict[str, Seen] = {}
        self._order: deque[str] = deque()
        self._answered: deque[str] = deque()
        """Those with an answer: the newest of `_order`, in the same order."""
        self._bytes = 0
        self.horizon = 0
        """Requests that were applied up to this index may be forgotten."""
        self.chain = 0
        """A hash of all that was applied and of what came of it, by which replicas are compared."""

    def __len__(self) -> int:
        return len(self._seen)

    def classify(self, entry: Entry) -> Verdict:
        """What an operation is: new, known already, another one under a known id, or too old to tell."""
        seen = self._seen.get(entry.key)
        if seen is not None:
            return "known" if seen.digest == entry.digest else "other"
        return "expired" if entry.origin < self.horizon else "new"

    def seen(self, entry: Entry) -> Seen:
        """What is known of an operation that is known."""
        return self._seen[entry.key]

    def enter(self, index: int, entry: Entry) -> None:
        """Note a new request, which is about to be applied.

        What is forgotten for it is forgotten now: the next operation may be judged before this one has an answer.
        """
        self._seen[entry.key] = Seen(index, entry.digest, PENDING)
        self._order.append(entry.key)
        while len(self._order) > self._limit:
            key = self._order.popleft()
            if self._answered and self._answered[0] == key:
                self._forget_answer()
            self.horizon = self._seen.pop(key).index

    def settle(self, entry: Entry, answer: Answer) -> None:
        """Note what was answered to it."""
        if (seen := self._seen.get(entry.key)) is None:
            return
        seen.answer = answer
        self._answered.append(entry.key)
        self._bytes += answer.size
        while self._bytes > self._room and len(self._answered) > 1:
            self._forget_answer()

    def _forget_answer(self) -> None:
        """Of the oldest request that has one."""
        seen = self._seen[self._answered.popleft()]
        self._bytes -= seen.answer.size
        seen.answer = NONE

    def extend(self, index: int, outcome: bytes) -> int:
        """Go on with the chain: what came of the operation at `index`; gives the new hash."""
        result = self.chain.to_bytes(8, "little") + index.to_bytes(8, "little") + outcome
        self.chain = int.from_bytes(blake2b(result, digest_size=8).digest(), "little")
        return self.chain

    def to_bytes(self) -> bytes:
        """For a snapshot."""
        seen = [(key, self._seen[key]) for key in self._order]
        return msgspec.msgpack.encode(_SavedWindow(self.horizon, seen, self.chain))

    def load(self, data: bytes) -> None:
        """Take the place of the window that `to_bytes` wrote."""
        saved = msgspec.msgpack.decode(data, type=_SavedWindow)
        self.horizon, self.chain = saved.horizon, saved.chain
        self._seen = dict(saved.seen)
        self._order = deque(self._seen)
        self._answered = deque(key for key, seen in saved.seen if seen.answer.kept)
        self._bytes = sum(seen.answer.size for seen in self._seen.values())


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


class _SavedSessions(msgspec.Struct, array_like=True):
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
        """Bytes of the answers that are kept, the oldest first; some may be of sessions that have dropped them."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._active)

    def classify(self, entry: Entry) -> Verdict:
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
        session.done[entry.sequence] = Seen(index, entry.digest, PENDING)
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
        """Demote sessions beyond the limit, or not used for too long: only their highest number is kept."""
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
        return msgspec.msgpack.encode(
            _SavedSessions(list(self._active.items()), list(self._resting.items()), list(self._kept))
        )

    def load(self, data: bytes) -> None:
        """Take the place of the sessions that `to_bytes` wrote."""
        saved = msgspec.msgpack.decode(data, type=_SavedSessions)
        self._active, self._resting = OrderedDict(saved.active), OrderedDict(saved.resting)
        self._kept = OrderedDict(((name, one), self._active[name].done[one].answer.size) for name, one in saved.kept)
        self._bytes = sum(self._kept.values())


def name_of(entry: Entry) -> str:
    """The session of an operation: two clients that were given the same entry, in two lives of a group, differ."""
    return f"{entry.client}/{entry.opened}"


class _SavedTable(msgspec.Struct, array_like=True):
    window: bytes
    sessions: bytes
    clock: float
    log_index: int = 0


class DedupTable:
    """What one incarnation of an Executor has applied; part of its snapshots."""

    def __init__(self, group: str) -> None:
        self._group = group
        self.window = DedupWindow()
        self.sessions = Sessions()
        self._clock = 0.0
        self.log_index = 0
        """The entry of the newest operation: other replicas have the same chain after it."""

    def classify(self, entry: Entry) -> Verdict:
        """What an operation is; only one that is new is to be applied."""
        return (self.sessions if entry.opened else self.window).classify(entry)

    def seen(self, entry: Entry) -> Seen:
        """What is known of an operation that is known."""
        return (self.sessions if entry.opened else self.window).seen(entry)

    def answered(self, entry: Entry) -> Seen | None:
        """What is known of this very request; None where it is not known, or is being applied just now."""
        if self.classify(entry) != "known":
            return None
        seen = self.seen(entry)
        return None if seen.answer is PENDING else seen

    def enter(self, index: int, entry: Entry) -> None:
        """Note a new request, which is about to be applied, and open the session that it asks for.

        What is forgotten for it is forgotten now: the next operation may be judged before this one has an answer.
        """
        if entry.opened:
            self.sessions.enter(index, entry)
            return
        self.window.enter(index, entry)
        if entry.client:
            self.sessions.open(index, entry.client)

    def clock_and_seed(self, entry: Entry) -> tuple[float, int]:
        """The time and the seed of a new request; the time never goes back in the order of the log."""
        self._clock = max(self._clock, entry.now)
        return self._clock, entry.seed

    def settle(self, entry: Entry, answer: Answer) -> None:
        """Note what was answered to it."""
        (self.sessions if entry.opened else self.window).settle(entry, answer)

    def previous_reply(self, entry: Entry) -> Reply | JinaError:
        """What an operation is answered that is not new."""
        verdict = self.classify(entry)
        return self.stored_reply(entry, self.seen(entry)) if verdict == "known" else refused(verdict, entry)

    def stored_reply(self, entry: Entry, seen: Seen) -> Reply | JinaError:
        """What was answered before."""
        headers = read_outcome(seen.answer)
        if isinstance(headers, Reply):
            headers.headers = self.headers(entry, seen.index)
        return headers

    def headers(self, entry: Entry, index: int) -> dict[str, str]:
        """What a client is told beside the answer: where in the log its request is, and that it opened a session."""
        place = f"{self._group}={index}"
        return {INDEX: place, SESSION: place} if entry.client and not entry.opened else {INDEX: place}

    def extend(self, index: int, outcome: bytes) -> int:
        """Go on with the chain by which replicas are compared."""
        return self.window.extend(index, outcome)

    @property
    def chain(self) -> int:
        """A hash of all that was applied and of what came of it."""
        return self.window.chain

    def to_bytes(self) -> bytes:
        """For a snapshot."""
        return msgspec.msgpack.encode(
            _SavedTable(self.window.to_bytes(), self.sessions.to_bytes(), self._clock, self.log_index)
        )

    def load(self, data: bytes) -> None:
        """Take the place of what `to_bytes` wrote."""
        saved = msgspec.msgpack.decode(data, type=_SavedTable)
        self.window.load(saved.window)
        self.sessions.load(saved.sessions)
        self._clock, self.log_index = saved.clock, saved.log_index


def refused(verdict: Verdict, entry: Entry) -> JinaError:
    """What an operation is answered that is neither new nor known."""
    if verdict == "other":
        return BadRequest(f"the request id {entry.key!r} was used for another request")
    if verdict == "gone":
        return SessionExpired(
            f"the session in which request {entry.key!r} was sent has expired: it is unknown whether it was applied",
            help="look whether it was; a new request is written in a new session",
        )
    return Unavailable(
        f"the request {entry.key!r} came back so late that it is unknown whether it was applied",
        help="look whether it was; a new request gets a new id",
    )
