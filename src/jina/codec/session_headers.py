"""Headers between a client and stateful services: how far it has seen each group's log, and in which session it writes.

Groups and numbers stand as `group=number`, separated by commas. A reply tells in `jina-index` up to where in the log it
knows, which a client sends back to miss nothing of it, and in `jina-session` which session was opened. A request's
`jina-session` begins with `client/sequence/lowest`: the client's name, the request's number, and the lowest number of
those that it waits for; 0 as the number of a group asks for a session there.

Beside these `jina-missed` in a reply to a write that went to all shards names those which lacked what it was for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jina.codec.messages import CONSISTENCY
from jina.errors import BadRequest

INDEX = "jina-index"
SESSION = "jina-session"
MISSED = "jina-missed"
HEADERS = (INDEX, SESSION)
TOLD = (*HEADERS, MISSED)
"""What replies tell."""
PASSED_ON = (*HEADERS, CONSISTENCY)
"""What of a request concerns stateful services."""
_LONGEST_NAME = 64
_LARGEST = 1 << 63


class SessionRef(NamedTuple):
    """A request in a session: the client, the log entry that opened the session (0: open one), and its number."""

    client: str
    opened: int
    sequence: int
    lowest: int


NO_SESSION = SessionRef("", 0, 0, 0)
"""Of a request that is in no session."""


def numbers(text: str) -> dict[str, int]:
    """The numbers of a header, by group; raises `BadRequest` for other text."""
    found: dict[str, int] = {}
    for part in text.split(",") if text else ():
        group, _, number = part.strip().rpartition("=")
        found[group] = _number(number, text)
    return found


def text_of(found: Mapping[str, int]) -> str:
    """The header of these numbers."""
    return ", ".join(f"{group}={number}" for group, number in found.items())


def index_of(headers: Mapping[str, str], group: str) -> int:
    """How far the client has seen the log of a group; 0 where it does not say."""
    text = headers.get(INDEX)
    return numbers(text).get(group, 0) if text else 0


def session_of(headers: Mapping[str, str], group: str) -> SessionRef | None:
    """The request's place in a session with a group, None where it is in none."""
    text = headers.get(SESSION)
    if not text:
        return None
    name, _, groups = text.partition(",")
    opened = numbers(groups).get(group)
    if opened is None:
        return None
    client, *rest = name.split("/")
    if len(rest) != 2 or not 0 < len(client) <= _LONGEST_NAME:
        raise BadRequest(f"{SESSION}: {text!r} does not begin with client/sequence/lowest")
    sequence, lowest = (_number(one, text) for one in rest)
    if lowest > sequence:
        raise BadRequest(f"{SESSION}: {text!r}: the lowest number is above that of the request")
    return SessionRef(client, opened, sequence, lowest)


def merged(found: Iterable[Mapping[str, str] | None]) -> dict[str, str] | None:
    """The headers of several replies as those of one: of each group the highest number, and all that missed."""
    result = [one for one in found if one]
    if len(result) <= 1:
        return dict(result[0]) if result else None
    names = {name: None for one in result for name in one}
    return {name: _joined(name, [one[name] for one in result if name in one]) for name in names}


def with_index_of(reply: Mapping[str, str], request: Mapping[str, str]) -> dict[str, str]:
    """The headers of a reply that also tell what the client had seen of other groups before, such as other shards.

    So a client that sends back the index of the newest answer alone misses nothing.
    """
    before = request.get(INDEX)
    return {**reply, INDEX: _highest((reply[INDEX], before))} if before else dict(reply)


def _joined(name: str, texts: Sequence[str]) -> str:
    return ", ".join(texts) if name == MISSED else _highest(texts)


def _highest(texts: Iterable[str]) -> str:
    found: dict[str, int] = {}
    for text in texts:
        for group, number in numbers(text).items():
            found[group] = max(number, found.get(group, 0))
    return text_of(found)


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or (number := int(text[:20])) >= _LARGEST:
        raise BadRequest(f"{whole!r}: {text!r} is not the number of a log entry")
    return number
