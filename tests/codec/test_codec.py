"""The codec against DocArray's own conversion, and where DocArray has none."""

from typing import Annotated, Any, Optional

import docarray.proto
import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.base_doc import AnyDoc
from docarray.documents import TextDoc
from docarray.typing import ID, AnyTensor, ImageUrl, NdArray
from pydantic import ConfigDict, Field, field_validator
from tests.codec.compare import same
from tests.codec.documents import Beyond, Containers, Embedded, Nested, Scalars, Tensors, Text, floats, samples

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.protobuf import Fallbacks
from jina.errors import BadClientInput, BadRequest, ConfigError, ValidationFailed

SAMPLES = samples()


def encoded(doc: BaseDoc) -> pb.DocProto:
    message = pb.DocProto()
    codec_for(type(doc)).encode_doc(doc, message)
    return message


def round_trip(doc: BaseDoc) -> Any:
    return codec_for(type(doc)).decode_doc(pb.DocProto.FromString(encoded(doc).SerializeToString()))


def theirs(message: pb.DocProto) -> Any:
    return docarray.proto.DocProto.FromString(message.SerializeToString())


@pytest.mark.parametrize("name", SAMPLES)
def test_encodes_as_docarray_does(name):
    doc = SAMPLES[name]
    before = Fallbacks.count
    assert theirs(encoded(doc)) == doc.to_protobuf()
    assert Fallbacks.count == before


@pytest.mark.parametrize("name", SAMPLES)
def test_decodes_as_docarray_does(name):
    doc = SAMPLES[name]
    expected = type(doc).from_protobuf(doc.to_protobuf())
    got = round_trip(doc)
    assert same(got, expected)
    assert list(got.__dict__) == list(expected.__dict__)
    assert got.__pydantic_fields_set__ == expected.__pydantic_fields_set__
    assert got.__pydantic_private__ is None
    got.id = "changed"  # assignment still validates and works on objects that we laid out
    assert got.id == "changed"


def test_lists_are_typed_and_hold_the_documents():
    docs = DocList[Text]([Text(id=str(number), text="x" * number) for number in range(20)])
    message = pb.DocListProto.FromString(codec_for(Text).to_bytes(docs))
    got = codec_for(Text).decode(message)
    assert type(got) is type(DocList[Text]([Text(text="")]))
    assert same(list(got), list(docs))
    assert got.text == docs.text
    assert docarray.proto.DocListProto.FromString(codec_for(Text).to_bytes(docs)) == docs.to_protobuf()
    assert codec_for(Text).decode(pb.DocListProto()) == DocList[Text]()


def test_what_docarray_cannot_send_comes_back():
    ensure = pytest.importorskip("jina.documents.docarray_patches").ensure_docvec
    ensure()
    doc = Beyond(
        when="2024-05-06T07:08:09.000123+02:00",
        pick=Embedded(embedding=floats(2)),
        picks=[Text(text="a"), Embedded(embedding=floats(3))],
        columns=DocVec[Embedded]([Embedded(embedding=floats(2)), Embedded(embedding=floats(2))]),
    )
    with pytest.raises(Exception):  # noqa: B017 - whatever DocArray raises
        doc.to_protobuf()
    got = round_trip(doc)
    assert isinstance(got.columns, DocVec)
    assert same(got.columns[1].embedding, doc.columns[1].embedding)
    for name in set(Beyond.model_fields) - {"columns"}:
        assert same(getattr(got, name), getattr(doc, name)), name


@pytest.mark.parametrize(
    "dtype",
    [
        "<f2",
        "<f4",
        "<f8",
        ">f4",
        "|i1",
        "<i2",
        "<i4",
        "<i8",
        ">i8",
        "|u1",
        "<u8",
        "|b1",
        "<c8",
        "<c16",
        "<M8[ns]",
        "<m8[s]",
        "<U3",
        "|S2",
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (2, 0, 3), (1, 2, 3, 1)])
def test_tensors_of_every_dtype_and_rank(dtype, shape):
    array = np.arange(int(np.prod(shape, dtype=int))).reshape(shape).astype(dtype)
    got = round_trip(Embedded(id="e", embedding=array)).embedding
    assert same(got, array.view(NdArray))
    assert got.flags.writeable
    assert got.flags.owndata or got.base is not None
    got[...] = got  # does not raise


@pytest.mark.parametrize(
    "array",
    [
        floats(4, 6)[:, ::2],
        floats(4, 6).T,
        floats(5)[::-1],
        np.asfortranarray(floats(3, 4)),
        np.broadcast_to(floats(3), (2, 3)),
    ],
)
def test_tensors_that_are_not_contiguous(array):
    doc = Embedded(id="e", embedding=array)
    assert theirs(encoded(doc)) == doc.to_protobuf()
    assert np.array_equal(round_trip(doc).embedding, array)


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.zeros(2, dtype=[("a", "<i4")]), np.array([b"x"], dtype="V1")]
)
def test_tensors_that_do_not_travel_are_refused(array):
    with pytest.raises(BadClientInput, match=r"Embedded\.embedding: dtype .* does not travel"):
        encoded(Embedded(embedding=array))


def tensor_message(**dense: Any) -> pb.DocProto:
    message = pb.DocProto()
    message.data["id"].text = "e"
    node = message.data["embedding"]
    node.type = "ndarray"
    node.ndarray.dense.SetInParent()
    for name, value in dense.items():
        if name == "shape":
            node.ndarray.dense.shape.extend(value)
        else:
            setattr(node.ndarray.dense, name, value)
    return message


@pytest.mark.parametrize(
    "dense",
    [
        {"buffer": b"\0" * 8, "shape": [3], "dtype": "<f4"},
        {"buffer": b"\0" * 12, "shape": [2], "dtype": "<f4"},
        {"buffer": b"", "shape": [2**31, 2**31], "dtype": "<f4"},
        {"buffer": b"", "shape": [0, 2**32 - 1, 2**32 - 1, 2**32 - 1], "dtype": "<f4"},
        {"buffer": b"\0" * 8, "shape": [1], "dtype": "O"},
        {"buffer": b"\0" * 8, "shape": [1], "dtype": "nonsense"},
        {"buffer": b"\0" * 8, "shape": [1], "dtype": "V8"},
        {"buffer": b"", "shape": [], "dtype": "<f4"},
        {},
    ],
)
def test_garbled_tensors_are_refused(dense):
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Embedded).decode(pb.DocListProto(docs=[tensor_message(**dense)]))
    assert caught.value.errors[0]["loc"] == [0, "embedding"]


def set_node(name: str, **content: Any) -> pb.DocProto:
    message = encoded(Scalars(id="s", text="x"))
    message.data[name].Clear()
    for kind, value in content.items():
        setattr(message.data[name], kind, value)
    return message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("count", {"text": "x"}),
        ("count", {"float": 1.5}),
        ("count", {}),
        ("count", {"blob": b"\xff"}),
        ("ratio", {"text": "x"}),
        ("ratio", {}),
        ("flag", {"text": "x"}),
        ("text", {"integer": 1}),
        ("text", {}),
        ("text", {"blob": b"\xff"}),
        ("blob", {"integer": 1}),
        ("choice", {"text": "c"}),
        ("color", {"text": "green"}),
        ("size", {"integer": 9}),
        ("either", {"float": 1.5}),
        ("maybe_count", {"text": "x"}),
    ],
)
def test_wrong_types_go_to_pydantic_and_are_refused_as_by_docarray(name, content):
    message = set_node(name, **content)
    with pytest.raises(ValueError):
        Scalars.from_protobuf(theirs(message))
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Scalars).decode(pb.DocListProto(docs=[encoded(Scalars(text="ok")), message]), ("data",))
    assert caught.value.errors[0]["loc"][:3] == ["data", 1, name]
    assert f"data.1.{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("count", {"text": "7"}),
        ("count", {"float": 7.0}),
        ("count", {"boolean": True}),
        ("ratio", {"integer": 3}),
        ("ratio", {"text": "1.5"}),
        ("flag", {"integer": 1}),
        ("text", {"text": "a", "type": "id"}),
        ("blob", {"text": "abc"}),
        ("other_id", {"integer": 5}),
        ("other_id", {"text": "i"}),
        ("either", {"boolean": True}),
        ("several", {"float": 1.0}),
        ("color", {"text": "blue"}),
        ("anything", {"integer": 3}),
    ],
)
def test_convertible_types_convert_as_with_docarray(name, content):
    message = set_node(name, **content)
    assert same(codec_for(Scalars).decode_doc(message), Scalars.from_protobuf(theirs(message)))


def test_missing_and_unknown_fields():
    message = encoded(Scalars(id="s", text="x"))
    message.data["stranger"].integer = 1
    for name in ("count", "id", "maybe_text"):
        del message.data[name]
    got = codec_for(Scalars).decode_doc(message)
    assert got.count == 3
    assert len(got.id) == 32
    assert not hasattr(got, "stranger")
    assert {"count", "id", "maybe_text"}.isdisjoint(got.__pydantic_fields_set__)
    del message.data["text"]
    with pytest.raises(ValidationFailed, match=r"Scalars: text: Field required"):
        codec_for(Scalars).decode_doc(message)


def test_default_values_are_not_shared():
    one, other = (codec_for(Containers).decode_doc(pb.DocProto()) for _ in range(2))
    one.tags["a"] = one.numbers
    one.numbers.append(1)
    assert other.tags == {}
    assert other.numbers == []
    assert one.id != other.id


def test_the_integer_limit_names_the_field():
    class Deep(BaseDoc):
        tags: dict = {}

    with pytest.raises(
        BadClientInput, match=r"Scalars\.count: integer 9007199254740993 is beyond 53 bits.*field a str"
    ):
        encoded(Scalars(text="x", count=2**53 + 1))
    docs = [Deep(), Deep(tags={"a": [0, {"b": -(2**60)}]})]
    with pytest.raises(BadClientInput, match=r"Deep\[1\]\.tags\.a\[1\]\.b: integer -1152921504606846976"):
        codec_for(Deep).to_bytes(docs)


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, -(2**31) - 1, 2**53, -(2**53)])
def test_large_integers_are_floats_on_the_wire(number):
    class Numbers(BaseDoc):
        one: int
        perhaps: int | None = None
        many: list[int] = []
        named: dict[str, int] = {}
        anything: Any = None

    doc = Numbers(one=number, perhaps=number, many=[number], named={"a": number}, anything=number)
    message = pb.DocListProto.FromString(codec_for(Numbers).to_bytes([doc]))
    kind = message.docs[0].data["one"].WhichOneof("content")
    assert kind == ("integer" if -(2**31) <= number < 2**31 else "float")
    [found] = codec_for(Numbers).decode(message)
    values = [found.one, found.perhaps, *found.many, found.named["a"]]
    assert values == [number] * 4
    assert {type(value) for value in values} == {int}
    assert found.anything == number
    theirs = Numbers.from_protobuf(message.docs[0])  # as clients of Jina 3 read it
    assert (theirs.one, theirs.many, theirs.named) == (number, [number], {"a": number})


def test_a_float_that_is_no_integer_does_not_fit():
    class Number(BaseDoc):
        one: int

    message = pb.DocListProto()
    message.docs.add().data["one"].float = 2.5
    with pytest.raises(ValidationFailed, match="one"):
        codec_for(Number).decode(message)


def test_values_without_a_form_are_refused_with_their_place():
    class Loose(BaseDoc):
        anything: Any = None

    with pytest.raises(BadClientInput, match=r"Loose\.anything: .*object does not travel"):
        encoded(Loose(anything=object()))
    with pytest.raises(BadClientInput, match=r"Loose\.anything: key 1 is a int"):
        encoded(Loose(anything={1: 2}))
    with pytest.raises(BadClientInput, match=r"Loose\.anything: .*surrogate"):
        encoded(Loose(anything="\ud800"))
    cyclic: list = []
    cyclic.append(cyclic)
    with pytest.raises(BadClientInput, match="nested too deeply"):
        encoded(Loose(anything=cyclic))


def test_nested_errors_name_the_whole_path():
    message = encoded(Nested(one=Text(text="a"), several=DocList[Text]([Text(text="a"), Text(text="b")])))
    message.data["several"].doc_array.docs[1].data["text"].integer = 3
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Nested).decode(pb.DocListProto(docs=[message]))
    assert caught.value.errors[0]["loc"][:2] == [0, "several"]
    assert caught.value.errors[0]["loc"][-2:] == [1, "text"]


def test_garbled_tensors_in_nested_documents_name_the_whole_path():
    message = encoded(Nested(one=Text(text="a"), maybe_several=DocList[Embedded]([Embedded(embedding=floats(2))])))
    message.data["maybe_several"].doc_array.docs[0].data["embedding"].ndarray.dense.buffer = b"1"
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Nested).decode(pb.DocListProto(docs=[message]))
    assert caught.value.errors[0]["loc"] == [0, "maybe_several", 0, "embedding"]


def test_a_lone_number_is_no_shape_of_uninitialised_memory():
    message = pb.DocProto()
    message.data["embedding"].integer = 5
    got = codec_for(Embedded).decode_doc(message)
    assert got.embedding.shape == ()
    assert got.embedding == 5
    message.data["embedding"].Clear()
    with pytest.raises(ValidationFailed):
        codec_for(Embedded).decode_doc(message)


def test_none_is_what_a_field_may_be_whose_default_is_none():
    class Tacit(BaseDoc):
        text: str = None  # type: ignore[assignment]
        tensor: NdArray = None  # type: ignore[assignment]
        other: AnyTensor = None

    class Checked(Tacit):
        @field_validator("text")
        @classmethod
        def upper(cls, value: str) -> str:
            return value.upper()

    for cls in (Tacit, Checked):
        got = round_trip(cls(id="a"))
        assert (got.text, got.tensor, got.other) == (None, None, None)
        assert codec_for(cls).decode_json([{"text": None, "tensor": None}])[0].tensor is None
    assert round_trip(Checked(text="a")).text == "A"


def test_shapes_of_parametrised_tensors():
    class Shaped(BaseDoc):
        fixed: NdArray[2, 3]

    def message_with(array: np.ndarray) -> pb.DocProto:
        message = encoded(Embedded(id="e", embedding=array))
        message.data["fixed"].CopyFrom(message.data["embedding"])
        return message

    assert codec_for(Shaped).decode_doc(message_with(floats(2, 3))).fixed.shape == (2, 3)
    assert codec_for(Shaped).decode_doc(message_with(floats(6))).fixed.shape == (2, 3)  # DocArray reshapes too
    with pytest.raises(ValidationFailed, match=r"fixed: expected shape \[2, 3\], got \[7\]"):
        codec_for(Shaped).decode_doc(message_with(floats(7)))
    message = encoded(Tensors(plain=floats(1)))
    message.data["named"].CopyFrom(encoded(Embedded(embedding=floats(2, 3))).data["embedding"])
    with pytest.raises(ValidationFailed, match="expected shape"):
        codec_for(Tensors).decode_doc(message)


def test_classes_with_rules_of_their_own_go_through_pydantic():
    class Strict(BaseDoc):
        model_config = ConfigDict(str_strip_whitespace=True)
        text: Annotated[str, Field(min_length=2)]
        count: int = Field(default=1, gt=0)

    class Checked(BaseDoc):
        text: str

        @field_validator("text")
        @classmethod
        def upper(cls, value: str) -> str:
            return value.upper()

    class Private(BaseDoc):
        text: str
        _seen: int = 1

        def model_post_init(self, context: Any) -> None:
            super().model_post_init(context)
            self._seen = 2

    class Own(BaseDoc):
        text: str

        def __init__(self, **values: Any) -> None:
            super().__init__(**{**values, "text": values["text"] + "!"})

    class Aliased(BaseDoc):
        text: str = Field(alias="theText")

    assert round_trip(Strict(text=" ab ")).text == "ab"
    message = encoded(Strict(text="abc"))
    message.data["text"].text = "  a  "
    with pytest.raises(ValidationFailed, match="at least 2 characters"):
        codec_for(Strict).decode_doc(message)
    message.data["text"].text = " abc "
    message.data["count"].integer = 0
    with pytest.raises(ValidationFailed, match="greater than 0"):
        codec_for(Strict).decode_doc(message)
    message = encoded(Text(text="abc"))
    assert codec_for(Checked).decode_doc(message).text == "ABC"
    assert codec_for(Private).decode_doc(message).__pydantic_private__ == {"_seen": 2}
    assert codec_for(Own).decode_doc(message).text == "abc!"
    assert round_trip(Aliased(theText="a")).text == "a"


def test_urls_are_checked_as_by_docarray():
    class Linked(BaseDoc):
        image: ImageUrl

    message = encoded(Linked(image="http://a/b.png"))
    message.data["image"].text = "http://a/b.mp3"
    with pytest.raises(ValidationFailed, match="not in a valid format"):
        codec_for(Linked).decode_doc(message)


def test_schemaless_and_loose_classes():
    got = codec_for(AnyDoc).decode_doc(encoded(Text(id="t", text="a")))
    assert (got.id, got.text) == ("t", "a")
    assert theirs(encoded(got)).data["text"].text == "a"


def test_a_docvec_travels_as_the_list_of_its_documents():
    pytest.importorskip("jina.documents.docarray_patches").ensure_docvec()
    docs = DocList[Nested](
        [
            Nested(
                id=str(number),
                one=Text(id="o", text="a"),
                several=[Text(id="p", text="b")],
                maybe=Embedded(id="e", embedding=floats(2)),
            )
            for number in range(3)
        ]
    )
    expected = docs.to_protobuf()
    columns = docs.to_doc_vec()
    assert docarray.proto.DocListProto.FromString(codec_for(Nested).to_bytes(columns)) == expected


def test_recursive_classes():
    class Tree(BaseDoc):
        children: list["Tree"] = []
        parent: Optional["Tree"] = None

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    tree = Tree(id="a", children=[Tree(id="b", children=[Tree(id="c")])], parent=Tree(id="p"))
    assert same(round_trip(tree), tree)


def test_instances_of_subclasses_keep_their_own_fields():
    class More(Text):
        extra: int = 1

    message = encoded(Nested(one=More(text="a", extra=5)))
    assert message.data["one"].doc.data["extra"].integer == 5


def test_types_that_only_docarray_can_write_fall_back_and_are_counted():
    class Celsius(ID):
        def _to_node_protobuf(self):
            return docarray.proto.NodeProto(float=float(self))

    class Weather(BaseDoc):
        degrees: Any

    before = Fallbacks.count
    assert encoded(Weather(degrees=Celsius("21.5"))).data["degrees"].float == 21.5
    assert Fallbacks.count == before + 1


def test_unions_of_documents_pick_the_fitting_class():
    class Either(BaseDoc):
        doc: Text | Embedded

    assert isinstance(round_trip(Either(doc=Embedded(embedding=floats(2)))).doc, Embedded)
    assert isinstance(round_trip(Either(doc=Text(text="a"))).doc, Text)


def test_bytes_that_are_no_message():
    with pytest.raises(BadRequest, match=r"not a docarray\.DocListProto"):
        codec_for(Text).from_bytes(b"\xff\xff\xff")


def test_what_is_no_document_class():
    with pytest.raises(ConfigError, match="not a document class"):
        codec_for(dict)
    with pytest.raises(ConfigError, match="not a document class"):
        codec_for(3)  # type: ignore[arg-type]


def test_predefined_documents_are_laid_out_directly_and_stay_themselves():
    doc = TextDoc(id="t", text="a", embedding=floats(3), bytes_=b"x")
    assert same(round_trip(doc), doc)
    assert round_trip(doc) == "a"
