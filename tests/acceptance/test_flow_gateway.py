"""What the gateway of a Flow shows and checks on each protocol: the same as a single Executor does."""

import asyncio
import json
import ssl
from pathlib import Path

import pytest
from docarray import DocList

from jina import Client, Flow
from jina.errors import EndpointNotFound, TooLarge, ValidationFailed
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.flow_asking import get
from tests.acceptance.flow_services import First, Middle, Receipt
from tests.acceptance.services import Item, Token
from tests.acceptance.test_statuses import RAW
from tests.certificates import certificate

LARGE = "x" * 300_000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def client(port_of, protocol):
    with Client(host="127.0.0.1", port=port_of[protocol], protocol=protocol) as made:
        yield made


# --- requests ----------------------------------------------------------------------------------------------


def test_documents_of_the_first_and_of_the_last(client):
    (made,) = client.post("/typed", DocList[Item]([Item(text="a", number=4)]), return_type=DocList[Receipt])
    assert (made.text, made.total) == ("a", 8)


def test_parameters_keep_their_types(client):
    given = {"k": 3, "big": 2**60 + 1, "f": 2.0, "n": None, "deep": {"list": [1, 2.5, "x", True]}}
    text = client.post("/parameters", Token(), parameters=given, return_type=Token).text
    shown = repr(dict(sorted(given.items())))
    assert text == "|".join([shown] * 3)


def test_parameters_of_one_step(client):
    text = client.post("/parameters", Token(), parameters={"k": 1, "last__k": 2**60 + 1}, return_type=Token).text
    assert text == f"{{'k': 1}}|{{'k': 1}}|{{'k': {2**60 + 1}}}"


def test_headers_reach_handlers(client):
    headers = {"x-colour": "green", "traceparent": TRACE}
    text = client.post("/headers", Token(), metadata=headers, return_type=Token).text
    assert text == f"[green {TRACE}]" * 3


# --- what is wrong with a request ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3], ids=["one request", "stream"])
def test_unknown_endpoint(client, count):
    with pytest.raises(EndpointNotFound, match=r"(?s)(?=.*did you mean '?/typed'?\?)(?=.*/parameters)"):
        client.post("/type", [Token()] * count, request_size=1)


ONE = json.dumps({"data": [{"text": "a", "number": 1}]})
WRONG = json.dumps({"data": [{"text": "a", "number": 1}, {"text": "b", "number": "many"}]})


@pytest.mark.parametrize("protocol", ["grpc", "http"])  # a socket is refused at its handshake
def test_unknown_endpoint_raw(port_of, protocol):
    status, code, text = RAW[protocol](port_of[protocol], "/type", ONE)
    assert status == ("NOT_FOUND" if protocol == "grpc" else 404)
    assert code in {None, "EndpointNotFound"}
    assert "/typed" in text


def test_wrong_documents_raw(port_of, protocol):
    status, code, text = RAW[protocol](port_of[protocol], "/typed", WRONG)
    assert status == ("INVALID_ARGUMENT" if protocol == "grpc" else 422)
    assert code in {None, "ValidationFailed"}
    assert "number" in text


def test_wrong_documents_keep_their_places(port_of):
    status, _, body = get(port_of["http"], "/typed", method="POST", body=WRONG)
    assert status == 422
    (error,) = body["errors"]
    assert error["loc"] == ["body", "data", 1, "number"]
    assert error["input"] == "many"


def test_the_client_raises_what_was_wrong(client):
    with pytest.raises(ValidationFailed, match="number"):
        client.post("/typed", Token(text="a"))


def test_too_large(client, port_of, protocol):
    with pytest.raises(TooLarge, match="max_message_size"):
        client.post("/typed", Item(text=LARGE, number=1))
    if protocol != "websocket":  # which closes the socket: 1009
        body = json.dumps({"data": [{"text": LARGE, "number": 1}]})
        status, code, text = RAW[protocol](port_of[protocol], "/typed", body)
        assert status == ("RESOURCE_EXHAUSTED" if protocol == "grpc" else 413)
        assert code in {None, "TooLarge"}
        assert "max_message_size" in text
    assert client.post("/typed", Item(text="a", number=1), return_type=DocList[Receipt])[0].total == 2


@pytest.mark.parametrize("name", ["Gzip", "Deflate"])
def test_compression(port_of, name):
    with Client(host="127.0.0.1", port=port_of["grpc"]) as made:
        text = "x" * 100_000
        assert made.post("/echo", Token(text=text), compression=name, return_type=Token).text == f"{text}+m+l"


# --- pages -------------------------------------------------------------------------------------------------


def test_cors(port_of):
    headers = {"origin": "http://example.com", "access-control-request-method": "POST"}
    status, reply_headers, _ = get(port_of["http"], "/typed", method="OPTIONS", headers=headers)
    reply_headers = {name.lower(): value for name, value in reply_headers.items()}
    assert status in {200, 204}
    assert reply_headers["access-control-allow-origin"] == "*"
    assert "POST" in reply_headers["access-control-allow-methods"]
    reply_headers = get(port_of["http"], "/typed", method="POST", body=ONE, headers={"origin": "http://example.com"})[1]
    assert {name.lower(): value for name, value in reply_headers.items()}["access-control-allow-origin"] == "*"


def test_openapi(port_of):
    """A route for each endpoint: documents of the first Executor that takes it, and of the last."""
    status, _, schema = get(port_of["http"], "/openapi.json")
    assert status == 200
    assert (schema["info"]["title"], schema["info"]["description"]) == ("Line", "Three in a row")
    assert {"/typed", "/wait", "/echo", "/sync-tokens", "/status", "/dry_run"} <= schema["paths"].keys()
    route = schema["paths"]["/typed"]["post"]
    taken = fields_of(schema, route["requestBody"]["content"]["application/json"]["schema"])
    given = fields_of(schema, route["responses"]["200"]["content"]["application/json"]["schema"])
    assert {"text", "number"} <= taken
    assert {"text", "total"} <= given
    assert "number" not in given


def fields_of(schema, part):
    """The fields of the documents in `data`."""
    found = resolved(schema, resolved(schema, part)["properties"]["data"])
    options = [found, *found.get("anyOf", [])]
    items = next(option["items"] for option in options if "items" in option)
    return set(resolved(schema, items)["properties"])


def resolved(schema, part):
    while "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        part = schema["components"]["schemas"][name]
    return part


def test_status_and_dry_run(port_of):
    status, _, result = get(port_of["http"], "/status")
    assert status == 200
    assert "jina" in result
    status, _, result = get(port_of["http"], "/dry_run")
    assert status == 200
    assert result["code"] == 0
    for page in ("/readyz", "/livez", "/startupz", "/metrics"):
        assert get(port_of["http"], page)[0] == 200


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """Two steps with a certificate on all protocols, few routes, and one request of a connection at a time."""
    made = certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", made.authority)  # its own client trusts it too
        patch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
        flow = Flow(
            protocol=list(PROTOCOLS),
            host="127.0.0.1",
            quiet=True,
            **made.options,
            no_debug_endpoints=True,
            expose_endpoints={"/echo": {"methods": ["PUT"], "summary": "Says it again"}},
            compression="Gzip",
            prefetch=2,
        )
        with flow.add(name="first", uses=First).add(name="middle", uses=Middle) as running:
            yield running, dict(zip(PROTOCOLS, running.port, strict=True)), Path(made.authority)


def test_tls(secured, protocol):
    flow, ports, _ = secured
    assert flow.post("/echo", Token(text="a"), return_type=Token).text == "a+m"
    with Client(host="localhost", port=ports[protocol], protocol=protocol, tls=True) as made:
        assert made.post("/echo", Token(text="a"), return_type=Token).text == "a+m"
        assert made.is_flow_ready()
        stream = made.stream_doc("/numbers", Token(text="n"), return_type=Token)
        assert [doc.text for doc in stream] == [f"n{i}" for i in range(5)]
    with (
        Client(host="localhost", port=ports[protocol], protocol=protocol) as made,
        pytest.raises(Exception, match=str(ports[protocol])),
    ):
        made.post("/echo", Token(text="a"), timeout=10)


def test_few_routes(secured):
    import http.client

    _, ports, authority = secured
    context = ssl.create_default_context(cafile=authority)

    def ask(path, method="GET", body=None):
        connection = http.client.HTTPSConnection("localhost", ports["http"], timeout=30, context=context)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    schema = ask("/openapi.json")[1]
    assert not {"/status", "/dry_run"} & schema["paths"].keys()
    assert schema["paths"]["/echo"]["put"]["summary"] == "Says it again"
    assert ask("/status")[0] in {404, 405}
    status, body = ask("/echo", "PUT", ONE)
    assert status == 200
    assert body["data"][0]["text"] == "a+m"


@pytest.mark.parametrize("protocol", ["grpc", "websocket"])
def test_prefetch(secured, protocol):
    """At most two requests of one connection are in work."""
    _, ports, _ = secured

    async def main():
        async with Client(host="localhost", port=ports[protocol], protocol=protocol, tls=True, asyncio=True) as made:
            async with asyncio.timeout(30):
                counts = []
                watch = Client(host="localhost", port=ports["grpc"], tls=True, asyncio=True)

                async def look():
                    while True:
                        (response,) = [r async for r in watch.post("/count", return_responses=True)]
                        counts.append(response.parameters["__results__"]["first/rep-0"]["inside"])
                        if counts.count(2) > 20:
                            await anext(watch.post("/gate", parameters={"open": True}, return_responses=True))
                            return

                await anext(watch.post("/gate", parameters={"open": False}, return_responses=True))
                looking = asyncio.create_task(look())
                tokens = [Token(text=str(number)) for number in range(10)]
                where = {"at": "first"}
                found = made.post("/wait", tokens, parameters=where, request_size=1, return_type=DocList[Token])
                texts = [doc.text async for docs in found for doc in docs]
                await looking
                await watch.close()
        return sorted(texts), max(counts)

    texts, most = asyncio.run(main())
    assert texts == [f"{number}fm" for number in range(10)]
    assert most == 2
