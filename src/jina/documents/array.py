"""DocumentArray: the list of schemaless documents, put together from its parts."""

from __future__ import annotations

from typing import Any

from docarray import DocList
from pydantic_core import core_schema

from jina.documents.access import Access
from jina.documents.applying import Applying
from jina.documents.base import T_doc
from jina.documents.columns import Column
from jina.documents.document import Document
from jina.documents.grouping import Grouping
from jina.documents.io import InputOutput
from jina.documents.matching import Matching
from jina.errors import NotSupportedError


class DocumentArray(Access[T_doc], Applying[T_doc], Grouping[T_doc], InputOutput[T_doc], Matching[T_doc]):
    """A list of documents without a schema.

    `DocumentArray()`, `DocumentArray(doc)`, `DocumentArray(iterable of documents, dicts or typed documents)`
    (`copy=True` copies them), `DocumentArray.empty(3)`. `DocumentArray[D]` is `docarray.DocList[D]`, a list of
    typed documents.

    Columns in the plural are those of DocArray 0.21 (`embeddings` and `tensors` stacked into one array), those in
    the singular of DocArray 0.30 and later (always lists); all can be set, from one value per document.
    """

    ids = Column("id")
    texts = Column("text")
    blobs = Column("blob")
    uris = Column("url")
    tags = Column("tags")
    contents = Column("content")
    tensors = Column("tensor")
    embeddings = Column("embedding")
    id = Column("id")
    text = Column("text")
    blob = Column("blob")
    url = Column("url")
    uri = Column("url")
    scores = Column("scores")
    chunks = Column("chunks")
    matches = Column("matches")
    tensor = Column("tensor", stacked=False)
    embedding = Column("embedding", stacked=False)

    def __class_getitem__(cls, item: Any) -> Any:
        """The class for typed documents; the schemaless ones have this class."""
        return cls if item is Document else DocList[item]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda docs: [doc.model_dump(mode="json") for doc in docs], when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        del schema, handler
        return {"type": "array", "items": {"type": "object", "additionalProperties": True}}

    def to_doc_vec(self, tensor_type: Any = None) -> Any:
        """Not available: the columns of a DocVec need a schema."""
        del tensor_type
        raise NotSupportedError("a DocVec needs a schema", help="make a DocList of typed documents first")

    def summary(self) -> None:
        """Print what the documents have in common, as tables."""
        from jina.documents.summary import print_array

        print_array(self)

    def plain_summary(self) -> str:
        """As `summary`, as plain text."""
        from jina.documents.summary import array_lines

        return "\n".join(array_lines(self))


def array_class_of(doc_type: Any) -> Any:
    """The list class of a document class: `DocumentArray` for the schemaless one, else `DocList[doc_type]`."""
    return DocumentArray if doc_type is Document else DocList[doc_type]


def is_schemaless(doc_type: Any) -> bool:
    """Whether the class is `Document` itself; `class D(Document)` is a typed document."""
    return doc_type is Document
