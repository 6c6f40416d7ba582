"""What a class with continuous batching may say, and what it is told where it is wrong."""

import pytest
from docarray import BaseDoc, DocList

from jina import Chat, Delta, Executor, Slot, ToolCall, continuous_batching, dynamic_batching, requests, write
from jina.documents import Document
from jina.documents.chat import DeltaDoc
from jina.errors import ExecutorDefinitionError
from jina.executor.endpoints import EndpointTable


class Text(BaseDoc):
    text: str = ""


class Token(BaseDoc):
    number: int = 0


def endpoint_of(method):
    return EndpointTable(type("Stepping", (Executor,), {"step": method})()).resolve("/s")


def step(annotation, **schemas):
    def method(self, slots):
        """Goes one step further."""

    if annotation is not None:
        method.__annotations__["slots"] = annotation
    return requests(on="/s", **schemas)(continuous_batching(slots=3)(method))


@pytest.mark.parametrize(
    ("annotation", "schemas", "types"),
    [
        (list[Slot[Text, Token]], {}, (Text, Token)),
        ("list[Slot[Text, Token]]", {}, (Text, Token)),
        (list["Slot[Text, Token]"], {}, (Text, Token)),
        (list[Slot], {}, (Document, Document)),
        (None, {}, (Document, Document)),
        (list[Slot], {"request_schema": Text, "response_schema": Token}, (Text, Token)),
        (list[Slot[Text, Token]], {"response_schema": Text}, (Text, Text)),
    ],
)
def test_types(annotation, schemas, types):
    endpoint = endpoint_of(step(annotation, **schemas))
    assert (endpoint.input_type, endpoint.output_type) == types
    assert endpoint.is_generator
    assert endpoint.is_single
    assert endpoint.slots.slots == 3
    assert endpoint.description == "Goes one step further."


@pytest.mark.parametrize("annotation", [Slot[Text, Token], list[Text], DocList[Text], list[Slot[Text, DocList[Text]]]])
def test_types_that_are_none_are_refused(annotation):
    with pytest.raises(ExecutorDefinitionError):
        endpoint_of(step(annotation))


class LongChat(Chat):
    context: int = 0


@pytest.mark.parametrize(("chat", "emitted"), [(Chat, Delta), (LongChat, Delta), (Chat, str), (Chat, str | ToolCall)])
def test_steps_over_conversations(chat, emitted):
    endpoint = endpoint_of(step(list[Slot[chat, emitted]]))
    assert (endpoint.input_type, endpoint.output_type, endpoint.gives_deltas) == (chat, DeltaDoc, True)


def test_what_a_step_over_conversations_emits_has_to_be_an_answer():
    with pytest.raises(ExecutorDefinitionError) as caught:
        endpoint_of(step(list[Slot[Chat, Text]]))
    assert "answers a conversation by Text; it has to be text, ToolCall, Reasoning, Usage or Finish" in str(
        caught.value
    )
    assert "write `slots: list[Slot[Chat, Delta]]` (from jina import Delta)" in str(caught.value)


def test_what_a_method_lacks_is_said():
    def bare(self, slots: list[Slot]) -> None:
        """Without @continuous_batching."""

    with pytest.raises(ExecutorDefinitionError, match="not decorated with @continuous_batching"):
        endpoint_of(requests(on="/s")(bare))
    with pytest.raises(ExecutorDefinitionError, match="does not take `slots`"):
        continuous_batching()(lambda self, docs, **kwargs: None)
    assert endpoint_of(continuous_batching(requests(on="/s")(bare))).slots.slots == 8
    with pytest.raises(ExecutorDefinitionError, match="parameter 'docs'"):
        requests(on="/s")(lambda self, slots, docs: None)


def test_a_step_does_not_yield():
    def yields(self, slots):
        yield slots

    with pytest.raises(ExecutorDefinitionError, match=r"slot\.emit"):
        requests(on="/s")(yields)


@pytest.mark.parametrize("other", [write, dynamic_batching])
def test_it_cannot_be_combined(other):
    with pytest.raises(ExecutorDefinitionError, match=f"both @continuous_batching and @{other.__name__}"):
        endpoint_of(other(step(list[Slot])))


@pytest.mark.parametrize(
    "options",
    [
        {"slots": 0},
        {"slots": True},
        {"slots": 2.0},
        {"admit_per_step": 0},
        {"stall_timeout": -1},
        {"stall_timeout": "1"},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ExecutorDefinitionError, match=next(iter(options))):
        continuous_batching(**options)(lambda self, slots: None)


def test_callbacks_run_once_the_last_first_and_all_of_them():
    order, slot = [], Slot(Text())
    slot.on_leave(order.append, 1)
    slot.on_leave(int, "no number")
    slot.on_leave(order.append, 2)
    assert [type(error) for error in slot.leave()] == [ValueError]
    assert slot.leave() == []
    assert order == [2, 1]
