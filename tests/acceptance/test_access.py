"""Who may call, and how often: 401, 403 and 429 in each protocol's own way, at a worker and at a gateway."""

import contextlib
import http.client
import json

import grpc
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jina import Client, Deployment, Executor, Flow, requests
from jina.codec import pb
from jina.codec.status import read_error
from jina.errors import Overloaded, Unauthenticated
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.flow_asking import get, health
from tests.acceptance.services import Token
from tests.acceptance.test_statuses import UNARY, message_of

BURST = 6
KEYS = [f"secret-number-{number}" for number in range(120)]
CALL = "/jina.JinaRPC/Call"
STREAM = "/jina.JinaSingleDocumentRequestRPC/stream_doc"
ONE = '{"data": [{"text": "a"}]}'
SCOPED = "scoped-secret-number"
LIMITED = [f"limited-number-{number}" for number in range(50)]

fresh, fresh_limited = iter(KEYS), iter(LIMITED)
"""Keys that no test has used."""


class Porter(Executor):
    """Shows what it is told of its callers."""

    @requests(on="/open")
    async def open(self, docs, headers=None, **kwargs):
        reply_headers = {name: value for name, value in headers.items() if "api-key" in name or name == "authorization"}
        docs[0].text = json.dumps(reply_headers, sort_keys=True)

    @requests(on="/closed")
    def closed(self, docs, **kwargs):
        pass

    @requests(on="/tokens")
    async def tokens(self, doc: Token, **kwargs) -> Token:
        for number in range(3):
            yield Token(text=f"{doc.text}{number}")


@pytest.fixture(scope="module", params=["worker", pytest.param("gateway", marks=pytest.mark.slow)])
def guarded(request, tmp_path_factory):
    """The port of each protocol, and what was started."""
    file = tmp_path_factory.mktemp("keys") / "keys.yml"
    lines = [f"limited{at}: {{key: {key}, endpoints: [/open, /tokens]}}\n" for at, key in enumerate(LIMITED)]
    file.write_text("# keys for some endpoints only\n" + "".join(lines))
    with file.open("a") as more:
        more.write(f"scoped: {{key: {SCOPED}, endpoints: [/open], scopes: [metrics]}}\n")
    options = {
        "protocol": list(PROTOCOLS),
        "host": "127.0.0.1",
        "quiet": True,
        "cors": True,
        "api_keys": [f"key{number}:{key}" for number, key in enumerate(KEYS)],
        "api_keys_file": str(file),
        "rate_limit": f"6/h burst {BURST}",
    }
    made = Deployment(uses=Porter, **options) if request.param == "worker" else Flow(**options).add(uses=Porter)
    with made as running:
        yield dict(zip(PROTOCOLS, running.ports, strict=True)), running


@pytest.fixture
def ports(guarded):
    return guarded[0]


@pytest.fixture
def key():
    return next(fresh)


@pytest.fixture
def limited():
    return next(fresh_limited)


def shown(key, form="x-api-key"):
    return {} if key is None else {"x-api-key": key} if form == "x-api-key" else {"authorization": f"Bearer {key}"}


# --- without our client: (status, name of the class, headers or metadata) ------------------------------------


def over_http(port, endpoint, headers):
    status, answered, content = get(port, endpoint, method="POST", body=ONE, headers=headers)
    return status, content.get("code"), {name.lower(): value for name, value in answered.items()}


def over_websocket(port, endpoint, headers):
    try:
        with connect(f"ws://127.0.0.1:{port}{endpoint}", additional_headers=headers, proxy=None) as socket:
            socket.send(ONE)
            content = json.loads(socket.recv(timeout=30))
            socket.send(ONE)  # whatever it was, the socket stays open
            socket.recv(timeout=30)
            return content.get("status", 200), content.get("code"), content
    except InvalidStatus as error:
        return error.response.status_code, json.loads(error.response.body)["code"], {}


def over_grpc(port, endpoint, headers, method=UNARY):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        kind = channel.unary_unary if method == UNARY else channel.unary_stream
        call = kind(method, lambda data: data, lambda data: data)
        message = message_of(endpoint, [{"text": "a"}])
        if method == STREAM:
            whole = pb.DataRequestProto.FromString(message)
            message = pb.SingleDocumentRequestProto(header=whole.header, document=whole.data.docs.docs[0])
            message = message.SerializeToString()
        try:
            answer = call(message, metadata=tuple(headers.items()), timeout=30)
            if method == STREAM:
                list(answer)
        except grpc.RpcError as error:
            trailing = dict(error.trailing_metadata())
            if "jina-status-bin" not in trailing:
                return error.code().name, None, trailing
            sent = read_error(pb.StatusProto.FromString(trailing["jina-status-bin"]))
            return error.code().name, type(sent).__name__, trailing
        return "OK", None, {}


RAW = {"grpc": over_grpc, "http": over_http, "websocket": over_websocket}
CODES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 200: "OK"}


def of(protocol, status):
    return CODES[status] if protocol == "grpc" else status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_key_in_both_headers_reaches_the_executor_in_none(ports, protocol, key, scheme):
    with client_of(ports, protocol) as client:
        both = {"x-api-key": key, "authorization": f"{scheme} {key}"}
        (text,) = client.post("/open", Token(text="a"), headers=both, return_type=None).texts
    assert set(json.loads(text)) == {"x-api-key-name"}


def test_a_token_of_the_application_stays(ports, protocol, key):
    with client_of(ports, protocol) as client:
        both = {"x-api-key": key, "authorization": "Bearer of-the-application"}
        (text,) = client.post("/open", Token(text="a"), headers=both, return_type=None).texts
    assert json.loads(text)["authorization"] == "Bearer of-the-application"


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json", "/status", "/redoc"])
def test_a_key_for_some_endpoints_opens_no_pages(ports, limited, path):
    status, _, content = get(ports["http"], path, headers=shown(limited))
    assert (status, content["code"]) == (403, "PermissionDenied")


def test_a_key_with_scopes_opens_their_pages(ports):
    found = {path: get(ports["http"], path, headers=shown(SCOPED))[0] for path in ("/metrics", "/docs", "/status")}
    assert found == {"/metrics": 200, "/docs": 403, "/status": 403}


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "PERMISSION_DENIED"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "PERMISSION_DENIED"),
        ("/jina.JinaInfoRPC/_status", "PERMISSION_DENIED"),
        ("/jina.JinaGatewayDryRunRPC/dry_run", "OK"),
    ],
)
def test_a_key_for_some_endpoints_and_descriptions_over_grpc(ports, limited, method, code):
    with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        found = "OK"
        try:
            channel.unary_unary(method)(b"", timeout=30, metadata=(("x-api-key", limited),))
        except grpc.RpcError as error:
            found = error.code().name
    assert found == code


@pytest.mark.parametrize("form", ["x-api-key", "bearer"])
def test_a_key(ports, protocol, key, form):
    assert RAW[protocol](ports[protocol], "/open", shown(key, form))[0] == of(protocol, 200)


@pytest.mark.parametrize("wrong", [None, "wrong-wrong-wrong", "", "1" * 4000])
def test_no_key_or_a_wrong_one(ports, protocol, wrong):
    for form in ("x-api-key", "bearer"):
        status, name, headers = RAW[protocol](ports[protocol], "/open", shown(wrong, form))
        if protocol == "grpc" and (wrong, form) == ("", "bearer"):
            # No value ends with a blank in HTTP/2 (RFC 9113, section 8.2.1): the call is reset before it is looked at.
            assert (status, name) == ("INTERNAL", None)
            continue
        assert (status, name) == (of(protocol, 401), "Unauthenticated")
        assert protocol != "http" or headers["www-authenticate"] == "Bearer"


def test_bytes_that_are_no_text_are_a_wrong_key(ports):
    connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=30)
    connection.putrequest("POST", "/open")
    connection.putheader("x-api-key", b"\xff\xfe\xc3")
    connection.putheader("content-length", "0")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_an_endpoint_that_the_key_does_not_open(ports, protocol, limited):
    status, name, _ = RAW[protocol](ports[protocol], "/closed", shown(limited))
    assert (status, name) == (of(protocol, 403), "PermissionDenied")
    assert RAW[protocol](ports[protocol], "/open", shown(limited))[0] == of(protocol, 200)


def test_too_many_requests(ports, protocol, key):
    """Refused with a hint; another key is served."""
    each = 2 if protocol == "websocket" else 1
    found = [RAW[protocol](ports[protocol], "/open", shown(key)) for _ in range(BURST // each + 1)]
    assert [status for status, _, _ in found] == [of(protocol, 200)] * (BURST // each) + [of(protocol, 429)]
    _, name, result = found[-1]
    assert name == "Overloaded"
    hint = {
        "grpc": lambda: float(result["grpc-retry-pushback-ms"]) / 1000,
        "http": lambda: float(result["retry-after"]),
        "websocket": lambda: result["retry_after"],
    }[protocol]()
    assert 0 < hint <= 601
    assert RAW[protocol](ports[protocol], "/open", shown(next(fresh)))[0] == of(protocol, 200)


def test_streams_of_documents_over_grpc(ports, key, limited):
    for _ in range(BURST):
        assert over_grpc(ports["grpc"], "/tokens", shown(key), STREAM)[0] == "OK"
    assert over_grpc(ports["grpc"], "/tokens", shown(key), STREAM)[0] == "RESOURCE_EXHAUSTED"
    assert over_grpc(ports["grpc"], "/tokens", {}, STREAM)[0] == "UNAUTHENTICATED"
    assert over_grpc(ports["grpc"], "/tokens", shown(limited), STREAM)[0] == "OK"
    assert over_grpc(ports["grpc"], "/async", shown(limited), STREAM)[0] == "PERMISSION_DENIED"


def test_the_bidirectional_call_answers_in_band(ports, key):
    with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        call = channel.stream_stream(CALL, lambda data: data, pb.DataRequestProto.FromString)
        messages = [message_of("/open", [{"text": "a"}])] * (BURST + 2)
        answers = list(call(iter(messages), metadata=tuple(shown(key).items()), timeout=30))
        assert sorted(answer.header.status.error for answer in answers) == [""] * BURST + ["Overloaded"] * 2
        (hint, _) = [read_error(a.header.status).retry_after for a in answers if a.header.status.error]
        assert 0 < hint <= 601
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter(messages), timeout=30))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_frames_of_one_socket_are_counted(ports, key):
    with connect(f"ws://127.0.0.1:{ports['websocket']}/open", additional_headers=shown(key), proxy=None) as socket:
        for _ in range(BURST + 2):
            socket.send(ONE)
        answers = [json.loads(socket.recv(timeout=30)) for _ in range(BURST + 2)]
    assert sorted(answer.get("status", 200) for answer in answers) == [200] * BURST + [429] * 2


def test_health_is_told_to_everybody(ports):
    for path in ("/", "/livez", "/readyz", "/startupz", "/readyz?verbose"):
        assert get(ports["http"], path)[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=30)
        connection.request("HEAD", path)
        assert connection.getresponse().status == 200
        connection.close()
    assert health(ports["grpc"]) == 1


def test_everything_else_needs_a_key(ports, key):
    for path in ("/metrics", "/docs", "/openapi.json", "/status", "/dry_run", "/redoc", "/nothing", "/open"):
        for method in ("GET", "POST", "OPTIONS", "PUT"):
            assert get(ports["http"], path, method=method)[0] == 401, (method, path)
    assert get(ports["http"], "/", method="POST", body=ONE)[0] == 401
    assert get(ports["http"], "/metrics", headers=shown(key))[0] == 200
    document = get(ports["http"], "/openapi.json", headers=shown(key))[2]
    assert document["security"] == [{"header": []}, {"bearer": []}]
    assert document["components"]["securitySchemes"]["header"]["name"] == "X-API-Key"
    preflight = {"origin": "http://x", "access-control-request-method": "POST"}
    status, headers, _ = get(ports["http"], "/open", method="OPTIONS", headers=preflight)
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
    status, headers, _ = get(ports["http"], "/open", method="POST", body=ONE, headers={"origin": "http://x"})
    assert (status, headers["access-control-allow-origin"]) == (401, "*")  # so that the page may read why


@pytest.mark.parametrize(
    "method",
    [
        "/jina.JinaDiscoverEndpointsRPC/endpoint_discovery",
        "/jina.JinaGatewayDryRunRPC/dry_run",
        "/jina.JinaInfoRPC/_status",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/nothing/at_all",
    ],
)
def test_descriptions_over_grpc_need_a_key(ports, key, method):
    with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        call = channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        if "Discover" in method:
            assert pb.EndpointsProto.FromString(call(b"", metadata=(("x-api-key", key),), timeout=30)).endpoints


def test_a_large_body_without_a_key_is_not_read(ports):
    """The answer is there before the body, which never comes."""
    connection = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=30)
    connection.putrequest("POST", "/open")
    connection.putheader("content-length", str(50_000_000))
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


# --- with our client ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def client_of(ports, protocol, **options):
    with Client(host="127.0.0.1", port=ports[protocol], protocol=protocol, **options) as made:
        yield made


@pytest.mark.parametrize("count", [1, 2], ids=["one request", "stream"])
def test_client(ports, protocol, key, count):
    with client_of(ports, protocol, api_key=key) as client:
        docs = client.post("/open", [Token(text="a")] * count, request_size=1, return_type=None)
        (content,) = {json.dumps({**json.loads(text), "x-api-key-name": "?"}) for text in docs.texts}
        assert json.loads(content) == {"x-api-key-name": "?"}  # the key itself does not reach the Executor
        assert client.is_flow_ready()
        stream = client.stream_doc("/tokens", Token(text="t"), return_type=Token)
        assert [doc.text for doc in stream] == ["t0", "t1", "t2"]
    with client_of(ports, protocol) as client:
        with pytest.raises(Unauthenticated, match="needs a key"):
            client.post("/open", [Token(text="a")] * count, request_size=1)
        assert not client.is_flow_ready()
        with pytest.raises(Unauthenticated):
            list(client.stream_doc("/tokens", Token(text="t")))
        assert client.post("/open", Token(text="a"), api_key=next(fresh))


def test_client_with_a_large_first_request(ports, key):
    with client_of(ports, "http", api_key=key) as client:
        assert len(client.post("/closed", Token(text="x" * 100_000))) == 1


def test_the_client_waits_as_long_as_it_is_told(ports, protocol, key, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    with client_of(ports, protocol, api_key=key) as client:
        for _ in range(BURST):
            client.post("/open", Token(text="a"))
        with pytest.raises(Overloaded, match="is over its rate_limit") as caught:
            client.post("/open", Token(text="a"), max_attempts=3)
    assert [seconds for seconds in waited if seconds > 30] == [pytest.approx(600, abs=60)] * 2
    assert caught.value.retry_after == pytest.approx(600, abs=60)


@pytest.mark.slow
def test_the_client_of_what_was_started_has_a_key_of_its_own(guarded):
    _, running = guarded
    (text,) = running.post("/open", Token(text="a"), return_type=None).texts
    assert json.loads(text) == {"x-api-key-name": "jina"}
    assert "jina" not in [key.name for key in front_of(running.plan).access.keys]


@pytest.mark.slow
def test_that_key_outlives_a_change_of_the_processes():
    with Deployment(uses=Porter, quiet=True, host="127.0.0.1", api_keys="secret-of-the-user") as running:
        assert running.post("/closed", Token(text="a")).texts == ["a"]
        running.roll_out()
        assert running.post("/closed", Token(text="b")).texts == ["b"]
        running.scale(2)
        assert running.post("/closed", Token(text="c")).texts == ["c"]
        with pytest.raises(Unauthenticated), Client(host="127.0.0.1", port=running.port) as client:
            client.post("/closed", Token(text="d"))


def front_of(plan):
    return plan.gateway if plan.gateway is not None else plan.workers[0]


@pytest.mark.slow
def test_per_address_where_there_are_no_keys():
    options = {"protocol": list(PROTOCOLS), "host": "127.0.0.1", "quiet": True, "rate_limit": "6/h burst 4"}
    with Deployment(uses=Porter, **options) as running:
        ports = dict(zip(PROTOCOLS, running.ports, strict=True))
        for protocol in PROTOCOLS:
            found = [RAW[protocol](ports[protocol], "/open", {})[0] for _ in range(5)]
            # HTTP and WebSocket share an address; gRPC writes it in its own way.
            expected = {"grpc": 4, "http": 4, "websocket": 0}[protocol]
            assert found == [of(protocol, 200)] * expected + [of(protocol, 429)] * (5 - expected)
        assert get(ports["http"], "/readyz")[0] == 200
