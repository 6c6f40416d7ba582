"""The schemaless `jina.Document` on the wire: ten known fields, and any other kept beside them.

Imported by the codec for every class, so it loads `jina.documents` only when such a document comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from docarray.typing import AnyTensor
from docarray.typing.tensor.embedding import AnyEmbedding

from jina.wire.loose import DocMaker, Invalid, read_loose

Reader = Callable[[Any], Any]


def is_schemaless(cls: Any) -> bool:
    """Whether a class is `jina.Document` itself; a subclass with annotations is an ordinary typed class."""
    return bool(cls.__module__ == "jina.documents.document" and cls.__name__ == "Document")


def list_type() -> Any:
    """The list of schemaless documents."""
    from jina.documents.array import DocumentArray

    return DocumentArray


def plain_annotations() -> dict[str, Any]:
    """The types of the known fields, as what is valid without another check."""
    return {
        "tensor": AnyTensor | None, "blob": bytes | None, "text": str | None, "url": str | None,
        "embedding": AnyEmbedding | None, "tags": dict[str, Any], "scores": dict[str, Any] | None,
    }  # fmt: skip


def _one(values: dict[str, Any]) -> Any:
    from jina.documents.document import Document

    return Document.model_validate(values)


def _many(docs: list[Any]) -> Any:
    return list_type().construct(docs)


AS_SCHEMALESS = DocMaker(_one, _many)
"""Make nested documents of unknown class schemaless ones."""


def _read(reader: Reader, value: Any, name: str) -> Any:
    try:
        return reader(value)
    except Invalid as error:
        raise error.at(name) from None


def _loosely(node: Any) -> Any:
    return read_loose(node, AS_SCHEMALESS)


def message_reader(readers: Mapping[str, Reader]) -> Reader:
    """Reads a whole document from a message; raises what the readers raise."""
    from jina.documents.document import blank_values, make_document

    def read(message: Any) -> Any:
        data = message.data
        values = blank_values("")
        extra: dict[str, Any] = {}
        for name in data:
            reader = readers.get(name)
            if reader is None:
                extra[name] = _read(_loosely, data[name], name)
            else:
                values[name] = _read(reader, data[name], name)
        if "id" not in data:
            values["id"] = type(values["id"])(os.urandom(16).hex())
        if values["tags"] is None:
            values["tags"] = {}
        return make_document(values, extra)

    return read


def json_reader(readers: Mapping[str, Reader]) -> Reader:
    """Reads a whole document from a JSON object; raises what the readers raise."""
    from jina.documents.document import blank_values, make_document

    def read(item: Mapping[str, Any]) -> Any:
        values = blank_values("")
        extra: dict[str, Any] = {}
        for name, value in item.items():
            reader = readers.get(name)
            if reader is not None:
                values[name] = _read(reader, value, name)
            elif name == "uri" and item.get("url") is None:
                values["url"] = _read(readers["url"], value, name)
            else:
                extra[name] = value
        if "id" not in item:
            values["id"] = type(values["id"])(os.urandom(16).hex())
        if values["tags"] is None:
            values["tags"] = {}
        return make_document(values, extra)

    return read
