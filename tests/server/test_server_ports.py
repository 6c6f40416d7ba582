"""Ports, certificates and stopping."""

import asyncio
import json
import socket
import ssl
import time

import aiohttp
import grpc
import pytest
import trustme

from jina.errors import ConfigError, PortAlreadyUsed
from jina.net import tls
from jina.plan.plans import HttpPlan, ListenerPlan, TlsPlan
from jina.server import uvicorn_server
from jina.server.server import serve
from tests.server.sample_service import SampleService, authority, run, served, url
from tests.server.test_grpc_calls import message_of, texts_of, unary

PROTOCOLS = ["grpc", "http", "websocket"]


def listener(protocol, port=0, **more):
    return ListenerPlan(protocol=protocol, host=more.pop("host", "127.0.0.1"), port=port, **more)


def listening_socket():
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, taken.getsockname()[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_taken_port_is_an_error_that_names_it(protocol, capfd):
    taken, port = listening_socket()

    async def main():
        server = serve([listener(protocol, port)], SampleService())
        with pytest.raises(PortAlreadyUsed, match=str(port)):
            await server.start()

    with taken:
        run(main())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_servers_do_not_share_a_port_of_the_user(protocol):
    async def main():
        async with served(SampleService(), protocol) as first:
            port = int(authority(first).rpartition(":")[2])
            with pytest.raises(PortAlreadyUsed, match=str(port)):
                await serve([listener(protocol, port)], SampleService()).start()

    run(main())


@pytest.mark.parametrize("protocol", ["http", "websocket"])
def test_a_server_that_is_bound_when_another_one_begins_to_listen_names_the_port(protocol, monkeypatch):
    """Linux lets several bind to a port; that one of them listens shows only when the next one wants to."""
    bound = uvicorn_server.bind

    def and_another_one(plan):
        sock = bound(plan)
        other = bound(plan)
        other.listen()
        others.append(other)
        return sock

    async def main():
        monkeypatch.setattr(uvicorn_server, "bind", and_another_one)
        with pytest.raises(PortAlreadyUsed, match=f"port: {port} is taken"):
            await serve([listener(protocol, port)], SampleService()).start()

    others = []
    taken, port = listening_socket()
    taken.close()
    run(main())
    others[0].close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_port_held_by_the_parent_is_shared(protocol):
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]

    async def main():
        for _ in range(2):
            server = serve([listener(protocol, port, share_port=True)], SampleService())
            await server.start()
            try:
                assert server.addresses[0].endswith(f":{port}")
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
            finally:
                await server.stop(0)

    with holder:
        run(main())


def test_all_ports_or_none():
    taken, port = listening_socket()
    free, free_port = listening_socket()
    free.close()

    async def main():
        with pytest.raises(PortAlreadyUsed):
            await serve([listener("http", free_port), listener("grpc", port)], SampleService()).start()
        socket.create_server(("127.0.0.1", free_port)).close()

    with taken:
        run(main())


def test_host_of_another_machine():
    async def main():
        for protocol in PROTOCOLS:
            with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
                await serve([listener(protocol, host="192.0.2.1")], SampleService()).start()

    run(main())


def test_all_interfaces():
    async def main():
        listeners = [listener(protocol, host="0.0.0.0") for protocol in PROTOCOLS]
        server = serve(listeners, SampleService())
        await server.start()
        try:
            assert [address.partition("://")[0] for address in server.addresses] == ["grpc", "http", "ws"]
            for address in server.addresses:
                port = int(address.rpartition(":")[2])
                assert port
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
        finally:
            await server.stop(0)

    run(main())


def test_stop_lets_requests_finish_and_refuses_new_ones():
    async def main():
        service = SampleService()
        async with served(service, "http", "grpc") as server, aiohttp.ClientSession() as session:
            channel = grpc.aio.insecure_channel(authority(server, 1))
            over_http = asyncio.create_task(session.post(url(server, "/slow"), json={"data": [{"text": "a"}]}))
            over_grpc = asyncio.ensure_future(unary(channel)(message_of("/slow", "b")))
            while service.running < 2:
                await asyncio.sleep(0.005)
            stopping = asyncio.create_task(server.stop(5.0))
            port = int(authority(server).rpartition(":")[2])
            while _accepts(port):
                await asyncio.sleep(0.005)
            assert service.running == 2
            service.release.set()
            answer = await over_http
            assert (await answer.json())["data"][0]["text"] == "a"
            assert texts_of(await over_grpc) == ["b"]
            await stopping
            await channel.close()

    run(main())


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_stop_fails_no_request_on_a_kept_connection():
    body = b'{"data": []}'
    request = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def use(port, answered):
        reading, writing = await asyncio.open_connection("127.0.0.1", port)
        head = b""
        while b"connection: close" not in head:
            writing.write(request)
            head = await reading.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            await reading.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            answered.append(1)
            await asyncio.sleep(0.002)
        writing.close()

    async def main():
        async with served(SampleService(), "http") as server:
            answered = []
            using = [asyncio.create_task(use(int(authority(server).rpartition(":")[2]), answered)) for _ in range(4)]
            while len(answered) < 20:
                await asyncio.sleep(0.005)
            await server.stop(5.0)
            await asyncio.gather(*using)

    run(main())


def test_stop_cancels_what_exceeds_the_grace(caplog):
    async def main():
        service = SampleService()
        async with served(service, "http", "grpc", "websocket") as server, aiohttp.ClientSession() as session:
            channel = grpc.aio.insecure_channel(authority(server, 1))
            over_http = asyncio.create_task(session.post(url(server, "/slow"), json={"data": []}))
            over_grpc = asyncio.ensure_future(unary(channel)(message_of("/slow", "b")))
            socket_ = await session.ws_connect(url(server, "/", 2))
            await socket_.send_str('{"data": [], "execEndpoint": "/slow"}')
            stream = await session.get(url(server, "/forever?text=t"))
            await stream.content.readany()
            while service.running < 3:
                await asyncio.sleep(0.005)
            started = time.monotonic()
            await server.stop(0.2)
            assert time.monotonic() - started < 20
            assert (service.running, service.closed.is_set()) == (0, True)
            answer = await over_http
            assert (answer.status, (await answer.json())["code"]) == (503, "Unavailable")
            assert b"event: error" in await stream.content.read()
            with pytest.raises(grpc.aio.AioRpcError):
                await over_grpc
            await socket_.close()
            await channel.close()

    run(main())
    assert "Traceback" not in caplog.text


def test_stop_twice_and_before_start():
    async def main():
        server = serve([listener("http")], SampleService())
        await server.stop(0)
        async with served(SampleService(), "grpc", "http") as server:
            await server.stop(0)

    run(main())


def test_uvicorn_options():
    async def main():
        with pytest.raises(ConfigError, match="timeout_keep_alive"):
            await serve(
                [listener("http")], SampleService(), http=HttpPlan(uvicorn_kwargs={"timeout_keepalive": 1})
            ).start()
        with pytest.raises(ConfigError, match="workers"):
            await serve([listener("http")], SampleService(), http=HttpPlan(uvicorn_kwargs={"workers": 2})).start()
        plan = HttpPlan(uvicorn_kwargs={"headers": [["x-own", "yes"]]})
        async with (
            served(SampleService(), "http", http=plan) as server,
            aiohttp.ClientSession() as session,
            session.get(url(server, "/livez")) as answer,
        ):
            assert answer.headers["x-own"] == "yes"

    run(main())


@pytest.fixture(scope="module")
def authority_file(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def certificate(authority_file):
    issuer = trustme.CA()
    made = issuer.issue_cert("127.0.0.1")
    issuer.cert_pem.write_to_path(authority_file / "ca.pem")
    made.private_key_pem.write_to_path(authority_file / "key.pem")
    with open(authority_file / "cert.pem", "wb") as file:
        file.writelines(blob.bytes() for blob in made.cert_chain_pems)
    return TlsPlan(certfile=str(authority_file / "cert.pem"), keyfile=str(authority_file / "key.pem"))


@pytest.fixture
def ca_file(certificate, authority_file):
    return str(authority_file / "ca.pem")


def test_tls(certificate, ca_file):
    async def main():
        server = serve([listener(protocol, tls=certificate) for protocol in PROTOCOLS], SampleService())
        await server.start()
        try:
            assert [address.partition("://")[0] for address in server.addresses] == ["grpcs", "https", "wss"]
            with open(ca_file, "rb") as file:
                credentials = grpc.ssl_channel_credentials(file.read())
            async with grpc.aio.secure_channel(authority(server), credentials) as channel:
                assert texts_of(await unary(channel)(message_of("/upper", "a"))) == ["A"]
            context = ssl.create_default_context(cafile=ca_file)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
                async with session.get(url(server, "/", 1)) as answer:
                    assert answer.status == 200
                async with session.ws_connect(url(server, "/", 2)) as socket_:
                    await socket_.send_str('{"data": [], "execEndpoint": "/echo"}')
                    assert json.loads(await socket_.receive_str())["data"] == []
        finally:
            await server.stop(0)

    run(main())


def test_a_certificate_that_is_renewed_while_it_is_served(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tls, "INTERVAL", 0.02)
    plan = TlsPlan(certfile=str(tmp_path / "cert.pem"), keyfile=str(tmp_path / "key.pem"))
    caplog.set_level("INFO")

    def issue(*, key=True):
        made = trustme.CA().issue_cert("127.0.0.1")
        if key:
            made.private_key_pem.write_to_path(plan.keyfile)
        made.cert_chain_pems[0].write_to_path(plan.certfile)
        return made.cert_chain_pems[0].bytes().decode()

    async def shown(server, number):
        port = int(server.addresses[number].rpartition(":")[2])
        return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=10)

    async def until_all_show(server, certificate):
        async with asyncio.timeout(20):
            for number in range(len(PROTOCOLS)):
                while await shown(server, number) != certificate:
                    await asyncio.sleep(0.02)

    async def main():
        first = issue()
        server = serve([listener(protocol, tls=plan) for protocol in PROTOCOLS], SampleService())
        await server.start()
        try:
            await until_all_show(server, first)
            second = issue()
            await until_all_show(server, second)
            issue(key=False)  # of another key
            async with asyncio.timeout(20):
                while "the previous certificate stays in use" not in caplog.text:
                    await shown(server, 0)
                    await asyncio.sleep(0.02)
            await until_all_show(server, second)
            await until_all_show(server, issue())
        finally:
            await server.stop(0)

    run(main())


def test_client_certificates(certificate, ca_file):
    async def main():
        plan = TlsPlan(certfile=certificate.certfile, keyfile=certificate.keyfile, ca_file=ca_file)
        server = serve([listener("http", tls=plan)], SampleService())
        await server.start()
        try:
            context = ssl.create_default_context(cafile=ca_file)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
                with pytest.raises(aiohttp.ClientError):
                    await session.get(url(server, "/livez"))
            context.load_cert_chain(certificate.certfile, certificate.keyfile)
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
                session.get(url(server, "/livez")) as answer,
            ):
                assert answer.status == 200
        finally:
            await server.stop(0)

    run(main())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bad_certificates_are_named(protocol, certificate, tmp_path):
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")

    async def main():
        for plan, name in (
            (TlsPlan(certfile="/no/such.pem", keyfile=certificate.keyfile), "/no/such.pem"),
            (TlsPlan(certfile=certificate.certfile, keyfile=str(nonsense)), "nonsense.pem"),
        ):
            with pytest.raises(ConfigError, match=name):
                await serve([listener(protocol, tls=plan)], SampleService()).start()

    run(main())
