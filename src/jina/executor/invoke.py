"""From a request to a call: arguments, parameters of this Executor, validated models; and what a handler may return."""

from __future__ import annotations

import inspect
import os
import random
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing, closing
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from jina.documents.images import opened
from jina.documents.records import type_name
from jina.errors import ValidationFailed
from jina.executor import chat
from jina.executor.offers import InvalidArguments

if TYPE_CHECKING:
    from jina.executor.endpoints import Endpoint
    from jina.executor.signatures import PlainCall

SEPARATOR = "__"


def scope_parameters(parameters: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The parameters as the Executor called `names` sees them.

    A key `other__key` reaches only the Executor `other`, as `key`. A dictionary under the name of this Executor
    is merged, and stays visible under its name. The more specific value wins: `a__k`, then `{'a': {'k': ...}}`,
    then `k`.
    """
    general: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    specific: dict[str, Any] = {}
    for key, value in parameters.items():
        owner, separator, rest = key.partition(SEPARATOR)
        if owner and separator and rest:
            if owner in names:
                specific[rest] = value
            continue
        general[key] = value
        if key in names and isinstance(value, Mapping):
            merged.update(value)
    return {**general, **merged, **specific}


def normalise(endpoint: Endpoint, returned: Any, docs: Any) -> tuple[Any, dict[str, Any] | None]:
    """The documents of the answer, and the dictionary that goes into `parameters['__results__']`.

    `docs` is the DocList that the handler was called with, `returned` what it gave back: None keeps `docs` (with
    what the handler changed in them), a DocList or DocumentArray replaces them, a dictionary is a result beside
    them. Raises `TypeError` for anything else.
    """
    if returned is None or returned is docs:
        return docs, None
    if _is_list(returned):
        return returned, None
    if _is_columns(returned):
        return returned.to_doc_list(), None
    if isinstance(returned, Mapping):
        return docs, dict(returned)
    raise _wrong(endpoint, returned, "DocList, DocumentArray, dict or None")


def normalise_one(endpoint: Endpoint, returned: Any, doc: Any) -> Any:
    """The document that answers `doc` for a handler that takes one: what it returned, or `doc` for None.

    Raises `TypeError` for anything but a document.
    """
    if returned is None:
        return doc
    if _is_document(returned):
        return returned
    raise _wrong(endpoint, returned, "a document or None")


def yielded(endpoint: Endpoint, item: Any) -> Any:
    """A document of a stream, or a piece of an answer to a conversation; raises `TypeError` for anything else."""
    if endpoint.gives_deltas:
        return chat.as_delta(endpoint.where, item)
    if endpoint.plain is not None:
        return _answer(endpoint, endpoint.plain, item, verb="yield")
    if _is_document(item):
        return item
    raise _wrong(endpoint, item, "documents", verb="yield")


def collect(endpoint: Endpoint, docs: list[Any]) -> Any:
    """One list of the documents that a handler gave one by one.

    Its class is that of the first document, or the endpoint's output where there is none; a plain list of others.
    """
    if endpoint.plain is not None or endpoint.gives_deltas:
        return docs
    from jina.documents import array_class_of

    return array_class_of(type(docs[0]) if docs else endpoint.output_type)(docs)


def _is_document(value: Any) -> bool:
    from docarray import BaseDoc

    return isinstance(value, BaseDoc)


def _is_list(value: Any) -> bool:
    from docarray import DocList

    return isinstance(value, DocList)


def _is_columns(value: Any) -> bool:
    from docarray import DocVec

    return isinstance(value, DocVec)


def _wrong(endpoint: Endpoint, value: Any, wanted: str, *, verb: str = "return") -> TypeError:
    hint = ""
    if isinstance(value, (list, tuple)) and value and _is_document(value[0]):
        hint = f"; write DocList[{type(value[0]).__name__}](...) around it"
    elif _is_document(value):
        hint = f"; write DocList[{type(value).__name__}]([...]) around it, or take `doc` instead of `docs`"
    shown = type(value).__qualname__
    return TypeError(f"{endpoint.where} has to {verb} {wanted} as its return type, but returned {shown}{hint}")


RESULTS = "__results__"
_random = random.Random()  # noqa: S311 - its own state, so that `random.seed` of user code does not repeat it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


class Extras(msgspec.Struct):
    """What a handler can be given beside its documents.

    `docs_matrix` and `docs_map` hold the documents of several branches; `headers` are HTTP headers or gRPC
    metadata in lower case. `clock_and_seed` is the time and the seed of a write that is applied on several replicas.
    """

    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    docs_matrix: list[Any] | None = None
    docs_map: dict[str, Any] | None = None
    tracing_context: Any = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    clock_and_seed: tuple[float, int] | None = None


def call_arguments(endpoint: Endpoint, extras: Extras) -> dict[str, Any]:
    """All keywords of a call except the documents, only those that the method takes.

    Raises `ValidationFailed` when the parameters do not fit the model that the method asks for.
    """
    arguments: dict[str, Any] = {
        "docs_matrix": extras.docs_matrix,
        "docs_map": extras.docs_map,
        "tracing_context": extras.tracing_context,
    }
    arguments = {name: value for name, value in arguments.items() if endpoint.takes(name)}
    if endpoint.plain is not None and endpoint.plain.parameters:
        found = vars(validate_parameters(endpoint, extras.parameters))
        arguments.update({name: found[name] for name in endpoint.plain.parameters})
        if "parameters" in endpoint.names:
            arguments["parameters"] = dict(extras.parameters)
    elif endpoint.takes("parameters"):
        arguments["parameters"] = validate_parameters(endpoint, extras.parameters)
    if "headers" in endpoint.names:
        arguments["headers"] = dict(extras.headers)
    if endpoint.clock_and_seed:
        now, seed = extras.clock_and_seed or new_clock_and_seed()
        arguments.update({name: now if name == "now" else seed for name in endpoint.clock_and_seed})
    return arguments


def new_clock_and_seed() -> tuple[float, int]:
    """The time in seconds since the epoch, and a seed of 63 bits."""
    return time.time(), _random.getrandbits(63)


def validate_parameters(endpoint: Endpoint, parameters: Mapping[str, Any]) -> Any:
    """The parameters as the method wants them: a dictionary, or an instance of its pydantic model.

    Raises `ValidationFailed` with `loc` below `parameters`.
    """
    model = endpoint.parameters_model
    if model is None:
        return dict(parameters)
    values = {key: value for key, value in parameters.items() if key != RESULTS}
    if not values and endpoint.parameters_optional:
        return None
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = [
            {"type": one["type"], "loc": ["parameters", *one["loc"]], "msg": one["msg"], "input": one["input"]}
            for one in error.errors(include_url=False, include_context=False)
        ]
        first = errors[0]
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ValidationFailed(
            f"{endpoint.path}: the parameters do not fit {model.__name__}: {place}: {first['msg']}{more}", errors=errors
        ) from None


def call(endpoint: Endpoint, docs: Any, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Call a `def` handler with the documents of a request; gives what `results.normalise` gives."""
    plain = endpoint.plain
    if plain is not None:
        return _answers(
            endpoint, plain, docs, [endpoint.function(**one, **arguments) for one in inputs_of(plain, docs)]
        )
    if not endpoint.is_single:
        takes_docs, function = endpoint.accepts is None or "docs" in endpoint.accepts, endpoint.function
        answer = function(docs=docs, **arguments) if takes_docs else function(**arguments)
        return (docs, None) if answer is None or answer is docs else normalise(endpoint, answer, docs)
    answers = [normalise_one(endpoint, endpoint.function(doc=doc, **arguments), doc) for doc in docs]
    return collect(endpoint, answers), None


async def call_async(endpoint: Endpoint, docs: Any, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Call an `async def` handler with the documents of a request; gives what `results.normalise` gives."""
    plain = endpoint.plain
    if plain is not None:
        given = [await _settled(endpoint.function(**one, **arguments)) for one in inputs_of(plain, docs)]
        return _answers(endpoint, plain, docs, given)
    if not endpoint.is_single:
        takes_docs, function = endpoint.accepts is None or "docs" in endpoint.accepts, endpoint.function
        answer = function(docs=docs, **arguments) if takes_docs else function(**arguments)
        if isinstance(answer, CoroutineType) or inspect.isawaitable(answer):
            answer = await answer
        return (docs, None) if answer is None or answer is docs else normalise(endpoint, answer, docs)
    answers = [normalise_one(endpoint, await _settled(endpoint.function(doc=doc, **arguments)), doc) for doc in docs]
    return collect(endpoint, answers), None


def inputs_of(plain: PlainCall, docs: Any) -> list[Mapping[str, Any]]:
    """The keywords for the input of each call of a method of plain types; raises `InvalidArguments`."""
    if plain.takes_many:
        inputs: list[Mapping[str, Any]] = [{plain.keyword: docs}]
    elif plain.keyword:
        inputs = [{plain.keyword: doc} for doc in docs]
    else:
        inputs = [vars(doc) for doc in docs]
    return [_with_images(plain, one) for one in inputs] if plain.images else inputs


def _with_images(plain: PlainCall, given: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(given)
    for name in plain.images & given.keys():
        try:
            values[name] = opened(values[name])
        except ValueError as error:
            fault = {"type": "image", "loc": ["body", name], "msg": str(error), "input": None}
            raise InvalidArguments(f"{name}: {error}", errors=[fault]) from None
    return values


def _answers(endpoint: Endpoint, plain: PlainCall, docs: Any, given: list[Any]) -> tuple[list[Any], None]:
    """What a method of plain types gave, as the list of documents that answers the request."""
    if plain.gives == "each" and not plain.takes_many:
        return [_answer(endpoint, plain, one) for one in given], None
    if plain.gives == "one":
        answer = _answer(endpoint, plain, given[0])
        return [answer] * max(1, len(docs)) if plain.gives_none else [answer], None
    answers: list[Any] = []
    for one in given:
        if isinstance(one, str | bytes | Mapping) or not isinstance(one, Iterable):
            raise _wrong_plain(endpoint, f"a list of {type_name(endpoint.output_type)}", one, "return")
        answers += [_answer(endpoint, plain, item) for item in one]
    return answers, None


def _answer(endpoint: Endpoint, plain: PlainCall, answer: Any, *, verb: str = "return") -> Any:
    try:
        return plain.check(answer)
    except TypeError as error:
        raise _wrong_plain(endpoint, str(error), answer, verb) from None


def _wrong_plain(endpoint: Endpoint, wanted: str, value: Any, verb: str) -> TypeError:
    given = "returned" if verb == "return" else "yielded"
    return TypeError(f"{endpoint.where} has to {verb} {wanted} as annotated, but {given} {type(value).__qualname__}")


async def _settled(value: Any) -> Any:
    # A decorator of the user may have awaited the coroutine already.
    return await value if inspect.isawaitable(value) else value


def streams_of(endpoint: Endpoint, docs: Any) -> Any:
    """What a generator is called with, one after the other: each document, or all of them at once."""
    return [docs] if endpoint.plain is not None and endpoint.plain.takes_many else docs


def _keywords(endpoint: Endpoint, doc: Any) -> Mapping[str, Any]:
    plain = endpoint.plain
    if plain is None:
        return {"doc": doc} if endpoint.takes("doc") else {}
    given = {plain.keyword: doc} if plain.keyword else vars(doc)
    return _with_images(plain, given) if plain.images else given


def stream(endpoint: Endpoint, doc: Any, arguments: Mapping[str, Any]) -> Iterator[Any]:
    """The documents that a generator yields; closing the iterator closes the generator."""
    if endpoint.gives_deltas:
        yield from chat.stream(endpoint.function, endpoint.where, doc, dict(arguments))
        return
    keywords = _keywords(endpoint, doc)
    with closing(endpoint.function(**keywords, **arguments)) as items:
        for item in items:
            yield yielded(endpoint, item)


async def stream_async(endpoint: Endpoint, doc: Any, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
    """The documents that an asynchronous generator yields; closing the iterator closes the generator."""
    if endpoint.gives_deltas:
        async with aclosing(chat.stream_async(endpoint.function, endpoint.where, doc, dict(arguments))) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                yield delta
        return
    keywords = _keywords(endpoint, doc)
    async with aclosing(endpoint.function(**keywords, **arguments)) as items:
        async for item in items:
            yield yielded(endpoint, item)
