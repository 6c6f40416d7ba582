"""Both sides show certificates: clients to servers on every protocol, a gateway to a service elsewhere."""

import asyncio
import socket
import ssl
import time

import pytest

from jina import Client, Deployment, Executor, Flow, requests
from jina.errors import ConfigError, JinaError, Unavailable
from jina.net.tls import grpc_context, uvicorn_options
from jina.plan.plans import TlsPlan
from tests.acceptance.conftest import PROTOCOLS
from tests.certificates import Authority


class Sealed(Executor):
    @requests(on="/go")
    async def go(self, docs, **kwargs):
        for doc in docs:
            doc.text += "!"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By name: certificates of a server, of a client, and of another authority, their keys, and their authorities."""
    folder = tmp_path_factory.mktemp("mutual")
    made = {}
    for name, common in (("server", "localhost"), ("client", "client.example"), ("stranger", "stranger.example")):
        own = folder / name
        own.mkdir()
        issued = Authority(own).issue("127.0.0.1", common)
        made |= {f"{name} ca": issued.authority, f"{name} key": issued.key, f"{name} cert": issued.file}
    return made


@pytest.fixture(scope="module", autouse=True)
def _nothing_from_outside():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
        yield


@pytest.fixture(scope="module")
def sealed(files):
    with Deployment(
        uses=Sealed,
        protocol=list(PROTOCOLS),
        host="127.0.0.1",
        quiet=True,
        ssl_certfile=files["server cert"],
        ssl_keyfile=files["server key"],
        ssl_ca_certs=files["client ca"],
        api_keys={"gateway": "secret-of-the-gateway"},
    ) as running:
        yield dict(zip(PROTOCOLS, running.ports, strict=True))


def client_of(sealed, protocol, **options):
    return Client(host="127.0.0.1", port=sealed[protocol], protocol=protocol, tls=True, **options)


def shown(files, name):
    return {"ssl_certfile": files[f"{name} cert"], "ssl_keyfile": files[f"{name} key"]}


def test_a_certificate_that_is_trusted(sealed, files, protocol):
    options = {"ssl_ca_certs": files["server ca"], "api_key": "secret-of-the-gateway", **shown(files, "client")}
    with client_of(sealed, protocol, **options) as client:
        inputs = [{"text": "a"}, {"text": "b"}]
        assert client.post("/go", inputs, request_size=1, results_in_order=True).texts == ["a!", "b!"]
        assert client.is_flow_ready()


@pytest.mark.parametrize("name", [None, "stranger"])
def test_none_or_one_of_a_stranger(sealed, files, protocol, name):
    options = {"ssl_ca_certs": files["server ca"], **(shown(files, name) if name else {})}
    with client_of(sealed, protocol, **options) as client, pytest.raises(Unavailable):
        client.post("/go", {"text": "a"}, timeout=5)


def test_a_server_that_is_not_trusted(sealed, files, protocol):
    with (
        client_of(sealed, protocol, ssl_ca_certs=files["stranger ca"], **shown(files, "client")) as client,
        pytest.raises(Unavailable),
    ):
        client.post("/go", {"text": "a"}, timeout=5)


def test_async_clients(sealed, files, protocol):
    async def main():
        options = {"ssl_ca_certs": files["server ca"], "api_key": "secret-of-the-gateway", **shown(files, "client")}
        async with client_of(sealed, protocol, asyncio=True, **options) as client:
            return [docs.texts async for docs in client.post("/go", {"text": "a"})]

    assert asyncio.run(main()) == [["a!"]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ssl_ca_certs": "nowhere.pem"}, "ssl_ca_certs: cannot read 'nowhere.pem'"),
        ({"ssl_certfile": "nowhere.pem", "ssl_keyfile": "nowhere.key"}, "ssl_certfile: cannot read 'nowhere.pem'"),
        ({"ssl_certfile": "client cert", "ssl_keyfile": "server key"}, "are not a certificate and its key"),
        ({"ssl_ca_certs": "client key"}, "ssl_ca_certs: .* has no certificates"),
    ],
)
def test_files_of_clients_that_are_none(sealed, files, protocol, options, text):
    options = {name: files.get(value, value) for name, value in options.items()}
    with client_of(sealed, protocol, **options) as client, pytest.raises(ConfigError, match=text):
        client.post("/go", {"text": "a"}, timeout=5)


def test_authorities_of_a_server_that_are_none(files):
    for name in ("nowhere.pem", files["client key"]):
        plan = TlsPlan(certfile=files["server cert"], keyfile=files["server key"], ca_file=name)
        for checked in (grpc_context, uvicorn_options):
            with pytest.raises(ConfigError, match="ssl_ca_certs"):
                checked(plan)


@pytest.mark.slow
def test_a_gateway_shows_its_certificate_and_its_key(sealed, files):
    """The Flow itself has another certificate, which does not concern the external service."""
    own = {"ssl_certfile": files["stranger cert"], "ssl_keyfile": files["stranger key"]}
    flow = Flow(host="127.0.0.1", quiet=True, **own).add(
        name="far",
        external=True,
        host="127.0.0.1",
        port=sealed["grpc"],
        tls=True,
        ssl_ca_certs=files["server ca"],
        grpc_metadata={"x-api-key": "secret-of-the-gateway"},
        **shown(files, "client"),
    )
    with flow as running, Client(
        host="127.0.0.1", port=running.port, tls=True, ssl_ca_certs=files["stranger ca"]
    ) as client:  # fmt: skip
        assert client.post("/go", {"text": "a"}).texts == ["a!"]
        assert client.is_flow_ready()


@pytest.mark.slow
def test_a_gateway_without_certificate_does_not_become_ready(sealed, files):
    flow = Flow(host="127.0.0.1", quiet=True, timeout_ready="2s").add(
        name="far", external=True, host="127.0.0.1", port=sealed["grpc"], tls=True, ssl_ca_certs=files["server ca"]
    )
    began = time.monotonic()
    with pytest.raises(JinaError, match="far"), flow:
        pass
    assert time.monotonic() - began < 30


def test_raw_tls_asks_for_the_certificate(sealed, files):
    """The server names the authority that it trusts."""
    context = ssl.create_default_context(cafile=files["server ca"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", sealed["http"])) as sock,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        secured.recv(1)
