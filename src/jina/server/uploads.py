"""Requests with files (forms, and raw bodies with a media type), and answers that are files."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import IO, Any
from urllib.parse import parse_qsl, quote

import msgspec

from jina.codec import pb
from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import FilePayload
from jina.documents import uploads
from jina.errors import (
    BadRequest,
    RangeNotSatisfiable,
    TooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    install_command,
    nearest,
)
from jina.net.service import EndpointInfo
from jina.server.http import DOCUMENTS, JSON, PROBLEM, Exchange, Header
from jina.server.multipart import MOST_PARTS, Multipart, PartHead, options_of

FORM = "multipart/form-data"
URL_FORM = "application/x-www-form-urlencoded"
_UNKNOWN = "application/octet-stream"
_SPOOLED_ABOVE = 256 * 1024
"""Bytes of a file up to which it stays in memory."""
_WRITTEN = 1024 * 1024
"""Bytes that are written to the disk at a time."""
_HOW_TO_SEND_FILES = (
    f"send a file with its media type, such as -H 'Content-Type: image/png', or as a part of {FORM}, as curl -F does"
)
FILE_KINDS = frozenset({"file", "bytes", "array", "base64"})
_NO_FILES = (JSON, DOCUMENTS, PROBLEM, "text/event-stream", "application/x-ndjson")


class FieldKind(msgspec.Struct, frozen=True):
    """What a field takes: `file`, `bytes`, `array`, `base64`, `text`, or `json` for all else; several with `many`."""

    kind: str
    accepts: tuple[str, ...] = ()
    many: bool = False


def field_kinds(schema: Mapping[str, Any]) -> dict[str, FieldKind]:
    """What each field of a class takes, by its JSON Schema."""
    return {name: _kind_of(field, schema.get("$defs", {})) for name, field in schema.get("properties", {}).items()}


def _kind_of(field: Any, definitions: Mapping[str, Any]) -> FieldKind:
    if not isinstance(field, Mapping):
        return FieldKind("json")
    if isinstance(target := field.get("$ref"), str):
        field = definitions.get(target.removeprefix("#/$defs/"), {})
    choices = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        return _kind_of(choices[0], definitions)
    if field.get("x-jina") == "file":
        return FieldKind("file", tuple(field.get("x-media-types", ())))
    if "tensor/array shape" in field:
        return FieldKind("array")
    if field.get("type") == "string":
        return FieldKind({"binary": "bytes", "base64": "base64"}.get(field.get("format", ""), "text"))
    if field.get("type") == "array":
        inner = _kind_of(field.get("items"), definitions)
        return FieldKind(inner.kind, inner.accepts, many=True) if not inner.many else FieldKind("json")
    return FieldKind("json")


def file_field(schema: Mapping[str, Any]) -> str | None:
    """The one field that a raw body, or a raw answer, holds; "" for a class that is a file itself, None for none."""
    if schema.get("x-jina") == "file":
        return ""
    kinds = {name: kind for name, kind in field_kinds(schema).items() if kind.kind in FILE_KINDS and not kind.many}
    needed = [name for name in kinds if name in schema.get("required", ())]
    found = needed or list(kinds)
    return found[0] if len(found) == 1 else None


class _Content(msgspec.Struct):
    """What came for one field: text or bytes in memory, or a file on disk."""

    head: PartHead
    kind: FieldKind
    data: bytearray = msgspec.field(default_factory=bytearray)
    upload: str = ""
    file: IO[bytes] | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is the text of a field, also of one for files: a data URL."""
        return self.kind.kind not in FILE_KINDS or (
            self.head.file_name is None and self.head.media_type in {"", "text/plain"}
        )

    @property
    def may_be_large(self) -> bool:
        """Whether it goes to the disk when it is."""
        return self.kind.kind == "file" and not self.is_text

    async def add(self, piece: bytes) -> None:
        """Take more of it; what is large goes to the disk. Raises `OutOfStorage`."""
        self.data += piece
        if not self.may_be_large:
            return
        if self.file is None and len(self.data) > _SPOOLED_ABOVE:
            self.upload, self.file = await asyncio.to_thread(uploads.create)
        if self.file is not None and len(self.data) >= _WRITTEN:
            await self._flush()

    async def end(self) -> None:
        """All of it came."""
        if self.file is not None:
            await self._flush()
            with uploads.storage():
                self.file.close()

    async def _flush(self) -> None:
        data, self.data, file = self.data, bytearray(), self.file
        assert file is not None

        def write() -> None:
            with uploads.storage():
                file.write(data)
                file.flush()

        await asyncio.to_thread(write)

    def drop(self) -> None:
        """It is not used."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
            uploads.remove([self.upload])


async def read_upload(exchange: Exchange, info: EndpointInfo | None, max_memory: int) -> Request | None:
    """The request in a body that is a form, or a file as it is; None for one that is to be read as JSON.

    Raises `UnsupportedMediaType`, `BadRequest`, `TooLarge`, `OutOfStorage` and `ValidationFailed`.
    """
    media_type, options = options_of(exchange.headers.get("content-type", ""))
    if media_type == FORM:
        if info is None:
            raise UnsupportedMediaType("this path takes JSON", help="send forms to the path of an endpoint")
        return await read_form(exchange, info, max_memory)
    name = None if info is None else file_field(info.input_schema)
    kind = None if not name or info is None else field_kinds(info.input_schema)[name]
    if _may_be_json(media_type, kind, info):
        return None
    if info is None or kind is None or name is None:
        raise UnsupportedMediaType(
            f"{exchange.path} takes no bodies of the media type {media_type}", help=f"send {JSON}, or {FORM}"
        )
    _check_media_type(name, media_type, kind)
    content = _Content(PartHead(name, exchange.headers.get("x-file-name", ""), media_type, options), kind)
    reader = _Reader(info, max_memory)
    try:
        async with aclosing(exchange.pieces(_limit(exchange, kind, max_memory))) as pieces:
            async for piece in pieces:
                await content.add(piece)
        await content.end()
        reader.contents.append(content)
        fields = {key: value for key, value in exchange.query().items() if key not in {"parameters", name}}
        return reader.request(reader.texts(fields, "query"))
    except BaseException:
        content.drop()
        raise


def _may_be_json(media_type: str, kind: FieldKind | None, info: EndpointInfo | None) -> bool:
    if media_type in {"", JSON, DOCUMENTS, URL_FORM, "text/json"} or media_type.endswith("+json"):
        return True
    if media_type.startswith("text/"):
        return kind is None or kind.kind != "file"
    # Some clients name bytes so, whatever is in them; documents of Jina 3 with a field of bytes come from such too.
    documents = info is None or not info.answers
    return media_type == _UNKNOWN and (kind is None or (kind.kind != "file" and documents))


def _limit(exchange: Exchange, kind: FieldKind, max_memory: int) -> int:
    return exchange.terms.max_upload if kind.kind == "file" else min(max_memory, exchange.terms.max_upload)


def _check_media_type(name: str, media_type: str, kind: FieldKind) -> None:
    from jina.documents.files import matches

    if kind.kind == "file" and not matches(media_type, kind.accepts):
        raise UnsupportedMediaType(
            f"{name}: {media_type or 'a file without a media type'} is not one of {', '.join(kind.accepts)}"
        )


async def read_form(exchange: Exchange, info: EndpointInfo, max_memory: int) -> Request:
    """The request in a form, as one document with a `FilePayload`; raises as `read_upload`."""
    reader = _Reader(info, max_memory)
    form = Multipart(exchange.headers.get("content-type", ""))
    try:
        async with aclosing(exchange.pieces(exchange.terms.max_upload)) as pieces:
            async for data in pieces:
                for event in form.feed(data):
                    await reader.take(event)
        form.end()
        return reader.request({})
    except BaseException:
        for content in reader.contents:
            content.drop()
        raise


def read_url_form(content_type: str, body: bytes, info: EndpointInfo, max_memory: int) -> Request | None:
    """The request in the body of a form without files; None for one that is to be read as JSON.

    Programs such as curl give JSON the media type of these forms; a form has a `=`, and does not begin as JSON does.
    Raises `BadRequest` and `ValidationFailed`.
    """
    text = body.strip()
    if options_of(content_type)[0] != URL_FORM or not text or text[:1] in b'{["':
        return None
    if not text.isascii() or b"=" not in text:
        if file_field(info.input_schema) is None:
            return None
        raise BadRequest("the body is neither JSON nor a form", help=_HOW_TO_SEND_FILES)
    try:
        fields = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_PARTS,
        )
    except ValueError as error:
        raise BadRequest(
            f"the body is no form: {error}", help=f"send {JSON}, or names and values as a browser"
        ) from None
    reader = _Reader(info, max_memory)
    for name, value in fields:
        kind = reader.kind_of(name)
        reader.contents.append(_Content(PartHead(name, None, ""), kind, bytearray(value.encode())))
    return reader.request({})


class _Reader:
    """Makes a request of the contents for the fields of an endpoint."""

    def __init__(self, info: EndpointInfo, max_memory: int) -> None:
        self.contents: list[_Content] = []
        self._info = info
        self._kinds = field_kinds(info.input_schema)
        self._open_ended = not self._kinds or info.input_schema.get("additionalProperties", False) is not False
        self._max_memory = max_memory
        self._held = 0
        """Bytes of what is no file."""
        self._current: _Content | None = None

    def kind_of(self, name: str) -> FieldKind:
        """What the field of a name takes."""
        return self._kinds.get(name, FieldKind("text"))

    async def take(self, event: PartHead | bytes | None) -> None:
        """The next of a form."""
        if isinstance(event, PartHead):
            kind = self.kind_of(event.name)
            is_text = event.media_type in {"", JSON} or event.media_type.startswith("text/")
            if kind.kind not in FILE_KINDS and not is_text:
                raise UnsupportedMediaType(f"{event.name}: this field takes no files, but {kind.kind}")
            if kind.kind in FILE_KINDS and (event.file_name is not None or event.media_type):
                _check_media_type(event.name, event.media_type or _UNKNOWN, kind)
            self._current = _Content(event, kind)
            self.contents.append(self._current)
        elif event is None:
            assert self._current is not None
            await self._current.end()
        else:
            assert self._current is not None
            if not self._current.may_be_large:
                self._held += len(event)
                if self._held > self._max_memory:
                    raise TooLarge(
                        f"the fields that are no files have more than {self._max_memory} bytes, the max_message_size",
                        help="declare the field as jina.File, or raise max_message_size of the server",
                    )
            await self._current.add(event)

    def texts(self, fields: Mapping[str, str], place: str) -> dict[str, Any]:
        """The values of fields that came as text in the query or in a form; raises `ValidationFailed`."""
        values, errors = {}, []
        for name, text in fields.items():
            try:
                values[name] = self._value(name, text)
            except ValueError as error:
                errors.append({"type": "form", "loc": [place, name], "msg": str(error), "input": text[:1000]})
        if errors:
            raise ValidationFailed("; ".join(f"{place}.{one['loc'][1]}: {one['msg']}" for one in errors), errors=errors)
        return values

    def _value(self, name: str, text: str) -> Any:
        if name not in self._kinds and not self._open_ended:
            near = nearest(name, self._kinds)
            raise ValueError(f"{self._info.input_name} has no such field{f'; did you mean {near!r}?' if near else ''}")
        kind = self._kinds.get(name, FieldKind("text")).kind
        flat = self._info.flat_fields.get(name)
        if kind in {"file", "bytes"} and not text.startswith("data:"):
            raise ValueError("this is text where a file is expected: send it as a part with a file name, or a data URL")
        if kind != "json" or flat == "string":
            return text
        return _converted(text, flat)

    def request(self, values: dict[str, Any]) -> Request:
        """All of it as one document; raises `ValidationFailed`."""
        message = pb.DocListProto()
        data = message.docs.add().data
        texts: dict[str, list[str]] = {}
        for content in self.contents:
            if content.is_text:
                texts.setdefault(content.head.name, []).append(_text_of(content))
            else:
                self._write(content, data)
        values = {**values, **self._form_values(texts)}
        _write_values(values, data)
        names = [content.upload for content in self.contents if content.upload]
        bare = "one" if self._info.answers else ""
        return Request("", FilePayload(message.SerializeToString(), names), bare=bare)  # type: ignore[arg-type]

    def _form_values(self, texts: Mapping[str, list[str]]) -> dict[str, Any]:
        single = {name: found[-1] for name, found in texts.items() if not self._kinds.get(name, FieldKind("")).many}
        values = self.texts(single, "form")
        for name, found in texts.items():
            if name not in single:
                values[name] = found
        return values

    def _write(self, content: _Content, data: Any) -> None:
        node = data[content.head.name]
        if content.kind.many:
            node = node.list.data.add()
        match content.kind.kind:
            case "bytes":
                node.blob = bytes(content.data)
            case "base64":
                node.text = base64.b64encode(content.data).decode()
            case "array":
                _write_array(content, node)
            case _:
                file = node.doc.data
                file["name"].text = content.head.file_name or ""
                file["media_type"].text = content.head.media_type or _UNKNOWN
                if content.upload:
                    file["upload"].text = content.upload
                else:
                    file["data"].blob = bytes(content.data)


def _text_of(content: _Content) -> str:
    charset = content.head.options.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"{content.head.name}: text of the charset {charset} is not supported; send UTF-8")
    try:
        return content.data.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"form.{content.head.name}: the text is not UTF-8") from None


def _write_values(values: dict[str, Any], data: Any) -> None:
    from jina.codec.plain_json import json_to_docs

    if values:
        rest = pb.DocListProto()
        json_to_docs([values], rest)
        for name, node in rest.docs[0].data.items():
            data[name].CopyFrom(node)


def _write_array(content: _Content, node: Any) -> None:
    import numpy as np

    from jina.codec.tensors import write_array

    try:
        if content.head.media_type.startswith("image/"):
            found = _pixels(content)
        else:
            found = np.load(io.BytesIO(content.data), allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("it has several arrays")  # noqa: TRY004 - told as the others are
        write_array(found, node.ndarray)
    except (ValueError, OSError, EOFError) as error:
        raise ValidationFailed(
            f"form.{content.head.name}: no array: {error}",
            errors=[{"type": "array", "loc": ["form", content.head.name], "msg": str(error), "input": None}],
            help="send a file as numpy.save writes it, or an image",
        ) from None
    node.type = "ndarray"


def _pixels(content: _Content) -> Any:
    import numpy as np

    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise UnsupportedMediaType(
            f"{content.head.name}: an image becomes an array by Pillow, which is not installed here",
            help=install_command("images"),
        ) from None
    with Image.open(io.BytesIO(content.data)) as image:
        return np.asarray(image)


_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _converted(text: str, flat: str | None) -> Any:
    if flat == "boolean":
        if text.lower() not in _BOOLEANS:
            raise ValueError("not a valid boolean")
        return _BOOLEANS[text.lower()]
    import orjson

    try:
        if flat in {"integer", "number"}:
            return int(text) if flat == "integer" else float(text)
        return orjson.loads(text)
    except ValueError:
        raise ValueError(f"not a valid {flat}" if flat else "not valid JSON") from None


# --- answers ------------------------------------------------------------------------------------------------


def wants_file(exchange: Exchange, info: EndpointInfo | None) -> bool:
    """Whether the answer should be the file itself: where the client asks for a media type that only files have.

    Also where it takes anything and the method gives nothing but a file.
    """
    if info is None:
        return False
    accept = exchange.headers.get("accept", "*/*")
    if accept == "*/*":
        return gives_file(info)
    accepted = [one.partition(";")[0].strip().lower() for one in accept.split(",")]
    if any(one in _NO_FILES for one in accepted) or file_field(info.output_schema) is None:
        return False
    return gives_file(info) or any(one and one != "*/*" for one in accepted)


def gives_file(info: EndpointInfo) -> bool:
    """Whether a method is annotated to give a file or bytes, and nothing else."""
    if info.answers in {"", "many"}:
        return False
    name = file_field(info.output_schema)
    return name == "" or (name == "value" and info.output_is_value)


async def send_file(
    exchange: Exchange, reply: Reply, info: EndpointInfo, headers: Iterable[Header], given: list[str]
) -> bool:
    """Answer with the file in a reply; returns whether there was exactly one. `given` gets the names of uploads."""
    message = message_of(reply.payload)
    given += reply.payload.uploads  # known once the documents are written
    if len(message.docs) != 1:
        return False
    field = file_field(info.output_schema) or ""
    found = file_in(message.docs[0].data, field) or _drawn(exchange, message.docs[0].data, field)
    if found is None:
        return False
    name, media_type, content = found
    size = content.seek(0, io.SEEK_END)
    with content:
        status, start, length, ranged = 200, 0, size, [(b"accept-ranges", b"bytes")]
        try:
            asked = _range_of(exchange, size) if exchange.method == "GET" else None
        except RangeNotSatisfiable as error:
            await exchange.fail(error, [(b"content-range", b"bytes */%d" % size)])
            return True
        if asked is not None:
            start, length = asked
            status = 206
            ranged.append((b"content-range", b"bytes %d-%d/%d" % (start, start + length - 1, size)))
        if name:
            ranged.append((b"content-disposition", f"inline; filename*=UTF-8''{quote(name)}".encode()))
        content.seek(start)
        kind = (b"content-type", printable(media_type))
        await exchange.respond_file(content, length, kind, status=status, headers=[*ranged, *headers])
    return True


def message_of(payload: Payload) -> pb.DocListProto:
    """The documents of a reply, with large files by their names."""
    return pb.DocListProto.FromString(bytes(payload.to_buffer()))


def file_in(data: Any, name: str) -> tuple[str, str, IO[bytes]] | None:
    """Name, media type and content of the file in a field of a document, or of a document that is one itself."""
    if not name:
        file = data
    elif name not in data:
        return None
    elif (node := data[name]).WhichOneof("content") == "blob":
        return "", _UNKNOWN, io.BytesIO(node.blob)
    elif node.WhichOneof("content") in {"doc", "dict"}:
        file = node.doc.data if node.WhichOneof("content") == "doc" else node.dict.data
    else:
        return None
    if "upload" in file:
        content: IO[bytes] = open(uploads.path_of(file["upload"].text), "rb")  # noqa: SIM115 - closed by who sends it
    else:
        content = io.BytesIO(file["data"].blob if "data" in file else b"")
    return file["name"].text, file["media_type"].text or _UNKNOWN, content


def _drawn(exchange: Exchange, data: Any, name: str) -> tuple[str, str, IO[bytes]] | None:
    """The array in a field as an image, where the client asks for one and the array may be one; else None."""
    if name not in data or data[name].WhichOneof("content") != "ndarray":
        return None
    kinds = {"image/png": "PNG", "image/*": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
    asked = exchange.headers.get("accept", "").replace(",", " ").replace(";", " ").split()
    kind = next((kinds[one] for one in asked if one in kinds), None)
    if kind is None:
        return None
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return None
    import numpy as np

    from jina.codec.tensors import read_tensor

    pixels = np.asarray(read_tensor(data[name].ndarray))
    if pixels.dtype != "uint8" or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {3, 4})):
        return None
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return "", f"image/{kind.lower()}", content


_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def _range_of(exchange: Exchange, size: int) -> tuple[int, int] | None:
    """Start and length of the part that is asked for (RFC 9110, section 14); None for the whole.

    Several parts, other units and conditions are answered with the whole, as a server may. Raises
    `RangeNotSatisfiable`.
    """
    match = _RANGE.fullmatch(exchange.headers.get("range", "").replace(" ", ""))
    if match is None or match.group() == "bytes=-" or "if-range" in exchange.headers:
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    if start >= size or (not first and int(last) == 0):
        raise RangeNotSatisfiable(f"the file has {size} bytes, so not those of {match.group()}")
    end = min(int(last), size - 1) if first and last else size - 1
    return start, end - start + 1


def printable(text: str) -> bytes:
    """A media type as it may stand in a header."""
    return "".join(letter for letter in text[:200] if " " <= letter <= "~").encode() or _UNKNOWN.encode()


def remove_later(names: Iterable[str]) -> None:
    """Remove uploads on a thread, since that of a large one takes a while."""
    if found := list(names):
        asyncio.get_running_loop().run_in_executor(None, uploads.remove, found)
