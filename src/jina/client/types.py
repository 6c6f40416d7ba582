"""From `return_type` to the class of documents that answers are decoded into."""

from __future__ import annotations

from typing import Any, get_origin

from docarray import BaseDoc, DocList, DocVec
from docarray.base_doc import AnyDoc

from jina.documents import Document
from jina.errors import ConfigError


def doc_type_of(return_type: Any) -> type[BaseDoc]:
    """The document class of `T`, `DocList[T]` or `DocVec[T]`; the schemaless one for None and untyped lists."""
    if return_type is None:
        return Document
    list_type = get_origin(return_type) or return_type  # DocArray gives its parametrised lists as typing aliases
    if isinstance(list_type, type):
        doc_type = return_type.doc_type if issubclass(list_type, DocList | DocVec) else return_type
        if doc_type in {None, AnyDoc, BaseDoc}:
            return Document
        if isinstance(doc_type, type) and issubclass(doc_type, BaseDoc):
            return doc_type
    raise ConfigError(f"return_type: {return_type!r} is neither a document class nor DocList[such a class]")


def is_single(return_type: Any) -> bool:
    """True when one document, not a list, is asked for."""
    return isinstance(return_type, type) and issubclass(return_type, BaseDoc)
