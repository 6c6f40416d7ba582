"""What an attack is: how its inputs are made, how they are sent, and what may come back."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable

from tests.attacks.world import MIB

ANSWERED = 25
"""Seconds in which each input must be answered, or its connection closed."""
CROWD = 10
"""Inputs at a time."""


@dataclasses.dataclass
class Try:
    """An input, and the answers of which one is right; without any, all that do not blame the server."""

    data: object
    want: frozenset[str] = frozenset()
    expected: str = ""
    """What the text of an answer 200 must contain."""


@dataclasses.dataclass
class Answer:
    """A status, `closed`, or the name of a gRPC code; with the text."""

    status: str
    text: str = ""
    seconds: float = 0.0


@dataclasses.dataclass
class Row:
    """A kind of attack."""

    name: str
    share: float
    make: Callable
    send: Callable[..., Awaitable[Answer]]
    service: str = "flow"
    grows: int = 96 * MIB
    """Bytes that the service may have more meanwhile."""
    keeps: int = 96 * MIB
    """Bytes of them that it may have when all is over."""
    crowd: int = CROWD
    check: Callable | None = None
    """What must be true of the service afterwards."""


ROWS = []


def row(name, share, send, **options):
    """Register the function, which makes one input from chance and a number, as a kind of attack."""

    def register(make):
        ROWS.append(Row(name, share, make, send, **options))
        return make

    return register


def blames(answer):
    """Whether an answer says that the server is at fault, or is none."""
    if answer.status.isdigit():
        return int(answer.status) >= 500
    return answer.status in {
        "closed 1011",
        "INTERNAL",
        "UNKNOWN",
        "UNAVAILABLE",
        "DATA_LOSS",
        "DEADLINE_EXCEEDED",
        "hang",
    }


def verdict(one, answer):
    """What is wrong with the answer, or nothing."""
    if one.want and answer.status not in one.want:
        return f"{answer.status} instead of {' or '.join(sorted(one.want))}"
    if not one.want and blames(answer):
        return f"{answer.status} for bad input"
    if answer.status == "200" and one.expected not in answer.text:
        return f"200 without {one.expected!r}"
    return clear(answer)


def clear(answer):
    """An error over HTTP is one JSON object with the status and a text, and not longer than a page."""
    if not answer.status.isdigit() or int(answer.status) < 400 or not answer.text:
        return ""
    if answer.text.startswith("Failed to open a WebSocket connection:"):
        return ""
    try:
        content = json.loads(answer.text)
        well = (
            isinstance(content, dict)
            and str(content["status"]) == answer.status
            and content["title"]
            and content["code"]
        )
    except (ValueError, KeyError):
        well = False
    if not well:
        return f"an error that is not as documented: {answer.text[:300]!r}"
    return "" if len(answer.text) < 100_000 else f"an error of {len(answer.text)} characters"


async def attempts(row, world, tries):
    """The answers to the inputs, some at a time."""
    places = asyncio.Semaphore(row.crowd)

    async def one(made):
        async with places:
            began = time.monotonic()
            try:
                async with asyncio.timeout(ANSWERED):
                    answer = await row.send(world, made.data)
            except TimeoutError:
                answer = Answer("hang")
            answer.seconds = time.monotonic() - began
            return answer

    return await asyncio.gather(*(one(made) for made in tries))


# --- HTTP as bytes -------------------------------------------------------------------------------------------


async def raw_http(world, data, port="http"):
    """Send bytes; the first answer that is whole, or how the connection ended. None of the bytes may be waited for."""
    pieces, half_close = data if isinstance(data, tuple) else (data, False)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports[port], limit=1 << 26)
    try:
        with contextlib.suppress(ConnectionError):  # who refuses a request need not read all of it
            writer.write(pieces)
            await writer.drain()
            if half_close:
                writer.write_eof()
        return await one_answer(reader, head=pieces.startswith(b"HEAD "))
    except (ConnectionError, asyncio.IncompleteReadError):
        return Answer("closed")
    finally:
        writer.transport.abort()


async def one_answer(reader, *, head=False):
    """The first answer that is whole; to HEAD it has no body."""
    bare = head
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return Answer("garbage" if error.partial else "closed", error.partial.decode("latin-1"))
    status = head.split(b" ")[1].decode("latin-1")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if status == "100":
        return await one_answer(reader, head=bare)
    if bare or status in {"101", "204", "304"}:
        return Answer(status)
    try:
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            body = await _chunks(reader)
        elif b"content-length" in fields:
            body = await reader.readexactly(int(fields[b"content-length"]))
        else:
            body = await reader.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        return Answer(status)
    return Answer(status, body.decode("utf-8", "replace"))


async def _chunks(reader):
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


def request(path="/typed", body=b"", *fields, method="POST"):
    """A request with a length and the given further lines of its head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *fields]
    if body or method in {"POST", "PUT"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def things(count=2, **more):
    """A good request for `/typed`, as a mapping."""
    return {"data": [{"text": f"t{number}", "number": number, **more} for number in range(count)]}


def as_json(value):
    return json.dumps(value).encode()


def one_of(*statuses):
    return frozenset(statuses)


BAD = one_of("400", "422")
