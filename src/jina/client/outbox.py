"""The requests of one call: made from payloads, remembered until answered, sent again after a failure."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from jina.errors import BadServer

if TYPE_CHECKING:
    from jina.client.inputs import AsyncPayloads
    from jina.transport.base_channel import Answer
    from jina.wire.messages import Payload, Request

_ROOM = 1000
"""Requests of which the documents are held before the first answer; a server that took more has begun the call."""


class Outbox:
    """Requests on their way.

    `keep` holds the documents of unanswered requests for another attempt; without it they are held until the first
    answer, as a server that stops may end a call that it has not begun, and their ids from then on.
    `ordered` remembers in which order they were made, as `in_order` needs.
    A transport may take requests on a thread of its own, and still be taking one when its attempt has failed
    already: what it takes then is remembered like any other and sent again by the next attempt.
    """

    def __init__(self, make: Callable[[Payload], Request], *, keep: bool, ordered: bool) -> None:
        self._make = make
        self._keep = keep
        self._begun = False
        self._ordered = ordered
        self._lock = threading.Lock()
        self._attempt = 0
        self._pending: dict[str, Request | None] = {}
        self._order: deque[str] = deque()
        self._early: dict[str, Answer] = {}

    def attempt(self, payloads: Iterator[Payload]) -> Iterator[Request]:
        """Unanswered requests again, then new ones from `payloads`, which all attempts share."""
        self._attempt += 1
        return self._sending(payloads, self._attempt)

    def _sending(self, payloads: Iterator[Payload], attempt: int) -> Iterator[Request]:
        with self._lock:
            again = deque(request for request in self._pending.values() if request is not None)
        while True:
            with self._lock:
                if attempt != self._attempt:
                    return
                if again:
                    request = again.popleft()
                else:
                    payload = next(payloads, None)
                    if payload is None:
                        return
                    request = self._remember(payload)
            yield request

    async def attempt_async(self, payloads: AsyncPayloads) -> AsyncIterator[Request]:
        """Unanswered requests again, then new ones from `payloads`, which all attempts share."""
        for request in [request for request in self._pending.values() if request is not None]:
            yield request
        while (payload := await payloads.next()) is not None:
            yield self._remember(payload)

    def _remember(self, payload: Payload) -> Request:
        request = self._make(payload)
        held = self._keep or (not self._begun and len(self._pending) < _ROOM)
        self._pending[request.request_id] = request if held else None
        if self._ordered:
            self._order.append(request.request_id)
        return request

    @property
    def whole(self) -> bool:
        """Whether all requests that are not answered can be sent again."""
        return None not in self._pending.values()

    @property
    def unanswered(self) -> int:
        """Number of requests sent and not answered."""
        return len(self._pending)

    def answered(self, answer: Answer) -> None:
        """Forget the request of an answer. Raises `BadServer` when nobody asked for it."""
        request_id = answer.request_id
        if request_id not in self._pending:
            raise BadServer(f"the server answered request {request_id!r}, which was never sent or is answered already")
        with self._lock:
            del self._pending[request_id]
            if not self._begun and not self._keep:
                self._pending = dict.fromkeys(self._pending)
            self._begun = True

    def in_order(self, answer: Answer) -> Iterator[Answer]:
        """The answers that are due after this one: those of requests in the order of sending."""
        self._early[answer.request_id] = answer
        while self._order and (due := self._early.pop(self._order[0], None)) is not None:
            self._order.popleft()
            yield due
