"""Steps of plain types of which the first does not say what it gives, so that nobody can know whether it fits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plain_service import Item, Out
from pydantic import BaseModel

from jina import Executor, requests


@dataclass
class Pieces:
    one: bytes
    many: list[bytes]
    named: dict[str, bytes]


class Numbers(BaseModel):
    one: int
    many: list[int]
    perhaps: int | None
    named: dict[str, int]


class Loose(Executor):
    @requests(on="/fits")
    def fits(self, text: str) -> dict:
        return {"text": text, "k": 2}

    @requests(on="/perhaps")
    def perhaps(self, text: str) -> Item | None:
        return Item(text=text, k=1) if text else None

    @requests(on="/fields")
    def fields(self, text: str) -> Any:
        return {"n": 1}

    @requests(on="/value")
    def value(self, text: str) -> Any:
        return 7

    @requests(on="/number")
    def number(self, text: str) -> Any:
        return {"n": 1}

    @requests(on="/nothing")
    def nothing(self, text: str):
        return None

    @requests(on="/many")
    def many(self, text: str) -> list[Item]:
        return [Item(text=text)] * 2

    @requests(on="/stream")
    def stream(self, text: str) -> Iterator[Any]:
        yield Item(text=text)
        yield Out(n=1)

    @requests(on="/late")
    def late(self, text: str) -> Any:
        return {"n": text}

    @requests(on="/bytes")
    def bytes_(self, doc: bytes) -> bytes:
        return doc[::-1]

    @requests(on="/pieces")
    def pieces(self, doc: Pieces) -> Pieces:
        return doc

    @requests(on="/read")
    def read(self, doc: bytes) -> Any:
        return doc

    @requests(on="/numbers")
    def numbers(self, doc: Numbers) -> Numbers:
        return doc

    @requests(on="/times")
    def times(self, number: int, factor: int = 2**31) -> int:
        return number * factor


class Strict(Executor):
    @requests(on=["/fits", "/perhaps", "/fields", "/value", "/nothing"])
    def takes(self, docs: list[Item]) -> list[Out]:
        return [Out(n=doc.k * len(doc.text)) for doc in docs]

    @requests(on="/number")
    def number(self, doc: int) -> Out:
        return Out(n=doc)

    @requests(on="/many")
    def one(self, text: str, k: int = 1) -> list[Out]:
        return [Out(n=len(text))] * k

    @requests(on="/stream")
    def one_by_one(self, doc: Item) -> Out:
        return Out(n=len(doc.text))

    @requests(on="/late")
    def late(self, doc: Item) -> Iterator[Out]:
        yield Out(n=len(doc.text))

    @requests(on="/bytes")
    def bytes_(self, doc: bytes) -> bytes:
        return doc[::-1]

    @requests(on="/pieces")
    def pieces(self, docs: list[Pieces]) -> list[Pieces]:
        return docs

    @requests(on="/read")
    def read(self, doc: str) -> str:
        return doc

    @requests(on="/numbers")
    def numbers(self, docs: list[Numbers]) -> list[Numbers]:
        assert all(type(number) is int for doc in docs for number in (doc.one, *doc.many))
        return docs

    @requests(on="/times")
    def times(self, doc: int) -> int:
        return doc + 1
