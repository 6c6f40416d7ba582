"""Which requests were applied, and what was answered (pure): each is applied once, however often it is in the log.

What the window does depends on the log alone, so that it is the same on every replica. It keeps the ids of the newest
requests, and of the newest of these the answers, up to a number of bytes.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from jina.replication.entries import Entry
from jina.replication.outcomes import Answer

IDS: Final = 65_536
ANSWERS: Final = 16 * 1024 * 1024


NONE: Final = Answer(error=False, meta=b"", body=b"", kept=False)
"""In the place of an answer that was forgotten."""
COMING: Final = Answer(error=False, meta=b"", body=b"", kept=False)
"""In the place of an answer to what is being applied just now."""


class Seen(msgspec.Struct, array_like=True, gc=False):
    """A request that was applied at `index`."""

    index: int
    digest: bytes
    answer: Answer


class _Saved(msgspec.Struct, array_like=True):
    horizon: int
    seen: list[tuple[str, Seen]]
    chain: int = 0


Verdict = Literal["new", "known", "other", "expired", "gone"]
"""`gone` is of a session that cannot tell any more."""


class Window:
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

    def judge(self, entry: Entry) -> Verdict:
        """What an operation is: new, known already, another one under a known id, or so old that nobody can tell."""
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
        self._seen[entry.key] = Seen(index, entry.digest, COMING)
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
        told = self.chain.to_bytes(8, "little") + index.to_bytes(8, "little") + outcome
        self.chain = int.from_bytes(blake2b(told, digest_size=8).digest(), "little")
        return self.chain

    def to_bytes(self) -> bytes:
        """For a snapshot."""
        seen = [(key, self._seen[key]) for key in self._order]
        return msgspec.msgpack.encode(_Saved(self.horizon, seen, self.chain))

    def load(self, data: bytes) -> None:
        """Take the place of the window that `to_bytes` wrote."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self.horizon, self.chain = saved.horizon, saved.chain
        self._seen = dict(saved.seen)
        self._order = deque(self._seen)
        self._answered = deque(key for key, seen in saved.seen if seen.answer.kept)
        self._bytes = sum(seen.answer.size for seen in self._seen.values())
