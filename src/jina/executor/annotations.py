"""What the annotations of a method say about its documents and parameters.

Read when the endpoint table is made, never at decoration, so that a parent process can import an Executor
without docarray and pydantic.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jina.errors import ExecutorDefinitionError
from jina.executor.decorators import Marks
from jina.executor.signatures import describe, kind_of, named

_GENERATORS: tuple[Any, ...] = (
    collections.abc.Generator,
    collections.abc.AsyncGenerator,
    collections.abc.Iterator,
    collections.abc.AsyncIterator,
    collections.abc.Iterable,
    collections.abc.AsyncIterable,
)
_NOTHING = (inspect.Parameter.empty, Any, object)


@dataclass(frozen=True, slots=True)
class Types:
    """Document classes of an endpoint, and the pydantic model of its parameters if it has one."""

    input_type: Any
    output_type: Any
    parameters_model: Any | None
    parameters_optional: bool


def types_of(function: Any, marks: Marks) -> Types:
    """The types of a handler; raises `ExecutorDefinitionError` naming the method and what is wrong."""
    from jina.documents import Document

    names = named(function)
    is_generator = kind_of(function)[1]
    if is_generator and "docs" in names:
        raise ExecutorDefinitionError(
            f"{describe(function)} yields, so it answers one document with many: name its parameter `doc`, not `docs`"
        )
    reader = _Reader(function, marks)
    is_single = "doc" in names or is_generator
    given = marks.request_schema
    if given is not None:
        input_type = reader.schema_argument("request_schema", given)
    elif "doc" in names:
        input_type = reader.document("doc", reader.annotation("doc"), Document)
    else:
        input_type = reader.documents("docs", reader.annotation("docs"), Document)
    if marks.response_schema is not None:
        output_type = reader.schema_argument("response_schema", marks.response_schema)
    else:
        returned = reader.annotation("return")
        if is_generator:
            returned = _yielded(returned)
        output_type = reader.returned(returned, input_type, Document, is_single=is_single)
    model, optional = reader.parameters(reader.annotation("parameters"))
    return Types(input_type, output_type, model, optional)


class _Reader:
    def __init__(self, function: Any, marks: Marks) -> None:
        self._function = inspect.unwrap(function)
        self._where = describe(function)
        self._marks = marks

    def annotation(self, name: str) -> Any:
        """The annotation with all text in it resolved, or `inspect.Parameter.empty`."""
        try:
            raw = getattr(self._function, "__annotations__", {}).get(name, inspect.Parameter.empty)
        except NameError as error:
            raise self._unresolved("the annotations", error) from None
        if raw is inspect.Parameter.empty or isinstance(raw, type):
            return raw
        if type(raw) is types.GenericAlias and any(isinstance(part, str) for part in raw.__args__):
            # typing hands all arguments to DocList as one tuple, which docarray refuses.
            origin = typing.cast("type", raw.__origin__)
            return types.GenericAlias(origin, tuple(self._resolved(name, part) for part in raw.__args__))
        return self._resolved(name, raw)

    def _resolved(self, name: str, raw: Any) -> Any:
        carrier = types.SimpleNamespace(__annotations__={name: raw})
        namespace = {**vars(typing), **self._function.__globals__}
        try:
            return typing.get_type_hints(carrier, globalns=namespace, localns=self._marks.namespace)[name]
        except NameError as error:
            raise self._unresolved(f"the annotation {raw!r} of {name!r}", error) from None
        except Exception as error:
            raise ExecutorDefinitionError(
                f"{self._where}: the annotation {raw!r} of {name!r} cannot be read: {error}"
            ) from error

    def _unresolved(self, what: str, error: NameError) -> ExecutorDefinitionError:
        return ExecutorDefinitionError(
            f"{self._where}: {what} cannot be resolved: {error}",
            help="import the name at the top of the module, not under `if TYPE_CHECKING:`",
        )

    def document(self, name: str, annotation: Any, schemaless: Any) -> Any:
        """The class of one document."""
        for kind in _alternatives(annotation):
            if kind in _NOTHING:
                return schemaless
            if _is_document(kind):
                return kind
            if _item_type(kind, schemaless) is not None:
                raise ExecutorDefinitionError(
                    f"{self._where}: {name!r} gets one document after the other, but is annotated {_show(annotation)};"
                    " name it `docs` to get all of a request"
                )
        raise self._no_document(name, annotation, "a document class (docarray.BaseDoc)")

    def documents(self, name: str, annotation: Any, schemaless: Any) -> Any:
        """The class of the documents of a list."""
        for kind in _alternatives(annotation):
            if kind in _NOTHING:
                return schemaless
            if (item := _item_type(kind, schemaless)) is not None:
                return item
            if _is_document(kind):
                raise ExecutorDefinitionError(
                    f"{self._where}: {name!r} gets all documents of a request, but is annotated {_show(annotation)};"
                    f" write `{name}: DocList[{_show(kind)}]`, or name it `doc`"
                )
        raise self._no_document(name, annotation, "DocList[...] or DocumentArray")

    def schema_argument(self, name: str, given: Any) -> Any:
        """The class that `@requests(request_schema=...)` names, as such or inside a DocList."""
        from jina.documents import Document

        item = given if _is_document(given) else _item_type(given, Document)
        if item is None:
            where = f"@requests({name}=...)"
            raise self._no_document(where, given, "a document class (docarray.BaseDoc) or DocList[...]")
        return item

    def returned(self, annotation: Any, input_type: Any, schemaless: Any, *, is_single: bool) -> Any:
        """The class of the documents that come back.

        Without an annotation nothing is known, so anything may; None and dictionaries leave the input in place.
        """
        if annotation in _NOTHING:
            return schemaless
        for kind in _alternatives(annotation):
            item = _item_type(kind, schemaless)
            if is_single and _is_document(kind):
                return kind
            if not is_single and item is not None:
                return item
            if _is_document(kind) or item is not None:
                raise self._wrong_number(annotation, kind if item is None else item, is_single=is_single)
        if all(_is_mapping(kind) or kind is type(None) for kind in (_alternatives(annotation) or [type(None)])):
            return input_type
        raise self._no_document("return", annotation, "a document" if is_single else "DocList[...], dict or None")

    def parameters(self, annotation: Any) -> tuple[Any | None, bool]:
        """The pydantic model of the parameters (or None) and whether it may be absent."""
        kinds = _alternatives(annotation)
        for kind in kinds:
            if _is_model(kind):
                return kind, kind is not annotation and type(None) in _members(annotation)
        if all(kind in _NOTHING or _is_mapping(kind) for kind in kinds):
            return None, False
        made, what = _class_like_a_document(kinds[0]) if len(kinds) == 1 else ("", "")
        raise ExecutorDefinitionError(
            f"{self._where}: parameters is annotated {_show(annotation)}{what}; it has to be dict or a pydantic model",
            help=f"write `class {made or 'Parameters'}(pydantic.BaseModel)` with"
            f" {'the same fields' if made else 'a field for each parameter'}, and `parameters: {made or 'Parameters'}`",
        )

    def _wrong_number(self, annotation: Any, item: Any, *, is_single: bool) -> ExecutorDefinitionError:
        """One document instead of a list, or the other way round."""
        shown = _show(item)
        if is_single:
            wanted, instead = "one document (or None)", f"write `-> {shown}`, or name the parameter `docs`"
        else:
            wanted, instead = "DocList[...], dict or None", f"write `-> DocList[{shown}]`, or name the parameter `doc`"
        return ExecutorDefinitionError(
            f"{self._where}: return is annotated {_show(annotation)}; it has to be {wanted}", help=instead
        )

    def _no_document(self, name: str, annotation: Any, wanted: str) -> ExecutorDefinitionError:
        """What is annotated is neither a document nor a list of documents."""
        kinds = _alternatives(annotation)
        item, is_list = _item_of_list(kinds[0] if len(kinds) == 1 else Any)
        made, what = _class_like_a_document(item)
        steps = []
        if made:
            steps.append(f"declare `class {made}(docarray.BaseDoc)`, with the same fields")
        elif not _is_document(item):
            made = "Output" if name == "return" else "Input"
            steps.append(f"declare `class {made}(docarray.BaseDoc)` with a field such as `text: str`")
        one, many = made or _show(item), f"DocList[{made or _show(item)}]"
        if name == "doc" and is_list:
            steps.append(f"write `docs: {many}` for all documents of a request, `doc: {one}` for one after the other")
        elif name in {"doc", "docs"}:
            steps.append(f"write `{name}: {many if name == 'docs' else one}`")
        elif name == "return":
            steps.append(f"write `-> {many if 'DocList' in wanted else one}`")
        else:
            steps.append(f"write `{name.replace('...', many if is_list else one)}`")
        origin = " (from docarray import DocList)" if "DocList" in steps[-1] else ""
        return ExecutorDefinitionError(
            f"{self._where}: {name} is annotated {_show(annotation)}{what}; it has to be {wanted}",
            help="; ".join(steps) + origin,
        )


_LISTS = (list, tuple, set, frozenset, collections.abc.Iterable)


def _item_of_list(kind: Any) -> tuple[Any, bool]:
    """The class of the items of a list class that holds no documents for us, such as `list[X]`, and that it is one."""
    from docarray import DocVec

    origin = typing.get_origin(kind) or kind
    if not isinstance(origin, type) or issubclass(origin, (str, bytes, Mapping)) or typing.is_typeddict(origin):
        return kind, False
    if issubclass(origin, DocVec):
        return getattr(origin, "doc_type", Any), True
    if origin in _LISTS or (typing.get_origin(kind) is not None and issubclass(origin, _LISTS)):
        return (typing.get_args(kind) or (Any,))[0], True
    return kind, False


def _class_like_a_document(kind: Any) -> tuple[str, str]:
    """The name of a class with fields that is no document, and what it is; nothing for all others."""
    if not isinstance(kind, type) or _is_document(kind):
        return "", ""
    if _is_model(kind):
        return kind.__name__, f" ({kind.__name__} is a pydantic model)"
    if dataclasses.is_dataclass(kind):
        return kind.__name__, f" ({kind.__name__} is a dataclass)"
    if typing.is_typeddict(kind):
        return kind.__name__, f" ({kind.__name__} is a TypedDict)"
    return "", ""


def _members(annotation: Any) -> list[Any]:
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return [part for kind in typing.get_args(annotation) for part in _members(kind)]
    return [annotation]


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None; a plain annotation alone."""
    return [kind for kind in _members(annotation) if kind is not type(None) and kind is not None]


def _yielded(annotation: Any) -> Any:
    if typing.get_origin(annotation) in _GENERATORS:
        return (typing.get_args(annotation) or (Any,))[0]
    if annotation in _GENERATORS or annotation in {typing.Generator, typing.AsyncGenerator}:
        return Any
    return annotation


def _is_document(kind: Any) -> bool:
    from docarray import BaseDoc

    return isinstance(kind, type) and issubclass(kind, BaseDoc)


def _is_model(kind: Any) -> bool:
    from pydantic import BaseModel

    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_mapping(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    return typing.is_typeddict(kind) or (isinstance(origin, type) and issubclass(origin, Mapping))


def _item_type(kind: Any, schemaless: Any) -> Any | None:
    """The document class of a list class such as `DocList[T]` or `DocumentArray`; None for other classes."""
    from docarray import BaseDoc, DocList

    origin = typing.get_origin(kind) or kind
    if not isinstance(origin, type) or not issubclass(origin, DocList):
        return None
    for argument in typing.get_args(kind):
        if isinstance(argument, type) and issubclass(argument, BaseDoc):
            return argument
    item = getattr(origin, "doc_type", None)
    return item if isinstance(item, type) and issubclass(item, BaseDoc) and _has_fields(item) else schemaless


def _has_fields(item: Any) -> bool:
    from docarray.base_doc import AnyDoc

    return item is not AnyDoc


def _show(annotation: Any) -> str:
    """The annotation as it is written, without the modules of its classes."""
    arguments = typing.get_args(annotation)
    if not arguments:
        return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        return " | ".join("None" if part is type(None) else _show(part) for part in arguments)
    if isinstance(origin, type):
        written = ", ".join("..." if part is ... else _show(part) for part in arguments)
        return f"{origin.__qualname__.partition('[')[0]}[{written}]"
    return str(annotation)
