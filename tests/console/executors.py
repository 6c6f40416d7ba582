"""What the console is tried on: endpoints of all shapes, some with texts that a careless page takes for markup."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import AudioBytes, ImageBytes, NdArray
from pydantic import BaseModel, Field

from jina import Executor, File, requests

ATTACK = "<img src=x onerror=\"window.attacked='{0}'\"><script>window.attacked='{0}'</script>"
"""Text that takes hold of a page which takes it for markup."""


def png(width: int = 24, height: int = 16) -> bytes:
    """A small picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 10 % 256, y * 15 % 256, 120)) for x in range(width)) for y in range(height)
    )
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(samples: int = 800) -> bytes:
    """A short sound."""
    data = b"".join(struct.pack("<h", (index % 40) * 500) for index in range(samples))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        8000,
        16000,
        2,
        16,
        b"data",
        len(data),
    )
    return head + data


__version__ = "2.1"


class Colour(StrEnum):
    red = "red"
    blue = "blue"


class Address(BaseDoc):
    street: str
    number: int = Field(default=1, ge=0)


class Person(BaseDoc):
    """One who has a name."""

    name: str = Field(description="the whole name", examples=["Ada"])
    age: int | None = None
    height: float = 1.7
    active: bool = True
    colour: Colour = Colour.red
    kind: Literal["a", "b"] = "a"
    address: Address | None = None
    addresses: DocList[Address] = DocList[Address]()
    tags: list[str] = []
    scores: dict[str, float] = {}
    either: int | str = 0
    anything: dict[str, Any] = {}
    vector: NdArray[3] | None = None
    photo: ImageBytes | None = None


class Choice(BaseModel):
    limit: int = 3
    mode: Literal["fast", "slow"] = "fast"


class Picture(File):
    accepts = ("image/*",)


class Sound(BaseDoc):
    sound: AudioBytes
    title: str = ""


class Grid(BaseDoc):
    pixels: NdArray


class Hit(BaseDoc):
    text: str
    score: float


class Found(BaseDoc):
    text: str
    matches: DocList[Hit]


class Odd(BaseDoc):
    """A document whose fields have odd names. <img src=x onerror="window.attacked='model docstring'">"""

    plain: str = Field(default="", description=ATTACK.format("field description"))
    model_config = {"json_schema_extra": {"title": ATTACK.format("class title")}}


class Sample(Executor):
    """Tries everything. <img src=x onerror="window.attacked='class docstring'">"""

    __version__ = ATTACK.format("version")

    @requests(on="/person")
    def person(self, docs: DocList[Person], parameters: Choice, **kwargs) -> DocList[Person]:
        """Give people back.

        At most `limit` of them.
        """
        return docs[: parameters.limit]

    @requests(on="/words")
    async def words(self, doc: TextDoc, **kwargs) -> AsyncIterator[TextDoc]:
        """Give the words of a text, one after the other."""
        for word in (doc.text or "").split():
            await asyncio.sleep(0.02)
            yield TextDoc(text=f"{word} ")

    @requests(on="/tokens")
    async def tokens(self, prompt: str, count: int = 5) -> AsyncIterator[str]:
        """Give a prompt again and again."""
        for number in range(count):
            await asyncio.sleep(0.02)
            yield f"{prompt}{number} "

    @requests(on="/breaks")
    async def breaks(self, prompt: str) -> AsyncIterator[str]:
        """Break in the middle."""
        yield f"{prompt} "
        raise ValueError("broke in the middle")

    @requests(on="/add")
    def add(self, a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    @requests(on="/flip")
    def flip(self, picture: Picture, times: int = 1) -> Picture:
        """Give a picture back."""
        return Picture(name=picture.name, media_type=picture.media_type, data=picture.read())

    @requests(on="/sound")
    def sound(self, docs: DocList[TextDoc], **kwargs) -> DocList[Sound]:
        """Give a sound."""
        return DocList[Sound]([Sound(sound=wav(), title="a tone")])

    @requests(on="/grid")
    def grid(self, docs: DocList[TextDoc], **kwargs) -> DocList[Grid]:
        """Give an array that is a picture."""
        pixels = np.linspace(0, 255, 32 * 48 * 3).reshape(32, 48, 3).astype(np.uint8)
        return DocList[Grid]([Grid(pixels=pixels)])

    @requests(on="/search")
    def search(self, docs: DocList[TextDoc], **kwargs) -> DocList[Found]:
        """Give matches."""
        hits = DocList[Hit]([Hit(text=f"hit {number}", score=1 / (number + 1)) for number in range(3)])
        return DocList[Found]([Found(text=doc.text or "", matches=hits) for doc in docs])

    @requests(on="/big")
    def big(self, number: int) -> int:
        """Give a number back that no float holds."""
        return number

    @requests(on="/untyped")
    def untyped(self, docs, parameters, **kwargs):
        """Give anything back."""
        return docs

    @requests(on="/fail")
    def fail(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        """Always fail."""
        raise ValueError(ATTACK.format("error"))

    @requests(on="/slow")
    async def slow(self, seconds: float = 30.0) -> str:
        """Take long."""
        await asyncio.sleep(seconds)
        return "done"

    @requests(on="/odd")
    def odd(self, docs: DocList[Odd], **kwargs) -> DocList[Odd]:
        """<script>window.attacked='method docstring'</script>"""
        return docs

    @requests(on="/say")
    def say(self, text: str, level: str = "info") -> str:
        """Write a line into the log."""
        getattr(self.logger, level)(text)
        return text

    @requests(on="/read", methods=["GET"])
    def read(self, text: str = "x") -> str:
        """Read by GET only."""
        return text

    @requests(on="/die")
    def die(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        """End the process."""
        os._exit(3)


class Encoder(Executor):
    """Does little."""

    @requests(on="/encode")
    def encode(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        """Encode texts."""
        return docs

    @requests(on="/die")
    def die(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        """End the process."""
        os._exit(3)


class Ranker(Executor):
    """Does little, later."""

    @requests(on="/encode")
    def rank(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        """Rank texts."""
        return docs
