"""Document classes, and documents of them, that the tests of the wire share."""

# ruff: noqa: UP006, UP007, UP035, UP045 - users write both, and DocArray reads List[Doc] only

import datetime as dt
import decimal
import enum
import pathlib
import uuid
from typing import Any, Dict, List, Literal, Optional, Union

import numpy as np
from docarray import BaseDoc, DocList, DocVec
from docarray.documents import ImageDoc, TextDoc
from docarray.documents.legacy import LegacyDocument
from docarray.typing import (
    ID,
    AnyEmbedding,
    AnyTensor,
    AnyUrl,
    AudioUrl,
    ImageBytes,
    ImageNdArray,
    ImageTensor,
    ImageUrl,
    NdArray,
    NdArrayEmbedding,
    TextUrl,
)


class Text(BaseDoc):
    text: str


class Embedded(BaseDoc):
    embedding: NdArray


class Color(str, enum.Enum):  # noqa: UP042 - what users write
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Scalars(BaseDoc):
    text: str
    count: int = 3
    ratio: float = 0.5
    flag: bool = True
    blob: bytes = b"x"
    other_id: ID = ID("o")
    maybe_text: Optional[str] = None
    maybe_count: int | None = None
    either: Union[int, str] = 0
    several: int | float | str | bool | None = None
    choice: Literal["a", "b", 3] = "a"
    color: Color = Color.RED
    size: Size = Size.SMALL
    anything: Any = None


class Containers(BaseDoc):
    numbers: List[int] = []
    words: list[str] = []
    loose: list = []
    unique: set[int] = set()
    pair: tuple[int, str] = (1, "a")
    many: tuple[float, ...] = ()
    table: Dict[str, int] = {}
    tags: dict[str, Any] = {}
    deep: dict[str, list[dict[str, float]]] = {}
    maybe: list[str | None] | None = None


class Nested(BaseDoc):
    one: Text
    maybe: Embedded | None = None
    several: DocList[Text] = DocList[Text]()
    maybe_several: DocList[Embedded] | None = None
    plain_list: List[Text] = []
    deeper: Optional["Nested"] = None


class Tensors(BaseDoc):
    plain: NdArray
    shaped: NdArray[2, 3] | None = None
    named: NdArray["n", "n"] | None = None  # noqa: F821
    open_ended: NdArray[3, ...] | None = None
    any_tensor: AnyTensor | None = None
    image: ImageNdArray | None = None
    image_tensor: ImageTensor | None = None
    embedding: NdArrayEmbedding | None = None
    any_embedding: AnyEmbedding | None = None
    listed: list[NdArray] = []


class Links(BaseDoc):
    url: AnyUrl
    image: ImageUrl | None = None
    text: TextUrl | None = None
    audio: AudioUrl | None = None
    picture: ImageBytes | None = None


class Beyond(BaseDoc):
    """What DocArray cannot put on its wire."""

    when: dt.datetime
    day: dt.date = dt.date(2024, 2, 29)
    span: dt.timedelta = dt.timedelta(days=1, seconds=2)
    key: uuid.UUID = uuid.UUID(int=7)
    price: decimal.Decimal = decimal.Decimal("1.10")
    path: pathlib.Path = pathlib.Path("/tmp/x")
    frozen: frozenset[str] = frozenset({"a"})
    pick: Text | Embedded | None = None
    picks: list[Text | Embedded] = []
    columns: DocVec[Embedded] | None = None


class Wide(BaseDoc):
    id_like: ID
    text_doc: TextDoc
    image_doc: ImageDoc
    legacy: LegacyDocument


def floats(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    """Different numbers in each place."""
    return (np.arange(int(np.prod(shape))).reshape(shape) * 0.5).astype(dtype)


def samples() -> dict[str, BaseDoc]:
    """One document or more of each class that DocArray can send, by name."""
    text = Text(id="t", text="hello")
    embedded = Embedded(id="e", embedding=floats(4))
    return {
        "text": text,
        "text_empty": Text(id="", text=""),
        "text_unicode": Text(id="ü", text="héllo ☃ \U0001f600 \x00"),
        "scalars": Scalars(id="s", text="x"),
        "scalars_zero": Scalars(
            id="s", text="", count=0, ratio=0.0, flag=False, blob=b"", other_id="", either="", several=0, choice=3
        ),
        "scalars_edge": Scalars(
            id=None,
            text="x",
            count=-(2**31),
            ratio=-1e300,
            blob=bytes(range(256)),
            maybe_text="m",
            maybe_count=2**31 - 1,
            either=5,
            several=True,
            color="blue",
            size=2,
            anything=[1, {"a": None}],
        ),
        "containers": Containers(id="c"),
        "containers_full": Containers(
            id="c",
            numbers=[1, 2],
            words=["a", ""],
            loose=[1, "a", 2.5, None, True, b"x", [1]],
            unique={1, 5},
            pair=(2, "b"),
            many=(1.0, 2.0),
            table={"a": 1, "": 0},
            tags={"n": 1, "f": 1.5, "s": "x", "l": [1, [2]], "d": {"e": None}, "b": True, "raw": b"\xff"},
            deep={"a": [{"b": 1.0}, {}]},
            maybe=["a", None],
        ),
        "nested": Nested(id="n", one=text),
        "nested_full": Nested(
            id="n",
            one=text,
            maybe=embedded,
            several=DocList[Text]([text, Text(id="u", text="v")]),
            maybe_several=DocList[Embedded]([embedded]),
            plain_list=[text],
            deeper=Nested(id="m", one=text, several=DocList[Text]([text])),
        ),
        "tensors": Tensors(id="x", plain=floats(3)),
        "tensors_full": Tensors(
            id="x",
            plain=floats(2, 2, dtype=np.int64),
            shaped=floats(2, 3),
            named=floats(2, 2),
            open_ended=floats(3, 1, 2),
            any_tensor=floats(2),
            image=floats(2, 2, 3, dtype=np.uint8),
            image_tensor=floats(2, 2),
            embedding=floats(5),
            any_embedding=floats(5, dtype=np.float64),
            listed=[floats(1), floats(2, dtype=np.int32)],
        ),
        "links": Links(id="l", url="http://a.b/c"),
        "links_full": Links(
            id="l", url="file.bin", image="http://a/b.png", text="a.txt", audio="http://a/b.mp3", picture=b"\x89PNG"
        ),
        "wide": Wide(
            id="w",
            id_like="x",
            text_doc=TextDoc(id="1", text="a", embedding=floats(2)),
            image_doc=ImageDoc(id="2", url="http://a/b.png", tensor=floats(2, 2, 3)),
            legacy=LegacyDocument(id="3", text="l", tags={"a": 1}, chunks=[LegacyDocument(id="4", tensor=floats(2))]),
        ),
    }
