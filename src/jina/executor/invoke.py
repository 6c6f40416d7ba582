"""From a request to a call: keyword arguments, parameters of this Executor, validated models, results."""

from __future__ import annotations

import inspect
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from jina.errors import ValidationFailed
from jina.executor import results

if TYPE_CHECKING:
    from jina.executor.endpoints import Endpoint

RESULTS = "__results__"
_random = random.Random()  # noqa: S311 - its own state, so that `random.seed` of user code does not repeat it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


@dataclass(slots=True)
class Extras:
    """What a handler can be given beside its documents.

    `docs_matrix` and `docs_map` hold the documents of several branches; `headers` are HTTP headers or gRPC
    metadata in lower case. `moment` is the time and the seed of a write that is applied on several replicas.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    docs_matrix: list[Any] | None = None
    docs_map: dict[str, Any] | None = None
    tracing_context: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    moment: tuple[float, int] | None = None


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
    if endpoint.takes("parameters"):
        arguments["parameters"] = validate_parameters(endpoint, extras.parameters)
    if "headers" in endpoint.names:
        arguments["headers"] = dict(extras.headers)
    if endpoint.moment:
        now, seed = extras.moment or new_moment()
        arguments.update({name: now if name == "now" else seed for name in endpoint.moment})
    return arguments


def new_moment() -> tuple[float, int]:
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
    if not endpoint.is_single:
        keywords = {"docs": docs} if endpoint.takes("docs") else {}
        return results.normalise(endpoint, endpoint.function(**keywords, **arguments), docs)
    answers = [results.normalise_one(endpoint, endpoint.function(doc=doc, **arguments), doc) for doc in docs]
    return results.collect(endpoint, answers), None


async def call_async(endpoint: Endpoint, docs: Any, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Call an `async def` handler with the documents of a request; gives what `results.normalise` gives."""
    if not endpoint.is_single:
        keywords = {"docs": docs} if endpoint.takes("docs") else {}
        answer = endpoint.function(**keywords, **arguments)
        if isinstance(answer, CoroutineType) or inspect.isawaitable(answer):
            answer = await answer
        return results.normalise(endpoint, answer, docs)
    answers = [
        results.normalise_one(endpoint, await _settled(endpoint.function(doc=doc, **arguments)), doc) for doc in docs
    ]
    return results.collect(endpoint, answers), None


async def _settled(value: Any) -> Any:
    # A decorator of the user may have awaited the coroutine already.
    return await value if inspect.isawaitable(value) else value


def stream(endpoint: Endpoint, doc: Any, arguments: Mapping[str, Any]) -> Iterator[Any]:
    """The documents that a generator yields; closing the iterator closes the generator."""
    keywords = {"doc": doc} if endpoint.takes("doc") else {}
    with closing(endpoint.function(**keywords, **arguments)) as items:
        for item in items:
            yield results.yielded(endpoint, item)


async def stream_async(endpoint: Endpoint, doc: Any, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
    """The documents that an asynchronous generator yields; closing the iterator closes the generator."""
    keywords = {"doc": doc} if endpoint.takes("doc") else {}
    async with aclosing(endpoint.function(**keywords, **arguments)) as items:
        async for item in items:
            yield results.yielded(endpoint, item)
