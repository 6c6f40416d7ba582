"""Signatures of plain types that are refused: each message whole, with what to write instead."""

import re
import types
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
from docarray import BaseDoc, DocList
from pydantic import BaseModel

from jina.errors import ExecutorDefinitionError
from jina.executor import Executor, dynamic_batching, requests
from jina.executor.endpoints import EndpointTable


class Item(BaseModel):
    text: str


class Out(BaseModel):
    n: int


class Doc(BaseDoc):
    text: str = ""


class Session:
    """No plain class: it has no fields that anything could read."""


@dataclass
class Job:
    name: str
    done: Callable[[str], None]


class Options(BaseModel):
    k: int = 3


def one_as_docs(self, docs: Item) -> Out: ...
def text_as_docs(self, docs: str) -> Out: ...
def list_as_doc(self, doc: list[Item]) -> list[Out]: ...
def untyped_list(self, docs: list) -> list[Out]: ...
def batch_without_return(self, docs: list[Item]): ...
def of_session(self, session: Session) -> Out: ...
def gives_session(self, item: Item) -> Session: ...
def holds_function(self, job: Job) -> Out: ...
def gives_holding_function(self, item: Item) -> list[Job]: ...
def takes_function(self, text: str, done: Callable[[str], None]) -> Out: ...
def nested_session(self, items: dict[str, list[Session]]) -> Out: ...
def gives_iterator(self, item: Item) -> Iterator[Out]: ...
def gives_async_iterator(self, item: Item) -> AsyncIterator[Out]: ...
def both(self, doc: Item, docs: list[Item]) -> Out: ...
def positional(self, item: Item, /) -> Out: ...
def underscore(self, _text: str) -> Out: ...
def two_models(self, item: Item, k: int, parameters: Options) -> Out: ...
def number_as_parameters(self, item: Item, parameters: int) -> Out: ...
def unknown_name(self, item: "Itme") -> Out: ...  # noqa: F821 - what is tested
def list_of_documents(self, docs: list[Doc], **kwargs) -> DocList[Doc]: ...
def untyped_beside_documents(self, docs: DocList[Doc], k: int) -> DocList[Doc]: ...
def without_self(item: Item, k: int = 3) -> Out: ...


@dynamic_batching
def batched_one(self, item: Item) -> Out: ...


@dynamic_batching
def batched_arguments(self, text: str) -> Out: ...


@dynamic_batching
def batched_sum(self, docs: list[Item]) -> Out: ...


@dynamic_batching
def batched_stream(self, docs: list[Item]) -> Iterator[Out]:
    yield Out(n=1)


WRONG = [
    (
        one_as_docs,
        "one_as_docs: docs is annotated Item, but gets all inputs of a request as a list",
        "write `docs: list[Item]`, or name it `doc` to get one after the other",
    ),
    (
        text_as_docs,
        "text_as_docs: docs is annotated str, but gets all inputs of a request as a list",
        "write `docs: list[str]`, or name it `doc` to get one after the other",
    ),
    (
        list_as_doc,
        "list_as_doc: doc is annotated list[Item], but gets one input after the other",
        "write `doc: Item`, or `docs: list[Item]` to get all of a request",
    ),
    (
        untyped_list,
        "untyped_list: docs is annotated list, which does not say of what",
        "write `docs: list[Item]`, with the class of one of them, or `docs: list[dict]`",
    ),
    (
        batch_without_return,
        "batch_without_return gets a list and does not say what it returns",
        "write `-> list[Out]` for one answer to each input, `-> Out` for one to all, or `-> None`",
    ),
    (
        of_session,
        "of_session: session has the type Session, which has no form in JSON and on the wire",
        (
            "write a class with its fields, such as a dataclass or a pydantic model, or tell pydantic how "
            "it is read and written (__get_pydantic_core_schema__)"
        ),
    ),
    (
        gives_session,
        "gives_session: return has the type Session, which has no form in JSON and on the wire",
        (
            "write a class with its fields, such as a dataclass or a pydantic model, or tell pydantic how "
            "it is read and written (__get_pydantic_core_schema__)"
        ),
    ),
    (
        holds_function,
        "holds_function: job.done has the type Callable[[str], None], which has no form in JSON and on the wire",
        "send what it computes, or the name of a function that the Executor has",
    ),
    (
        gives_holding_function,
        (
            "gives_holding_function: return.done has the type Callable[[str], None], which has no form in "
            "JSON and on the wire"
        ),
        "send what it computes, or the name of a function that the Executor has",
    ),
    (
        takes_function,
        "takes_function: done has the type Callable[[str], None], which has no form in JSON and on the wire",
        "send what it computes, or the name of a function that the Executor has",
    ),
    (
        nested_session,
        "nested_session: items has the type Session, which has no form in JSON and on the wire",
        (
            "write a class with its fields, such as a dataclass or a pydantic model, or tell pydantic how "
            "it is read and written (__get_pydantic_core_schema__)"
        ),
    ),
    (
        gives_iterator,
        "gives_iterator: return is annotated Iterator[Out], but the method does not yield",
        "write `yield` in it for a stream, or return a list and write `-> list[Out]`",
    ),
    (
        gives_async_iterator,
        "gives_async_iterator: return is annotated AsyncIterator[Out], but the method does not yield",
        "write `yield` in it for a stream, or return a list and write `-> list[Out]`",
    ),
    (
        both,
        "both takes both `doc` and `docs`; `docs` gets all documents of a request, `doc` one after the other",
        "leave out one of them",
    ),
    (
        positional,
        "parameter 'item' of positional is positional-only, but methods are called with keywords",
        "leave out the `/` in its signature",
    ),
    (
        underscore,
        "parameter '_text' of underscore begins with an underscore, so no request can carry it",
        "name it 'text'",
    ),
    (
        two_models,
        "two_models takes `parameters` as Options, and 'k' beside them",
        "make 'k' a field of Options, or write `parameters: dict`",
    ),
    (
        number_as_parameters,
        "number_as_parameters: parameters is annotated int; it has to be dict or a pydantic model",
        "write `class Parameters(pydantic.BaseModel)` with a field for each parameter, and `parameters: Parameters`",
    ),
    (
        unknown_name,
        "unknown_name: the annotation 'Itme' of 'item' cannot be resolved: name 'Itme' is not defined",
        "import the name at the top of the module, not under `if TYPE_CHECKING:`",
    ),
    (
        list_of_documents,
        "list_of_documents: docs is annotated list[Doc]; it has to be DocList[...] or DocumentArray",
        "write `docs: DocList[Doc]` (from docarray import DocList)",
    ),
    (
        untyped_beside_documents,
        (
            "parameter 'k' of untyped_beside_documents has no default, and no request carries it; requests "
            "carry docs, doc, parameters, docs_matrix, docs_map, tracing_context, headers, now, seed"
        ),
        (
            "make it a field of a document, `class Input(docarray.BaseDoc)` with `k: int`, and write `doc: "
            "Input`; or write `def untyped_beside_documents(self, docs, parameters, **kwargs)` and use "
            "parameters['k']"
        ),
    ),
    (
        without_self,
        "without_self lacks `self`, the Executor that methods are called on: its first parameter is 'item'",
        "write it as `def without_self(self, item: Item, k: int = 3) -> Out`",
    ),
    (
        batched_one,
        "batched_one has @dynamic_batching, but gets one input after the other",
        "write `docs: list[...]` instead of 'item', and `-> list[...]` with one answer for each",
    ),
    (
        batched_arguments,
        "batched_arguments has @dynamic_batching, but gets one input after the other",
        "write `docs: list[Input]`, with a class of the arguments, and `-> list[...]` with one answer for each",
    ),
    (
        batched_sum,
        (
            "batched_sum has @dynamic_batching, but gives one answer for a list of inputs, which belong to "
            "several requests"
        ),
        "write `-> list[...]`, with one answer for each input",
    ),
    (
        batched_stream,
        "batched_stream yields; batches cannot be made of streams",
        "leave out @dynamic_batching",
    ),
]


def judged(function):
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    copy.__annotations__ = function.__annotations__
    copy.__dict__.update(function.__dict__)
    cls = type("Wrong", (Executor,), {function.__name__: requests(on="/x")(copy)})
    return EndpointTable(cls()).resolve("/x")


@pytest.mark.parametrize(("function", "message", "instead"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_each_message_says_what_is_wrong_and_what_to_write(function, message, instead):
    with pytest.raises(ExecutorDefinitionError) as caught:
        judged(function)
    place = re.search(r" \([^()]*test_wrong_plain_signatures\.py:(\d+)\)", caught.value.message)
    assert place is not None or "cannot" in message
    assert re.sub(r" \([^()]*test_wrong_plain_signatures\.py:\d+\)", "", caught.value.message) == message
    assert caught.value.help == instead
