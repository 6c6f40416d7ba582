"""An Executor whose methods take and give plain types: one for each form that a signature may have."""

import datetime as dt
import enum
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel, ConfigDict, Field

from jina import Executor, dynamic_batching, requests


class Item(BaseModel):
    text: str
    k: int = 3


class Out(BaseModel):
    n: int


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Path:
    points: list[Point]
    tags: dict[str, int] = field(default_factory=dict)


class Row(TypedDict):
    name: str
    age: NotRequired[int]


class Frame(msgspec.Struct, rename="camel"):
    frame_id: int
    label: str | None = None


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rich(BaseModel):
    """All that fields may be."""

    when: dt.datetime
    key: uuid.UUID
    colour: Colour = Colour.RED
    size: Literal["s", "m"] = "s"
    inner: Item | None = None
    many: list[Item] = []
    by_name: dict[str, Item] = {}
    pair: tuple[int, str] = (1, "a")
    any_of: int | str = 0
    numbers: set[int] = set()


class Arrays(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    blob: bytes
    array: np.ndarray
    tensor: NdArray | None = None


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    my_text: str = Field(alias="myText")
    short: Annotated[str, Field(max_length=3)] = ""


class TextDocument(BaseDoc):
    text: str = ""


class Plain(Executor):
    """What is asked by the tests."""

    @requests(on="/model")
    def model(self, item: Item) -> Out:
        """Counts letters."""
        return Out(n=len(item.text) * item.k)

    @requests(on="/doc")
    async def doc(self, doc: Item, **kwargs) -> Out:
        return Out(n=len(doc.text))

    @requests(on="/many")
    def docs(self, docs: list[Item], **kwargs) -> list[Out]:
        return [Out(n=len(doc.text)) for doc in docs]

    @requests(on="/items")
    async def items(self, items: list[Item]) -> list[Out]:
        return [Out(n=len(item.text)) for item in items]

    @requests(on="/sequence")
    def sequence(self, items: Sequence[Item]) -> tuple[Out, ...]:
        return tuple(Out(n=item.k) for item in items)

    @requests(on="/sum")
    def sum(self, items: list[Item]) -> Out:
        return Out(n=sum(len(item.text) for item in items))

    @requests(on="/dataclass")
    def of_dataclass(self, path: Path) -> Point:
        return Point(sum(point.x for point in path.points), float(len(path.tags)))

    @requests(on="/dataclasses")
    def of_dataclasses(self, docs: list[Point]) -> list[Path]:
        return [Path([doc], {"a": 1}) for doc in docs]

    @requests(on="/typed_dict")
    def of_typed_dict(self, row: Row) -> Row:
        return {"name": row["name"].upper(), "age": row.get("age", 0) + 1}

    @requests(on="/struct")
    def of_struct(self, frame: Frame) -> Frame:
        return Frame(frame_id=frame.frame_id + 1, label=frame.label)

    @requests(on="/structs")
    def of_structs(self, docs: list[Frame]) -> list[Frame]:
        return docs

    @requests(on="/rich")
    def rich(self, rich: Rich) -> Rich:
        return rich

    @requests(on="/arrays")
    def arrays(self, arrays: Arrays) -> Arrays:
        return Arrays(blob=arrays.blob[::-1], array=arrays.array * 2, tensor=arrays.tensor)

    @requests(on="/named")
    def aliased(self, named: Named) -> Named:
        return named

    @requests(on="/arguments")
    def arguments(self, text: str, k: int = 3) -> list[Out]:
        return [Out(n=number) for number in range(k)]

    @requests(on="/two")
    def two(self, item: Item, point: Point, scale: float = 1) -> float:
        return item.k * point.x * scale

    @requests(on="/beside")
    def beside(self, item: Item, scale: int = 2) -> int:
        return item.k * scale

    @requests(on="/beside_list")
    def beside_list(self, docs: list[Item], scale: int, parameters: dict) -> list[int]:
        return [doc.k * scale * len(parameters) for doc in docs]

    @requests(on="/text")
    def text(self, text: str) -> str:
        return text.upper()

    @requests(on="/number")
    async def number(self, text: str) -> float:
        return len(text) / 2

    @requests(on="/vector")
    def vector(self, text: str) -> list[float]:
        return [float(len(text)), 0.5]

    @requests(on="/scores")
    def scores(self, text: str) -> dict[str, float]:
        return {letter: float(text.count(letter)) for letter in text}

    @requests(on="/by_number")
    def by_number(self, text: str) -> dict[int, str]:
        return dict(enumerate(text))

    @requests(on="/pair")
    def pair(self, text: str) -> tuple[int, str]:
        return len(text), text

    @requests(on="/flag")
    def flag(self, text: str) -> bool:
        return bool(text)

    @requests(on="/perhaps")
    def perhaps(self, k: int) -> Out | None:
        return Out(n=k) if k else None

    @requests(on="/either")
    def either(self, k: int) -> Out | Row:
        return Out(n=k) if k else {"name": "none"}

    @requests(on="/nothing")
    def nothing(self, item: Item) -> None:
        """Gives nothing."""

    @requests(on="/nothing_of_many")
    def nothing_of_many(self, docs: list[Item]) -> None:
        """Gives nothing."""

    @requests(on="/untold")
    def untold(self, item: Item):
        return {"k": item.k}

    @requests(on="/anything")
    def anything(self, value: Any) -> Any:
        return [value]

    @requests(on="/hello")
    def hello(self) -> str:
        return "hello"

    @requests(on="/texts")
    def texts(self, docs: list[str]) -> list[list[float]]:
        return [[float(len(doc))] for doc in docs]

    @requests(on="/one_text")
    def one_text(self, doc: str) -> str:
        return doc[::-1]

    @requests(on="/stream")
    def stream(self, item: Item) -> Iterator[Out]:
        for number in range(item.k):
            yield Out(n=number)

    @requests(on="/letters")
    async def letters(self, text: str) -> AsyncIterator[str]:
        for letter in text:
            yield letter

    @requests(on="/stream_of_many")
    def stream_of_many(self, docs: list[Item]) -> Iterator[int]:
        for doc in docs:
            yield doc.k

    @dynamic_batching(preferred_batch_size=4, timeout=20)
    @requests(on="/batched")
    def batched(self, docs: list[Item]) -> list[Out]:
        return [Out(n=len(doc.text)) for doc in docs]

    @dynamic_batching(preferred_batch_size=4, timeout=20)
    @requests(on="/batched_texts")
    async def batched_texts(self, docs: list[str], scale: float = 1) -> list[float]:
        return [len(doc) * scale for doc in docs]

    @requests(on="/of_documents")
    def of_documents(self, docs: DocList[TextDocument], **kwargs) -> list[Out]:
        return [Out(n=len(doc.text)) for doc in docs]

    @requests(on="/to_documents")
    def to_documents(self, text: str) -> DocList[TextDocument]:
        return DocList[TextDocument]([TextDocument(id=str(place), text=one) for place, one in enumerate(text)])

    @requests(on="/days")
    def days(self, since: dt.date, until: dt.date | None = None) -> dt.timedelta | None:
        return until - since if until else None

    @requests(on="/grouped")
    def grouped(self, items: list[Item]) -> dict[str, list[Item]]:
        return {item.text: [other for other in items if other.text == item.text] for item in items}

    @requests(on="/colours")
    async def colours(self, colours: set[Colour], size: Literal["s", "m"] = "s") -> list[Colour]:
        return sorted(colours, key=lambda colour: colour.value, reverse=size == "m")

    @requests(on="/doubled")
    def doubled(self, docs: list[int]) -> list[int]:
        return [doc * 2 for doc in docs]

    @requests(on="/price")
    def price(self, docs: list[Decimal]) -> list[Decimal]:
        return [doc * 2 for doc in docs]

    @requests(on="/free_document")
    def free_document(self, query: TextDocument) -> Out:
        return Out(n=len(query.text))


class Shelf(Executor):
    """Keeps items, and finds them again."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kept: list[Item] = []

    @requests(on="/keep")
    def keep(self, item: Item) -> None:
        self.kept.append(item)

    @requests(on="/find")
    def find(self, text: str) -> list[Item]:
        return [item for item in self.kept if text in item.text]


class Counting(Executor):
    """What comes after another step."""

    @requests(on="/find")
    def count(self, docs: list[Item]) -> list[Out]:
        return [Out(n=len(doc.text)) for doc in docs]

    @requests(on="/total")
    def total(self, items: list[Item], scale: int = 1) -> int:
        return scale * sum(len(item.text) for item in items)


class Finding(Executor):
    """What comes before it."""

    @requests(on=["/find", "/total"])
    def find(self, text: str, k: int = 2) -> list[Item]:
        return [Item(text=text * place) for place in range(1, k + 1)]
