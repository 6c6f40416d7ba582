"""Parts of a `multipart/form-data` body (RFC 7578) as its bytes come; reads nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

import msgspec

from jina.errors import BadRequest

MOST_PARTS = 1000
"""Parts that a body may have."""
MOST_HEAD = 16 * 1024
"""Bytes that the headers of a part may have, and what stands before the first part."""
_MOST_BOUNDARY = 200
_OPTION = re.compile(r";\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s]*))")
_ESCAPED = re.compile(r"\\([\"\\])")


def options_of(header: str) -> tuple[str, dict[str, str]]:
    """The value of a header such as Content-Type in lower case, and its options."""
    value, _, _ = header.partition(";")
    options = {}
    for name, quoted, plain in _OPTION.findall(header[len(value) :]):
        options[name.lower()] = _ESCAPED.sub(r"\1", quoted) if quoted else plain
    return value.strip().lower(), options


class PartHead(msgspec.Struct):
    """What the headers of a part say; `file_name` is None where it has none."""

    name: str
    file_name: str | None
    media_type: str
    options: dict[str, str] = msgspec.field(default_factory=dict)


def read_head(block: bytes) -> PartHead:
    """The headers of a part; raises `BadRequest`."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise _malformed("a line in the headers of a part is none of a header")
        try:
            headers[name.decode("ascii").lower()] = value.decode().strip()
        except UnicodeDecodeError:
            raise _malformed("the headers of a part are not UTF-8") from None
    kind, options = options_of(headers.get("content-disposition", ""))
    if kind != "form-data" or "name" not in options:
        raise _malformed("a part lacks `Content-Disposition: form-data; name=...`")
    file_name = options.get("filename")
    if (extended := options.get("filename*")) is not None:
        charset, _, rest = extended.partition("'")
        if charset.lower() != "utf-8":
            raise _malformed(f"the charset {charset!r} of filename* is not UTF-8")
        file_name = unquote(rest.partition("'")[2])
    if file_name is not None:
        file_name = file_name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    media_type, more = options_of(headers.get("content-type", ""))
    if headers.get("content-transfer-encoding", "binary").lower() not in {"binary", "8bit", "7bit"}:
        raise _malformed("Content-Transfer-Encoding is not supported (RFC 7578, section 4.7)")
    return PartHead(options["name"], file_name, media_type, more)


class Multipart:
    """Cuts a body into parts. `feed` gives for each part its head, then its content in pieces, then None."""

    def __init__(self, content_type: str) -> None:
        kind, options = options_of(content_type)
        boundary = options.get("boundary", "")
        if kind != "multipart/form-data" or not 0 < len(boundary) <= _MOST_BOUNDARY or not boundary.isascii():
            raise _malformed("Content-Type has no valid boundary")
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = bytearray(b"\r\n")  # the first delimiter may stand at the very start
        self._state = self._preamble
        self._parts = 0
        self.complete = False
        """Whether the last delimiter came."""

    def feed(self, data: bytes) -> Iterator[PartHead | bytes | None]:
        """What more bytes complete; raises `BadRequest`."""
        if self.complete:
            return
        self._buffer += data
        going = True
        while going and not self.complete:
            going, found = self._state()
            yield from found

    def end(self) -> None:
        """No more comes; raises `BadRequest` where the last delimiter is missing."""
        if not self.complete:
            raise _malformed("the body ends before its last boundary")

    def _preamble(self) -> tuple[bool, list[PartHead | bytes | None]]:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            if len(self._buffer) > MOST_HEAD:
                raise _malformed("the boundary of Content-Type is not in the body")
            return False, []
        del self._buffer[: at + len(self._delimiter)]
        self._state = self._after_delimiter
        return True, []

    def _after_delimiter(self) -> tuple[bool, list[PartHead | bytes | None]]:
        buffer = self._buffer
        if len(buffer) < 2:
            return False, []
        if buffer[:2] == b"--":
            self.complete = True
            buffer.clear()
            return True, []
        end = buffer.find(b"\r\n")
        if end < 0 and len(buffer) < 64:
            return False, []
        if end < 0 or buffer[:end].strip(b" \t"):
            raise _malformed("something stands behind a boundary on its line")
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise BadRequest(f"the body has more than {MOST_PARTS} parts")
        del buffer[: end + 2]
        self._state = self._head
        return True, []

    def _head(self) -> tuple[bool, list[PartHead | bytes | None]]:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MOST_HEAD:
            if len(self._buffer) > MOST_HEAD:
                raise _malformed(f"the headers of a part are longer than {MOST_HEAD} bytes")
            return False, []
        head = read_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 2]  # the delimiter may follow at once, where the content is empty
        self._state = self._first_content
        return True, [head]

    def _first_content(self) -> tuple[bool, list[PartHead | bytes | None]]:
        buffer = self._buffer
        if len(buffer) < len(self._delimiter):
            return False, []
        if buffer.startswith(self._delimiter):
            del buffer[: len(self._delimiter)]
            self._state = self._after_delimiter
            return True, [None]
        del buffer[:2]
        self._state = self._content
        return True, []

    def _content(self) -> tuple[bool, list[PartHead | bytes | None]]:
        buffer, delimiter = self._buffer, self._delimiter
        at = buffer.find(delimiter)
        if at >= 0:
            piece = bytes(buffer[:at])
            del buffer[: at + len(delimiter)]
            self._state = self._after_delimiter
            return True, [piece, None] if piece else [None]
        sure = len(buffer) - len(delimiter) + 1
        if sure <= 0:
            return False, []
        piece = bytes(buffer[:sure])
        del buffer[:sure]
        return False, [piece]


def _malformed(reason: str) -> BadRequest:
    return BadRequest(f"the multipart body is malformed: {reason}")
