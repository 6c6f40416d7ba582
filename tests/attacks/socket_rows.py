"""Attacks over WebSocket: handshakes, frames, messages; and on every protocol clients that do not read."""

import asyncio
import json
import struct

from jina.codec import pb
from tests.attacks.http_rows import COUNTED, a_pattern
from tests.attacks.rows import Answer, Try, as_json, one_answer, one_of, request, row, things
from tests.attacks.world import MIB, OPTIONS
from tests.fuzz.mutations import worse, worse_json

KEY = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = ["Upgrade: websocket", "Connection: Upgrade"]


def handshake(path="/typed", *fields):
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(fields or [*UPGRADE, VERSION, KEY])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def frame(opcode, payload=b"", *, final=True, masked=True, bits=0, length=None):
    """A frame; its length may be said to be another, or be written in more bytes than it takes."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if final else 0) | bits | opcode])
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


async def frames_of(reader):
    """The frames that come, as opcode and payload, until the connection ends."""
    try:
        while True:
            head = await reader.readexactly(2)
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            yield head[0] & 0x0F, await reader.readexactly(size)
    except (ConnectionError, asyncio.IncompleteReadError):
        return


async def websocket(world, data):
    """Open a socket, send what is given, and then a good request; the first answer or the reason of the end."""
    opening, sent = data
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports["websocket"], limit=1 << 26)
    try:
        writer.write(opening)
        answer = await one_answer(reader)
        if answer.status != "101" or not sent:
            return answer
        writer.write(sent)
        await writer.drain()
        async for opcode, payload in frames_of(reader):
            if opcode in {9, 10}:
                continue
            return answer_of(opcode, payload)
        return Answer("closed")
    except ConnectionError:
        return Answer("closed")
    finally:
        writer.transport.abort()


def answer_of(opcode, payload):
    if opcode == 8:
        code = int.from_bytes(payload[:2], "big")
        return Answer(f"closed {code}", payload[2:].decode("utf-8", "replace"))
    if opcode == 1:
        found = json.loads(payload)
        return Answer(str(found.get("status", 200)), payload.decode())
    status = pb.DataRequestProto.FromString(payload).header.status
    return Answer(CODES[status.grpc_code] if status.code else "200", status.description or COUNTED)


CODES = dict(enumerate([
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED",
]))  # fmt: skip
GOOD = frame(1, as_json(things(3)))


@row("WebSocket handshakes", 0.03, websocket)
def handshakes(chance, number):
    fields = [*UPGRADE, VERSION, KEY]
    odd = ["Sec-WebSocket-Version: 12", "Sec-WebSocket-Version: x", "Sec-WebSocket-Key: x", "Sec-WebSocket-Key: ", "Origin: http://evil",
           "Sec-WebSocket-Protocol: json", "Sec-WebSocket-Protocol: nonsense, bytes", "Sec-WebSocket-Protocol: ,", "Connection: close",
           "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99", "Sec-WebSocket-Extensions: " + "x, " * 2000,
           "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=0", "Content-Length: 5", "Transfer-Encoding: chunked",
           "Expect: 100-continue", "x-request-timeout: nan", "__results_in_order__: x", "Cookie: " + "a=b; " * 2000, KEY, VERSION]  # fmt: skip
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.4:
            fields.pop(chance.randrange(len(fields)))
        fields.append(chance.choice(odd))
    path = chance.choice(
        ["/typed", "/", "/nothing", "/dry_run", "/%00", "/typed?__results_in_order__=x", "/" + "a" * 9000, "/é", "*"]
    )
    return handshake(path, *fields), GOOD


@row("WebSocket frames", 0.08, websocket)
def frames(chance, number):
    text = as_json(things(3))
    parts = []
    for _ in range(chance.randint(1, 4)):
        opcode = chance.choice([0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 15])
        payload = chance.choice([b"", text, text[:9], b"\xff\xfe", b"x" * 125, b"x" * 126, b"x" * 70_000, b"\x00" * 3])
        length = chance.choice([None] * 6 + [0, 5, 126, 1 << 16, 4_000_001, 1 << 40, (1 << 63) - 1, 1 << 63])
        bits = chance.choice([0, 0, 0, 0x40, 0x20, 0x10])
        parts.append(
            frame(opcode, payload, final=chance.random() < 0.7, masked=chance.random() < 0.8, bits=bits, length=length)
        )
    return handshake(), b"".join(parts) + GOOD


@row("WebSocket frames made worse", 0.05, websocket)
def worse_frames(chance, number):
    return handshake(), worse(GOOD * 3 + frame(9, b"p") + frame(8, b"\x03\xe8"), chance) + GOOD


@row("fragments of WebSocket messages", 0.03, websocket)
def fragments(chance, number):
    text = as_json(things(3))
    size = chance.choice([1, 7, 50])
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    opcodes = [1, *[0] * (len(parts) - 1)]
    sent = [frame(opcode, part, final=False) for opcode, part in zip(opcodes, parts, strict=True)]
    match chance.randrange(6):
        case 0:
            sent.insert(chance.randrange(len(sent)), frame(chance.choice([1, 2]), b"x"))
        case 1:
            sent.insert(chance.randrange(len(sent)), frame(9, b"x", final=False))
        case 2:
            sent += [frame(0, b" " * 100_000, final=False)] * 60
        case 3:
            sent.insert(0, frame(0, b"x"))
        case 4:
            sent += [frame(0, b"", final=False)] * 5000
    return handshake(), b"".join(sent) + frame(0, b"", final=True) + GOOD


@row("ends of WebSockets", 0.02, websocket)
def ends(chance, number):
    code = chance.choice([0, 1, 999, 1000, 1001, 1004, 1005, 1006, 1007, 1015, 1016, 2999, 3000, 4999, 5000, 65535])
    payload = chance.choice([b"", b"\x03", struct.pack("!H", code), struct.pack("!H", code) + b"\xff\xfe", struct.pack("!H", code) + b"x" * 123,
                             struct.pack("!H", code) + b"x" * 200])  # fmt: skip
    return handshake(), frame(8, payload, masked=chance.random() < 0.9) + GOOD


@row("WebSocket messages", 0.06, websocket)
def messages(chance, number):
    """Each message alone on its socket, so that the first answer is that to it."""
    body = {**things(3), "header": {"request_id": "r"}, "execEndpoint": "/typed"}
    match chance.randrange(6):
        case 0:
            pattern, broken = a_pattern(chance)
            want = one_of("400") if broken else one_of("200", "400", "404")
            return Try((handshake("/"), frame(1, as_json({**body, "targetExecutor": pattern}))), want)
        case 1:
            levels = chance.choice([60, 150, 5000, 100_000])
            text = '{"execEndpoint": "/loose", "data": [{}], "parameters": {"a": %s}}' % ("[" * levels + "]" * levels)
            return Try((handshake("/"), frame(1, text.encode())), one_of("400" if levels > 100 else "200"))
        case 2:
            count = chance.choice([2000, 2001, 300_000])
            text = '{"execEndpoint": "/loose", "data": [' + ",".join(["{}"] * count) + "]}"
            return Try(
                (handshake("/"), frame(1, text.encode())), one_of("413" if count > OPTIONS["max_documents"] else "200")
            )
        case 3:
            return handshake(), frame(2, worse(a_message(chance).SerializeToString(), chance)) + frame(1, b"{}")
    text = worse_json(body, chance).decode("utf-8", "replace").encode()
    return handshake(chance.choice(["/", "/typed", "/loose"])), frame(1, text) + frame(1, b"{}")


def a_message(chance, endpoint="/typed", count=2):
    """A good request in protobuf."""
    from docarray import DocList

    from tests.attacks.executors import Part, Thing

    made = pb.DataRequestProto()
    made.header.request_id = "r"
    made.header.exec_endpoint = endpoint
    if endpoint in {"/wishes", "/loose", "/stream"}:
        docs = DocList[Part]([Part(label="l", weights=[1.0]) for _ in range(count)])
    else:
        docs = DocList[Thing]([Thing(text="a", flags={"x": True}, parts=[Part()], blob=b"b") for _ in range(count)])
    made.data.docs.ParseFromString(docs.to_protobuf().SerializeToString())
    made.parameters.update({"limit": 1})
    return made


# --- clients that do not read --------------------------------------------------------------------------------

UNREAD = 6
"""Seconds in which such a client reads nothing: `timeout_write` of the services is 3."""


async def unread(world, data):
    """Ask for a long answer and read nothing for a while; what comes then must be cut, not whole."""
    port, opening, sent = data
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports[port], limit=4096)
    try:
        writer.write(opening)
        if sent:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
        writer.transport.pause_reading()
        await asyncio.sleep(UNREAD)
        writer.transport.resume_reading()
        heard = 0
        while part := await reader.read(1 << 20):
            heard += len(part)
        return Answer("cut" if heard < 30_000_000 else "whole")
    except ConnectionError:
        return Answer("cut")
    finally:
        writer.transport.abort()


# Each of some 250 streams may have 256 KiB before, in and behind the link between gateway and worker.
@row("streams that are not read", 0.005, unread, crowd=40, grows=320 * MIB)
def unread_streams(chance, number):
    ask = as_json({"data": {"label": "x"}})
    return chance.choice([
        ("http", request("/flood", ask, "Connection: close"), b""),
        ("http", request("/flood", ask, "Accept: application/x-ndjson", "Connection: close"), b""),
        ("http", request("/flood?label=x", b"", "Connection: close", method="GET"), b""),
        ("websocket", handshake("/flood"), frame(1, ask) * chance.choice([1, 30])),
    ]), one_of("cut")  # fmt: skip
