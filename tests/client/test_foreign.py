"""Servers of another make: what Jina 3's answer, and what is no jina at all."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from docarray import DocList

from jina import Client
from jina.codec import pb
from jina.errors import BadClient, BadServer, EndpointNotFound, ExecutorError, Unavailable, ValidationFailed
from tests.client.note_server import Note


class FastApiLike(BaseHTTPRequestHandler):
    """Answers like Jina 3's HTTP servers: bare FastAPI errors, JSON only."""

    protocol_version = "HTTP/1.1"
    paths = ("/echo", "/default")
    seen: list

    def log_message(self, *_):
        pass

    def reply(self, status, content, content_type="application/json"):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/openapi.json":
            self.reply(200, {"paths": {path: {"post": {}} for path in self.paths}})
        elif self.path == "/dry_run":
            self.reply(200, {"code": 1, "description": "worker down", "exception": None})
        elif self.path == "/tokens":
            doc = json.loads(self.rfile.read(int(self.headers["content-length"])))
            update = b"event: update\r\ndata: " + json.dumps(doc).encode() + b"\r\n\r\n"
            self.reply(200, update * 2 + b": ping\r\n\r\nevent: end\r\n\r\n", "text/event-stream; charset=utf-8")
        elif self.path == "/cut":
            self.reply(200, b"event: update\r\ndata: {}\r\n\r\n", "text/event-stream; charset=utf-8")
        else:
            self.reply(404, {"detail": "Not Found"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        type(self).seen.append((self.path, body))
        if self.path in {"/tokens", "/cut"}:
            self.reply(405, {"detail": "Method Not Allowed"})
        elif self.path == "/broken":
            self.reply(500, {"detail": "ValueError('boom', 3)"})
        elif self.path == "/crash":
            self.reply(500, b"Internal Server Error", "text/plain")
        elif self.path == "/strict":
            self.reply(422, {"detail": [{"type": "missing", "loc": ["body", "data"], "msg": "Field required"}]})
        elif self.path == "/away":
            self.reply(503, {"detail": "worker down"})
        elif self.path == "/graphql":
            ok = "docs" in body["query"]
            self.reply(200, {"data": {"docs": []}} if ok else {"errors": [{"message": "no such field"}]})
        elif self.path in self.paths:
            header = {"request_id": body["header"]["request_id"], "target_executor": ""}
            self.reply(200, {"data": body["data"], "parameters": body.get("parameters", {}), "header": header})
        else:
            self.reply(404, {"detail": "Not Found"})

    do_OPTIONS = do_GET


@contextmanager
def http_server(*paths):
    kind = type("Handler", (FastApiLike,), {"paths": paths, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    client = Client(host=f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield client, kind
    finally:
        client.close()
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_path_of_the_endpoint():
    with http_server("/echo", "/default") as (client, kind):
        docs = client.post("/echo", [Note(text="a")], parameters={"k": 3}, return_type=DocList[Note])
        assert docs[0].text == "a"
        [(path, body)] = kind.seen
        assert path == "/echo"
        assert body["parameters"] == {"k": 3}
        assert len(body["header"]["request_id"]) == 32


def test_default_path():
    with http_server("/echo", "/default") as (client, kind):
        for _ in range(2):
            assert client.post("/foo", Note(text="a"), return_type=Note).text == "a"
        assert [path for path, _ in kind.seen] == ["/foo", "/default", "/default"]


def test_post_path_of_older_servers():
    with http_server("/post") as (client, kind):
        client.post("/foo", Note(text="a"))
        assert kind.seen[-1][0] == "/post"
        assert kind.seen[-1][1]["execEndpoint"] == "/foo"


def test_no_path_at_all():
    with http_server("/echo") as (client, _), pytest.raises(EndpointNotFound, match="/echo"):
        client.post("/ecko", Note())


def test_large_bodies_stay_json():
    with http_server("/echo") as (client, kind):
        assert client.post("/echo", Note(text="x" * 200_000), return_type=Note).text[0] == "x"
        assert len(kind.seen) == 1


@pytest.mark.parametrize(
    ("endpoint", "kind", "text"),
    [
        ("/broken", BadServer, r"ValueError\('boom', 3\)"),
        ("/crash", BadServer, "Internal Server Error"),
        ("/strict", ValidationFailed, "Field required"),
        ("/away", Unavailable, "worker down"),
    ],
)
def test_errors(endpoint, kind, text):
    with http_server() as (client, _), pytest.raises(kind, match=text):
        client.post(endpoint, Note())


def test_not_ready():
    with http_server() as (client, _):
        assert not client.is_flow_ready()


def test_streams():
    with http_server() as (client, _):
        assert [doc.text for doc in client.stream_doc("/tokens", Note(text="a"), return_type=Note)] == ["a", "a"]
        with pytest.raises(BadServer, match="cut"):
            list(client.stream_doc("/cut", Note(text="a"), return_type=Note))


def test_mutate():
    with http_server() as (client, _):
        assert client.mutate("mutation { docs { id } }") == {"data": {"docs": []}}
        with pytest.raises(BadClient, match="no such field"):
            client.mutate("mutation { nothing }")


class OnlyCall(grpc.GenericRpcHandler):
    """A gRPC server that knows nothing but the bidirectional `Call`, and answers as its endpoint says."""

    def service(self, details):
        if details.method != "/jina.JinaRPC/Call":
            return None
        return grpc.stream_stream_rpc_method_handler(
            self.call, pb.DataRequestProto.FromString, pb.DataRequestProto.SerializeToString
        )

    @staticmethod
    def call(requests, context):
        for number, request in enumerate(requests):
            match request.header.exec_endpoint:
                case "/boom":
                    request.header.status.code = pb.StatusProto.ERROR
                    request.header.status.description = "ValueError('boom')"
                    request.header.status.exception.name = "ValueError"
                    request.header.status.exception.stacks.append("line 1\n")
                case "/away":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "|Gateway: Communication error with deployment e")
                case "/missing":
                    context.abort(grpc.StatusCode.NOT_FOUND, "|Gateway: no such worker")
                case "/few" if number:
                    return
            yield request


@pytest.fixture(scope="module")
def old_grpc():
    server = grpc.server(ThreadPoolExecutor(4), handlers=[OnlyCall()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(port=port) as client:
        yield client
    server.stop(0).wait(10)


def test_call_is_used_where_the_unary_method_lacks(old_grpc):
    for _ in range(2):
        assert old_grpc.post("/echo", Note(text="a"), return_type=Note).text == "a"


def test_errors_of_jina_3(old_grpc):
    with pytest.raises(ExecutorError, match="boom") as caught:
        old_grpc.post("/boom", Note())
    assert caught.value.name == "ValueError"
    for endpoint in ("/away", "/missing"):
        with pytest.raises(ConnectionError, match="Gateway"):
            old_grpc.post(endpoint, Note())


def test_unanswered_requests_are_an_error(old_grpc):
    with pytest.raises(BadServer, match="unanswered"):
        old_grpc.post("/few", [Note()] * 5, request_size=1)


def test_a_peer_without_dry_run_and_health_is_not_ready(old_grpc):
    assert not old_grpc.is_flow_ready()


def test_a_call_that_the_server_cancels_is_unavailable():
    """gRPC does so with calls that came while it stops."""

    class Cancelling(grpc.GenericRpcHandler):
        def service(self, handler_call_details):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: context.cancel())

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[Cancelling()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with Client(host="127.0.0.1", port=port) as client, pytest.raises(Unavailable, match="ended the call"):
                client.post("/echo", timeout=10)
        finally:
            server.stop(0).wait()
