"""Connections: pooled, shared by threads, encrypted, found again; memory stays flat."""

import threading
import tracemalloc

import pytest
from docarray import DocList

from jina import Client
from jina.errors import NotSupportedError, Unavailable
from jina.plan.plans import TlsPlan
from tests.certificates import certificate
from tests.client.conftest import PROTOCOLS
from tests.client.note_server import Note, running


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    made = certificate(tmp_path_factory.mktemp("tls"))
    with running(tls=TlsPlan(certfile=made.file, keyfile=made.key)) as started:
        yield started, made.authority


def test_tls(encrypted, protocol, monkeypatch):
    server, ca_file = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    with Client(port=server.ports[protocol], protocol=protocol, tls=True, host="localhost") as client:
        assert client.post("/upper", Note(text="a"), return_type=Note).text == "A"
        assert [doc.text for doc in client.stream_doc("/tokens", Note(text="t", number=1))] == ["t0"]


def test_tls_async(encrypted, protocol, monkeypatch):
    import asyncio

    server, ca_file = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)

    async def main():
        made = Client(host="localhost", port=server.ports[protocol], protocol=protocol, tls=True, asyncio=True)
        async with made as client:
            return (await client.post("/upper", Note(text="a"), return_type=Note)).text

    assert asyncio.run(main()) == "A"


def test_an_unknown_certificate_is_refused(encrypted, protocol):
    server, _ = encrypted
    client = Client(host="localhost", port=server.ports[protocol], protocol=protocol, tls=True)
    with client, pytest.raises(Unavailable):
        client.post("/upper", Note(text="a"), timeout=10)


def test_credentials_of_grpcio_are_refused_with_what_to_write(encrypted):
    import grpc

    server, _ = encrypted
    with (
        Client(host="localhost", port=server.ports["grpc"], tls=True) as client,
        pytest.raises(NotSupportedError, match="credentials") as caught,
    ):
        client.post("/upper", Note(text="a"), credentials=grpc.ssl_channel_credentials())
    assert "ssl_ca_certs" in caught.value.help


def test_grpc_takes_authorities_from_its_own_variable(encrypted, monkeypatch):
    server, ca_file = encrypted
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(ca_file))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with Client(host="localhost", port=server.ports["grpc"], tls=True) as client:
        assert client.post("/upper", Note(text="a"), return_type=Note).text == "A"


def test_compression(server):
    from jina.errors import ConfigError

    with Client(host=server.url("grpc")) as client:
        for name in ("Gzip", "Deflate", "NoCompression"):
            assert client.post("/echo", Note(text="a" * 5000), compression=name, return_type=Note).text[0] == "a"
        with pytest.raises(ConfigError, match="compression"):
            client.post("/echo", Note(), compression="Brotli")


@pytest.mark.parametrize("protocol", ["grpc", "websocket"])
def test_an_argument_that_would_do_nothing_is_refused(server, protocol):
    from jina.errors import NotSupportedError

    refused = pytest.raises(NotSupportedError, match="cookies: only HTTP clients take this")
    with Client(host=server.url(protocol)) as client, refused:
        client.post("/echo", Note(), cookies={"a": "b"})


def test_threads_share_a_client(client):
    outcome = []

    def work(name):
        docs = [client.post("/upper", Note(text=f"{name}{n}"), return_type=Note).text for n in range(10)]
        docs += [d.text for d in client.post("/upper", [Note(text=name)] * 4, request_size=1)]
        outcome.append((name.upper(), docs))

    threads = [threading.Thread(target=work, args=(f"t{number}-",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcome) == 8
    for name, texts in outcome:
        assert texts == [f"{name}{n}" for n in range(10)] + [name] * 4


def test_http_connections_are_kept(server, monkeypatch):
    import socket

    opened = []
    original = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *given: (opened.append(1), original(*given))[1])
    with Client(host=server.url("http")) as client:
        for _ in range(5):
            client.post("/echo", Note())
    assert len(opened) == 1


def test_a_closed_client_connects_again(client):
    client.post("/echo", Note())
    client.close()
    client.close()
    assert client.post("/echo", Note(text="x"))[0].text == "x"


def test_a_restarted_server_is_found_at_once(protocol):
    with running() as first:
        port = first.ports[protocol]
        client = Client(port=port, protocol=protocol)
        client.post("/echo", Note())
    with running(ports={protocol: port}):
        assert client.post("/echo", Note(text="x"), max_attempts=20, initial_backoff=0.05, max_backoff=0.05)
        client.close()


def test_proxies_of_the_environment_are_ignored_unless_asked_for(server, protocol, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with Client(host=server.url(protocol)) as client:
        assert client.post("/upper", Note(text="a"), return_type=Note).text == "A"
    with Client(host=server.url(protocol), proxy=True) as client, pytest.raises(Unavailable):
        client.post("/upper", Note(text="a"), timeout=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_memory_stays_flat_while_documents_pass(server, name):
    """The peak does not grow with the number of documents."""

    def peak(count):
        counted = []
        tracemalloc.start()
        client.post(
            "/echo",
            (Note(text="x" * 200, number=number) for number in range(count)),
            on_done=lambda response: counted.append(len(response.docs)),
            return_type=DocList[Note],
            prefetch=4,
        )
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(counted) == count
        return size

    with Client(host=server.url(name)) as client:
        peak(1000)
        server.service.requests.clear()
        small = peak(1000)
        server.service.requests.clear()
        large = peak(8000)
        server.service.requests.clear()
    assert large < small + 4_000_000
