"""Attacks over gRPC: messages, calls, metadata, and frames of HTTP/2."""

import asyncio
import struct

import grpc

from jina.codec import pb
from tests.attacks.http_rows import PIECES, a_pattern
from tests.attacks.rows import Answer, Try, one_of, row
from tests.attacks.socket_rows import CODES, a_message
from tests.attacks.world import OPTIONS
from tests.fuzz.mutations import worse

METHODS = {
    "/jina.JinaSingleDataRequestRPC/process_single_data": "unary_unary",
    "/jina.JinaDataRequestRPC/process_data": "unary_unary",
    "/jina.JinaSingleDocumentRequestRPC/stream_doc": "unary_stream",
    "/jina.JinaRPC/Call": "stream_stream",
    "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery": "unary_unary",
    "/jina.JinaGatewayDryRunRPC/dry_run": "unary_unary",
    "/jina.JinaInfoRPC/_status": "unary_unary",
    "/grpc.health.v1.Health/Check": "unary_unary",
    "/grpc.health.v1.Health/Watch": "unary_stream",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "stream_stream",
}
SINGLE, LISTED, DOCUMENT, CALL = [*METHODS][:4]


async def call(world, data):
    """A call of its own channel; the code of it, or that of its first answer."""
    method, content, metadata, options = data
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{world.ports['grpc']}", [("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        kind = METHODS.get(method, "unary_unary")
        made = getattr(channel, kind)(method, lambda sent: sent, lambda got: got)
        given = [content] if kind.startswith("stream") else content
        try:
            calling = made(
                iter(given) if isinstance(given, list) else given, metadata=metadata, **{"timeout": 20, **options}
            )
            answer = await (calling if kind == "unary_unary" else calling.read())
            if "stream" in kind:
                calling.cancel()
        except grpc.aio.AioRpcError as error:
            return Answer(error.code().name, error.details() or "")
    if method in {SINGLE, LISTED, CALL} and answer is not grpc.aio.EOF:
        status = pb.DataRequestProto.FromString(answer).header.status
        return Answer(CODES[status.grpc_code] if status.code else "OK", status.description)
    return Answer("OK")


def wrapped(method, message):
    """The message in the form that the method takes."""
    if method == LISTED:
        message = pb.DataRequestListProto(requests=[message])
    elif method == DOCUMENT and message.data.docs.docs:
        message = pb.SingleDocumentRequestProto(header=message.header, document=message.data.docs.docs[0])
    return message.SerializeToString()


@row("protobuf made worse", 0.08, call)
def worse_messages(chance, number):
    method = chance.choice([*METHODS][:4] * 4 + [*METHODS])
    message = a_message(
        chance, chance.choice(["/typed", "/wishes", "/loose", "/stream", "/nothing"]), chance.choice([0, 1, 2])
    )
    return method, worse(wrapped(method, message), chance), (), {}


def varint(number):
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def nested(field, levels):
    """A protobuf value that holds itself so many times, without a library that would refuse to write it."""
    content = b""
    for _ in range(levels):
        content = varint(field << 3 | 2) + varint(len(content)) + content
    return content


@row("depth and number in protobuf", 0.03, call)
def heavy_messages(chance, number):
    if chance.random() < 0.5:
        levels = chance.choice([20, 40, 400, 3000])
        value = b""
        for _ in range(levels):  # a Struct's Value with a list with one Value ...
            listed = b"\x0a" + varint(len(value)) + value
            value = b"\x32" + varint(len(listed)) + listed
        entry = b"\x0a\x01a\x12" + varint(len(value)) + value
        fields = b"\x0a" + varint(len(entry)) + entry
        content = a_message(chance, "/loose").SerializeToString() + b"\x12" + varint(len(fields)) + fields
        want = (
            one_of("OK")
            if levels < 25
            else one_of("INVALID_ARGUMENT")
            if levels > 100
            else one_of("OK", "INVALID_ARGUMENT")
        )
        return (SINGLE, content, (), {}), want
    count = chance.choice([1, 2000, 2001, 100_000, 1_000_000])
    documents = b"\n\x00" * count
    content = b"\n" + varint(len(documents)) + documents
    head = pb.DataRequestProto()
    head.header.exec_endpoint = "/loose"
    body = head.SerializeToString() + b"\x22" + varint(len(content)) + content
    return (SINGLE, body, (), {}), one_of("RESOURCE_EXHAUSTED" if count > OPTIONS["max_documents"] else "OK")


@row("fields of gRPC requests", 0.05, call)
def fields(chance, number):
    message = a_message(chance)
    match chance.randrange(6):
        case 0:
            message.header.target_executor, broken = a_pattern(chance)
            want = one_of("INVALID_ARGUMENT") if broken else one_of("OK", "INVALID_ARGUMENT", "NOT_FOUND")
            return Try((SINGLE, wrapped(SINGLE, message), (), {}), want)
        case 1:
            message.header.exec_endpoint = "/".join(chance.choice(PIECES) for _ in range(chance.choice([1, 2, 300])))
        case 2:
            message.parameters_json = chance.choice(
                [b"{", b"[1]", b"\xff", b'{"limit": 1e999}', b"[" * 5000, b'{"limit":"x"}', b"null"]
            )
        case 3:
            message.header.timeout = chance.choice([0, 1, 2**32 - 1])
        case 4:
            for _ in range(2000):
                message.header.trace["x" * chance.randint(1, 50)] = "y"
        case 5:
            message.data.docs.docs[0].data["text"].ndarray.dense.CopyFrom(an_array(chance))
            message.data.docs.docs[0].data["text"].type = "ndarray"
    method = chance.choice([SINGLE, CALL, LISTED, DOCUMENT])
    return method, wrapped(method, message), (), {}


def an_array(chance):
    """An array whose shape, type and bytes disagree."""
    made = type(pb.DataRequestProto().data.docs.docs.add().data["x"].ndarray.dense)()
    made.shape.extend(chance.choice([[2], [0], [2**31, 2**31], [2**32 - 1], [1] * 500, []]))
    made.dtype = chance.choice(["float32", "O", "V9", "x" * 3000, "", "<U99999999", "float128", "object"])
    made.buffer = chance.choice([b"", b"x", b"x" * 8, b"\x00" * 5000])
    return made


ODD_METADATA = [
    ("x-api-key", "x" * 4000), ("authorization", "Bearer"), ("__prefetch__", "x"), ("__prefetch__", "-1"), ("__prefetch__", "9" * 400),
    ("__results_in_order__", "x"), ("traceparent", "00-x"), ("jina-consistency", "nonsense"), ("jina-index", "taker=x"), ("jina-session", "a:b:c"),
    ("x-request-id", "\x1b[31m"[1:]), ("grpc-encoding-x", "x"), ("x-bin", b"\x00\xff"), ("jina-status-bin", b"\xff"), ("grpc-status-x", "0"),
    *[(f"x-{at}", "y" * 50) for at in range(40)],
]  # fmt: skip


@row("metadata and methods of gRPC", 0.05, call)
def calls(chance, number):
    method = chance.choice(
        [*METHODS, "/x/y", "/", "/jina.JinaRPC/", "/jina.JinaRPC/call", "//", "/" + "a" * 4000, "/jina.JinaRPC/Call/x"]
    )
    content = chance.choice(
        [a_message(chance).SerializeToString(), b"", b"\xff" * 20, b"x" * 4_100_000, chance.randbytes(200)]
    )
    metadata = tuple(chance.sample(ODD_METADATA, chance.choice([1, 3, 40])))
    options = {"compression": chance.choice([None, grpc.Compression.Gzip, grpc.Compression.Deflate])}
    return method, content, metadata, options


# --- HTTP/2 --------------------------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def http2(kind, flags=0, stream=0, body=b"", length=None):
    size = len(body) if length is None else length
    return struct.pack("!I", size)[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + body


def head_of(path=SINGLE, **more):
    def literal(text):
        return b"\x7f" + bytes([len(text) - 127]) + text if len(text) > 127 else bytes([len(text)]) + text

    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",  # codespell:ignore te
              "content-type": "application/grpc", **more}  # fmt: skip
    return b"".join(b"\0" + literal(name.encode()) + literal(value.encode()) for name, value in fields.items())


async def frames(world, data):
    """Send frames and close for writing: the server has to close too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports["grpc"])
    heard = b""
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        while part := await reader.read(1 << 20):
            heard += part
    except OSError:  # the server may have ended it, also before the last byte was sent
        pass
    finally:
        writer.transport.abort()
    return Answer(last_of(heard))


def last_of(heard):
    """`closed`, or with which code the server said goodbye, or for a call its trailers."""
    at, found = 0, "closed"
    while len(heard) - at >= 9:
        size, kind = int.from_bytes(heard[at : at + 3], "big"), heard[at + 3]
        body = heard[at + 9 : at + 9 + size]
        if kind == 7 and len(body) >= 8:
            return f"goaway {int.from_bytes(body[4:8], 'big')}"
        if kind == 3:
            found = "reset"
        if kind == 1:
            found = "answered"
        at += 9 + size
    return found


@row("frames of HTTP/2", 0.07, frames)
def http2_frames(chance, number):
    message = a_message(chance).SerializeToString()
    sent = b"\0" + struct.pack("!I", len(message)) + message
    good = http2(1, 4, 1, head_of()) + http2(0, 1, 1, sent)
    odd = [
        http2(chance.randrange(12), chance.choice([0, 1, 4, 5, 255]), chance.choice([0, 1, 2, 3, 2**31 - 1]), chance.randbytes(chance.randint(0, 40))),
        http2(0, 1, 1, b"\0" + struct.pack("!I", chance.choice([2**32 - 1, 5_000_000, len(message) + 1, len(message) - 1])) + message),
        http2(0, 1, 1, bytes([chance.choice([1, 2, 255])]) + struct.pack("!I", len(message)) + message),
        http2(1, 4, 3, head_of("/x/y")), http2(1, 0, 3, head_of()) + http2(9, 0, 3, b"x") * 200, http2(9, 4, 3, b""),
        http2(3, 0, 1, struct.pack("!I", 8)) * 50, http2(6, 0, 0, b"12345678") * 500, http2(6, 0, 1, b"1"), http2(4, 0, 0, b"\0" * 5),
        http2(4, 0, 0, struct.pack("!HI", 4, 2**31)), http2(4, 0, 0, struct.pack("!HI", 5, 1)), http2(8, 0, 0, struct.pack("!I", 0)),
        http2(8, 0, 0, struct.pack("!I", 2**31 - 1)) * 3, http2(2, 0, 1, struct.pack("!IB", 1, 5)), http2(5, 4, 1, b"\0\0\0\2" + head_of()),
        http2(7, 0, 0, struct.pack("!II", 0, 11) + b"x\nERROR forged\x1b[31m"), http2(0, 0, 0, b"x"), http2(0, 0, 1, b"x", length=2**24 - 1), http2(4, 0, 0, b"\0" * 6) * 500,
        b"".join(http2(1, 4, at, head_of()) + http2(3, 0, at, struct.pack("!I", 8)) for at in range(3, 403, 2)),
        http2(1, 4, 5, b"\xff" * 30), http2(1, 4, 5, head_of(te2="x" * 200)), http2(1, 4, 5, head_of() + b"\0\x05:path\x01/"),
        http2(1, 4, 5, b"".join(head_of(**{f"x{at}": "y" * 200}) for at in range(60))),
    ]  # fmt: skip
    parts = [good, *chance.sample(odd, chance.randint(1, 3))]
    chance.shuffle(parts)
    data = PREFACE + SETTINGS + b"".join(parts)
    return worse(data, chance) if chance.random() < 0.3 else data
