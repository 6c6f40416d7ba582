"""Executors whose OpenAPI documents make requests: plain types, files, and what other APIs serve."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel, Field

from jina import Executor, File, requests
from tests.interop.obliging_model import Obliging


class Item(BaseModel):
    name: str = Field(min_length=1, max_length=20)
    kind: Literal["a", "b"] = "a"
    amount: int = Field(default=1, ge=0, le=100)
    tags: list[str] = []


class Found(BaseModel):
    item: Item
    score: float | None = None


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    label: str | None = None


class Text(BaseDoc):
    text: str = ""


class Plain(Executor):
    """Methods of plain types."""

    @requests(on="/find")
    def find(self, item: Item) -> Found:
        """One in, one out."""
        return Found(item=item, score=item.amount / 2)

    @requests(on="/batch")
    def batch(self, docs: list[Item]) -> list[Found]:
        """A batch."""
        return [Found(item=item) for item in docs]

    @requests(on="/search", methods=["GET", "POST"], safe=True)
    def search(self, text: str, k: int = 3, exact: bool = False) -> list[str]:
        """Arguments, and a list."""
        return [text] * (1 if exact else min(max(k, 0), 5))

    @requests(on="/move")
    def move(self, point: Point, by: float = 1.0) -> Point:
        """A dataclass, with a parameter."""
        return dataclasses.replace(point, x=point.x + by)

    @requests(on="/count")
    async def count(self, upto: int = 3) -> AsyncIterator[int]:
        """A stream."""
        for number in range(min(max(upto, 0), 5)):
            yield number

    @requests(on="/length")
    def length(self, doc: str) -> int:
        """A value in, a value out."""
        return len(doc)

    @requests(on="/documents")
    def documents(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        """DocArray's documents."""
        return DocList[Text](Text(text=doc.text.upper()) for doc in docs)


class Sound(File):
    accepts = ("audio/*",)


class WithFiles(Executor):
    """Methods of files."""

    @requests(on="/size")
    def size(self, file: File, label: str = "") -> dict[str, int]:
        """A file and a text."""
        return {label or "size": file.size}

    @requests(on="/turn")
    def turn(self, sound: Sound) -> Sound:
        """A file in, a file out."""
        return Sound(name=sound.name, media_type=sound.media_type, data=sound.read()[::-1])

    @requests(on="/bytes")
    def data(self, data: bytes) -> bytes:
        """Bytes in, bytes out."""
        return data[::-1]

    @requests(on="/several")
    def several(self, files: list[File]) -> list[str]:
        """Several files."""
        return [file.name for file in files]

    @requests(on="/made", safe=True)
    def made(self, size: int = 10) -> File:
        """A file by GET."""
        return File(name="made.bin", data=b"x" * min(max(size, 0), 1000))


class Vector(BaseDoc):
    tensor: NdArray[3]


class Tensors(Executor):
    """Methods of tensors."""

    @requests(on="/double")
    def double(self, docs: DocList[Vector], **kwargs) -> DocList[Vector]:
        """Twice as much."""
        return DocList[Vector](Vector(tensor=np.asarray(doc.tensor) * 2) for doc in docs)


class Embedded(Text):
    embedding: NdArray[2] | None = None


class Answer(BaseModel):
    text: str
    language: str
    duration: float


class Models(Obliging):
    """What clients of OpenAI's API ask."""

    @requests(on="/embed")
    def embed(self, docs: DocList[Text], **kwargs) -> DocList[Embedded]:
        """Vectors."""
        return DocList[Embedded](Embedded(text=doc.text, embedding=np.ones(2)) for doc in docs)

    @requests(on="/listen")
    def listen(self, sound: Sound, language: str = "en") -> Answer:
        """Audio in, text out."""
        return Answer(text=f"{sound.size} bytes", language=language, duration=1.0)

    @requests(on="/say")
    async def say(self, text: str, voice: str = "") -> AsyncIterator[Sound]:
        """Text in, audio out."""
        for word in (voice, *text.split()[:3]):
            yield Sound(data=word.encode("utf-8", "replace"), media_type="audio/wav")
