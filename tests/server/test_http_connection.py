"""The HTTP client against peers that answer byte by byte as each test says: on sockets and on an event loop."""

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import ssl
import threading
import zlib

import pytest

from jina import Client
from jina.client import http
from jina.errors import BadServer, ConfigError, DeadlineExceeded, TooLarge, Unavailable
from tests.certificates import certificate
from tests.client.note_server import Note

BODY = json.dumps({"data": [{"text": "hi", "number": 1}]}).encode()
PATIENCE = 20.0


def answer(body=BODY, *headers, status="200 OK", length=True):
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *headers]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Peer:
    """Answers each request with what `answers` says for it: bytes, pieces of bytes, or a function of the socket.

    None ends the connection.
    """

    def __init__(self, *answers, context=None):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self.context = context
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self.serve, args=(sock,), daemon=True)
                thread.start()
                self.threads.append(thread)

    def serve(self, sock):
        with contextlib.suppress(OSError), sock:
            sock.settimeout(PATIENCE)
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            with sock:
                while (request := read_request(sock)) is not None:
                    with self.lock:
                        self.requests.append(request)
                        given = self.answers.pop(0) if self.answers else answer()
                    if given is None:
                        return
                    if callable(given):
                        given(sock)
                        continue
                    for piece in [given] if isinstance(given, bytes) else given:
                        sock.sendall(piece)
                    if isinstance(given, list):
                        return  # its end is that of the connection

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def read_request(sock):
    """Method, path, headers and body of a request; None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := sock.recv(65536)):
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
    while len(body) < int(headers.get("content-length", 0)):
        body += sock.recv(65536)
    method, path, _ = first.split(" ")
    return method, path, headers, body


@pytest.fixture
def peer():
    made = []

    def start(*answers, **options):
        made.append(Peer(*answers, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(params=["blocking", "asyncio"])
def post(request):
    """`post(port, count=1, **of_the_call)`: that many calls by one client of the kind; gives what came of the last."""

    def blocking(port, count=1, client=None, **options):
        with Client(port=port, protocol="http", host="127.0.0.1", **(client or {})) as made:
            for _ in range(count):
                got = made.post("/x", Note(text="a"), return_type=Note, **options)
        return got.text

    def on_loop(port, count=1, client=None, **options):
        async def main():
            made = Client(port=port, protocol="http", host="127.0.0.1", asyncio=True, **(client or {}))
            async with made as opened:
                for _ in range(count):
                    got = await opened.post("/x", Note(text="a"), return_type=Note, **options)
            return got.text

        return asyncio.run(main())

    return blocking if request.param == "blocking" else on_loop


@pytest.mark.parametrize(
    "given",
    [
        answer(),
        chunked(BODY[:5], BODY[5:]),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + answer(),
        answer(gzip.compress(BODY), "Content-Encoding: gzip"),
        answer(zlib.compress(BODY), "Content-Encoding: deflate"),
        answer(BODY, "X-Two: a", "x-two: b"),
    ],
    ids=["length", "chunks", "100", "103", "gzip", "deflate", "names"],
)
def test_answers_of_every_form(peer, post, given):
    pieces = iter([given[at : at + 1] for at in range(len(given))])

    def byte_by_byte(sock):
        for piece in pieces:
            sock.sendall(piece)

    one = peer(given, byte_by_byte)
    assert post(one.port, 2) == "hi"
    assert one.connections == 1


def test_a_body_that_ends_with_the_connection(peer, post):
    one = peer([answer(length=False)], [answer(length=False)])
    assert post(one.port, 2) == "hi"
    assert one.connections == 2


def test_what_is_sent(peer, post):
    one = peer()
    post(one.port, metadata=(("x-own", "ü"), ("x-wide", "日")))
    ((method, path, headers, body),) = one.requests
    assert (method, path, headers["host"]) == ("POST", "/x", f"127.0.0.1:{one.port}")
    assert headers["content-length"] == str(len(body))
    assert headers["x-own"] == "ü"
    assert headers["x-wide"].encode("latin-1").decode() == "日"
    assert json.loads(body)["data"][0]["text"] == "a"


@pytest.mark.parametrize("headers", [{"x-own": "a\r\nx-other: b"}, {"x own": "a"}, {"x": "a\0"}])
def test_headers_that_would_be_something_else_are_refused(peer, post, headers):
    one = peer()
    with pytest.raises(ConfigError, match="cannot be sent"):
        post(one.port, headers=headers)
    assert one.requests == []


def test_a_connection_is_not_used_again_where_the_peer_says_so(peer, post):
    one = peer(answer(BODY, "connection: close"))
    assert post(one.port, 2) == "hi"
    assert one.connections == 2


def test_bytes_after_an_answer_are_no_answer_to_the_next_request(peer, post):
    for more in (answer(b'{"data":[{"text":"smuggled"}]}'), b"junk"):
        one = peer(answer() + more, answer())
        assert post(one.port, 2) == "hi"
        assert one.connections == 2


def test_a_connection_that_the_peer_closed_while_it_was_idle(peer, post):
    def and_close(sock):
        sock.sendall(answer())
        sock.shutdown(socket.SHUT_RDWR)

    one = peer(and_close, answer())
    assert post(one.port, 2, max_attempts=3, initial_backoff=0.01) == "hi"
    assert one.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(peer, post, monkeypatch):
    monkeypatch.setattr(http, "_IDLE", 0.0)
    one = peer()
    assert post(one.port, 2) == "hi"
    assert one.connections == 2


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (None, Unavailable, "closed the connection before it answered"),
        ([answer()[:20]], Unavailable, "closed the connection before it answered"),
        ([answer()[:-3]], Unavailable, "closed the connection in the middle of its answer"),
        ([chunked(BODY)[:-6]], Unavailable, "closed the connection in the middle of its answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadServer, "does not speak HTTP/1.1"),
        (b"\0\0\x12\4\0\0\0\0\0" + bytes(18), BadServer, "does not speak HTTP/1.1.*is it a port for gRPC"),
        (answer(b"no gzip", "content-encoding: gzip"), BadServer, "cannot be unpacked"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 300_000, BadServer, "head of the answer .* has more than"),
        (answer(b"[" * 5), BadServer, "did not answer with JSON of a jina service"),
    ],
)
def test_answers_that_are_none(peer, post, given, kind, text):
    one = peer(given)
    with pytest.raises(kind, match=text):
        post(one.port, timeout=10)


def test_an_answer_over_the_limit_is_not_read_to_its_end(peer, post):
    sent = threading.Event()

    def endless(sock):
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        sent.set()

    def pieces(sock):
        sock.sendall(chunked()[:-5])
        endless(sock)

    def long(sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        endless(sock)

    for given in (pieces, long):
        sent.clear()
        with pytest.raises(TooLarge, match="max_message_size"):
            post(peer(given).port, client={"max_message_size": 200_000})
        assert sent.wait(PATIENCE), "the connection stays open"
    with pytest.raises(TooLarge, match="max_message_size"):
        post(peer(answer(gzip.compress(bytes(10_000_000)), "content-encoding: gzip")).port,
             client={"max_message_size": 200_000})  # fmt: skip


def test_a_peer_that_says_nothing(peer, post):
    gone = threading.Event()

    def silent(sock):
        assert sock.recv(1) == b""
        gone.set()

    with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.2 s"):
        post(peer(silent).port, timeout=0.2)
    assert gone.wait(PATIENCE), "the connection stays open"


def test_a_peer_that_refuses_before_it_has_read_all(peer, post):
    def refuse(sock):
        sock.sendall(answer(b'{"detail": "too much"}', "connection: close", status="413 Content Too Large"))

    one = peer(refuse)
    with pytest.raises(TooLarge, match="too much"):
        post(one.port)


def test_cancellation_closes_the_connection(peer):
    asked, gone = threading.Event(), threading.Event()

    def silent(sock):
        asked.set()
        assert sock.recv(1) == b""
        gone.set()

    async def main():
        async with Client(port=peer(silent).port, protocol="http", host="127.0.0.1", asyncio=True) as client:
            task = asyncio.ensure_future(client.post("/x", Note()))
            assert await asyncio.to_thread(asked.wait, PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(gone.wait, PATIENCE), "the connection stays open"

    asyncio.run(main())


def test_redirects(peer, post):
    other = peer()
    kept, changed = ("307 Temporary Redirect", "308 Permanent Redirect"), ("303 See Other", "302 Found", "301 Moved")
    for status, method in (*((one, "POST") for one in kept), *((one, "GET") for one in changed)):
        one = peer(answer(b"", "location: /new?a=b", status=status))
        assert post(one.port) == "hi"
        assert [(request[0], request[1]) for request in one.requests] == [("POST", "/x"), (method, "/new?a=b")]
        assert bool(one.requests[1][3]) is (method == "POST")
    one = peer(answer(b"", f"location: http://127.0.0.1:{other.port}/there", status="307 Temporary Redirect"))
    secret = {"x-api-key": "k", "authorization": "Bearer t", "x-mine": "m"}
    assert post(one.port, headers=secret) == "hi"
    assert {name: one.requests[0][2].get(name) for name in secret} == secret
    assert other.requests[0][1] == "/there"
    assert {name: other.requests[0][2].get(name) for name in secret} == {**dict.fromkeys(secret), "x-mine": "m"}


def test_redirects_end(peer, post):
    again = answer(b"", "location: /x", status="307 Temporary Redirect")
    one = peer(*[again] * 50)
    with pytest.raises(BadServer, match="redirects too often"):
        post(one.port)
    assert len(one.requests) == 11
    one = peer(*[again] * 50)
    with pytest.raises(BadServer, match="redirects too often"):
        post(one.port, max_redirects=2)
    assert len(one.requests) == 3
    one = peer(again)
    with pytest.raises(BadServer, match="did not answer with JSON"):
        post(one.port, allow_redirects=False)
    assert len(one.requests) == 1
    with pytest.raises(BadServer, match="not an http:// or https:// URL"):
        post(peer(answer(b"", "location: ftp://a/b", status="302 Found")).port)


def test_arguments_of_http_alone(peer, post):
    one = peer()
    given = {"auth": ("me", "secret:ü"), "cookies": {"a": "b c"}, "params": {"q": "a b", "r": 1}}
    assert post(one.port, **given) == "hi"
    ((_, path, headers, _),) = one.requests
    assert path == "/x?q=a+b&r=1"
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() == "me:secret:ü"
    assert headers["cookie"] == 'a="b c"'
    for wrong in ({"auth": "me"}, {"proxy": "http://127.0.0.1:1", "proxy_auth": 3}):
        with pytest.raises(ConfigError, match=r"is not a pair of a name and a password"):
            post(one.port, **wrong)


class Proxy(Peer):
    """Carries requests on, and opens tunnels."""

    def serve(self, sock):
        with contextlib.suppress(OSError), sock:
            sock.settimeout(PATIENCE)
            while (request := read_request(sock)) is not None:
                method, path, _, _ = request
                self.requests.append(request)
                if self.answers:
                    sock.sendall(self.answers.pop(0))
                    return
                if method == "CONNECT":
                    host, _, port = path.rpartition(":")
                    sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    with socket.create_connection((host, int(port))) as there:
                        back = threading.Thread(target=copy, args=(there, sock), daemon=True)
                        back.start()
                        copy(sock, there)
                    return
                sock.sendall(answer())


def copy(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(monkeypatch):
    one = Proxy()
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:p%40ss@127.0.0.1:{one.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    yield one
    one.close()


LOGIN = "Basic " + base64.b64encode(b"me:p@ss").decode()


def test_a_proxy_in_the_clear(peer, post, proxy):
    one = peer()
    assert post(one.port, 2, client={"proxy": True}) == "hi"
    assert one.requests == []
    assert [request[1] for request in proxy.requests] == [f"http://127.0.0.1:{one.port}/x"] * 2
    assert proxy.requests[0][2]["proxy-authorization"] == LOGIN
    assert proxy.connections == 1


def test_a_proxy_of_one_call(peer, post, proxy):
    one = peer()
    url = f"http://127.0.0.1:{proxy.port}"
    assert post(one.port, proxy=url, proxy_auth=("me", "p@ss")) == "hi"
    assert one.requests == []
    assert proxy.requests[0][2]["proxy-authorization"] == LOGIN


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    made = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.file, made.key)
    return context, made.authority


def test_a_tunnel_through_a_proxy(peer, post, proxy, secured):
    context, authority = secured
    one = peer(context=context)
    tls = {"tls": True, "ssl_ca_certs": authority, "proxy": True}
    assert post(one.port, 2, client=tls) == "hi"
    assert [(request[0], request[1]) for request in proxy.requests] == [("CONNECT", f"127.0.0.1:{one.port}")]
    assert proxy.requests[0][2]["proxy-authorization"] == LOGIN
    assert [request[1] for request in one.requests] == ["/x", "/x"]
    assert "proxy-authorization" not in one.requests[0][2]


def test_a_tunnel_that_the_proxy_refuses(peer, post, proxy, secured):
    context, authority = secured
    proxy.answers.append(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    one = peer(context=context)
    with pytest.raises(Unavailable, match="the proxy answered 407 to CONNECT"):
        post(one.port, client={"tls": True, "ssl_ca_certs": authority, "proxy": True})


def test_certificates_are_checked_unless_a_call_says_otherwise(peer, post, secured):
    context, authority = secured
    one = peer(context=context)
    with pytest.raises(Unavailable, match="certificate"):
        post(one.port, client={"tls": True})
    assert post(one.port, client={"tls": True}, ssl=False) == "hi"
    trusting = ssl.create_default_context(cafile=authority)
    assert post(one.port, client={"tls": True}, ssl=trusting) == "hi"
    with pytest.raises(ConfigError, match=r"neither an ssl\.SSLContext nor a bool"):
        post(one.port, client={"tls": True}, ssl="no")


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(text):
    data = b"event: update\r\ndata: " + json.dumps({"text": text}).encode() + b"\r\n\r\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"e\r\nevent: end\r\n\r\n\r\n0\r\n\r\n"


def test_streams_are_read_as_they_are_wanted(peer):
    """Unread data stays with the peer, and is complete when it is read later."""
    stopped = threading.Event()

    def flood(sock):
        sock.sendall(EVENTS)
        sock.settimeout(0.5)
        count = 0
        try:
            while count < 4000:
                sock.sendall(event(f"{count}:" + "x" * 20_000))
                count += 1
        except TimeoutError:
            stopped.set()

    async def main():
        async with Client(port=peer(flood).port, protocol="http", host="127.0.0.1", asyncio=True) as client:
            stream = client.stream_doc("/x", Note(), return_type=Note)
            texts = [(await anext(stream)).text.partition(":")[0]]
            assert await asyncio.to_thread(stopped.wait, PATIENCE), "80 MB went somewhere"
            texts += [(await anext(stream)).text.partition(":")[0] for _ in range(10)]
            assert texts == [str(number) for number in range(11)]
            await stream.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_events_in_pieces_of_any_size(peer, asynchronous):
    whole = EVENTS + event("a") + event("ü" * 3000) + event("c") + END
    for size in (1, 7, 1000, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]

        def serve(sock, pieces=pieces):
            for piece in pieces:
                sock.sendall(piece)

        one = peer(serve, serve)

        async def main(one=one):
            async with Client(port=one.port, protocol="http", host="127.0.0.1", asyncio=True) as client:
                streams = (client.stream_doc("/x", Note(), return_type=Note) for _ in range(2))
                return [[doc.text async for doc in stream] for stream in streams]

        if asynchronous:
            found = asyncio.run(main())
        else:
            with Client(port=one.port, protocol="http", host="127.0.0.1") as client:
                found = [[doc.text for doc in client.stream_doc("/x", Note(), return_type=Note)] for _ in range(2)]
        assert found == [["a", "ü" * 3000, "c"]] * 2
        assert one.connections == 1


def test_a_document_of_a_stream_over_the_limit(peer):
    one = peer([EVENTS + b"fffffff\r\ndata: " + b"x" * 300_000])
    refused = pytest.raises(TooLarge, match=r"a document of .* is over max_message_size")
    with Client(port=one.port, protocol="http", host="127.0.0.1", max_message_size=100_000) as client, refused:
        list(client.stream_doc("/x", Note(), return_type=Note))
