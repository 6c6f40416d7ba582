"""State that a client keeps for stateful services: its session, and up to which log entry it has seen each group.

Nothing of it is sent before a reply has told that there is such a service.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jina.codec import session_headers as wire
from jina.errors import BadRequest, SessionExpired

if TYPE_CHECKING:
    from jina.codec.messages import Request
    from jina.errors import JinaError
    from jina.net.channel import Answer

_WIDTH = 2048
"""Numbers between the lowest request in flight and a new one beyond which the new one is sent outside of the session,
which keeps answers for twice as many."""


class SessionState:
    """Of one client; shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name = ""
        self._next = 0
        self._flying: dict[int, None] = {}
        """Numbers of requests that may be sent again, in their order."""
        self._index: dict[str, int] = {}
        self._sessions: dict[str, int] = {}
        self._opening: dict[str, int] = {}
        """Requests in flight that ask for a session, by group."""
        self.known = False
        """Whether there is a stateful service."""

    def headers(self) -> dict[str, str]:
        """Those of a request that is in no session."""
        with self._lock:
            return {wire.INDEX: wire.text_of(self._index)} if self._index else {}

    def begin(self) -> tuple[int, dict[str, str]]:
        """The number and the headers of a new request; it is to be given back to `end`."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._flying[number] = None
            lowest = next(iter(self._flying))
            headers = {wire.INDEX: wire.text_of(self._index)}
            if number - lowest > _WIDTH:
                return number, headers
            groups = dict(self._sessions)
            for group in self._index.keys() - groups.keys() - self._opening.keys():
                groups[group] = 0
                self._opening[group] = number
            if groups:
                headers[wire.SESSION] = f"{self._name}/{number}/{lowest}, {wire.text_of(groups)}"
            return number, headers

    def end(self, number: int) -> None:
        """A request will not be sent again."""
        with self._lock:
            self._flying.pop(number, None)
            for group in [group for group, asked in self._opening.items() if asked == number]:
                del self._opening[group]

    def heard(self, headers: Mapping[str, str]) -> None:
        """What stands beside an answer."""
        try:
            index = wire.numbers(headers.get(wire.INDEX, ""))
            opened = wire.numbers(headers.get(wire.SESSION, ""))
        except BadRequest:
            return  # a peer of another make
        with self._lock:
            for group, number in index.items():
                self._index[group] = max(number, self._index.get(group, 0))
            self._sessions.update(opened)
            if not self.known and index:
                self._name = os.urandom(16).hex()
                self.known = True

    def expired(self) -> None:
        """A session is gone: the next requests ask for new ones."""
        with self._lock:
            self._sessions.clear()


class CallSession:
    """The requests of one call."""

    def __init__(self, session_state: SessionState) -> None:
        self._session_state = session_state
        self._numbers: dict[str, int] = {}
        self._closed = False

    def take(self, request: Request) -> Request:
        """The request with its headers."""
        if self._session_state.known:
            number, headers = self._session_state.begin()
            self._numbers[request.request_id] = number
            request.headers = {**request.headers, **headers}
            if self._closed:  # a transport's own thread took one more request of a call that is over
                self.close()
        return request

    def over(self, answer: Answer) -> None:
        """The request of an answer will not be sent again."""
        if answer.headers:
            self._session_state.heard(answer.headers)
        if self._numbers and (number := self._numbers.pop(answer.request_id, None)) is not None:
            self._session_state.end(number)
            self._failed(answer.error)

    def _failed(self, error: JinaError | None) -> None:
        if isinstance(error, SessionExpired):
            self._session_state.expired()

    def close(self) -> None:
        """None of the requests will be sent again."""
        self._closed = True
        while self._numbers:
            self._session_state.end(self._numbers.popitem()[1])
