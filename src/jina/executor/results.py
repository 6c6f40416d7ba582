"""What a handler may return, and what that means for the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jina.executor.endpoints import Endpoint


def normalise(endpoint: Endpoint, returned: Any, docs: Any) -> tuple[Any, dict[str, Any] | None]:
    """The documents of the answer, and the dictionary that goes into `parameters['__results__']`.

    `docs` is the DocList that the handler was called with, `returned` what it gave back: None keeps `docs` (with
    what the handler changed in them), a DocList or DocumentArray replaces them, a dictionary is a result beside
    them. Raises `TypeError` for anything else.
    """
    if returned is None or returned is docs:
        return docs, None
    if _is_list(returned):
        return returned, None
    if _is_columns(returned):
        return returned.to_doc_list(), None
    if isinstance(returned, Mapping):
        return docs, dict(returned)
    raise _wrong(endpoint, returned, "DocList, DocumentArray, dict or None")


def normalise_one(endpoint: Endpoint, returned: Any, doc: Any) -> Any:
    """The document that answers `doc` for a handler that takes one: what it returned, or `doc` for None.

    Raises `TypeError` for anything but a document.
    """
    if returned is None:
        return doc
    if _is_document(returned):
        return returned
    raise _wrong(endpoint, returned, "a document or None")


def yielded(endpoint: Endpoint, item: Any) -> Any:
    """A document of a stream; raises `TypeError` for anything else."""
    if _is_document(item):
        return item
    raise _wrong(endpoint, item, "documents", verb="yield")


def collect(endpoint: Endpoint, docs: list[Any]) -> Any:
    """One list of the documents that a handler gave one by one.

    Its class is that of the first document, or the endpoint's output where there is none.
    """
    from jina.documents import array_class_of

    return array_class_of(type(docs[0]) if docs else endpoint.output_type)(docs)


def _is_document(value: Any) -> bool:
    from docarray import BaseDoc

    return isinstance(value, BaseDoc)


def _is_list(value: Any) -> bool:
    from docarray import DocList

    return isinstance(value, DocList)


def _is_columns(value: Any) -> bool:
    from docarray import DocVec

    return isinstance(value, DocVec)


def _wrong(endpoint: Endpoint, value: Any, wanted: str, *, verb: str = "return") -> TypeError:
    hint = ""
    if isinstance(value, (list, tuple)) and value and _is_document(value[0]):
        hint = f"; write DocList[{type(value[0]).__name__}](...) around it"
    elif _is_document(value):
        hint = f"; write DocList[{type(value).__name__}]([...]) around it, or take `doc` instead of `docs`"
    shown = type(value).__qualname__
    return TypeError(f"{endpoint.where} has to {verb} {wanted} as its return type, but gave {shown}{hint}")
