"""Files over HTTP: forms, raw bodies, data URLs, answers that are files, and what is refused."""

import asyncio
import base64
import io
import json
import os
import resource
from collections.abc import AsyncIterator

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from PIL import Image
from pydantic import Base64Bytes, BaseModel

from jina import Executor, File, requests
from jina.documents import uploads
from jina.worker.local import InProcessApp

BOUNDARY = "----b"


class Picture(File):
    accepts = ("image/*",)


class Meta(BaseModel):
    title: str
    data: bytes
    coded: Base64Bytes | None = None


class Loose(BaseDoc):
    file: File
    k: int = 0


class Shape(BaseDoc):
    shape: list[int] = []


class Tensor(BaseDoc):
    tensor: NdArray


class Files(Executor):
    """Takes files."""

    @requests(on="/turn", safe=True)
    def turn(self, image: Picture, angle: int = 90) -> Picture:
        """Turn an image round."""
        with Image.open(image.open()) as found:
            target = io.BytesIO()
            found.rotate(angle, expand=True).save(target, "PNG")
        return Picture(name=f"turned-{image.name}", media_type="image/png", data=target.getvalue())

    @requests(on="/about")
    def about(self, file: File, tags: list[str] | None = None) -> dict:
        return {"name": file.name, "type": file.media_type, "size": file.size, "disk": bool(file.path), "tags": tags}

    @requests(on="/meta")
    def meta(self, meta: Meta) -> dict:
        return {"title": meta.title, "data": meta.data.hex(), "coded": meta.coded and meta.coded.hex()}

    @requests(on="/raw")
    def raw(self, data: bytes) -> bytes:
        return data[::-1]

    @requests(on="/several")
    def several(self, files: list[File]) -> list[str]:
        return [f"{file.name}:{file.read().decode()}" for file in files]

    @requests(on="/documents")
    def documents(self, docs: DocList[Loose], **kwargs) -> DocList[Loose]:
        for doc in docs:
            doc.k += 1
        return docs

    @requests(on="/array")
    def array(self, docs: DocList[Tensor], **kwargs) -> DocList[Shape]:
        return DocList[Shape]([Shape(shape=list(doc.tensor.shape)) for doc in docs])

    @requests(on="/big", safe=True)
    def big(self, size: int = 1_000_000) -> File:
        return File(name="big.bin", data=bytes(range(250)) * (size // 250))

    @requests(on="/sizes")
    async def sizes(self, file: File) -> AsyncIterator[int]:
        with file.open() as content:
            while piece := content.read(1_000_000):
                yield len(piece)

    @requests(on="/text")
    def text(self, text: str) -> str:
        return text

    @requests(on="/order")
    def order(self, name: str, count: int = 1, gift: bool = False, tags: list[str] | None = None) -> dict:
        return {"name": name, "count": count, "gift": gift, "tags": tags}


def part(name, content, *, file=None, kind=None):
    head = f'Content-Disposition: form-data; name="{name}"'
    head += f'; filename="{file}"' if file is not None else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), content)


def form(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


async def ask(app, method, path, body=b"", kind=None, *, query="", piece=65536, **headers):
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if kind:
        given.append((b"content-type", kind.encode()))
    scope = {
        "type": "http", "method": method, "path": path, "root_path": "", "query_string": query.encode(),
        "http_version": "1.1", "headers": given,
    }  # fmt: skip
    rest, sent, complete = io.BytesIO(body), [], []

    async def receive():
        if complete and rest.tell() >= len(body):
            await asyncio.Event().wait()  # the client stays: there is nothing to tell until the answer
        data = rest.read(piece)
        complete.append(data)
        return {"type": "http.request", "body": data, "more_body": rest.tell() < len(body)}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where uploads wait."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def call(worker, temporary):
    def one(*args, max_upload_size=2 << 30, max_message_size=64 << 20, **options):
        plan = worker.plan(max_upload_size=max_upload_size, max_message_size=max_message_size)

        async def main():
            app = InProcessApp(plan, Files)
            try:
                return await ask(app, *args, **options)
            finally:
                await app._stop()

        answer = asyncio.run(main())
        assert waiting(temporary) == []
        return answer

    return one


def waiting(folder):
    return [name for _, _, files in os.walk(folder) for name in files if name != "lock"]


def png(width=2, height=3):
    target = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(target, "PNG")
    return target.getvalue()


def size_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.size


@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_an_image_goes_in_as_a_form_and_comes_out_as_it_is(call, piece):
    body = form(part("image", png(), file="red.png", kind="image/png"), part("angle", b"90"))
    status, headers, data = call("POST", "/turn", *body, piece=piece)
    assert (status, headers[b"content-type"]) == (200, b"image/png")
    assert headers[b"content-disposition"] == b"inline; filename*=UTF-8''turned-red.png"
    assert size_of(data) == (3, 2)


def test_an_image_goes_in_as_the_body(call):
    status, headers, data = call("POST", "/turn", png(4, 1), "image/png", query="angle=90", accept="image/*")
    assert (status, headers[b"content-type"], size_of(data)) == (200, b"image/png", (1, 4))


def test_an_image_goes_in_and_out_as_a_data_url(call):
    url = "data:image/png;name=a.png;base64," + base64.b64encode(png()).decode()
    body = json.dumps({"image": url, "angle": 90}).encode()
    status, headers, data = call("POST", "/turn", body, "application/json", accept="application/json")
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    answer = json.loads(data)
    assert answer.startswith("data:image/png;name=turned-a.png;base64,")
    assert size_of(base64.b64decode(answer.partition("base64,")[2])) == (3, 2)


@pytest.mark.parametrize(
    "sent",
    [
        ("POST", "/turn", b"hello", "text/plain"),
        ("POST", "/turn", b"%PDF", "application/pdf"),
        ("POST", "/turn", *form(part("image", b"hello", file="a.txt", kind="text/plain"))),
        ("POST", "/turn", *form(part("image", b"hello", file="a"))),
        ("POST", "/text", b"x", "image/png"),
        ("POST", "/text", *form(part("text", b"x", file="a.png", kind="image/png"))),
        ("POST", "/post", *form(part("text", b"x"))),
        ("POST", "/text", b"x", "multipart/mixed; boundary=x"),
    ],
)
def test_other_media_types_are_refused(call, sent):
    status, _, data = call(*sent)
    assert status == 415, data
    assert json.loads(data)["code"] == "UnsupportedMediaType"


def test_a_data_url_of_another_media_type_is_refused(call):
    body = json.dumps({"image": "data:text/plain;base64,aGVsbG8="}).encode()
    status, _, data = call("POST", "/turn", body, "application/json")
    assert (status, "image/*" in json.loads(data)["title"]) == (422, True)


BASE64 = base64.b64encode(b"hello").decode()


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/turn", {"image": BASE64}, "image"),
        ("/about", {"file": BASE64}, "file"),
        ("/documents", {"data": [{"file": BASE64}]}, "file"),
        ("/meta", {"title": "x", "data": BASE64}, "data"),
        ("/raw", {"data": BASE64}, "data"),
        ("/meta", {"title": "x", "data": "data:;base64,aGVsbG8=", "coded": "abcde"}, "coded"),
        ("/about", {"file": "data:;base64,aGV!"}, "file"),
    ],
)
def test_base64_is_never_taken_for_text(call, path, body, place):
    status, _, data = call("POST", path, json.dumps(body).encode(), "application/json")
    answer = json.loads(data)
    assert status == 422, answer
    assert place in answer["errors"][0]["loc"]
    assert "data:" in answer["title"] or "base64" in answer["title"].lower()


@pytest.mark.parametrize(("path", "name"), [("/about", "file"), ("/raw", "data"), ("/turn", "image")])
def test_text_in_a_form_is_no_file(call, path, name):
    status, _, data = call("POST", path, *form(part(name, b"aGVsbG8=")))
    answer = json.loads(data)
    assert (status, answer["errors"][0]["loc"]) == (422, ["form", name])
    assert "data URL" in answer["title"]


def test_base64_where_the_field_says_so(call):
    body = {"title": "x", "data": "data:;base64,aGVsbG8=", "coded": BASE64}
    status, _, data = call("POST", "/meta", json.dumps(body).encode(), "application/json")
    assert status == 200
    assert json.loads(data) == {"title": "x", "data": b"hello".hex(), "coded": b"hello".hex()}


def test_bytes_in_a_form(call):
    body = form(part("title", "Größe".encode()), part("data", b"\0\xff", file="a"), part("coded", b"\1", file="b"))
    status, _, data = call("POST", "/meta", *body)
    assert (status, json.loads(data)) == (200, {"title": "Größe", "data": "00ff", "coded": "01"})


def test_bytes_as_the_body_and_as_the_answer(call):
    status, headers, data = call("POST", "/raw", b"abc\0", "application/octet-stream")
    assert (status, headers[b"content-type"], data) == (200, b"application/octet-stream", b"\0cba")
    status, headers, data = call("POST", "/raw", b"\xff\0", "audio/wav", accept="application/json")
    assert (status, json.loads(data)) == (200, "data:;base64," + base64.b64encode(b"\0\xff").decode())


def test_a_large_file_waits_on_disk(call):
    body = form(part("file", b"x" * 3_000_000, file='a"b.bin'.replace('"', "%22"), kind="audio/wav"))
    status, _, data = call("POST", "/about", *body)
    assert status == 200, data
    assert json.loads(data) == {
        "name": "a%22b.bin", "type": "audio/wav", "size": 3_000_000, "disk": True, "tags": None,
    }  # fmt: skip


def test_a_large_file_is_removed_after_a_stream(call):
    body = form(part("file", b"x" * 2_500_000, file="a.bin"))
    status, _, data = call("POST", "/sizes", *body, accept="application/x-ndjson")
    assert (status, data) == (200, b"1000000\n1000000\n500000\n")


def test_several_files_and_texts(call):
    body = form(part("files", b"1", file="a"), part("files", b"2", file="b"))
    assert json.loads(call("POST", "/several", *body)[2]) == ["a:1", "b:2"]
    body = form(part("file", b"1", file="a"), part("tags", b"x"), part("tags", b"y"))
    assert json.loads(call("POST", "/about", *body)[2])["tags"] == ["x", "y"]


def test_documents_with_a_file(call):
    body = form(part("file", b"hello", file="a.txt", kind="text/plain"), part("k", b"4"))
    status, _, data = call("POST", "/documents", *body)
    (doc,) = json.loads(data)["data"]
    assert (status, doc["k"], doc["file"]) == (200, 5, "data:text/plain;name=a.txt;base64,aGVsbG8=")
    status, headers, data = call("POST", "/documents", *body, accept="text/plain")
    assert (status, headers[b"content-type"], data) == (200, b"text/plain", b"hello")


def test_arrays(call):
    target = io.BytesIO()
    np.save(target, np.zeros((2, 5), "float32"))
    status, _, data = call("POST", "/array", *form(part("tensor", target.getvalue(), file="a.npy")))
    assert (status, json.loads(data)["data"][0]["shape"]) == (200, [2, 5])
    status, _, data = call("POST", "/array", png(4, 3), "image/png")
    assert (status, json.loads(data)["data"][0]["shape"]) == (200, [3, 4, 3])
    target = io.BytesIO()
    np.save(target, np.array([{}]), allow_pickle=True)
    for content in (b"nonsense", target.getvalue(), b""):
        status, _, data = call("POST", "/array", *form(part("tensor", content, file="a.npy")))
        assert (status, json.loads(data)["errors"][0]["loc"]) == (422, ["form", "tensor"])


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10), ("bytes=999990-", 206, 999_990, 1_000_000), ("bytes=-5", 206, 999_995, 1_000_000),
        ("bytes=5-2000000", 206, 5, 1_000_000), ("bytes=1000000-", 416, 0, 0), ("bytes=-0", 416, 0, 0),
        ("bytes=5-1", 200, 0, 1_000_000), ("bytes=0-1,5-6", 200, 0, 1_000_000), ("lines=1-2", 200, 0, 1_000_000),
    ],
)  # fmt: skip
def test_ranges(call, asked, status, start, end):
    whole = bytes(range(250)) * 4000
    answered, headers, data = call("GET", "/big", accept="application/octet-stream", range=asked)
    assert answered == status
    if status == 416:
        assert headers[b"content-range"] == b"bytes */1000000"
        return
    assert data == whole[start:end]
    assert headers[b"accept-ranges"] == b"bytes"
    assert int(headers[b"content-length"]) == end - start
    if status == 206:
        assert headers[b"content-range"] == b"bytes %d-%d/1000000" % (start, end - 1)


HEAD = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' % BOUNDARY.encode()
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (HEAD + b"abc", TYPE, "before its last boundary"),
        (b"", TYPE, "before its last boundary"),
        (b"x" * 20_000, TYPE, "not in the body"),
        (HEAD + b"abc", "multipart/form-data", "no valid boundary"),
        (HEAD + b"abc", "multipart/form-data; boundary=" + "x" * 201, "no valid boundary"),
        (f"--{BOUNDARY}\r\nnonsense\r\n\r\n".encode(), TYPE, "none of a header"),
        (f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx".encode(), TYPE, "lacks"),
        (f"--{BOUNDARY}\r\nX: ".encode() + b"y" * 20_000 + b"\r\n\r\n", TYPE, "longer than"),
        (part("a", b"") * 1001, TYPE, "more than 1000 parts"),
        (HEAD[:-4] + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nx", TYPE, "Transfer-Encoding"),
        (f"--{BOUNDARY}garbage\r\n".encode() + HEAD, TYPE, "behind a boundary"),
        (*form(part("tags", b"\xff"), part("file", b"", file="a")), "not UTF-8"),
    ],
)
def test_malformed_forms(call, body, kind, reason):
    status, _, data = call("POST", "/about", body, kind)
    assert status == 400, data
    assert reason in json.loads(data)["title"]


def test_unknown_fields_and_wrong_values_of_a_form(call):
    for parts, place in (
        ((part("file", b"", file="a"), part("fiel", b"x")), ["form", "fiel"]),
        ((part("image", png(), file="a", kind="image/png"), part("angle", b"x")), ["form", "angle"]),
        ((part("angle", b"90"),), ["form", "image"]),
    ):
        path = "/about" if "fiel" in place else "/turn"
        status, _, data = call("POST", path, *form(*parts))
        answer = json.loads(data)
        assert (status, answer["errors"][0]["loc"]) == (422, place), answer
        assert f"form.{place[1]}" in answer["title"]


URL_FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("kind", [URL_FORM, f"{URL_FORM}; charset=UTF-8"])
def test_a_form_of_a_page_without_files(call, kind):
    status, _, data = call("POST", "/order", b"name=t%C3%A9+%26+tea&count=2&gift=on&tags=a&tags=b", kind)
    assert (status, json.loads(data)) == (200, {"name": "té & tea", "count": 2, "gift": True, "tags": ["a", "b"]})
    status, _, data = call("POST", "/meta", b"title=x&data=data:;base64,AP8%3D", kind)
    assert (status, json.loads(data)) == (200, {"title": "x", "data": "00ff", "coded": None})


@pytest.mark.parametrize("body", [b'{"name": "a=b"}', b' \n{"name": "a=b"}'])
def test_json_with_the_media_type_of_a_form_stays_json(call, body):
    assert json.loads(call("POST", "/order", body, URL_FORM)[2])["name"] == "a=b"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"count=2", 422, "form.name: Field required"),
        (b"name=x&count=two", 422, "form.count: not a valid integer"),
        (b"name=x&cuont=2", 422, "did you mean 'count'?"),
        (b"name=%ff", 400, "the body is no form"),
        ("name=é".encode(), 400, "the body is not JSON"),
        (b"&".join([b"tags=a"] * 1001), 400, "the body is no form"),
        (b"name", 400, "the body is not JSON"),
    ],
)
def test_wrong_forms_of_pages(call, body, status, reason):
    found, _, data = call("POST", "/order", body, URL_FORM)
    assert (found, reason in json.loads(data)["title"]) == (status, True), data


@pytest.mark.parametrize("body", [png(), b"hello"])
def test_a_file_without_its_media_type_is_told_how_to_come(call, body):
    status, _, data = call("POST", "/turn", body, URL_FORM)
    assert (status, json.loads(data)["title"]) == (400, "the body is neither JSON nor a form")
    assert "Content-Type: image/png" in json.loads(data)["help"]
    assert call("POST", "/big", b" ", URL_FORM)[0] == 200


def test_bounds(call):
    large = form(part("file", b"x" * 600_000, file="a"))
    status, _, data = call("POST", "/about", *large, max_upload_size=500_000)
    assert (status, "max_upload_size is 500000" in json.loads(data)["title"]) == (413, True)
    assert call("POST", "/about", *large, max_message_size=100_000)[0] == 200
    body = form(part("title", b"x"), part("data", b"x" * 200_000, file="a"))
    status, _, data = call("POST", "/meta", *body, max_message_size=100_000)
    assert (status, "max_message_size" in json.loads(data)["title"]) == (413, True)


def test_a_full_disk_is_told(call):
    body = form(part("file", b"x" * 3_000_000, file="a"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        status, _, data = call("POST", "/about", *body)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (status, json.loads(data)["code"]) == (507, "OutOfStorage")
    assert "TMPDIR" in json.loads(data)["help"]


def test_no_client_can_name_a_file_of_the_server(call, temporary):
    secret = temporary / "lock"  # a name that the fixture does not take for an upload
    secret.write_text("x")
    os.makedirs(uploads.folder_of_user(), mode=0o700, exist_ok=True)
    below = os.path.relpath(secret, uploads.folder_of_user())
    assert os.path.isfile(os.path.join(uploads.folder_of_user(), below))
    for name in (str(secret), below, "..-" + below.removeprefix("../"), "0" * 16 + "-" + "0" * 32):
        body = json.dumps({"file": {"upload": name}}).encode()
        status, _, data = call("POST", "/about", body, "application/json")
        assert (status, "no such upload" in json.loads(data)["title"]) == (422, True)
    secret.unlink()


def test_openapi_tells_files(call):
    _, _, data = call("GET", "/openapi.json")
    paths = json.loads(data)["paths"]
    turn = paths["/turn"]["post"]
    assert set(turn["requestBody"]["content"]) >= {"application/json", "multipart/form-data", "image/*"}
    assert "image/*" in turn["responses"]["200"]["content"]
    assert "415" in turn["responses"]
    assert "multipart/form-data" not in paths["/text"]["post"]["requestBody"]["content"]


def test_what_a_killed_process_left_is_removed(temporary):
    name, file = uploads.create()
    file.write(b"x")
    file.close()
    own = os.path.dirname(uploads.path_of(name))
    dead = os.path.join(uploads.folder_of_user(), "0123456789abcdef")
    os.mkdir(dead)
    for each in ("lock", "0" * 32):
        with open(os.path.join(dead, each), "wb"):
            pass
    uploads.remove_left_over()
    assert os.listdir(uploads.folder_of_user()) == [os.path.basename(own)]
    uploads.remove([name])
    with pytest.raises(ValueError, match="no such upload"):
        uploads.path_of(name)
