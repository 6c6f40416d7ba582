"""Writes tests/codec/golden from Jina 3.34 itself; run in the environment of `scripts/env.sh jina3`:

    JINA_OPTOUT_TELEMETRY=1 .cache/env-jina3/bin/python tests/codec/make_golden.py [FOLDER]

`documents.json`: each sample document as Jina 3's DocArray serialises it (base64), `requests.json`: whole messages,
`http.json`: bodies sent to an HTTP Deployment without a gateway, and what it answered.
"""

import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from docarray import DocList  # noqa: E402
from jina.proto import jina_pb2  # noqa: E402
from jina.types.request.data import DataRequest  # noqa: E402

import documents as d  # noqa: E402
from jina import Deployment, Executor, requests  # noqa: E402

GOLDEN = Path(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else HERE / "golden"
CLASSES = {"text": d.Text, "scalars": d.Scalars, "containers": d.Containers, "nested": d.Nested, "embedded": d.Embedded}


class Echo(Executor):
    """Gives back what it gets."""

    @requests(on="/text")
    def text(self, docs: DocList[d.Text], parameters, **kwargs) -> DocList[d.Text]:
        if parameters.get("fail"):
            raise ValueError("boom", 3)
        return docs

    @requests(on="/scalars")
    def scalars(self, docs: DocList[d.Scalars], **kwargs) -> DocList[d.Scalars]:
        return docs

    @requests(on="/containers")
    def containers(self, docs: DocList[d.Containers], **kwargs) -> DocList[d.Containers]:
        return docs

    @requests(on="/nested")
    def nested(self, docs: DocList[d.Nested], **kwargs) -> DocList[d.Nested]:
        return docs

    @requests(on="/embedded")
    def embedded(self, docs: DocList[d.Embedded], **kwargs) -> DocList[d.Embedded]:
        return docs

    @requests(on="/dtype")
    def dtype(self, docs: DocList[d.Embedded], **kwargs) -> DocList[d.Text]:
        return DocList[d.Text](d.Text(text=f"{doc.embedding.dtype} {list(doc.embedding.shape)}") for doc in docs)

    @requests(on="/results")
    def results(self, docs: DocList[d.Text], parameters, **kwargs):
        return {"seen": parameters, "count": len(docs)}


def shown_by_docarray(doc):
    try:
        return json.loads(doc.to_json())
    except ValueError:  # bytes that are not UTF-8
        return None


def bodies():
    for name, cls in CLASSES.items():
        for doc in d.samples().values():
            shown = shown_by_docarray(doc) if type(doc) is cls else None
            if shown is not None:
                yield f"/{name}", {"data": [shown]}
    for value in (
        [0.1, 0.2],
        [1, 2],
        [1, 0.5],
        [],
        [[1, 2], [3, 4]],
        [True, False],
        16777217.5,
        [16777217.5],
        [2**53 + 1],
        [None, 1.5],
        ["a"],
        [[1], [2, 3]],
        "[1, 2]",
        3,
        None,
        {"a": 1},
    ):
        yield "/dtype", {"data": [{"embedding": value}]}
        yield "/embedded", {"data": [{"id": "e", "embedding": value}]}
    for body in (
        {"data": [{"text": "a"}]},
        {"data": {"text": "a"}},
        {"data": [{"id": "1", "text": "a", "unknown": 1}]},
        {"data": []},
        {"data": [{}]},
        {"data": [{"text": 1}]},
        {"data": [{"text": None}]},
        {"data": "x"},
        {"data": [1]},
        {"data": [{"id": None, "text": "a"}]},
        {"data": [{"id": 5, "text": "a"}]},
        {"data": [{"text": "a"}], "parameters": {"a": 1, "b": [1.5, None], "big": 2**53 + 1}},
        {"data": [{"text": "a"}], "parameters": None},
        {"data": [{"text": "a"}], "parameters": 3},
        {"data": [{"text": "a"}], "header": {"request_id": "r1"}},
        {"data": [{"text": "a"}], "header": {"requestId": "r1"}},
        {"data": [{"text": "a"}], "header": {"request_id": "r1", "target_executor": "x"}},
        {"data": [{"text": "a"}], "header": {}},
        {"data": [{"text": "a"}], "parameters": {"fail": True}},
        {"parameters": {}},
        {},
        [],
        [{"text": "a"}],
        {"text": "a"},
        "x",
        None,
        3,
        {"data": [{"text": "héllo ☃ \U0001f600"}]},
    ):
        yield "/text", body
    yield "/results", {"data": [{"text": "a"}], "parameters": {"n": 1}}
    for extra in (
        {"count": "7"},
        {"count": 7.0},
        {"count": 7.5},
        {"count": True},
        {"count": 2**40},
        {"count": 2**70},
        {"ratio": 3},
        {"ratio": "1.5"},
        {"ratio": None},
        {"flag": 1},
        {"flag": "yes"},
        {"blob": "text"},
        {"blob": "ünï"},
        {"either": "7"},
        {"either": 7},
        {"either": 7.5},
        {"several": 1.0},
        {"choice": "c"},
        {"choice": 3},
        {"color": "blue"},
        {"color": "green"},
        {"size": 2},
        {"anything": {"a": [1, None]}},
        {"maybe_count": None},
    ):
        yield "/scalars", {"data": [{"text": "x", **extra}]}
    for extra in (
        {"unique": [1, 1, 2]},
        {"pair": [1, "a"]},
        {"pair": [1]},
        {"table": {"a": "1"}},
        {"numbers": ["1", 2]},
        {"tags": {"a": 1, "b": 1.0}},
        {"maybe": [None]},
    ):
        yield "/containers", {"data": [{"id": "c", **extra}]}


RAW = (
    b"",
    b"not json",
    b'{"data": [{"text": "a"}]',
    b'{"data": [{"text": "a"}], "data": [{"text": "b"}]}',
    b'{"data": [{"text": "\xff"}]}',
    b'{"data": [{"embedding": [NaN, Infinity]}]}',
    b" \n",
    b'\xef\xbb\xbf{"data": [{"text": "a"}]}',
)


def post(port, endpoint, body, content_type="application/json"):
    headers = {} if content_type is None else {"Content-Type": content_type}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{endpoint}", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            status, answer = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, answer = error.code, error.read()
    try:
        shown = json.loads(answer)
    except ValueError:
        shown = answer.decode(errors="replace")
    return {
        "endpoint": endpoint,
        "body": base64.b64encode(body).decode(),
        "content_type": content_type,
        "status": status,
        "answer": shown,
    }


def http_exchanges():
    with Deployment(uses=Echo, protocol="http", include_gateway=False, host="127.0.0.1", timeout_ready=60000) as server:
        port = server.port
        for endpoint, body in bodies():
            yield post(port, endpoint, json.dumps(body).encode())
        for raw in RAW:
            yield post(port, "/embedded" if b"embedding" in raw else "/text", raw)
        for content_type in (None, "text/plain", "application/json; charset=utf-8"):
            yield post(port, "/text", b'{"data": [{"text": "a"}]}', content_type)
        yield post(port, "/nothing", b'{"data": []}')


def proto_requests():
    request = DataRequest()
    request.header.request_id = "r" * 32
    request.header.exec_endpoint = "/search"
    request.header.target_executor = "exec.*"
    request.parameters = {"a": 1, "b": [1.5, None, {"c": True}], "d": "x", "__results__": {"e/rep-0": {"n": 2.0}}}
    request.document_array_cls = DocList[d.Text]
    request.data.docs = DocList[d.Text]([d.Text(id="1", text="a"), d.Text(id="2", text="b")])
    yield "data_request", request.proto.SerializePartialToString()
    failed = DataRequest()
    try:
        raise ValueError("boom", 3)
    except ValueError as error:
        failed.add_exception(error, executor=None)
    for line in range(len(failed.header.status.exception.stacks)):
        failed.header.status.exception.stacks[line] = f"line {line}\n"
    yield "failed_request", failed.proto.SerializePartialToString()
    yield "descriptor", jina_pb2.DESCRIPTOR.serialized_pb


def main():
    GOLDEN.mkdir(exist_ok=True, parents=True)
    encoded = {
        name: base64.b64encode(doc.to_protobuf().SerializeToString(deterministic=True)).decode()
        for name, doc in d.samples().items()
    }
    write("documents.json", encoded)
    write("requests.json", {name: base64.b64encode(data).decode() for name, data in proto_requests()})
    write("http.json", list(http_exchanges()))


def write(name, value):
    (GOLDEN / name).write_text(json.dumps(value, indent=1, ensure_ascii=True, allow_nan=True) + "\n")


if __name__ == "__main__":
    main()
