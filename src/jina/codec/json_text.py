"""JSON text <-> objects, as this wire writes it; and how deep a text is nested, without building anything of it."""

from __future__ import annotations

import base64
import binascii
import enum
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from jina.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXTS = re.compile(rb'"[^"]*"')
_NO_BRACKETS = bytes(code for code in range(256) if code not in b'[]{}"')
_NO_VALUES = bytes(code for code in range(256) if code not in b'[{,"')
_STEPS = bytes(2 if code in b"[{" else 0 for code in range(256))
"""By bracket: one more than what it does to the depth."""


def more_documents_than(limit: int, text: bytes) -> bool:
    """Whether an array has more than `limit` objects; a single object is one document."""
    if len(text) <= limit or text.count(b"{") <= limit:
        return False
    found = _brackets(text)
    outer = 2 if found[:1] == b"[" else 1
    opened = (True for depth, code in zip(_depths(found), found, strict=True) if depth == outer and code == 0x7B)
    return next(islice(opened, limit, None), False)


def deeper_than(limit: int, text: bytes) -> bool:
    """Whether more than `limit` arrays and objects are open at the same time."""
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    return any(depth > limit for depth in _depths(_brackets(text)))


def nested_deeper_than(limit: int, value: object) -> bool:
    """The same of parsed JSON."""
    return next(islice(_levels(value), limit, None), None) is not None


def more_values_than(limit: int, value: object) -> bool:
    """Whether all dicts and lists of parsed JSON together hold more than `limit` values; an empty one counts as 1."""
    totals = accumulate(len(one) or 1 for level in _levels(value) for one in level)
    return any(total > limit for total in totals)


def more_values_in_text_than(limit: int, text: bytes) -> bool:
    """The same of a JSON text."""
    if text.count(b",") + text.count(b"{") + text.count(b"[") <= limit:
        return False
    return len(_outside_strings(text, _NO_VALUES)) > limit


def _levels(value: object) -> Iterator[list[dict[str, Any] | list[Any]]]:
    """The dicts and lists of parsed JSON, those of one depth after those of another, from the outside in."""
    level = _nested([value])
    while level:
        yield level
        level = _nested(item for one in level for item in (one.values() if isinstance(one, dict) else one))


def _nested(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _brackets(text: bytes) -> bytes:
    """Those of a JSON text, without those in its strings."""
    return _outside_strings(text, _NO_BRACKETS)


def _outside_strings(text: bytes, dropped: bytes) -> bytes:
    """A JSON text without its strings, and without the characters `dropped`, which quotes are none of."""
    if b"\\" in text:
        text = _ESCAPED.sub(b"", text)
    return _TEXTS.sub(b"", text.translate(None, dropped)).translate(None, b'"')


def _depths(found: bytes) -> Iterator[int]:
    """The depth after each bracket."""
    return accumulate(step - 1 for step in found.translate(_STEPS))


BASE64_PREFIX = "data:;base64,"
_DATA_URL = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)
_PLAIN = orjson.OPT_UTC_Z
_WITH_NUMPY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z
"""Makes orjson load numpy when it meets an object that it does not know."""
_NUMBERS = "biuf"
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_JSON_TYPES = {str, int, bool, type(None)}


def loads(text: bytes) -> Any:
    """The value of JSON text in UTF-8; raises `BadRequest` saying where it breaks."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _loads_leniently(text)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def _loads_leniently(text: bytes) -> Any:
    """What Jina 3 takes besides: NaN, infinities, a byte order mark."""
    try:
        value = json.loads(text.decode("utf-8-sig"))
        refuse_halves(text, value)
        return value
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def refuse_halves(text: bytes, value: Any) -> None:
    """Raise ValueError where the value of JSON text has half a surrogate pair, which no reply could hold."""
    if _HALF.search(text) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it has half a surrogate pair, which UTF-8 cannot hold") from None


def dumps(
    value: Any, convert: Callable[[Any], Any] | None = None, show_bytes: Callable[[bytes], str] | None = None
) -> bytes:
    """A value as JSON text in UTF-8; bytes are texts where they can be, or what `show_bytes` makes of them.

    `convert` turns an object that is not JSON's, nor one that the module's head names, into one that is; it
    raises TypeError otherwise.
    """

    def default(foreign: Any) -> Any:
        if show_bytes is not None and isinstance(foreign, bytes | bytearray | memoryview):
            return show_bytes(bytes(foreign))
        return simpler(foreign, convert)

    try:
        return orjson.dumps(value, default, _WITH_NUMPY if "numpy" in sys.modules else _PLAIN)
    except orjson.JSONEncodeError:  # integers over 64 bits, keys that are no str, ...
        return msgspec.json.encode(_simplest(value, default))


def simpler(value: Any, convert: Callable[[Any], Any] | None = None) -> Any:
    """One step towards JSON; raises TypeError for a type that has no form there."""
    if _is_numpys(value, "ndarray"):
        return _array(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes_to_text(bytes(value))
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if _is_numpys(value, "generic"):
        return value.item() if value.dtype.kind in "biufUM" and value.dtype.itemsize <= 8 else _scalar(value)
    if isinstance(value, enum.Enum):
        return value.value
    return (convert or jsonable)(value)


def jsonable(value: Any) -> Any:
    """What pydantic shows of a value; raises TypeError where it shows nothing."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise TypeError(f"a {type(value).__qualname__} cannot be written as JSON") from None


def _is_numpys(value: Any, name: str) -> bool:
    """Whether the value is of that class of numpy, which is loaded wherever there is such a value."""
    cls = getattr(sys.modules.get("numpy"), name, None)
    return cls is not None and isinstance(value, cls)


def _array(array: np.ndarray[Any, Any]) -> Any:
    import numpy as np

    kind = array.dtype.kind
    if type(array) is not np.ndarray and array.ndim and array.flags.c_contiguous and kind in "biufM":
        return array.view(np.ndarray)
    if kind not in "biufMmU" and kind != "O":
        raise TypeError(f"an array of {array.dtype} cannot be written as JSON")
    if kind == "M":
        return np.datetime_as_string(array).tolist()
    return array.tolist()


def _scalar(value: np.generic) -> Any:
    if value.dtype.kind == "f":
        return float(value)
    if value.dtype.kind in "US":
        return value.item()
    raise TypeError(f"a numpy {value.dtype} cannot be written as JSON")


def _simplest(value: Any, convert: Callable[[Any], Any] | None) -> Any:
    """All the way to JSON, one object at a time: slow, and right for what orjson refuses."""
    kind = type(value)
    if kind in _JSON_TYPES:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return _simplest(value.value, convert)
    if isinstance(value, str | int):
        return str(value) if isinstance(value, str) else int(value)
    if isinstance(value, Mapping):
        return {_key(name): _simplest(item, convert) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_simplest(item, convert) for item in value]
    if _is_numpys(value, "ndarray") and value.dtype.kind in _NUMBERS:
        return _simplest(value.tolist(), convert)
    return _simplest(convert(value) if convert is not None else simpler(value), convert)


def _key(name: Any) -> str:
    if isinstance(name, str):
        return str(name)
    from pydantic_core import to_jsonable_python

    return str(next(iter(to_jsonable_python({name: None}))))


def bytes_to_text(value: bytes) -> str:
    """Bytes as JSON shows them; `text_to_bytes` gives them back."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = BASE64_PREFIX
    return BASE64_PREFIX + base64.b64encode(value).decode() if _DATA_URL.match(text) else text


def bytes_to_url(value: bytes) -> str:
    """Bytes as a data URL."""
    return BASE64_PREFIX + base64.b64encode(value).decode()


def text_to_bytes(text: str) -> bytes:
    """The bytes that a text stands for in a field of bytes; what is no base64 after the prefix counts as text."""
    if url := _DATA_URL.match(text):
        try:
            return base64.b64decode(text[url.end() :], validate=True)
        except (binascii.Error, ValueError):
            pass
    return text.encode()
