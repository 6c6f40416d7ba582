"""Methods that continue a conversation: told by a parameter of the class `Chat`, they answer in pieces."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

from jina.documents.deltas import DELTAS, Delta


def chat_parameter(function: Any) -> str | None:
    """The parameter that gets the conversation, whatever its name is; None for all other methods."""
    unwrapped = inspect.unwrap(function)
    for name, annotation in getattr(unwrapped, "__annotations__", {}).items():
        kind = _named(annotation, unwrapped) if isinstance(annotation, str) else annotation
        if name != "return" and takes_chat(kind):
            return str(name)
    return None


def takes_chat(kind: Any) -> bool:
    """Whether a class is that of conversations."""
    return bool(getattr(kind, "jina_takes_chat", False))


def chat_class(function: Any) -> Any:
    """The class of that parameter."""
    unwrapped = inspect.unwrap(function)
    annotation = unwrapped.__annotations__[chat_parameter(function) or ""]
    return _named(annotation, unwrapped) if isinstance(annotation, str) else annotation


def _named(text: str, function: Any) -> Any:
    """What a name such as `Chat` or `jina.Chat` means where the function stands; None for other annotations."""
    first, *rest = text.split(".")
    found = getattr(function, "__globals__", {}).get(first)
    for name in rest:
        found = getattr(found, name, None)
    return found


def as_delta(where: str, item: Any) -> Delta:
    """A piece of the answer; raises `TypeError` for anything else."""
    if isinstance(item, DELTAS):
        return item
    wanted = "str, ToolCall, Reasoning, Usage or Finish"
    raise TypeError(f"{where} has to answer by {wanted}, but gave {type(item).__qualname__}")


def answering(method: Any, name: str, *, is_async: bool, is_generator: bool) -> Callable[..., Any]:
    """A generator that calls the method with the conversation `doc` under its own name.

    A method that does not yield gives the whole answer: one piece, or a list of them.
    """
    if is_async:
        return _async_generator(method, name) if is_generator else _async_whole(method, name)
    return _generator(method, name) if is_generator else _whole(method, name)


def _async_generator(method: Any, name: str) -> Callable[..., AsyncIterator[Any]]:
    return lambda *, doc, **arguments: method(**{name: doc}, **arguments)


def _generator(method: Any, name: str) -> Callable[..., Iterator[Any]]:
    return lambda *, doc, **arguments: method(**{name: doc}, **arguments)


def _async_whole(method: Any, name: str) -> Callable[..., AsyncIterator[Any]]:
    async def answer(*, doc: Any, **arguments: Any) -> AsyncIterator[Any]:
        for delta in _listed(await method(**{name: doc}, **arguments)):
            yield delta

    return answer


def _whole(method: Any, name: str) -> Callable[..., Iterator[Any]]:
    def answer(*, doc: Any, **arguments: Any) -> Iterator[Any]:
        yield from _listed(method(**{name: doc}, **arguments))

    return answer


def _listed(answer: Any) -> list[Any]:
    return list(answer) if isinstance(answer, list | tuple) else [answer]


def stream(function: Any, where: str, doc: Any, arguments: dict[str, Any]) -> Iterator[Delta]:
    """The pieces that a generator yields; closing the iterator closes the generator."""
    with closing(function(doc=doc, **arguments)) as items:
        for item in items:
            yield item if type(item) is str else as_delta(where, item)


async def stream_async(function: Any, where: str, doc: Any, arguments: dict[str, Any]) -> AsyncIterator[Delta]:
    """The pieces that an asynchronous generator yields; closing the iterator closes the generator."""
    async with aclosing(function(doc=doc, **arguments)) as items:
        async for item in items:
            yield item if type(item) is str else as_delta(where, item)
