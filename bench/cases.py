"""The cases: what is sent to whom, and the bounds that the ratio is held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson

from bench.environments import python_of
from bench.runs import Arm, bench_server, http_get, http_request
from jina.codec import pb

UNARY = "/jina.JinaSingleDataRequestRPC/process_single_data"
BINARY = "application/vnd.docarray.doclist+protobuf"
TEXT = orjson.dumps({"data": [{"id": "a", "text": "hello world"}], "parameters": {}})


@dataclass(frozen=True)
class Case:
    """One comparison. A bound is `(peer, number)`: our CPU divided by the peer's is at most the number.

    `items` is how many things one request gives where that is what counts, such as tokens.
    """

    title: str
    arms: Callable[[], list[Arm]]
    bounds: tuple[tuple[str, float], ...]
    requests: int
    concurrency: int
    items: int = 1


def text_request(endpoint: str = "/upper") -> bytes:
    """A DataRequestProto with one short text."""
    message = pb.DataRequestProto()
    message.header.request_id = "0" * 32
    message.header.exec_endpoint = endpoint
    doc = message.data.docs.docs.add()
    doc.data["id"].text = "a"
    doc.data["text"].text = "hello world"
    return message.SerializeToString()


def vectors() -> pb.DocListProto:
    """100 documents with 768 float32 each."""
    docs = pb.DocListProto()
    for i, row in enumerate(np.random.default_rng(0).random((100, 768), dtype=np.float32)):
        doc = docs.docs.add()
        doc.data["id"].text = f"{i:032x}"
        dense = doc.data["embedding"].ndarray.dense
        dense.buffer, dense.dtype = row.tobytes(), "<f4"
        dense.shape.append(768)
        doc.data["embedding"].type = "ndarray"
    return docs


def doubled_row() -> bytes:
    """Bytes of the last doubled vector, which a right answer must hold."""
    return (np.random.default_rng(0).random((100, 768), dtype=np.float32)[-1] * 2).tobytes()


def vector_request() -> bytes:
    """A DataRequestProto with the vectors."""
    message = pb.DataRequestProto()
    message.header.exec_endpoint = "/double"
    message.data.docs.CopyFrom(vectors())
    return message.SerializeToString()


def vector_json() -> bytes:
    """The same as JSON."""
    rows = np.random.default_rng(0).random((100, 768), dtype=np.float32)
    data = [{"id": f"{i:032x}", "embedding": row} for i, row in enumerate(rows)]
    return orjson.dumps({"data": data, "parameters": {}}, option=orjson.OPT_SERIALIZE_NUMPY)


def http_text() -> list[Arm]:
    """(a) one short text over HTTP JSON."""
    jina3 = python_of("jina3")
    request = http_request("/upper", TEXT)
    direct = bench_server("jina3-http-direct", "jina3.py", jina3, protocol="http", include_gateway="false")
    default = bench_server("jina3-http-default", "jina3.py", jina3, protocol="http")
    mosec = bench_server("mosec", "peer_mosec.py", python_of("mosec"))
    return [
        Arm(bench_server("ours-http", "ours.py", protocol="http"), "http", request, b"HELLO WORLD"),
        Arm(bench_server("bare-http", "bare_http.py"), "http", request, b"HELLO WORLD"),
        Arm(bench_server("granian", "bare_granian.py", python_of("granian")), "http", request, b"HELLO WORLD"),
        Arm(mosec, "http", http_request("/inference", TEXT), b"HELLO WORLD"),
        Arm(bench_server("litserve", "peer_litserve.py", python_of("litserve")), "http", request, b"HELLO", share=0.2),
        Arm(bench_server("bentoml", "peer_bentoml.py", python_of("bentoml")), "http", request, b"HELLO", share=0.1),
        Arm(direct, "http", request, b"HELLO WORLD", share=0.2),
        Arm(default, "http", request, b"HELLO WORLD", share=0.1),
    ]


def http_ray() -> list[Arm]:
    """The same beside Ray Serve, whose processes would take their part of the machine from the other peers."""
    request = http_request("/upper", TEXT)
    ray = dataclasses.replace(bench_server("ray-serve", "peer_ray.py", python_of("ray")), patience=300.0)
    return [
        Arm(bench_server("ours-http", "ours.py", protocol="http"), "http", request, b"HELLO WORLD"),
        Arm(ray, "http", request, b"HELLO WORLD", share=0.1),
    ]


def http_text_sync() -> list[Arm]:
    """The same with a `def` handler, beside the bare server."""
    request = http_request("/upper_sync", TEXT)
    bare = http_request("/upper", TEXT)
    return [
        Arm(bench_server("ours-http-sync", "ours.py", protocol="http"), "http", request, b"HELLO WORLD"),
        Arm(bench_server("bare-http", "bare_http.py"), "http", bare, b"HELLO WORLD"),
    ]


def grpc_text() -> list[Arm]:
    """(b) one short text, gRPC unary."""
    jina3, request = python_of("jina3"), text_request()
    direct = bench_server("jina3-grpc-direct", "jina3.py", jina3, include_gateway="false")
    return [
        Arm(bench_server("ours-grpc", "ours.py"), "grpc", request, b"HELLO WORLD", UNARY),
        Arm(bench_server("bare-grpc", "bare_grpc.py"), "grpc", request, b"HELLO WORLD", UNARY),
        Arm(direct, "grpc", request, b"HELLO WORLD", UNARY, share=0.2),
        Arm(bench_server("jina3-grpc-default", "jina3.py", jina3), "grpc", request, b"HELLO WORLD", UNARY, share=0.1),
    ]


def grpc_vectors() -> list[Arm]:
    """(c) 100 documents with 768 float32, doubled, over gRPC."""
    request, expected = vector_request(), doubled_row()
    jina3 = bench_server("jina3-grpc-direct", "jina3.py", python_of("jina3"), include_gateway="false")
    return [
        Arm(bench_server("ours-grpc", "ours.py"), "grpc", request, expected, UNARY),
        Arm(bench_server("bare-grpc", "bare_grpc.py"), "grpc", request, expected, UNARY),
        Arm(jina3, "grpc", request, expected, UNARY, share=0.1),
    ]


def http_binary_vectors() -> list[Arm]:
    """(c) the same as a binary body over HTTP."""
    body, expected = vectors().SerializeToString(), doubled_row()
    ours = http_request("/double", body, BINARY, BINARY)
    bare = http_request("/double_binary", body, "application/octet-stream")
    return [
        Arm(bench_server("ours-http-binary", "ours.py", protocol="http"), "http", ours, expected),
        Arm(bench_server("bare-http-binary", "bare_http.py"), "http", bare, expected),
    ]


def http_json_vectors() -> list[Arm]:
    """(c) the same as JSON over HTTP."""
    request, expected = http_request("/double", vector_json()), b'"embedding":['
    return [
        Arm(bench_server("ours-http-json", "ours.py", protocol="http"), "http", request, expected),
        Arm(bench_server("bare-http-json", "bare_http.py"), "http", request, expected),
    ]


def sse_unpaced() -> list[Arm]:
    """(d) 1,000 tokens as server-sent events, as fast as they come."""
    jina3 = bench_server("jina3-http-direct", "jina3.py", python_of("jina3"), protocol="http", include_gateway="false")
    request = http_get("/tokens?id=a&text=x")
    ours, bare = bench_server("ours-http", "ours.py", protocol="http"), bench_server("bare-http", "bare_http.py")
    return [
        Arm(ours, "http", request, b"token ", times=1000),
        Arm(bare, "http", http_get("/tokens"), b"token ", times=1000),
        Arm(jina3, "http", request, b"token ", share=0.3, times=1000),
    ]


def chat_sse() -> list[Arm]:
    """(e) 1,000 pieces of a chat completion as server-sent events, as fast as they come."""
    asked = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    request = http_request("/v1/chat/completions", orjson.dumps(asked))
    litserve = bench_server("litserve-chat", "chat_litserve.py", python_of("litserve"))
    return [
        Arm(bench_server("ours-openai", "ours_openai.py"), "http", request, b"token ", times=1000),
        Arm(bench_server("bare-http", "bare_http.py"), "http", request, b"token ", times=1000),
        Arm(litserve, "http", request, b"token ", share=0.1, times=1000),
    ]


def embeddings() -> list[Arm]:
    """(e) vectors of ten texts in OpenAI's form, beside the same endpoint in ours."""
    texts = [f"text {i}" for i in range(10)]
    asked = {"model": "embed", "input": texts}
    floats = http_request("/v1/embeddings", orjson.dumps({**asked, "encoding_format": "float"}))
    coded = http_request("/v1/embeddings", orjson.dumps({**asked, "encoding_format": "base64"}))
    plain = orjson.dumps({"data": [{"text": text} for text in texts]})
    return [
        Arm(bench_server("ours-openai", "ours_openai.py"), "http", floats, b'"embedding":[', times=10),
        Arm(bench_server("ours-base64", "ours_openai.py"), "http", coded, b'"embedding":"', times=10),
        Arm(bench_server("ours-json", "ours_openai.py"), "http", http_request("/embed", plain), b'"embedding":['),
    ]


CASES = {
    "http_text": Case(
        "HTTP JSON, one short text",
        http_text,
        (("bare-http", 1.6), ("mosec", 1.0), ("litserve", 1 / 8), ("jina3-http-direct", 1 / 8)),
        1000,
        32,
    ),
    "http_ray": Case("HTTP JSON, one short text, beside Ray Serve", http_ray, (("ray-serve", 1 / 8),), 1000, 32),
    "http_text_sync": Case("HTTP JSON, one short text, `def` handler", http_text_sync, (), 1000, 32),
    "grpc_text": Case(
        "gRPC unary, one short text",
        grpc_text,
        (("bare-grpc", 0.25), ("jina3-grpc-direct", 1 / 3), ("jina3-grpc-default", 1 / 6)),
        1000,
        32,
    ),
    "grpc_vectors": Case(
        "gRPC, 100 documents of 768 float32, doubled",
        grpc_vectors,
        (("bare-grpc", 0.9), ("jina3-grpc-direct", 1 / 4)),
        300,
        4,
    ),
    "http_binary_vectors": Case(
        "HTTP binary, 100 documents of 768 float32, doubled", http_binary_vectors, (("bare-http-binary", 2.5),), 400, 4
    ),
    "http_json_vectors": Case(
        "HTTP JSON, 100 documents of 768 float32, doubled", http_json_vectors, (("bare-http-json", 2.0),), 40, 4
    ),
    "sse_unpaced": Case("Server-sent events, 1,000 tokens without a pause", sse_unpaced, (), 20, 4, items=1000),
    "chat_sse": Case("A chat completion of 1,000 pieces as events", chat_sse, (("bare-http", 2.0),), 20, 4, items=1000),
    "embeddings": Case("Vectors of ten texts in OpenAI's form", embeddings, (("ours-json", 1.3),), 400, 16),
}
