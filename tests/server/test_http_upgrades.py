"""`Upgrade` of an HTTP request (RFC 9110, section 7.8): no body is dropped for it, and each request is answered."""

import json

import pytest

from tests.server.test_slow_clients import conversation

BODY = b'{"data": [{"text": "kept"}]}'
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
"""What `curl --http2` and the HttpClient of Java send first."""


def request(extra, body=BODY):
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answers(heard):
    """The status and the body of each answer."""
    found = []
    while heard:
        head, _, rest = heard.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
        found.append((int(head.split()[1]), rest[:length]))
        heard = rest[length:]
    return found


LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("listener", ["http", "websocket"])
@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0", b"nonsense"])
@pytest.mark.parametrize("pieces", [1, 7, 10_000])
def test_the_body_is_kept(listener, upgrade, pieces):
    whole = request(H2C.replace(b"h2c", upgrade)) + LAST
    size = max(1, len(whole) // pieces)
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    heard, _ = conversation(chunks, listener=listener, timeout_read=20)
    first, *others = answers(heard)
    assert first[0] == 200
    assert [doc["text"] for doc in json.loads(first[1])["data"]] == ["kept"]
    assert [status for status, _ in others] == [200]


def test_a_chunked_body_is_kept():
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, BODY[:5], len(BODY) - 5, BODY[5:])
    heard, _ = conversation([head + H2C + b"\r\n" + chunked + LAST], timeout_read=20)
    assert [doc["text"] for doc in json.loads(answers(heard)[0][1])["data"]] == ["kept"]


def test_requests_that_follow_at_once_are_answered_in_their_order():
    texts = [b"one", b"two", b"three"]
    whole = b"".join(request(H2C, BODY.replace(b"kept", text)) for text in texts)
    heard, _ = conversation([whole + LAST], timeout_read=20)
    content = [json.loads(answer)["data"][0]["text"].encode() for _, answer in answers(heard)[:-1]]
    assert content == texts


def test_connect_is_refused():
    heard, _ = conversation([b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"], timeout_read=20)
    assert heard.startswith(b"HTTP/1.1 405")


HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"Content-Length: 5\r\n\r\nhello", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"a: " + b"b" * 9000 + b"\r\n\r\n", 431),
    ],
    ids=["a body", "chunks", "many headers", "a long header"],
)
@pytest.mark.parametrize("listener", ["http", "websocket"])
def test_a_handshake_that_cannot_be_read_is_answered_and_closed(listener, rest, status):
    heard, _ = conversation([HANDSHAKE + rest], listener=listener, timeout_read=20)
    ((result, body),) = answers(heard)
    error = json.loads(body)
    assert (result, error["status"]) == (status, status)
    assert "handshake" in error["detail"]
