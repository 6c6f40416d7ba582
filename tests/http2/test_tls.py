"""gRPC over TLS, with either library of HTTP/2 on both sides: certificates of both, and what is agreed on at first."""

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
import time
from types import SimpleNamespace

import grpc
import pytest

from jina import Client
from jina.codec import pb
from jina.errors import DeadlineExceeded, Unavailable
from jina.net import http2_h2, http2_library, http2_ngh2, tls
from jina.plan.plans import ListenerPlan, TlsPlan
from jina.server.server import serve
from tests.certificates import Authority
from tests.http2 import frames
from tests.http2.programs import channel, serving
from tests.server.sample_service import Note, SampleService, run

ENGINES = {"ngh2": http2_ngh2.Connection, "h2": http2_h2.Connection}
LARGE = 3_000_000
PATIENCE = 20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates of a server, of a client, and of one whose authority nobody knows."""
    made = {}
    for name in ("server", "client", "stranger"):
        folder = tmp_path_factory.mktemp(name)
        made[name] = Authority(folder).issue("127.0.0.1", "localhost")
    return made


@pytest.fixture(scope="module", params=list(ENGINES))
def server(request, files):
    with serving(request.param, "notes", files["server"]) as started:
        yield started


@pytest.fixture(scope="module", params=list(ENGINES))
def mutual(request, files):
    with serving(request.param, "notes", files["server"], files["client"].authority) as started:
        yield started


@pytest.fixture(params=list(ENGINES))
def engine(request, monkeypatch):
    """What this process speaks HTTP/2 with."""
    monkeypatch.setattr(http2_library, "_kind", lambda: ENGINES[request.param])


@pytest.fixture(params=["blocking", "on a loop"])
def ask(request):
    """Makes calls to a server, one after the other on one connection; gives their texts."""

    def blocking(server, *texts, shown=None, timeout=PATIENCE):
        with Client(**options(server, shown)) as client:
            return [client.post("/upper", Note(text=text), return_type=Note, timeout=timeout).text for text in texts]

    def on_loop(server, *texts, shown=None, timeout=PATIENCE):
        async def main():
            async with Client(**options(server, shown), asyncio=True) as client:
                notes = [
                    await client.post("/upper", Note(text=one), return_type=Note, timeout=timeout) for one in texts
                ]
                return [note.text for note in notes]

        return run(main())

    return blocking if request.param == "blocking" else on_loop


def options(server, shown):
    made = {"host": "localhost", "port": server.port, "tls": True, "ssl_ca_certs": server.authority}
    return made | ({"ssl_certfile": shown.file, "ssl_keyfile": shown.key} if shown else {})


def test_small_and_large_messages(server, engine, ask):
    assert ask(server, "a", "b" * LARGE, "c") == ["A", "B" * LARGE, "C"]


def test_clients_show_certificates(mutual, engine, ask, files):
    assert ask(mutual, "a", shown=files["client"]) == ["A"]
    for shown in (None, files["stranger"]):
        with pytest.raises(Unavailable):
            ask(mutual, "a", shown=shown)
    assert ask(mutual, "b", shown=files["client"]) == ["B"]


def test_clients_of_grpcio_show_certificates(mutual, files):
    def asked(shown):
        with channel(mutual, certificate=shown) as opened:
            said = opened.unary_unary(frames.UNARY.decode())(frames.request("/upper", "a"), timeout=PATIENCE)
            return pb.DataRequestProto.FromString(said).data.docs.docs[0].data["text"].text

    assert asked(files["client"]) == "A"
    for shown in (None, files["stranger"]):
        with pytest.raises(grpc.RpcError) as caught:
            asked(shown)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("offered", [[], ["http/1.1"], ["h3", "http/1.0"]], ids=["nothing", "HTTP/1.1", "others"])
def test_a_client_that_does_not_ask_for_http2_is_left(server, offered):
    context = ssl.create_default_context(cafile=server.authority)
    if offered:
        context.set_alpn_protocols(offered)
    with (
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        assert sock.selected_alpn_protocol() is None
        with contextlib.suppress(ConnectionError):
            sock.sendall(frames.PREFACE + frames.settings())
            assert sock.recv(65_536) == b""
    with channel(server) as opened:
        assert opened.unary_unary(frames.UNARY.decode())(frames.request("/upper", "a"), timeout=PATIENCE)


def test_a_client_without_tls_is_left(server):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(frames.PREFACE + frames.settings())
        while sock.recv(65_536):
            pass
    assert "Traceback" not in server.said()


class Relay:
    """A port whose connections lead to a server; `clients` are the sockets of those that came.

    After `most` bytes of the server a connection is cut.
    """

    def __init__(self, server, most=sys.maxsize):
        self._most = most
        self._to = ("127.0.0.1", server.port)
        self.authority = server.authority
        self.clients = []
        self._threads = []

    def __enter__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._begin(self._accept)
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._threads:
            one.join(PATIENCE)

    def _begin(self, what, *arguments):
        self._threads.append(threading.Thread(target=what, args=arguments))
        self._threads[-1].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                self.clients.append(client)
                outer = socket.create_connection(self._to, PATIENCE)
                self._begin(self._forward, client, outer, sys.maxsize)
                self._begin(self._forward, outer, client, self._most)

    @staticmethod
    def _forward(source, target, most):
        with source, contextlib.suppress(OSError):
            while most > 0 and (data := source.recv(65_536)):
                target.sendall(data)
                most -= len(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def test_a_part_of_a_record_between_two_calls_holds_nobody_up(server, engine):
    with Relay(server) as relay, Client(**options(relay, None)) as client:
        assert client.post("/upper", Note(text="a"), return_type=Note, timeout=PATIENCE).text == "A"
        relay.clients[0].sendall(b"\x17\x03\x03\x00")
        began = time.monotonic()
        with pytest.raises((Unavailable, DeadlineExceeded)):
            client.post("/upper", Note(text="a"), return_type=Note, timeout=2, max_attempts=1)
        assert time.monotonic() - began < PATIENCE / 2


def test_a_connection_that_is_cut(server, engine, ask):
    """Within an answer, without an end of TLS."""
    with Relay(server, most=4 * LARGE // 3) as relay, pytest.raises(Unavailable):
        ask(relay, "a" * LARGE, "a" * LARGE, "a" * LARGE)
    assert ask(server, "a") == ["A"]


def test_a_certificate_that_is_renewed(tmp_path, engine, monkeypatch):
    """Calls of connections that there are go on; new ones see the new certificate, and its authority."""
    monkeypatch.setattr(tls, "INTERVAL", 0.02)
    first = Authority(tmp_path).issue("127.0.0.1", "localhost")
    plan = ListenerPlan(
        protocol="grpc",
        host="127.0.0.1",
        port=0,
        timeout_read=30.0,
        tls=TlsPlan(certfile=first.file, keyfile=first.key),
    )

    async def shown(port):
        return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=PATIENCE)

    async def main():
        server = serve([plan], SampleService())
        await server.start()
        port = int(server.addresses[0].rpartition(":")[2])
        made = {"host": "localhost", "port": port, "tls": True, "asyncio": True, "ssl_ca_certs": first.authority}
        try:
            async with Client(**made) as old:
                assert (await old.post("/upper", Note(text="a"), return_type=Note)).text == "A"
                before = await shown(port)
                second = Authority(tmp_path).issue("127.0.0.1", "localhost")
                async with asyncio.timeout(PATIENCE):
                    while await shown(port) == before:
                        await asyncio.sleep(0.02)
                assert (await old.post("/upper", Note(text="b"), return_type=Note)).text == "B"
            async with Client(**made | {"ssl_ca_certs": second.authority}) as new:
                assert (await new.post("/upper", Note(text="c"), return_type=Note)).text == "C"
        finally:
            await server.stop(1)

    run(main())


@pytest.mark.slow
def test_a_server_of_http_1_is_told(files, engine, ask):
    """It agrees on no protocol, and answers in another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server"].file, files["server"].key)
    context.set_alpn_protocols(["http/1.1"])

    def serve_one():
        with contextlib.suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as sock:
            sock.settimeout(PATIENCE)
            sock.recv(65_536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            while sock.recv(65_536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        thread = threading.Thread(target=serve_one)
        thread.start()
        bad = SimpleNamespace(port=listening.getsockname()[1], authority=files["server"].authority)
        with pytest.raises(Unavailable, match="does not speak gRPC as it should"):
            ask(bad, "a", timeout=5)
        thread.join(PATIENCE)
