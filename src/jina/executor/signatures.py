"""Signatures of what users write: where it stands, what it takes, whether it can be called."""

from __future__ import annotations

import inspect
import os
from typing import Any

from jina.errors import ExecutorDefinitionError, nearest

MOMENT = ("now", "seed")
"""Keywords that only a method is called with that names them and gives no default."""

PASSED = ("docs", "doc", "parameters", "docs_matrix", "docs_map", "tracing_context", "headers", *MOMENT)
"""Keywords that a method may be called with; `headers` only where the method names it."""

INJECTED = ("metas", "requests", "runtime_args")
"""Keywords that the constructor must take by name when it has no `**kwargs`."""


def location(thing: Any) -> str:
    """`file:line` of a function or class, or `<unknown>`; for errors only, as that of a class reads its source."""
    code = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__code__", None)
    if code is not None:
        return f"{_short(code.co_filename)}:{code.co_firstlineno}"
    try:
        return f"{_short(inspect.getsourcefile(thing) or '<unknown>')}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return "<unknown>"


def _short(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):
        return path
    return path if path.startswith("<") or relative.startswith("..") else relative


def describe(function: Any) -> str:
    """`MyExecutor.foo (file.py:12)`."""
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{name.rpartition('<locals>.')[2]} ({location(function)})"


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """The parameters without `self`; raises `ExecutorDefinitionError` where Python cannot tell them."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ExecutorDefinitionError(f"{describe(function)} has no readable signature: {error}") from None
    return parameters[1:]


def kind_of(function: Any) -> tuple[bool, bool]:
    """Whether the method is asynchronous, and whether it yields; decorators of the user are looked through."""
    layers = [function]
    while (inner := getattr(layers[-1], "__wrapped__", None)) is not None:
        layers.append(inner)
    is_async = any(inspect.iscoroutinefunction(layer) or inspect.isasyncgenfunction(layer) for layer in layers)
    yields = any(inspect.isgeneratorfunction(layer) or inspect.isasyncgenfunction(layer) for layer in layers)
    return is_async, yields


def accepts(function: Any) -> frozenset[str] | None:
    """The keywords that a method takes, or None when it has `**kwargs`."""
    parameters = parameters_of(function)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def named(function: Any) -> frozenset[str]:
    """The parameters that a method names, without `**kwargs`."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(p.name for p in parameters_of(function) if p.kind in kinds)


def moment_of(function: Any) -> frozenset[str]:
    """Those of `now` and `seed` that a method asks for."""
    return frozenset(p.name for p in parameters_of(function) if p.name in MOMENT and p.default is p.empty)


def check_handler(function: Any) -> None:
    """Raise `ExecutorDefinitionError` when the method cannot be called with the keywords of a request."""
    _check_self(function)
    names, everything = named(function), accepts(function) is None
    if {"doc", "docs"} <= names:
        raise ExecutorDefinitionError(
            f"{describe(function)} takes both `doc` and `docs`; `docs` gets all documents of a request, `doc` one"
            " after the other",
            help="leave out one of them",
        )
    for parameter in parameters_of(function):
        _check_parameter(function, parameter)
    expected = {"docs", "parameters", "docs_matrix"} - ({"docs"} if "doc" in names else set())
    if not everything and expected - names:
        missing = ", ".join(sorted(expected - names))
        raise ExecutorDefinitionError(
            f"{describe(function)} lacks **kwargs in its signature (it does not take {missing} either)",
            help=f"write it as `{_with_kwargs(function)}`",
        )


def _check_self(function: Any) -> None:
    """Methods are called on the Executor, so that a first parameter `docs` would get the Executor."""
    first = next(iter(inspect.signature(function).parameters.values()), None) if callable(function) else None
    if first is None or (first.name in PASSED and first.kind is not first.VAR_KEYWORD):
        raise ExecutorDefinitionError(
            f"{describe(function)} lacks `self`, the Executor that methods are called on: its first parameter is"
            f" {repr(first.name) if first else 'missing'}",
            help=f"write it as `def {function.__name__}(self, {first.name if first else 'docs'}, **kwargs)`",
        )


def _with_kwargs(function: Any) -> str:
    """The head of the method with `**kwargs`, and with `docs` where it takes no documents."""
    takes = [parameter.name for parameter in parameters_of(function) if parameter.default is parameter.empty]
    documents = [] if {"doc", "docs"} & named(function) else ["docs"]
    return f"def {function.__name__}({', '.join(['self', *documents, *takes, '**kwargs'])})"


def _check_parameter(function: Any, parameter: inspect.Parameter) -> None:
    if parameter.default is not parameter.empty or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return
    name = parameter.name
    if parameter.kind is parameter.POSITIONAL_ONLY:
        problem = "is positional-only, but methods are called with keywords"
        instead = "leave out the `/` in its signature"
    elif name not in PASSED:
        near = nearest(name, PASSED)
        hint = f"; did you mean {near!r}?" if near else f"; requests carry {', '.join(PASSED)}"
        problem = f"has no default, and no request carries it{hint}"
        instead = _where_it_comes_from(function, parameter)
    else:
        return
    raise ExecutorDefinitionError(f"parameter {name!r} of {describe(function)} {problem}", help=instead)


def _where_it_comes_from(function: Any, parameter: inspect.Parameter) -> str:
    """What to write for a parameter that is no part of a request."""
    name, annotation = parameter.name, parameter.annotation
    if hasattr(annotation, "model_fields"):  # a document or another model, told without importing pydantic
        return f"a document is the parameter `doc`: write `doc: {annotation.__name__}`, a class of docarray.BaseDoc"
    kind = getattr(annotation, "__name__", None) or str(annotation)
    written = "str" if annotation is parameter.empty else kind
    return (
        f"make it a field of a document, `class Input(docarray.BaseDoc)` with `{name}: {written}`, and write"
        f" `doc: Input`; or write `def {function.__name__}(self, docs, parameters, **kwargs)` and use"
        f" parameters[{name!r}]"
    )


def check_init(cls: type) -> None:
    """Raise `ExecutorDefinitionError` unless the constructor takes what is injected."""
    init: Any = getattr(cls, "__init__")  # noqa: B009 - mypy distrusts the plain access
    if not hasattr(init, "__code__"):
        return
    parameters = parameters_of(init)
    if any(p.kind is p.VAR_KEYWORD for p in parameters) or set(INJECTED) <= {p.name for p in parameters}:
        return
    written = ", ".join(["self", *(str(p) for p in parameters), "**kwargs"])
    raise ExecutorDefinitionError(
        f"{describe(init)} lacks **kwargs in its signature: metas, requests and runtime_args of {cls.__name__} are"
        " passed through it",
        help=f"write `def __init__({written})` and call `super().__init__(**kwargs)`",
    )
