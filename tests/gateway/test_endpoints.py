"""The endpoints that a gateway shows, and neighbours that do not fit."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel
from tests.gateway.gateways import gateway, request

from jina import Document, DocumentArray, Executor, requests
from jina.errors import ConfigError, EndpointNotFound


class Text(BaseDoc):
    text: str = ""


class Embedded(BaseDoc):
    text: str = ""
    embedding: NdArray | None = None


class Counted(BaseDoc):
    text: int = 0


class Needy(BaseDoc):
    score: float


class Whole(BaseDoc):
    score: int = 0


class Empty(BaseDoc):
    """Nothing but an id."""


class Options(BaseModel):
    top: int


class More(BaseModel):
    k: float = 1.0


def executor(takes, gives, *paths, parameters=dict, base=Executor):
    """A class with endpoints of those types."""

    class Made(base):
        @requests(on=list(paths or ["/go"]), request_schema=takes, response_schema=gives)
        async def go(self, docs, parameters: parameters, **kwargs):
            """What it does."""

    return Made


class Yields(Executor):
    @requests(on="/go")
    async def go(self, doc: Text, **kwargs) -> Counted:
        yield Counted()


def endpoints(executors, nodes=None, **options):
    async def main():
        async with gateway(executors, nodes, **options) as service:
            return dict(service.endpoints)

    return asyncio.run(main())


def test_input_of_the_first_and_output_of_the_last():
    found = endpoints(
        {
            "a": executor(DocList[Text], DocList[Embedded], "/go", "/index"),
            "b": executor(DocList[Embedded], DocList[Embedded], "/go"),
        }
    )
    assert set(found) == {"/go", "/index"}
    go = found["/go"]
    assert (go.path, go.input_name, go.output_name) == ("/go", "Text", "Embedded")
    assert set(go.input_schema["properties"]) == {"id", "text"}
    assert set(go.output_schema["properties"]) == {"id", "text", "embedding"}
    assert go.flat_fields == {"id": "string", "text": "string"}
    assert go.description == "What it does."
    assert not go.is_generator


def test_steps_that_do_not_know_an_endpoint_do_not_count():
    found = endpoints(
        {
            "a": executor(DocList[Text], DocList[Text], "/other"),
            "b": executor(DocList[Embedded], DocList[Embedded], "/go"),
            "c": executor(DocList[Text], DocList[Text], "/other"),
        }
    )
    assert (found["/go"].input_name, found["/go"].output_name) == ("Embedded", "Embedded")


def test_one_generator_makes_a_stream():
    found = endpoints({"a": executor(DocList[Text], DocList[Text]), "b": Yields})
    assert found["/go"].is_generator


def test_default_answers_for_what_a_step_does_not_name():
    found = endpoints(
        {
            "a": executor(DocList[Text], DocList[Text], "/default"),
            "b": executor(DocList[Text], DocList[Embedded], "/go"),
        }
    )
    assert set(found) == {"/go", "/default"}
    assert (found["/go"].input_name, found["/go"].output_name) == ("Text", "Embedded")
    assert (found["/default"].input_name, found["/default"].output_name) == ("Text", "Text")


def test_joiners_without_endpoints_show_what_comes_through_them():
    nodes = {"a": ["gateway"], "b": ["gateway"], "join": ["a", "b"]}
    executors = {
        "a": executor(DocList[Text], DocList[Text]),
        "b": executor(DocList[Embedded], DocList[Embedded]),
        "join": Executor,
    }
    found = endpoints(executors, nodes)
    assert set(found) == {"/go"}
    assert set(found["/go"].output_schema["properties"]) == {"id", "text", "embedding"}
    assert set(found["/go"].input_schema["properties"]) == {"id", "text", "embedding"}

    async def main():
        async with gateway(executors, nodes) as service:
            with pytest.raises(EndpointNotFound, match="/nothing"):
                await service.call(request("/nothing"))

    asyncio.run(main())


def test_nothing_but_executors_without_endpoints_answers_anything():
    async def main():
        async with gateway({"a": Executor, "b": Executor}) as service:
            assert set(service.endpoints) == {"/default"}
            reply = await service.call(request("/anything", ["x"]))
            assert len(reply.payload) == 1

    asyncio.run(main())


def test_floating_steps_show_nothing():
    nodes = {"a": ["gateway"], "side": {"needs": ["gateway"], "floating": True}}
    executors = {"a": executor(DocList[Text], DocList[Text]), "side": executor(DocList[Counted], DocList[Counted])}
    found = endpoints(executors, nodes)
    assert (found["/go"].input_name, found["/go"].output_name) == ("Text", "Text")


def test_an_endpoint_of_a_floating_step_alone_gives_the_documents_back():
    seen = []

    class Side(Executor):
        @requests(on="/create")
        def create(self, docs: DocList[Embedded], **kwargs) -> DocList[Counted]:
            seen.append([doc.text for doc in docs])
            return DocList[Counted]()

    nodes = {"a": ["gateway"], "side": {"needs": ["a"], "floating": True}}
    executors = {"a": executor(DocList[Text], DocList[Text]), "side": Side}

    async def main():
        async with gateway(executors, nodes) as service:
            info = service.endpoints["/create"]
            assert (info.input_name, info.output_name) == ("Embedded", "Embedded")
            reply = await service.call(request("/create", ["x", "y"]))
            assert await service.quiet(5)
            assert len(reply.payload) == 2
            with pytest.raises(EndpointNotFound, match="no Executor has the endpoint '/creat'; did you mean /create"):
                await service.call(request("/creat"))

    asyncio.run(main())
    assert seen == [["x", "y"]]


def test_parameters_of_all_steps():
    found = endpoints(
        {
            "a": executor(DocList[Text], DocList[Text], parameters=Options),
            "b": executor(DocList[Text], DocList[Text], parameters=More),
        }
    )
    assert found["/go"].parameters_name == "Options_More"
    assert set(found["/go"].parameters_schema["properties"]) == {"top", "k"}
    found = endpoints({"a": executor(DocList[Text], DocList[Text], parameters=Options)})
    assert (found["/go"].parameters_name, found["/go"].parameters_schema["required"]) == ("Options", ["top"])


def test_different_classes_of_one_name_get_the_deployment_into_theirs():
    def doc(kind):
        class Doc(BaseDoc):
            value: kind | None = None

        return Doc

    found = endpoints(
        {
            "a": executor(DocList[doc(int)], DocList[doc(int)], "/a"),
            "b": executor(DocList[doc(str)], DocList[doc(str)], "/b"),
        }
    )
    assert (found["/a"].input_name, found["/b"].input_name) == ("Doc", "b.Doc")


def test_schemaless_documents_show_as_such():
    found = endpoints({"a": executor(DocumentArray, DocumentArray)})
    assert found["/go"].input_name == Document.__name__


# Neighbours


@pytest.mark.parametrize(
    ("gives", "takes", "error"),
    [
        (Text, Counted, "a and b do not match on /go: Text.text of a is string, Counted.text of b takes number"),
        (
            Counted,
            Embedded,
            "a and b do not match on /go: Counted.text of a is number, Embedded.text of b takes string",
        ),
        (Text, Needy, "a and b do not match on /go: Needy.score of b is required, and Text of a has no such field"),
        (
            Embedded,
            Whole,
            (
                "a and b do not match on /go: Embedded of a (embedding, text) and Whole of b (score) have no "
                "common field, so nothing would arrive"
            ),
        ),
    ],
)
def test_neighbours_that_do_not_fit_are_named(gives, takes, error):
    with pytest.raises(ConfigError) as caught:
        endpoints({"a": executor(DocList[gives], DocList[gives]), "b": executor(DocList[takes], DocList[takes])})
    assert caught.value.message == error


def _nested(kind):
    class Inner(BaseDoc):
        value: kind | None = None

    class Outer(BaseDoc):
        inner: Inner | None = None
        inners: DocList[Inner] | None = None

    return Outer


def test_nested_documents_are_compared():
    first, second = _nested(int), _nested(str)
    with pytest.raises(ConfigError, match=r"Outer.inner.value of a is number, Outer.inner.value of b takes string"):
        endpoints({"a": executor(DocList[first], DocList[first]), "b": executor(DocList[second], DocList[second])})


class Optional(BaseDoc):
    text: str | None = None
    score: float = 0.0


@pytest.mark.parametrize(
    ("gives", "takes"),
    [
        (Text, Empty),
        (Empty, Text),
        (Text, Optional),
        (Optional, Text),
        (Whole, Optional),
        (Text, Document),
        (Document, Text),
        (Document, Needy),
        (Embedded, Text),
        (_nested(int), _nested(int)),
    ],
)
def test_neighbours_that_fit(gives, takes):
    lists = [DocumentArray if doc is Document else DocList[doc] for doc in (gives, takes)]
    endpoints({"a": executor(lists[0], lists[0]), "b": executor(lists[1], lists[1])})


def test_what_comes_through_others_is_compared():
    executors = {
        "a": executor(DocList[Text], DocList[Text]),
        "between": executor(DocList[Counted], DocList[Counted], "/other"),
        "b": executor(DocList[Counted], DocList[Counted]),
    }
    with pytest.raises(ConfigError, match=r"a and b do not match on /go"):
        endpoints(executors)


def test_a_join_needs_a_required_field_from_one_branch_only():
    class Score(BaseDoc):
        score: float = 0.0

    nodes = {"a": ["gateway"], "b": ["gateway"], "c": ["a", "b"]}
    endpoints(
        {
            "a": executor(DocList[Text], DocList[Text]),
            "b": executor(DocList[Score], DocList[Score]),
            "c": executor(DocList[Needy], DocList[Needy]),
        },
        nodes,
    )


def test_generators_are_not_compared():
    endpoints({"a": Yields, "b": executor(DocList[Text], DocList[Text])})


# Neighbours of plain types


class Item(BaseModel):
    text: str
    k: int = 1


class Count(BaseModel):
    n: int


class Told(BaseModel):
    text: str = ""


def plain(takes, gives, *, streams=False):
    """A class whose method has a parameter `doc` of that type, and gives that."""

    def once(self, doc, **kwargs):
        raise NotImplementedError

    def often(self, doc, **kwargs):
        yield from ()

    method = often if streams else once
    method.__annotations__ = {"doc": takes, "return": Iterator[gives] if streams else gives}
    return type("Made", (Executor,), {"go": requests(on="/go")(method), "__module__": __name__})


@pytest.mark.parametrize(
    ("gives", "takes", "error", "help_"),
    [
        (
            Count,
            Item,
            "Item.text of b is required, and Count of a has no such field",
            "give the field to Count, or a default to Item.text",
        ),
        (
            Count,
            Text,
            "Count of a (n) and Text of b (text) have no common field, so nothing would arrive",
            "let both use the same class, or fields of the same names",
        ),
        (str, int, "a gives str, b takes int (string, and has to be number)", "write `-> int` in a, or take str in b"),
        (
            list[str],
            list[float],
            "a gives list[str], b takes list[float] ([] is string, and has to be number)",
            "write `-> list[float]` in a, or take list[str] in b",
        ),
        (
            str,
            Item,
            "a gives str, b takes Item (string, and has to be object)",
            "write `-> Item` in a, or take str in b",
        ),
        (
            Item,
            str,
            "a gives Item, b takes str (object, and has to be string)",
            "write `-> str` in a, or take Item in b",
        ),
        (None, Item, "a gives None, b takes Item (nothing comes)", "write `-> Item` in a, or take None in b"),
        (
            Count | None,
            Item,
            "a gives Count | None, b takes Item (text is required, and does not come)",
            "write `-> Item` in a, or take Count | None in b",
        ),
    ],
)
def test_neighbours_of_plain_types_that_do_not_fit_are_named(gives, takes, error, help_):
    with pytest.raises(ConfigError) as caught:
        endpoints({"a": plain(Item, gives), "b": plain(takes, Count)})
    assert (caught.value.message, caught.value.help) == (f"a and b do not match on /go: {error}", help_)


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_generators_of_plain_types_are_compared(first, second):
    with pytest.raises(ConfigError, match=r"Item.text of b is required, and Count of a has no such field"):
        endpoints({"a": plain(Item, Count, streams=first), "b": plain(Item, Count, streams=second)})
    endpoints({"a": plain(Count, Item, streams=first), "b": plain(Item, Count, streams=second)})


@pytest.mark.parametrize(
    ("gives", "takes"),
    [
        (Item, Told),
        (Item | None, Item),
        (Item, Item | None),
        (Item | Count, Item),
        (dict, Item),
        (dict[str, str], Item),
        (Any, Item),
        (Item, Any),
        (Item, dict),
        (None, str | None),
        (list[str | int], list[str]),
        (Item, Document),
        (Document, Item),
        (Text, Item),
    ],
)
def test_neighbours_of_plain_types_that_may_fit(gives, takes):
    endpoints({"a": plain(Told, gives), "b": plain(takes, Count)})
