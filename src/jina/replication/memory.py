"""Which requests were applied (pure): by session where a client keeps one, by id in a window for all others."""

from __future__ import annotations

import msgspec

from jina.errors import BadRequest, JinaError, SessionExpired, Unavailable
from jina.replication import outcomes
from jina.replication.entries import Entry
from jina.replication.outcomes import Answer
from jina.replication.sessions import Sessions
from jina.replication.window import COMING, Seen, Verdict, Window
from jina.wire.messages import Reply
from jina.wire.standing import INDEX, SESSION


class _Saved(msgspec.Struct, array_like=True):
    window: bytes
    sessions: bytes
    clock: float
    place: int = 0


class Memory:
    """What one incarnation of an Executor has applied; part of its snapshots."""

    def __init__(self, group: str) -> None:
        self._group = group
        self.window = Window()
        self.sessions = Sessions()
        self._clock = 0.0
        self.place = 0
        """The entry of the newest operation: other replicas have the same chain after it."""

    def judge(self, entry: Entry) -> Verdict:
        """What an operation is; only one that is new is to be applied."""
        return (self.sessions if entry.opened else self.window).judge(entry)

    def seen(self, entry: Entry) -> Seen:
        """What is known of an operation that is known."""
        return (self.sessions if entry.opened else self.window).seen(entry)

    def answered(self, entry: Entry) -> Seen | None:
        """What is known of this very request; None where it is not known, or is being applied just now."""
        if self.judge(entry) != "known":
            return None
        seen = self.seen(entry)
        return None if seen.answer is COMING else seen

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

    def moment(self, entry: Entry) -> tuple[float, int]:
        """The time and the seed of a new request; the time never goes back in the order of the log."""
        self._clock = max(self._clock, entry.now)
        return self._clock, entry.seed

    def settle(self, entry: Entry, answer: Answer) -> None:
        """Note what was answered to it."""
        (self.sessions if entry.opened else self.window).settle(entry, answer)

    def told_before(self, entry: Entry) -> Reply | JinaError:
        """What an operation is answered that is not new."""
        verdict = self.judge(entry)
        return self.told(entry, self.seen(entry)) if verdict == "known" else refused(verdict, entry)

    def told(self, entry: Entry, seen: Seen) -> Reply | JinaError:
        """What was answered before."""
        told = outcomes.read(seen.answer)
        if isinstance(told, Reply):
            told.headers = self.headers(entry, seen.index)
        return told

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
        return msgspec.msgpack.encode(_Saved(self.window.to_bytes(), self.sessions.to_bytes(), self._clock, self.place))

    def load(self, data: bytes) -> None:
        """Take the place of what `to_bytes` wrote."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self.window.load(saved.window)
        self.sessions.load(saved.sessions)
        self._clock, self.place = saved.clock, saved.place


def refused(verdict: Verdict, entry: Entry) -> JinaError:
    """What an operation is answered that is neither new nor known."""
    if verdict == "other":
        return BadRequest(f"the request id {entry.key!r} was used for another request")
    if verdict == "gone":
        return SessionExpired(
            f"the session in which request {entry.key!r} was sent has expired: nobody knows if it was applied",
            help="look whether it was; a new request is written in a new session",
        )
    return Unavailable(
        f"the request {entry.key!r} came back so late that nobody knows if it was applied",
        help="look whether it was; a new request gets a new id",
    )
