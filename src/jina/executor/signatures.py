"""The signature of a handler: what it takes, what it gives back, and how it is called."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from jina.documents.images import on_wire, packed
from jina.documents.records import checker, is_record, item_of_list, readable, stripped, type_name, unmapped
from jina.errors import ExecutorDefinitionError
from jina.executor.chat import chat_class, chat_parameter, takes_chat
from jina.executor.decorators import (
    Marks,
    accepts,
    check_documents_handler,
    check_keyword,
    describe,
    has_meaning,
    kind_of,
    named,
    names_plain,
    parameters_of,
    takes_slots,
)
from jina.executor.slots import Slot

_GENERATORS: tuple[Any, ...] = (
    collections.abc.Generator,
    collections.abc.AsyncGenerator,
    collections.abc.Iterator,
    collections.abc.AsyncIterator,
    collections.abc.Iterable,
    collections.abc.AsyncIterable,
)
_NOTHING = (inspect.Parameter.empty, Any, object)


class PlainCall(msgspec.Struct, frozen=True):
    """How a method is called that takes or gives something else than DocArray's documents.

    `keyword` is the parameter that gets the input, a list of them where `takes_many`; without one, the `arguments` are
    the fields of the input. `parameters` are those that come from the parameters of the request. What comes back is one
    answer for `each` input, `one` for all inputs of a request, or a list of `many` for one input.
    """

    keyword: str
    takes_many: bool
    gives: Literal["each", "one", "many"]
    gives_none: bool
    """The method returns None."""
    check: Callable[[Any], Any]
    """Makes sure that an answer, or each of a list, is of the output's type; raises `TypeError`."""
    arguments: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    images: frozenset[str] = frozenset()
    """Those of its keywords that get images of Pillow, which come as files."""


class Types(msgspec.Struct, frozen=True):
    """The classes of an endpoint's documents, and the pydantic model of its parameters if it has one.

    With `plain`, `input_type` and `output_type` may be any types (see `jina.documents.records`).
    """

    input_type: Any
    output_type: Any
    parameters_model: Any | None
    parameters_optional: bool
    plain: PlainCall | None = None


def types_of(function: Any, marks: Marks) -> Types:
    """The types of a handler; raises `ExecutorDefinitionError` naming the method and what is wrong."""
    reader = _Reader(function, marks)
    if marks.slots is not None or takes_slots(function):
        return _types_of_slots(reader, function, marks)
    if chat_parameter(function) is not None:
        return _chat_types(reader, function)
    inputs = reader.inputs()
    reader.use_plain_schemas(inputs)
    takes = _documents_taken(reader, inputs, reader.marks)
    if takes is None:
        return _plain_types(reader, inputs)
    check_documents_handler(function)
    returned = reader.annotation("return")
    given = _yielded(returned) if reader.is_generator else returned
    if reader.marks.response_schema is None and _is_plain_answer(given):
        return _plain_answers(reader, takes, given)
    return _document_types(reader, takes, given)


def _chat_types(reader: _Reader, function: Any) -> Types:
    from jina.documents.chat import DeltaDoc

    return Types(chat_class(function), DeltaDoc, *reader.parameters(reader.annotation("parameters")))


def _types_of_slots(reader: _Reader, function: Any, marks: Marks) -> Types:
    """Those of `slots: list[Slot[Input, Output]]`."""
    if marks.slots is None:
        raise ExecutorDefinitionError(
            f"{describe(function)} takes `slots`, but is not decorated with @continuous_batching",
            help="write `@continuous_batching(slots=8)` above or below @requests",
        )
    if marks.batching is not None or marks.write:
        other = "@write" if marks.write else "@dynamic_batching"
        raise ExecutorDefinitionError(f"{describe(function)} has both @continuous_batching and {other}")
    types_of_slot = reader.slots(reader.annotation("slots"))
    if takes_chat(types_of_slot[0]):
        return reader.slots_of_chats(*types_of_slot)
    given, answer = marks.request_schema, marks.response_schema
    if given is not None:
        input_type = reader.schema_argument("request_schema", given)
    else:
        input_type = reader.document("slots", types_of_slot[0], _schemaless())
    if answer is not None:
        output_type = reader.schema_argument("response_schema", answer)
    else:
        output_type = reader.returned(types_of_slot[1], input_type, _schemaless(), is_single=True)
    return Types(input_type, output_type, parameters_model=None, parameters_optional=False)


class _Taken(msgspec.Struct, frozen=True):
    """DocArray's documents as a method takes them."""

    input_type: Any
    is_single: bool


def _documents_taken(reader: _Reader, inputs: Mapping[str, inspect.Parameter], marks: Marks) -> _Taken | None:
    """What a method takes in the way of Jina 3; None for one of plain types."""
    from jina.documents import Document

    names = named(reader.function)
    is_single = "doc" in names or reader.is_generator
    name = "doc" if "doc" in names else "docs"
    if marks.request_schema is not None:
        return _Taken(reader.schema_argument("request_schema", marks.request_schema), is_single)
    if name in names:
        annotation = reader.annotation(name)
        if not _is_of_documents(annotation):
            return None
        if reader.is_generator and name == "docs":
            raise ExecutorDefinitionError(
                f"{reader.where} yields, so it answers one document with many: name its parameter `doc`, not `docs`"
            )
        read = reader.document if name == "doc" else reader.documents
        return _Taken(read(name, annotation, Document), is_single)
    if inputs or (accepts(reader.function) is not None and reader.has_plain_return()):
        return None
    return _Taken(Document, is_single)


def _document_types(reader: _Reader, takes: _Taken, given: Any) -> Types:
    from jina.documents import Document

    if reader.marks.response_schema is not None:
        output_type = reader.schema_argument("response_schema", reader.marks.response_schema)
    else:
        output_type = reader.returned(given, takes.input_type, Document, is_single=takes.is_single)
    model, optional = reader.parameters(reader.annotation("parameters"))
    return Types(takes.input_type, output_type, model, optional)


def _is_plain_schema(schema: Any) -> bool:
    """Whether `request_schema` or `response_schema` is a type other than documents; those are for others to judge."""
    return names_plain(schema) and not _is_of_documents(schema)


def _is_plain_answer(given: Any) -> bool:
    """Whether a method that takes documents gives something else."""
    if given in _NOTHING:
        return False
    kinds = _alternatives(given)
    if not kinds or any(_is_of_documents(kind) or _is_documents_in_a_list(kind) for kind in kinds):
        return False
    return not all(_is_mapping(kind) for kind in kinds)


def _plain_answers(reader: _Reader, takes: _Taken, given: Any) -> Types:
    """DocArray's documents in, something else out."""
    keyword = "doc" if takes.is_single else "docs"
    gives, output_type = reader.answer(on_wire(given), takes_many=not takes.is_single)
    model, optional = reader.parameters(reader.annotation("parameters"))
    return Types(
        takes.input_type,
        output_type,
        model,
        optional,
        PlainCall(keyword, not takes.is_single, gives, output_type is type(None), _checker_of(given, output_type)),
    )


def _checker_of(given: Any, output_type: Any) -> Callable[[Any], Any]:
    """What makes answers those of the output's type; images of Pillow become files."""
    check = checker(output_type)
    return check if on_wire(given) is given else lambda value: check(packed(value))


def _plain_types(reader: _Reader, inputs: Mapping[str, inspect.Parameter]) -> Types:
    """A method that takes plain types."""
    given_types = {name: reader.annotation(name) for name in inputs}
    annotations = {name: on_wire(annotation) for name, annotation in given_types.items()}
    images = frozenset(name for name, annotation in annotations.items() if annotation is not given_types[name])
    reader.check_kinds()
    keyword, takes_many, input_type = _plain_input(reader, annotations)
    others = [name for name in inputs if name != keyword] if keyword else []
    arguments = () if keyword else tuple(inputs)
    if not keyword:
        input_type = reader.model("Input", inputs, annotations)
    for name, annotation in annotations.items():
        reader.check_travels(name, annotation)
    model, optional = reader.parameters(reader.annotation("parameters"))
    if others:
        if model is not None:
            raise reader.two_models(model, others)
        model, optional = reader.model("Parameters", {name: inputs[name] for name in others}, annotations), False
    returned = reader.annotation("return")
    given = _yielded(returned) if reader.is_generator else returned
    gives, output_type = reader.answer(on_wire(given), takes_many=takes_many)
    check = _checker_of(given, output_type)
    call = PlainCall(keyword, takes_many, gives, output_type is type(None), check, arguments, tuple(others), images)
    return Types(input_type, output_type, model, optional, call)


def _plain_input(reader: _Reader, annotations: Mapping[str, Any]) -> tuple[str, bool, Any]:
    """The parameter that gets the input, whether it gets a list of them, and the type of one; "" for none."""
    for name in ("doc", "docs"):
        if name in annotations:
            return name, name == "docs", reader.plain_documents(name, annotations[name])
    records = [name for name, annotation in annotations.items() if _record_in(annotation) is not None]
    if len(records) != 1:
        return "", False, None
    name = records[0]
    kind = stripped(annotations[name])
    item = item_of_list(kind)
    if item is not None:
        return name, True, item
    document = _item_type(kind, None)
    return (name, True, document) if document is not None else (name, False, annotations[name])


def _record_in(annotation: Any) -> Any | None:
    """The class with fields that an annotation is, or is a list of; None for others."""
    kind = stripped(annotation)
    if is_record(kind) or _is_document(kind):
        return kind
    item = item_of_list(kind)
    if item is not None and (is_record(item) or _is_document(stripped(item))):
        return item
    return _item_type(kind, None)


class _Reader:
    def __init__(self, function: Any, marks: Marks) -> None:
        self.function = function
        self._function = inspect.unwrap(function)
        self.where = describe(function)
        self.marks = marks
        self.is_generator = kind_of(function)[1]
        self._instead: dict[str, Any] = {}
        """Types that `@requests` names instead of annotations."""

    def use_plain_schemas(self, inputs: Mapping[str, inspect.Parameter]) -> None:
        """Read plain types that `request_schema` and `response_schema` name as the annotations that they stand for."""
        request, response = self.marks.request_schema, self.marks.response_schema
        many = list(inputs) == ["docs"]
        if _is_plain_schema(request):
            if len(inputs) != 1:
                raise ExecutorDefinitionError(
                    f"{self.where}: request_schema is {type_name(request)}, and {len(inputs)} parameters could get it",
                    help="take the input as `doc`, or all inputs of a request as `docs`",
                )
            [name] = inputs
            listed = item_of_list(request) is not None
            many = many or listed
            self._instead[name] = types.GenericAlias(list, (request,)) if name == "docs" and not listed else request
            self.marks = replace(self.marks, request_schema=None)
        if _is_plain_schema(response):
            listed = self.is_generator or item_of_list(response) is not None or not many
            self._instead["return"] = response if listed else types.GenericAlias(list, (response,))
            self.marks = replace(self.marks, response_schema=None)

    def annotation(self, name: str) -> Any:
        """The annotation with all text in it resolved, or `inspect.Parameter.empty`."""
        if name in self._instead:
            return self._instead[name]
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
            return typing.get_type_hints(carrier, globalns=namespace, localns=self.marks.namespace)[name]
        except NameError as error:
            raise self._unresolved(f"the annotation {raw!r} of {name!r}", error) from None
        except Exception as error:
            raise ExecutorDefinitionError(
                f"{self.where}: the annotation {raw!r} of {name!r} cannot be read: {error}"
            ) from error

    def _unresolved(self, what: str, error: NameError) -> ExecutorDefinitionError:
        return ExecutorDefinitionError(
            f"{self.where}: {what} cannot be resolved: {error}",
            help="import the name at the top of the module, not under `if TYPE_CHECKING:`",
        )

    def inputs(self) -> dict[str, inspect.Parameter]:
        """The parameters that get the input of a request, or a part of it; none that have a meaning of their own."""
        return {
            parameter.name: parameter
            for parameter in parameters_of(self.function)
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and not has_meaning(parameter)
        }

    def has_plain_return(self) -> bool:
        """Whether the method says what it returns, and that it is neither documents nor a dictionary of results."""
        annotation = self.annotation("return")
        return annotation not in _NOTHING and not _is_of_documents(annotation)

    def check_kinds(self) -> None:
        """Raise for parameters that cannot be passed by keyword."""
        for parameter in parameters_of(self.function):
            check_keyword(self.function, parameter)

    def plain_documents(self, name: str, annotation: Any) -> Any:
        """The type of the input of a method whose parameter is `doc`, or of each where it is `docs`."""
        item = item_of_list(annotation)
        if name == "docs":
            if item is not None:
                return item
            shown = type_name(annotation)
            if isinstance(stripped(annotation), type) and stripped(annotation) in {list, tuple, set}:
                raise ExecutorDefinitionError(
                    f"{self.where}: docs is annotated {shown}, which does not say of what",
                    help="write `docs: list[Item]`, with the class of one of them, or `docs: list[dict]`",
                )
            raise ExecutorDefinitionError(
                f"{self.where}: docs is annotated {shown}, but gets all inputs of a request as a list",
                help=f"write `docs: list[{shown}]`, or name it `doc` to get one after the other",
            )
        if item is not None and (is_record(item) or _is_document(stripped(item))):
            shown = type_name(item)
            raise ExecutorDefinitionError(
                f"{self.where}: doc is annotated {type_name(annotation)}, but gets one input after the other",
                help=f"write `doc: {shown}`, or `docs: list[{shown}]` to get all of a request",
            )
        return annotation

    def answer(self, given: Any, *, takes_many: bool) -> tuple[Literal["each", "one", "many"], Any]:
        """What comes back for an input, and its type, from the annotation of what is returned or yielded."""
        kind = stripped(given)
        item = item_of_list(kind)
        documents = None if kind in _NOTHING else _item_type(kind, _schemaless())
        if not self.is_generator and typing.get_origin(kind) in _GENERATORS[:4]:
            shown = type_name((typing.get_args(kind) or (Any,))[0])
            raise ExecutorDefinitionError(
                f"{self.where}: return is annotated {type_name(given)}, but the method does not yield",
                help=f"write `yield` in it for a stream, or return a list and write `-> list[{shown}]`",
            )
        self.check_travels("return", given)
        if self.is_generator:
            return "many", Any if kind in _NOTHING else given
        if kind in _NOTHING:
            if takes_many and kind is inspect.Parameter.empty:
                raise ExecutorDefinitionError(
                    f"{self.where} gets a list and does not say what it returns",
                    help="write `-> list[Out]` for one answer to each input, `-> Out` for one to all, or `-> None`",
                )
            return "one" if takes_many else "each", Any
        if takes_many:
            if documents is not None or item is not None:
                return "each", item if documents is None else documents
            return "one", given
        if documents is not None:
            return "many", documents
        if item is not None and (is_record(item) or _is_document(stripped(item))):
            return "many", item
        return "each", given

    def check_travels(self, name: str, annotation: Any) -> None:
        """Raise for a type that has no form on the wire."""
        if annotation in _NOTHING or (found := unmapped(annotation)) is None:
            return
        where = ".".join((name, *found.path))
        shown = type_name(found.annotation)
        raise ExecutorDefinitionError(
            f"{self.where}: {where} has the type {shown}, which has no form in JSON and on the wire",
            help=_instead_of(found.annotation),
        )

    def model(self, kind: str, parameters: Mapping[str, inspect.Parameter], annotations: Mapping[str, Any]) -> Any:
        """The model of arguments of the method."""
        from pydantic import ConfigDict, create_model
        from pydantic.errors import PydanticUserError

        fields: dict[str, Any] = {}
        for name, parameter in parameters.items():
            if name.startswith("_"):
                raise ExecutorDefinitionError(
                    f"parameter {name!r} of {self.where} begins with an underscore, so no request can carry it",
                    help=f"name it {name.lstrip('_')!r}",
                )
            annotation = annotations[name]
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (Any if annotation is inspect.Parameter.empty else readable(annotation), default)
        title = "".join(part[:1].upper() + part[1:] for part in self._function.__name__.split("_"))
        config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of names that pydantic's models have, such as `copy`
            try:
                return create_model(f"{title}{kind}", __config__=config, __module__=self._function.__module__, **fields)
            except (PydanticUserError, TypeError, NameError) as error:
                raise ExecutorDefinitionError(
                    f"{self.where}: its parameters make no model: {str(error).partition(chr(10))[0]}"
                ) from None

    def two_models(self, model: Any, others: Sequence[str]) -> ExecutorDefinitionError:
        """The error for a model of parameters beside parameters that are arguments."""
        return ExecutorDefinitionError(
            f"{self.where} takes `parameters` as {model.__name__}, and {', '.join(map(repr, others))} beside them",
            help=f"make {_fields_named(others)} of {model.__name__}, or write `parameters: dict`",
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
                    f"{self.where}: {name!r} gets one document after the other, but is annotated {_show(annotation)};"
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
                    f"{self.where}: {name!r} gets all documents of a request, but is annotated {_show(annotation)};"
                    f" write `{name}: DocList[{_show(kind)}]`, or name it `doc`"
                )
        raise self._no_document(name, annotation, "DocList[...] or DocumentArray")

    def slots(self, annotation: Any) -> tuple[Any, Any]:
        """The classes of what a stream answers and of what it emits."""
        kinds = _alternatives(annotation)
        item = (typing.get_args(kinds[0]) or (Any,))[0] if len(kinds) == 1 else annotation
        if annotation in _NOTHING or item in _NOTHING or item is Slot:
            return Any, Any
        found = typing.get_args(item)
        if typing.get_origin(item) is not Slot or len(found) != 2:
            raise ExecutorDefinitionError(
                f"{self.where}: 'slots' is annotated {_show(annotation)}; it has to be list[Slot[Input, Output]]",
                help="write `slots: list[Slot[Input, Output]]` with the classes of what comes in and what is emitted"
                " (from jina import Slot)",
            )
        return found[0], found[1]

    def slots_of_chats(self, chat: Any, emitted: Any) -> Types:
        """The types of a step over conversations, which emits pieces of their answers."""
        from jina.documents.chat import DeltaDoc
        from jina.documents.deltas import DELTAS

        if emitted not in _NOTHING and not all(kind in DELTAS for kind in _alternatives(emitted)):
            raise ExecutorDefinitionError(
                f"{self.where} answers a conversation by {_show(emitted)}; it has to be text, ToolCall, Reasoning,"
                " Usage or Finish",
                help=f"write `slots: list[Slot[{_show(chat)}, Delta]]` (from jina import Delta)",
            )
        return Types(chat, DeltaDoc, parameters_model=None, parameters_optional=False)

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
            f"{self.where}: parameters is annotated {_show(annotation)}{what}; it has to be dict or a pydantic model",
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
            f"{self.where}: return is annotated {_show(annotation)}; it has to be {wanted}", help=instead
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
            f"{self.where}: {name} is annotated {_show(annotation)}{what}; it has to be {wanted}",
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


def _schemaless() -> Any:
    from jina.documents import Document

    return Document


def _is_of_documents(annotation: Any) -> bool:
    """Whether an annotation says nothing, or documents or lists of them as DocArray has them."""
    if annotation in _NOTHING:
        return True
    from docarray import DocVec

    for kind in _alternatives(annotation):
        origin = typing.get_origin(kind) or kind
        if kind in _NOTHING or _is_document(kind) or _item_type(kind, Any) is not None:
            return True
        if (isinstance(origin, type) and issubclass(origin, DocVec)) or _is_documents_in_a_list(kind):
            return True
    return False


def _is_documents_in_a_list(kind: Any) -> bool:
    """`list[D]`, which is no list of documents for DocArray."""
    item = item_of_list(kind)
    return item is not None and _is_document(stripped(item))


_INSTEAD = {
    "Callable": "send what it computes, or the name of a function that the Executor has",
    "Image": "take it as an argument of its own, or declare jina.File and open it with PIL",
    "DataFrame": "take `list[Row]` with a class of the columns, and make the DataFrame in the method",
    "Series": "take `list[float]`, or a numpy array",
    "Tensor": "take a numpy array (`np.ndarray`) or `docarray.typing.TorchTensor`",
}


def _instead_of(annotation: Any) -> str:
    name = type_name(typing.get_origin(annotation) or annotation)
    fields = "write a class with its fields, such as a dataclass or a pydantic model"
    return _INSTEAD.get(name, f"{fields}, or tell pydantic how it is read and written (__get_pydantic_core_schema__)")


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


def _fields_named(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names))
    return f"{shown} a field" if len(names) == 1 else f"{shown} fields"
