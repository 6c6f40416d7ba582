"""What came of a write: a reply or an error, and the same as bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from jina.errors import JinaError, Unavailable
from jina.transport.link_messages import read_error, read_reply, write_error, write_reply
from jina.wire.messages import Reply, Request

NO_LIMIT: Final = 1 << 30


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A reply as bytes, or an error as bytes; `kept` is False once it was forgotten to save memory."""

    error: bool
    meta: bytes
    body: bytes
    kept: bool = True

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.meta) + len(self.body)


class Outcome(NamedTuple):
    """For whoever waits here, for who asks later, and what of it is the same on every replica."""

    told: Reply | JinaError
    answer: Answer
    came: bytes


def of_reply(reply: Reply, request: Request) -> Outcome:
    """Raises a `JinaError` where the documents have no form on the wire."""
    _, meta, body = write_reply(reply, request, NO_LIMIT)
    answer = Answer(error=False, meta=bytes(meta), body=bytes(body))
    # Ids of documents that a method makes are random, so only what is the same on every replica counts.
    return Outcome(reply, answer, str(len(reply.payload)).encode())


def of_error(error: JinaError) -> Outcome:
    """An error is a result like any other."""
    return Outcome(error, Answer(error=True, meta=b"", body=write_error(error)), type(error).__name__.encode())


def read(answer: Answer) -> Reply | JinaError:
    """What was told when the answer was written."""
    if not answer.kept:
        return Unavailable(
            "the request was applied; its answer is no longer kept", help="read what it changed; do not send it again"
        )
    return read_error(answer.body) if answer.error else read_reply(0, answer.meta, answer.body)


def raised(told: Reply | JinaError) -> Reply:
    """The reply, unless it is an error."""
    if isinstance(told, Reply):
        return told
    raise told
