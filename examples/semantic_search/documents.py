"""The documents that travel between the client, the encoder and the index."""

from __future__ import annotations

from typing import Optional

from docarray import BaseDoc, DocList
from docarray.typing import NdArray

DIMENSIONS = 384


class Passage(BaseDoc):
    """A piece of text with the name of its synset and, once encoded, its embedding (float32, unit length)."""

    text: str
    synset: str = ""
    embedding: Optional[NdArray[DIMENSIONS]] = None  # noqa: UP045 - the form that DocArray documents


class Hit(BaseDoc):
    """One passage that was found; `score` is the cosine similarity."""

    text: str
    synset: str
    score: float


class Answer(BaseDoc):
    """The query and what was found, best first."""

    text: str
    hits: DocList[Hit]
