"""The documents that travel through the Flow."""

from __future__ import annotations

from typing import Optional

from docarray import BaseDoc, DocList
from docarray.typing import NdArray

TEXT_DIMENSIONS = 384
IMAGE_DIMENSIONS = 1280


class Picture(BaseDoc):
    """A picture (PNG) with words about it; a query may lack one of them.

    Each branch of the Flow fills one of the vectors (float32, unit length).
    """

    text: Optional[str] = None  # noqa: UP045 - the form that DocArray documents
    image: Optional[bytes] = None  # noqa: UP045
    embedding: Optional[NdArray[TEXT_DIMENSIONS]] = None  # noqa: UP045
    image_embedding: Optional[NdArray[IMAGE_DIMENSIONS]] = None  # noqa: UP045


class Match(BaseDoc):
    """A picture that was found: its id is that of the picture, `score` is at most 1."""

    text: str
    score: float


class Found(BaseDoc):
    """The best pictures for a query, best first; the id is the query's."""

    matches: DocList[Match]
