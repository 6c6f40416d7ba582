"""Frames of HTTP/2 as bytes, right ones and garbage: the same for the same chance."""

import gzip

import hpack

from jina.codec import pb
from tests.fuzz.mutations import worse

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
UNARY = b"/jina.JinaSingleDataRequestRPC/process_single_data"
METHODS = [
    UNARY, UNARY, b"/jina.JinaRPC/Call", b"/jina.JinaSingleDocumentRequestRPC/stream_doc",
    b"/jina.JinaDataRequestRPC/process_data", b"/jina.JinaDiscoverEndpointsRPC/endpoint_discovery",
    b"/jina.JinaInfoRPC/_status", b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/Watch",
    b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"/nothing/At", b"*",
]  # fmt: skip
SEEN = b"has seen"
"""What the last ping carries."""
PONG = b"\x00\x00\x08\x06\x01\x00\x00\x00\x00" + SEEN


def frame(kind, stream=0, payload=b"", flags=0):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs))


def body(stream, data, flags=0):
    """Frames of data, each as large as all take."""
    parts = [data[at : at + 16_384] for at in range(0, len(data), 16_384)] or [b""]
    return b"".join(frame(DATA, stream, part, flags if part is parts[-1] else 0) for part in parts)


def reset(stream, code=8):
    return frame(RST_STREAM, stream, code.to_bytes(4, "big"))


def window(stream, more):
    return frame(WINDOW_UPDATE, stream, more.to_bytes(4, "big"))


def framed(message, flag=0):
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def request(endpoint="/upper", *texts, number=0):
    """A `DataRequestProto` with these texts."""
    message = pb.DataRequestProto()
    message.header.request_id = "r"
    message.header.exec_endpoint = endpoint
    for text in texts:
        doc = message.data.docs.docs.add()
        doc.data["text"].text = text
        doc.data["number"].integer = number
    return message.SerializeToString()


def head(path=UNARY, *more):
    return [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), (b"te", b"trailers"),
        (b"content-type", b"application/grpc"), *more,
    ]  # fmt: skip


class Speaker:
    """One side's frames on one connection, whose numbers and header tables go on."""

    def __init__(self):
        self._encoder = hpack.Encoder()
        self.last = -1

    def headers(self, fields, stream=None, flags=END_HEADERS):
        """A HEADERS frame, of a stream of its own if none is given."""
        return frame(HEADERS, self.next() if stream is None else stream, self.block(fields), flags)

    def block(self, fields):
        return self._encoder.encode(fields)

    def next(self):
        self.last += 2
        return self.last

    def call(self, message, path=UNARY, *more):
        """A whole unary call."""
        return self.headers(head(path, *more)) + frame(DATA, self.last, framed(message), END_STREAM)


MESSAGES = [
    framed(request("/upper", "a")), framed(request("/echo", "a", "b")), framed(request("/fail")), framed(b""),
    framed(request("/nothing")), framed(gzip.compress(request("/upper", "z")), 1), framed(b"x", 1), framed(b"", 7),
    b"\x00\xff\xff\xff\xff", b"\x00\x00\x00", b"", framed(b"\xff" * 20),
]  # fmt: skip
_VALUES = [
    b"", b"0", b"1", b"-1", b"99999999H", b"1n", b"x" * 3000, b"\xff\xfe", b"identity", b"gzip", b"a,b", b"%",
    b"application/grpc", b"trailers", b"AAAA", b"A", b"==",
]  # fmt: skip
_NAMES = [
    b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"x-bin", b"x", b"cookie", b"x-compression",
    b"jina-parameters", b"x-request-timeout", b"__prefetch__", b"__results_in_order__", b"authorization",
    b"grpc-status", b"user-agent", b"traceparent",
]  # fmt: skip
_WRONG = [
    (b"X", b"x"), (b"", b"x"), (b":x", b"x"), (b":path", b"/"), (b":method", b"GET"), (b":status", b"200"),
    (b"\x00", b"x"), (b"na me", b"x"), (b"connection", b"close"), (b"content-length", b"1"), (b"x", b" x "),
    (b"x", b"a\r\nb"), (b"x", b"\0"), (b"te", b"gzip"), (b":authority", b""), (b"host", b"y"),
]  # fmt: skip
"""What no request of HTTP/2 may have, or not so often."""


def worse_head(chance):
    """The fields of a request with some put in, repeated or changed in a way that HTTP/2 allows."""
    fields = head(chance.choice(METHODS))
    for _ in range(chance.randint(0, 4)):
        value = chance.choice(_VALUES)
        if chance.random() < 0.3:
            value = bytes(set(worse(value, chance)) - {0, 9, 10, 13, 32}) or b"x"
        match chance.randrange(4):
            case 0:
                fields[6:6] = [(chance.choice(_NAMES), value)]
            case 1:
                fields[3:5] = [(b":authority", value), (b"te", b"trailers")]
            case 2:
                fields[5:6] = [(b"content-type", value)]
            case _:
                fields += [(chance.choice(_NAMES), value)] * chance.randint(1, 20)
    return fields


def _wrong_head(chance):
    """One that HTTP/2 does not allow."""
    fields = worse_head(chance)
    if chance.random() < 0.3:
        del fields[chance.randrange(4)]
    else:
        fields.insert(chance.randint(0, len(fields)), chance.choice(_WRONG))
    return fields


def some_blocks(chance, count):
    """Requests with header blocks that are worse than they should be; the last bytes ask for a pong."""
    speaker = Speaker()
    sent = [PREFACE, settings()]
    wrong = chance.randrange(3 * count)  # at most one, since it may end the connection
    for number in range(count):
        block = speaker.block(_wrong_head(chance) if number == wrong else worse_head(chance))
        if number + count == wrong:
            block = worse(block, chance)
        parts = [block]
        while len(parts[-1]) > 1 and chance.random() < 0.2:
            at = chance.randrange(1, len(parts[-1]))
            parts[-1:] = [parts[-1][:at], parts[-1][at:]]
        ended = END_STREAM if chance.random() < 0.3 else 0
        for at, part in enumerate(parts):
            flags = END_HEADERS if at == len(parts) - 1 else 0
            kind = CONTINUATION if at else HEADERS
            sent.append(frame(kind, 2 * number + 1, part, flags | (0 if at else ended)))
        if not ended:
            sent.append(frame(DATA, 2 * number + 1, chance.choice(MESSAGES), END_STREAM))
    return b"".join((*sent, frame(PING, payload=SEEN)))


def some_frames(chance, count):
    """Frames that a client may send, one or two of them made worse in most cases; the last asks for a pong."""
    speaker = Speaker()
    sent = []
    while len(sent) < count:
        sent += _frames(speaker, chance)
    if chance.random() < 0.6:
        for _ in range(chance.randint(1, 2)):
            at = chance.randrange(len(sent))
            sent[at] = worse_frame(sent[at], chance)
    return b"".join((PREFACE, settings(), *sent[:count], frame(PING, payload=SEEN)))


def _frames(speaker, chance):
    stream = chance.randrange(1, max(2, speaker.last + 1)) | 1
    match chance.randrange(14):
        case 0 | 1 | 2:
            begun = speaker.headers(head(chance.choice(METHODS)))
            return [begun, frame(DATA, speaker.last, chance.choice(MESSAGES), END_STREAM)]
        case 3 | 4:
            begun = speaker.headers(head(chance.choice(METHODS)), flags=END_HEADERS | chance.choice([0, END_STREAM]))
            return [begun, reset(speaker.last, chance.randrange(20))] if chance.random() < 0.5 else [begun]
        case 5:
            begun = speaker.headers(head(chance.choice(METHODS)))
            whole, open_stream = chance.choice(MESSAGES), speaker.last
            at = chance.randint(0, len(whole))
            padding = chance.randrange(10)
            padded = bytes((padding,)) + whole[at:] + bytes(padding)
            return [begun, frame(DATA, open_stream, whole[:at]), frame(DATA, open_stream, padded, PADDED | END_STREAM)]
        case 6:
            return [frame(PRIORITY, stream, chance.randbytes(5))]
        case 7:
            return [window(chance.choice([0, max(0, speaker.last)]), chance.randint(1, 2**16))]
        case 8:
            return [settings(*((chance.choice([1, 3, 4, 6, 8, 99]), chance.randint(0, 1)) for _ in range(3)))]
        case 9:
            return [settings((4, chance.choice([0, 1, 65_535, 2**30])), (5, chance.choice([16_384, 2**24 - 1])))]
        case 10:
            return [frame(chance.randint(10, 255), chance.choice([0, stream]), chance.randbytes(chance.randint(0, 50)))]
        case 11:
            fields = head(chance.choice(METHODS), (b"x", bytes(chance.choices(b"abcxyz", k=chance.randint(0, 300)))))
            begun = speaker.headers(fields, flags=0)
            block, at = begun[9:], chance.randint(0, len(begun) - 9)
            return [
                frame(HEADERS, speaker.last, block[:at], END_STREAM), frame(CONTINUATION, speaker.last, block[at:], 4)
            ]  # fmt: skip
        case 12:
            begun = speaker.headers(head(b"/jina.JinaRPC/Call"))
            parts = [frame(DATA, speaker.last, chance.choice(MESSAGES[:6])) for _ in range(chance.randint(0, 5))]
            return [begun, *parts, speaker.headers([(b"x", b"trailer")], speaker.last, END_HEADERS | END_STREAM)]
        case _:
            return [frame(SETTINGS, flags=ACK)] if chance.random() < 0.1 else [frame(PING, payload=chance.randbytes(8))]


def worse_frame(good, chance):
    match chance.randrange(7) if len(good) > 8 else 6:
        case 0:
            return worse(good, chance)
        case 1:
            return good[:3] + bytes((chance.randrange(11),)) + good[4:]
        case 2:
            return good[:4] + bytes((chance.randrange(256),)) + good[5:]
        case 3:
            return good[:5] + chance.choice([0, 1, 2, 3, 4, 101, 2**31 - 1, 2**32 - 1]).to_bytes(4, "big") + good[9:]
        case 4:
            return good[:9] + worse(good[9:], chance)
        case 5:
            return frame(good[3], int.from_bytes(good[5:9], "big"), worse(good[9:], chance), good[4])
        case _:
            kind, flags, stream = chance.randrange(11), chance.randrange(256), chance.randrange(8)
            return frame(kind, stream, chance.randbytes(chance.randint(0, 40)), flags)
