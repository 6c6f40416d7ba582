"""What a document holds, whatever the field: content, emptiness, size."""

from __future__ import annotations

from typing import Any

import numpy as np
from docarray import BaseDoc

CONTENT_FIELDS = ("text", "blob", "tensor")


def is_empty(value: Any) -> bool:
    """Whether a field's value means "not set": None, or an empty str, bytes, dict or list; never an array."""
    return value is None or (isinstance(value, str | bytes | dict | list) and not value)


def stored(doc: BaseDoc, name: str) -> Any:
    """The value of a field as it is, None when not set; reading the attribute might put an empty list there."""
    values = doc.__dict__
    if name in values:
        return values[name]
    return (doc.__pydantic_extra__ or {}).get(name)


def stored_items(doc: BaseDoc) -> list[tuple[str, Any]]:
    """All fields as they are, the unknown ones last."""
    return [*doc.__dict__.items(), *(doc.__pydantic_extra__ or {}).items()]


class Content:
    """The part of Document that looks at its fields as a whole."""

    __slots__ = ()

    @staticmethod
    def field_for(content: Any) -> str:
        """The field that holds such a content: `text` a str, `blob` bytes, `tensor` anything else."""
        if isinstance(content, str):
            return "text"
        return "blob" if isinstance(content, bytes | bytearray | memoryview) else "tensor"

    @property
    def content_type(self) -> str | None:
        """The first of `text`, `blob`, `tensor` that is set, else None."""
        return next((name for name in CONTENT_FIELDS if not is_empty(self.__dict__[name])), None)

    @property
    def content(self) -> Any:
        """The value of the first of `text`, `blob`, `tensor` that is set, else None.

        Setting it sets the field that fits the value's type and clears the other two.
        """
        name = self.content_type
        return None if name is None else self.__dict__[name]

    @content.setter
    def content(self, value: Any) -> None:
        field = None if value is None else self.field_for(value)
        for name in CONTENT_FIELDS:
            setattr(self, name, value if name == field else None)

    @property
    def non_empty_fields(self) -> tuple[str, ...]:
        """The names of the fields that are set, the id included."""
        return tuple(name for name, value in stored_items(self) if not is_empty(value))  # type: ignore[arg-type]

    @property
    def nbytes(self) -> int:
        """The size of the document on the wire in bytes."""
        return len(self.to_bytes())  # type: ignore[attr-defined]

    @property
    def content_hash(self) -> int:
        """A hash of all fields but the id; equal for equal documents, also in another process."""
        import hashlib

        digest = hashlib.blake2b(digest_size=8)
        for name, value in sorted(stored_items(self)):  # type: ignore[arg-type]
            if name != "id" and not is_empty(value):
                digest.update(name.encode())
                digest.update(_fingerprint(value))
        return int.from_bytes(digest.digest(), "big", signed=True)

    def clear(self) -> None:
        """Unset every field but the id."""
        for name in list(self.__dict__):
            if name != "id":
                setattr(self, name, None)
        self.__pydantic_extra__.clear()  # type: ignore[attr-defined]

    def pop(self, *fields: str) -> None:
        """Unset the given fields; AttributeError names one that does not exist."""
        for name in fields:
            if name in self.__dict__:
                setattr(self, name, None)
            elif name in self.__pydantic_extra__:  # type: ignore[attr-defined]
                del self.__pydantic_extra__[name]  # type: ignore[attr-defined]
            else:
                getattr(self, name)

    def copy_from(self, other: BaseDoc) -> None:
        """Take over all fields of `other`, its id included, without copying the values."""
        self.clear()
        for name, value in stored_items(other):
            setattr(self, name, value)


def _fingerprint(value: Any) -> bytes:
    from jina.documents.fields import to_numpy

    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"".join(
            str(item.content_hash).encode() if isinstance(item, Content) else _fingerprint(item) for item in value
        )
    if isinstance(value, dict):
        return b"".join(str(key).encode() + _fingerprint(value[key]) for key in sorted(value, key=str))
    if isinstance(value, np.ndarray) or hasattr(value, "get_comp_backend"):
        array = to_numpy(value)
        return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()
    return repr(value).encode()
