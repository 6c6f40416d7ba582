"""The endpoint table: resolving paths, types from annotations, options of batching, what is refused."""

import asyncio
import functools
import linecache
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.documents import TextDoc
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from jina.documents import Document, DocumentArray
from jina.errors import ConfigError, EndpointNotFound, ExecutorDefinitionError, ValidationFailed
from jina.executor import Executor, dynamic_batching, invoke, requests, write
from jina.executor.endpoints import RESERVED, EndpointTable, FunctionWithSchema
from jina.executor.invoke import scope_parameters


class D(BaseDoc):
    text: str = ""


class U(BaseDoc):
    size: int = 0


class Model(BaseModel):
    top_k: int
    name: str = "x"


def executor_of(handler, **given):
    """An instance of a class with one decorated method."""
    cls = type("Sample", (Executor,), {handler.__name__: requests(on="/x")(handler)})
    return cls(**given)


def endpoint_of(handler, **given):
    return EndpointTable(executor_of(handler, **given)).resolve("/x")


def batch_typed(self, docs: DocList[D], **kwargs) -> DocList[U]: ...
def batch_none(self, docs: DocList[D], **kwargs) -> None: ...
def batch_dict(self, docs: DocList[D], **kwargs) -> dict: ...
def batch_unknown(self, docs: DocList[D], **kwargs): ...
def batch_any(self, docs: Any, **kwargs) -> Any: ...
def batch_bare(self, docs: DocumentArray, **kwargs): ...
def batch_doclist(self, docs: DocList, **kwargs) -> DocList: ...
def batch_array_of(self, docs: DocumentArray[D], **kwargs) -> DocumentArray[U]: ...
def batch_text(self, docs: "DocList[D]", **kwargs) -> "DocList[U]": ...
def batch_half_text(self, docs: DocList["D"], **kwargs) -> DocList["U"]: ...
def batch_optional(self, docs: DocList[D] | None = None, **kwargs) -> DocList[U] | None: ...
def batch_union(self, docs: DocList[D], **kwargs) -> DocList[U] | dict[str, Any] | None: ...
def batch_pipe(self, docs: DocList[D] | None = None, **kwargs) -> DocList[U] | dict | None: ...
def batch_annotated(self, docs: Annotated[DocList[D], "note"], **kwargs) -> Annotated[DocList[U], "note"]: ...
def batch_vec_out(self, docs: DocList[D], **kwargs) -> DocList[D]: ...
def batch_nothing(self, **kwargs): ...
def one(self, doc: D, **kwargs) -> U: ...
def one_none(self, doc: D, **kwargs) -> None: ...
def one_unknown(self, doc, **kwargs): ...
def one_schemaless(self, doc: Document, **kwargs) -> Document: ...
def stream_plain(self, doc: D, **kwargs) -> U:
    yield U()


def stream_iterator(self, doc: D, **kwargs) -> Iterator[U]:
    yield U()


async def stream_async(self, doc: D, **kwargs) -> AsyncIterator[U]:
    yield U()


async def stream_unknown(self, doc: D, **kwargs):
    yield U()


@pytest.mark.parametrize(
    ("handler", "types", "single", "generator"),
    [
        (batch_typed, (D, U), False, False),
        (batch_none, (D, D), False, False),
        (batch_dict, (D, D), False, False),
        (batch_unknown, (D, Document), False, False),
        (batch_any, (Document, Document), False, False),
        (batch_bare, (Document, Document), False, False),
        (batch_doclist, (Document, Document), False, False),
        (batch_array_of, (D, U), False, False),
        (batch_text, (D, U), False, False),
        (batch_half_text, (D, U), False, False),
        (batch_optional, (D, U), False, False),
        (batch_union, (D, U), False, False),
        (batch_pipe, (D, U), False, False),
        (batch_annotated, (D, U), False, False),
        (batch_vec_out, (D, D), False, False),
        (batch_nothing, (Document, Document), False, False),
        (one, (D, U), True, False),
        (one_none, (D, D), True, False),
        (one_unknown, (Document, Document), True, False),
        (one_schemaless, (Document, Document), True, False),
        (stream_plain, (D, U), True, True),
        (stream_iterator, (D, U), True, True),
        (stream_async, (D, U), True, True),
        (stream_unknown, (D, Document), True, True),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_types_come_from_annotations(handler, types, single, generator):
    endpoint = endpoint_of(handler)
    assert (endpoint.input_type, endpoint.output_type) == types
    assert endpoint.is_single is single
    assert endpoint.is_generator is generator
    assert endpoint.is_async is handler.__name__.startswith(("stream_async", "stream_unknown"))


def bad_one_doc(self, docs: D, **kwargs): ...
def bad_list_doc(self, doc: DocList[D], **kwargs): ...
def bad_plain_list(self, docs: list[D], **kwargs): ...
def bad_vec(self, docs: DocVec[D], **kwargs): ...
def bad_return(self, docs: DocList[D], **kwargs) -> D: ...
def bad_one_return(self, doc: D, **kwargs) -> DocList[D]: ...
def bad_parameters(self, docs, parameters: int, **kwargs): ...
def bad_name(self, docs: "DocList[Nowhere]", **kwargs): ...  # noqa: F821 - what is tested
def bad_stream(self, docs: DocList[D], **kwargs):
    yield D()


@pytest.mark.parametrize(
    ("handler", "complaint"),
    [
        (bad_one_doc, r"docs: DocList\[D\]"),
        (bad_list_doc, "name it `docs`"),
        (bad_plain_list, "DocList"),
        (bad_vec, "DocList"),
        (bad_return, "return"),
        (bad_one_return, "one document"),
        (bad_parameters, "parameters is annotated int"),
        (bad_name, "Nowhere"),
        (bad_stream, "name its parameter `doc`"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_annotations_name_method_and_line(handler, complaint):
    with pytest.raises(ExecutorDefinitionError, match=complaint) as caught:
        endpoint_of(handler)
    assert handler.__name__ in str(caught.value)
    assert f"test_endpoints.py:{handler.__code__.co_firstlineno}" in str(caught.value)


@dataclass
class Plain:
    text: str = ""


def of_list(self, docs: list[D], **kwargs): ...
def of_one_list(self, doc: list[D], **kwargs): ...
def of_untyped_list(self, docs: list, **kwargs): ...
def of_vec(self, docs: DocVec[D], **kwargs): ...
def gives_list(self, docs: DocList[D], **kwargs) -> list[D]: ...
def gives_one(self, docs: DocList[D], **kwargs) -> D: ...
def gives_many(self, doc: D, **kwargs) -> DocList[D]: ...


def takes_dataclass(self, docs, parameters: Plain, **kwargs): ...
def takes_number(self, docs, parameters: int, **kwargs): ...


@pytest.mark.parametrize(
    ("handler", "problem", "instead"),
    [
        (of_list, "annotated list[D]", "write `docs: DocList[D]` (from docarray import DocList)"),
        (of_one_list, "annotated list[D]", "`doc: D` for one after the other"),
        (of_untyped_list, "annotated list, which does not say of what", "write `docs: list[Item]`"),
        (of_vec, "annotated DocVec[D]", "write `docs: DocList[D]`"),
        (gives_list, "return is annotated list[D]", "write `-> DocList[D]`"),
        (gives_one, "return is annotated D", "write `-> DocList[D]`, or name the parameter `doc`"),
        (gives_many, "return is annotated DocList[D]", "write `-> D`, or name the parameter `docs`"),
        (takes_dataclass, "Plain is a dataclass", "`class Plain(pydantic.BaseModel)` with the same fields"),
        (takes_number, "parameters is annotated int", "`class Parameters(pydantic.BaseModel)` with a field"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused_annotations_say_what_to_write(handler, problem, instead):
    with pytest.raises(ExecutorDefinitionError) as caught:
        endpoint_of(handler)
    assert problem in caught.value.message
    assert instead in caught.value.help
    assert f"{handler.__name__} (" in caught.value.message
    assert f"test_endpoints.py:{handler.__code__.co_firstlineno}" in caught.value.message


def takes_docs_alone(self, docs): ...
def takes_nothing(self): ...
def forgot_self(docs, **kwargs): ...
def forgot_everything(): ...
def forgot_the_name(self, docs, /, **kwargs): ...


@pytest.mark.parametrize(
    ("handler", "problem", "instead"),
    [
        (takes_docs_alone, "lacks **kwargs", "`def takes_docs_alone(self, docs, **kwargs)`"),
        (takes_nothing, "lacks **kwargs", "`def takes_nothing(self, docs, **kwargs)`"),
        (forgot_self, "its first parameter is 'docs'", "`def forgot_self(self, docs, **kwargs)`"),
        (forgot_everything, "lacks `self`", "`def forgot_everything(self, docs, **kwargs)`"),
        (forgot_the_name, "positional-only", "leave out the `/`"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused_signatures_say_what_to_write(handler, problem, instead):
    with pytest.raises(ExecutorDefinitionError) as caught:
        requests(handler)
    assert problem in caught.value.message
    assert instead in caught.value.help
    assert f"{handler.__name__} (" in caught.value.message


def test_annotations_of_enclosing_functions_are_found_even_as_text():
    namespace = {"Executor": Executor, "requests": requests, "DocList": DocList, "BaseDoc": BaseDoc}
    code = """
from __future__ import annotations
def make():
    class Inner(BaseDoc):
        text: str = ""
    class Sample(Executor):
        @requests(on="/x")
        def foo(self, docs: DocList[Inner], **kwargs) -> DocList[Inner]: ...
    return Sample, Inner
"""
    exec(code, namespace)
    cls, inner = namespace["make"]()
    endpoint = EndpointTable(cls()).resolve("/x")
    assert endpoint.input_type is inner
    assert endpoint.output_type is inner


def test_schema_arguments_win_over_annotations():
    class Sample(Executor):
        @requests(on="/a", request_schema=U, response_schema=DocList[D])
        def a(self, docs: DocList[D], **kwargs) -> DocList[U]: ...

    endpoint = EndpointTable(Sample()).resolve("/a")
    assert (endpoint.input_type, endpoint.output_type) == (U, D)

    class Wrong(Executor):
        @requests(on="/a", request_schema="int")
        def a(self, docs, **kwargs): ...

    with pytest.raises(ExecutorDefinitionError, match="request_schema"):
        EndpointTable(Wrong())


class Item(BaseModel):
    text: str


def taking(name):
    namespace = {}
    exec(f"def a(self, {name}): ...", namespace)
    return namespace["a"]


@pytest.mark.parametrize(
    ("name", "schemas", "input_type", "output_type", "gives"),
    [
        ("doc", {"request_schema": Item, "response_schema": float}, Item, float, "each"),
        ("item", {"request_schema": Item, "response_schema": list[Item]}, Item, Item, "many"),
        ("docs", {"request_schema": Item, "response_schema": Item}, Item, Item, "each"),
        ("docs", {"request_schema": list[Item], "response_schema": list[str]}, Item, str, "each"),
        ("items", {"request_schema": list[Item], "response_schema": Item}, Item, Item, "each"),
        (
            "doc",
            {"request_schema": Item | None, "response_schema": dict[str, int]},
            Item | None,
            dict[str, int],
            "each",
        ),
        ("doc", {"request_schema": D, "response_schema": Item}, D, Item, "each"),
        ("doc: Item", {"response_schema": int}, Item, int, "each"),
    ],
)
def test_schema_arguments_of_plain_types(name, schemas, input_type, output_type, gives):
    method = taking(name.partition(":")[0] + (", **kwargs" if input_type is D else ""))
    if ":" in name:
        method.__annotations__["doc"] = Item
    endpoint = EndpointTable(type("Sample", (Executor,), {"a": requests(on="/a", **schemas)(method)})()).resolve("/a")
    assert (endpoint.input_type, endpoint.output_type, endpoint.plain.gives) == (input_type, output_type, gives)


def test_schema_arguments_of_plain_types_win_over_annotations():
    class Sample(Executor):
        @requests(on="/a", request_schema=Item, response_schema=int)
        def a(self, item: dict) -> str: ...

    endpoint = EndpointTable(Sample()).resolve("/a")
    assert (endpoint.input_type, endpoint.output_type) == (Item, int)


def test_a_schema_for_several_parameters_is_refused():
    class Sample(Executor):
        @requests(on="/a", request_schema=Item)
        def a(self, one, two): ...

    with pytest.raises(
        ExecutorDefinitionError, match="request_schema is Item, and 2 parameters could get it"
    ) as caught:
        EndpointTable(Sample())
    assert "take the input as `doc`" in str(caught.value)


def test_requests_of_plain_types_can_be_read_and_changed():
    class Sample(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            assert self._requests["/b"].request_schema.__name__ == "BInput"
            self._requests["/a"] = self._requests["/a"]._replace(response_schema=float)

        @requests(on="/a")
        def a(self, docs: list[Item]) -> list[int]: ...

        @requests(on="/b")
        def b(self, text: str, k: int = 1) -> int: ...

    table = EndpointTable(Sample())
    assert (table.resolve("/a").input_type, table.resolve("/a").output_type) == (Item, float)
    assert table.resolve("/b").input_type.__name__ == "BInput"


def test_resolve_exact_then_default_then_not_found():
    class Sample(Executor):
        @requests(on="/search")
        def search(self, docs, **kwargs): ...

        @requests(on="bare")
        def bare(self, docs, **kwargs): ...

    table = EndpointTable(Sample())
    assert table.resolve("/search").method_name == "search"
    assert table.resolve("/bare").method_name == "bare"
    assert table.resolve("bare").path == "bare"
    assert not table.passthrough
    assert "/search" in table
    assert len(table) == 2
    with pytest.raises(EndpointNotFound, match="did you mean '/search'") as caught:
        table.resolve("/searhc")
    assert "bare, /search" in str(caught.value) or "/search, bare" in str(caught.value)

    class WithDefault(Sample):
        @requests
        def anything(self, docs, **kwargs): ...

    table = EndpointTable(WithDefault())
    assert table.resolve("/searhc").method_name == "anything"
    assert table.resolve("/search").method_name == "search"


def test_an_executor_without_endpoints_passes_documents_through():
    table = EndpointTable(Executor())
    assert table.passthrough
    assert list(table) == []
    docs = DocumentArray([Document(text="a")])
    endpoint = table.resolve("/anything")
    assert invoke.call(endpoint, docs, invoke.call_arguments(endpoint, invoke.Extras()))[0] is docs


@pytest.mark.parametrize("path", [*sorted(RESERVED), "metrics"])
def test_paths_of_the_server_are_refused(path):
    class Sample(Executor):
        @requests(on=path)
        def mine(self, docs, **kwargs): ...

    with pytest.raises(ExecutorDefinitionError, match="collides") as caught:
        EndpointTable(Sample())
    assert "Sample.mine" in str(caught.value)
    assert path in str(caught.value)


def test_status_is_free_for_post_but_not_for_streams():
    class Sample(Executor):
        @requests(on="/status")
        def status(self, docs, **kwargs): ...

    assert EndpointTable(Sample()).resolve("/status").method_name == "status"

    class Streaming(Executor):
        @requests(on="/status")
        def status(self, doc, **kwargs):
            yield doc

    with pytest.raises(ExecutorDefinitionError, match="collides"):
        EndpointTable(Streaming())


def test_batching_of_method_and_path():
    def metric(docs):
        return len(docs)

    class Sample(Executor):
        @dynamic_batching(preferred_batch_size=8, timeout=50, custom_metric=metric, use_custom_metric=True)
        @requests(on=["/a", "/b"])
        def ab(self, docs, **kwargs): ...

        @dynamic_batching
        @requests(on="/c")
        def c(self, docs, **kwargs): ...

        @requests(on="/d")
        def d(self, docs, **kwargs): ...

    table = EndpointTable(
        Sample(dynamic_batching={"/b": {"timeout": 5}, "d": {}, "/c": {"use_dynamic_batching": False}})
    )
    assert table.resolve("/a").batching.timeout == 50
    assert table.resolve("/b").batching.timeout == 5
    assert table.resolve("/b").batching.preferred_batch_size == 8
    assert table.resolve("/a").batching.custom_metric is metric
    assert table.resolve("/c").batching is None
    assert table.resolve("/d").batching.preferred_batch_size == 4
    assert table.resolve("/d").batching.timeout == 10_000


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"/xx": {}}, "did you mean '/x'"),
        ({"/x": {"prefered_batch_size": 3}}, "did you mean 'preferred_batch_size'"),
        ({"/x": {"preferred_batch_size": 0}}, "from 1 on"),
        ({"/x": {"timeout": "soon"}}, "milliseconds"),
        ({"/x": {"timeout": -1}}, "milliseconds"),
        ({"/x": {"timeout": float("nan")}}, "milliseconds"),
        ({"/x": {"flush_all": 1}}, "flush_all"),
        ({"/x": {"isolate_errors": "no"}}, "isolate_errors is true or false"),
        ({"/x": {"use_custom_metric": True}}, "custom_metric"),
        ({"/x": {"custom_metric": 3}}, "function"),
    ],
)
def test_batching_options_are_checked(options, complaint):
    def handler(self, docs, **kwargs): ...

    with pytest.raises(ConfigError, match=complaint):
        endpoint_of(handler, dynamic_batching=options)


def test_no_source_is_read_where_nothing_is_wrong():
    class Frugal(Executor):
        @dynamic_batching(preferred_batch_size=2)
        @requests(on="/x")
        def answer(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
            return docs

    linecache.clearcache()
    assert EndpointTable(Frugal()).resolve("/x").batching is not None
    assert linecache.cache == {}


def test_streams_cannot_be_batched():
    with pytest.raises(ExecutorDefinitionError, match="batches cannot be made of streams"):
        endpoint_of(stream_plain, dynamic_batching={"/x": {}})


def test_write_is_known():
    class Sample(Executor):
        @write
        @requests(on="/put")
        def put(self, docs, **kwargs):
            """Keeps documents."""

    endpoint = EndpointTable(Sample()).resolve("/put")
    assert endpoint.is_write
    assert endpoint.description == "Keeps documents."


def test_parameters_model_is_validated():
    def handler(self, docs, parameters: Model, **kwargs):
        return {"got": parameters.top_k}

    endpoint = endpoint_of(handler)
    assert endpoint.parameters_model is Model
    extras = invoke.Extras(parameters={"top_k": 3, "__results__": {}})
    arguments = invoke.call_arguments(endpoint, extras)
    assert arguments["parameters"] == Model(top_k=3)
    docs = DocumentArray()
    assert invoke.call(endpoint, docs, arguments) == (docs, {"got": 3})
    with pytest.raises(ValidationFailed, match=r"parameters\.top_k") as caught:
        invoke.call_arguments(endpoint, invoke.Extras())
    assert caught.value.errors[0]["loc"] == ["parameters", "top_k"]
    assert caught.value.http_status == 422


def test_optional_parameters_model():
    def handler(self, docs, parameters: Model | None = None, **kwargs): ...

    endpoint = endpoint_of(handler)
    assert endpoint.parameters_optional
    assert invoke.call_arguments(endpoint, invoke.Extras())["parameters"] is None
    assert invoke.call_arguments(endpoint, invoke.Extras(parameters={"top_k": 1}))["parameters"].top_k == 1


def test_keywords_are_those_that_the_method_takes():
    def narrow(self, docs, parameters, docs_matrix): ...
    def wide(self, docs, **kwargs): ...
    def headers(self, docs, headers, **kwargs): ...

    extras = invoke.Extras(parameters={"a": 1}, headers={"x-key": "1"})
    assert set(invoke.call_arguments(endpoint_of(narrow), extras)) == {"parameters", "docs_matrix"}
    everything = {"parameters", "docs_matrix", "docs_map", "tracing_context"}
    assert set(invoke.call_arguments(endpoint_of(wide), extras)) == everything
    assert invoke.call_arguments(endpoint_of(headers), extras)["headers"] == {"x-key": "1"}


def test_parameters_are_scoped():
    given = {"k": 0, "a__k": 1, "b__k": 2, "a": {"k": 5, "m": 6}, "__results__": {}, "b": {"z": 1}}
    assert scope_parameters(given, ["a", "nm"]) == {
        "k": 1, "m": 6, "a": {"k": 5, "m": 6}, "b": {"z": 1}, "__results__": {},
    }  # fmt: skip
    assert scope_parameters(given, ["c"])["k"] == 0
    assert "b__k" not in scope_parameters(given, ["c"])


def test_results_of_batches():
    returned = {}

    def handler(self, docs: DocList[D], **kwargs):
        docs.append(D(text="added"))
        return returned["value"]

    endpoint = endpoint_of(handler)

    def run(value):
        returned["value"] = value
        return invoke.call(endpoint, DocList[D]([D(text="a")]), {})

    assert [d.text for d in run(None)[0]] == ["a", "added"]
    replaced = DocList[U]([U(size=1), U(size=2)])
    assert run(replaced) == (replaced, None)
    docs, results = run({"count": 3})
    assert len(docs) == 2
    assert results == {"count": 3}
    columns = DocVec[TextDoc]([TextDoc(text="v")])
    assert [d.text for d in run(columns)[0]] == ["v"]
    for wrong, hint in (([D()], r"write DocList\[D\]"), (D(), "take `doc`"), (3, "int"), ("x", "str")):
        with pytest.raises(TypeError, match=hint) as caught:
            run(wrong)
        assert "return type" in str(caught.value)
        assert "handler" in str(caught.value)


def test_results_of_single_documents():
    def handler(self, doc: D, **kwargs):
        if doc.text == "keep":
            doc.text = "kept"
            return None
        return U(size=1) if doc.text == "new" else "wrong"

    endpoint = endpoint_of(handler)
    docs, results = invoke.call(endpoint, DocList[D]([D(text="keep"), D(text="keep")]), {})
    assert isinstance(docs, DocList)
    assert docs.doc_type is D if hasattr(docs, "doc_type") else True
    assert [doc.text for doc in docs] == ["kept", "kept"]
    assert results is None
    assert invoke.call(endpoint, DocList[D]([D(text="new")]), {})[0][0].size == 1
    assert len(invoke.call(endpoint, DocList[D](), {})[0]) == 0
    with pytest.raises(TypeError, match="a document or None"):
        invoke.call(endpoint, DocList[D]([D()]), {})


def test_async_handlers_and_streams():
    async def batch(self, docs: DocList[D], **kwargs):
        docs[0].text += "!"

    async def single(self, doc: D, **kwargs) -> D:
        return D(text=doc.text + "?")

    closed = []

    def stream(self, doc: D, **kwargs) -> D:
        try:
            for index in range(3):
                yield D(text=f"{doc.text}{index}")
            yield "wrong"
        finally:
            closed.append("sync")

    async def astream(self, doc: D, **kwargs) -> D:
        try:
            for index in range(3):
                yield D(text=f"{doc.text}{index}")
        finally:
            closed.append("async")

    docs = DocList[D]([D(text="a")])
    assert asyncio.run(invoke.call_async(endpoint_of(batch), docs, {}))[0][0].text == "a!"
    assert asyncio.run(invoke.call_async(endpoint_of(single), docs, {}))[0][0].text == "a!?"
    items = invoke.stream(endpoint_of(stream), D(text="s"), {})
    assert [next(items).text for _ in range(3)] == ["s0", "s1", "s2"]
    with pytest.raises(TypeError, match="yield documents"):
        next(items)
    assert closed == ["sync"]

    async def first():
        items = invoke.stream_async(endpoint_of(astream), D(text="t"), {})
        found = await anext(items)
        await items.aclose()
        return found.text

    assert asyncio.run(first()) == "t0"
    assert closed == ["sync", "async"]


def test_methods_under_decorators_of_the_user():
    def logged(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            return function(*args, **kwargs)

        return call

    def blind(function):
        def call(*args, **kwargs):
            return function(*args, **kwargs)

        return call

    class Sample(Executor):
        @requests(on="/async")
        @logged
        async def asynchronous(self, docs: DocList[D], **kwargs) -> DocList[D]:
            docs[0].text += "!"

        @requests(on="/stream")
        @logged
        def stream(self, doc: D, **kwargs) -> D:
            yield D(text="s")

        @requests(on="/blind")
        @blind
        def blinded(self, docs, **kwargs):
            docs[0].text += "?"

    table = EndpointTable(Sample())
    endpoint = table.resolve("/async")
    assert endpoint.is_async
    assert endpoint.input_type is D
    assert asyncio.run(invoke.call_async(endpoint, DocList[D]([D(text="a")]), {}))[0][0].text == "a!"
    endpoint = table.resolve("/stream")
    assert endpoint.is_generator
    assert [item.text for item in invoke.stream(endpoint, D(), {})] == ["s"]
    endpoint = table.resolve("/blind")
    assert not endpoint.is_single
    assert endpoint.input_type is Document
    assert invoke.call(endpoint, DocumentArray([Document(text="b")]), {})[0][0].text == "b?"


def test_requests_holds_methods_only():
    class Sample(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.requests["/x"] = lambda docs, **kwargs: None

    with pytest.raises(ExecutorDefinitionError, match="bind it to a method"):
        EndpointTable(Sample())


def test_a_coroutine_that_a_decorator_settled_is_no_coroutine():
    async def settled_handler(self, docs: DocList[D], **kwargs):
        docs[0].text += "!"

    @functools.wraps(settled_handler)
    def handler(self, **kwargs):
        try:
            settled_handler(self, **kwargs).send(None)
        except StopIteration as ended:
            return ended.value

    endpoint = endpoint_of(handler)
    assert endpoint.is_async
    assert asyncio.run(invoke.call_async(endpoint, DocList[D]([D(text="a")]), {}))[0][0].text == "a!"


NAMES = st.sampled_from(["a", "b", "k", "top_k", "a__k", "b__k", "a__x__y", "__results__", "_a", "k__"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.integers() | st.dictionaries(st.sampled_from(["k", "z"]), st.integers())))
def test_scoped_parameters_reach_their_executor_only(parameters):
    seen = scope_parameters(parameters, ["a"])
    assert not {"a__k", "b__k", "a__x__y"} & seen.keys()
    for key in ("b", "top_k", "__results__", "_a", "k__", "a"):
        assert seen.get(key) == parameters.get(key)
    inner = parameters.get("a")
    expected = parameters.get(
        "a__k", inner.get("k") if isinstance(inner, dict) and "k" in inner else parameters.get("k")
    )
    assert seen.get("k") == expected
    assert seen.get("x__y") == parameters.get("a__x__y")
    stranger = scope_parameters(parameters, ["c"])
    assert stranger == {k: v for k, v in parameters.items() if k not in {"a__k", "b__k", "a__x__y"}}


# --- `_requests`, by which Executors of Jina 3 say their types at run time ----------------------------------


class Generic(Executor):
    """As generic Executors are written: the classes of their documents are known when they are constructed."""

    takes, gives = D, U

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for path, found in self._requests.items():
            self._requests[path] = found._replace(
                request_schema=DocList[self.takes], response_schema=DocList[self.gives]
            )

    @requests(on="/untyped")
    def untyped(self, docs, **kwargs):
        return DocList[self.gives]([self.gives(size=len(doc.text)) for doc in docs])


def test_types_assigned_in_the_constructor_count():
    endpoint = EndpointTable(Generic()).resolve("/untyped")
    assert (endpoint.input_type, endpoint.output_type) == (D, U)
    given = DocList[D]([D(text="four")])
    assert [doc.size for doc in invoke.call(endpoint, given, {})[0]] == [4]


def test_each_class_made_from_a_generic_one_has_its_own_types():
    turned = type("Turned", (Generic,), {"takes": U, "gives": D})
    endpoint = EndpointTable(turned()).resolve("/untyped")
    assert (endpoint.input_type, endpoint.output_type) == (U, D)


def test_what_an_executor_says_of_its_endpoints():
    class Sample(Executor):
        @requests(on="/many")
        def many(self, docs: DocList[D], parameters: Model, **kwargs) -> DocList[U]: ...

        @requests(on="/one")
        async def one(self, doc: D, **kwargs) -> U: ...

        @requests(on="/stream")
        def stream(self, doc: D, **kwargs) -> Iterator[U]:
            yield U()

        @requests(on="/free")
        def free(self, docs, **kwargs): ...

    found = Sample()._requests
    assert {path: tuple(entry)[1:] for path, entry in found.items()} == {
        "/many": (False, True, False, True, Model, DocList[D], DocList[U]),
        "/one": (False, False, True, False, None, D, U),
        "/stream": (True, False, True, False, None, D, U),
        "/free": (False, True, False, False, None, DocumentArray, DocumentArray),
    }
    assert found["/many"].fn is Sample.many


def test_reading_what_an_executor_says_changes_nothing():
    class Sample(Executor):
        @requests(on="/x")
        def run(self, docs: DocList[D], parameters: Model, **kwargs) -> DocList[U]: ...

        @requests(on="/free")
        def free(self, docs, **kwargs): ...

    plain, read = Sample(), Sample()
    assert read._requests
    assert [_comparable(endpoint) for endpoint in EndpointTable(read)] == [
        _comparable(endpoint) for endpoint in EndpointTable(plain)
    ]


def _comparable(endpoint):
    return {name: getattr(endpoint, name) for name in endpoint.__slots__ if name != "function"}


def test_another_function_may_be_assigned_to_an_endpoint():
    class Sample(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self._requests["/x"] = self._requests["/x"]._replace(fn=Sample.other)
            self._requests["/new"] = FunctionWithSchema.get_function_with_schema(Sample.other)

        @requests(on="/x")
        def run(self, docs: DocList[D], **kwargs): ...

        def other(self, docs: DocList[D], **kwargs):
            docs[0].text += "!"

    table = EndpointTable(Sample())
    for path in ("/x", "/new"):
        assert invoke.call(table.resolve(path), DocList[D]([D(text="a")]), {})[0][0].text == "a!"


def test_other_things_assigned_to_an_endpoint_are_refused():
    class Sample(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self._requests["/x"] = Sample.run

        @requests(on="/x")
        def run(self, docs, **kwargs): ...

    with pytest.raises(ExecutorDefinitionError, match=r"_requests\['/x'\] of Sample is .* _FunctionWithSchema"):
        EndpointTable(Sample())


def test_a_schema_that_is_no_type_is_refused():
    class Sample(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self._requests["/x"] = self._requests["/x"]._replace(request_schema="int")

        @requests(on="/x")
        def run(self, docs, **kwargs): ...

    with pytest.raises(ExecutorDefinitionError, match=r"run .*request_schema"):
        EndpointTable(Sample())
