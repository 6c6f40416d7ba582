"""`File`: what an endpoint takes and gives as a file, whatever the way it came: multipart, raw body, data URL, gRPC."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import mimetypes
import os
import re
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Annotated, Any, BinaryIO, ClassVar, Self
from urllib.parse import quote, unquote, unquote_to_bytes

from docarray.base_doc.doc import BaseDocWithoutId
from pydantic import BeforeValidator, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from jina.documents import uploads

UNKNOWN = "application/octet-stream"
"""The media type of contents of which nothing is known."""
KIND = "x-jina"
"""The key of a JSON Schema that tells files from text."""
ACCEPTS = "x-media-types"
"""The key for the media types that a class of files takes."""
LARGE = 256 * 1024
"""Bytes above which contents are handed over by name where that is possible."""
MOST_IN_JSON = 64 * 1024 * 1024
"""Bytes that may travel inside a message, or in JSON."""
_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*?)(;base64)?,", re.IGNORECASE)
_offers: ContextVar[dict[int, str] | None] = ContextVar("offers", default=None)


@contextlib.contextmanager
def by_name() -> Iterator[dict[int, str]]:
    """Large files that are written meanwhile are handed over by names, which are the values then."""
    names: dict[int, str] = {}
    token = _offers.set(names)
    try:
        yield names
    finally:
        _offers.reset(token)


def read_data_url(text: str) -> tuple[str, str, bytes] | None:
    """Media type, name and content of a data URL (RFC 2397); None for other text; a broken one is a ValueError."""
    match = _URL.match(text)
    if match is None:
        return None
    kind, options, is_base64 = match.groups()
    name = ""
    for option in options.split(";"):
        key, _, value = option.partition("=")
        if key.strip().lower() == "name":
            name = unquote(value)
    rest = text[match.end() :]
    if not is_base64:
        return kind or "text/plain", name, unquote_to_bytes(rest)
    try:
        return kind or UNKNOWN, name, base64.b64decode(unquote(rest) if "%" in rest else rest, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the base64 of the data URL is broken: {error}") from None


def _content(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = read_data_url(value)
    if found is None:
        raise ValueError(_REFUSED)
    return found[2]


_REFUSED = (
    "text is no file, since nobody could tell it from base64: send a data URL (data:image/png;base64,...),"
    " multipart/form-data, or the file itself as the body with its media type"
)


def matches(media_type: str, accepted: Any) -> bool:
    """Whether a media type is one of those accepted, such as `image/*`; all are where the list is empty."""
    kind = media_type.partition(";")[0].strip().lower()
    return not accepted or any(
        one in {"*/*", kind} or (one.endswith("/*") and kind.startswith(one[:-1])) for one in accepted
    )


class File(BaseDocWithoutId):
    """A file that came, or that an endpoint gives: name, media type and content, in memory or on disk.

    Subclasses say which media types they take: `accepts = ('image/*',)`; others are refused with 415.
    """

    is_file: ClassVar[bool] = True
    accepts: ClassVar[tuple[str, ...]] = ()
    name: str = ""
    media_type: str = UNKNOWN
    data: Annotated[bytes, BeforeValidator(_content)] = b""
    """The content where it is in memory; `read` gives it in any case."""
    upload: str = ""
    """How one process of this machine hands it to another; empty outside of them."""
    _path: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            found = read_data_url(value)
            if found is None:
                raise ValueError(_REFUSED)
            value = dict(zip(("media_type", "name", "data"), found, strict=True))
        elif isinstance(value, bytes | bytearray | memoryview):
            value = {"data": bytes(value)}
        return value

    @model_validator(mode="after")
    def _found(self) -> Self:
        if self.upload:
            vars(self).update(_path=uploads.path_of(self.upload), upload="")
        if not matches(self.media_type, type(self).accepts):
            raise ValueError(f"{self.media_type} is not one of {', '.join(type(self).accepts)}")
        return self

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], media_type: str = "", name: str = "") -> Self:
        """The file at a path, which is read when it is sent; the media type is guessed from its name."""
        place = os.path.abspath(path)
        if not os.path.isfile(place):
            raise FileNotFoundError(f"no file at {place}")
        guessed = media_type or mimetypes.guess_type(place)[0] or UNKNOWN
        file = cls(name=name or os.path.basename(place), media_type=guessed)
        vars(file)["_path"] = place  # no private attribute of pydantic's: DocArray hides those
        return file

    @property
    def path(self) -> str:
        """Where the content is, for as long as the request lasts; empty where it is in memory."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return os.path.getsize(self._path) if self._path else len(self.data)

    def read(self) -> bytes:
        """The whole content."""
        if not self._path:
            return self.data
        with open(self._path, "rb") as file:
            return file.read()

    def open(self) -> BinaryIO:
        """The content, open for reading."""
        return open(self._path, "rb") if self._path else io.BytesIO(self.data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the content to a path, where it stays after the request."""
        with self.open() as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)

    def to_url(self) -> str:
        """The content as a data URL, as it stands in JSON; raises ValueError for a file above 64 MiB."""
        if self.size > MOST_IN_JSON:
            raise ValueError(f"the file has {self.size} bytes: ask for it as it is, by its media type in Accept")
        name = f";name={quote(self.name)}" if self.name else ""
        return f"data:{self.media_type}{name};base64,{base64.b64encode(self.read()).decode()}"

    def wire_fields(self) -> dict[str, Any]:
        """What travels between processes; see `by_name`."""
        members: dict[str, Any] = {"name": self.name, "media_type": self.media_type}
        names = _offers.get()
        if names is not None and self.size > LARGE:
            if id(self) not in names:  # writers look at large values before they write
                names[id(self)] = self._offered()
            return {**members, "upload": names[id(self)]}
        if self._path and self.size > MOST_IN_JSON:
            raise ValueError(f"the file has {self.size} bytes, more than the {MOST_IN_JSON} that a message may hold")
        return {**members, "data": self.read()}

    def _offered(self) -> str:
        if self._path:
            return uploads.offer(self._path)
        name, file = uploads.create()
        with uploads.storage(), file:
            file.write(self.data)
        return name

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = {"type": "string", "format": "binary", "title": cls.__name__, KIND: "file"}
        return {**schema, ACCEPTS: list(cls.accepts)} if cls.accepts else schema
