"""Command-line options from the options models, and how options look outside Python."""

from __future__ import annotations

import argparse
import enum
import inspect
import types
from collections.abc import Container, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from jina.config.base import Spec, aliases_of, default_of, descriptions
from jina.config.options import ServiceOptions
from jina.config.parsing import Owner, Path, owner_of_option, parse
from jina.config.rules import UNAVAILABLE

Form = Literal["flag", "text", "list", "one_or_list", "mapping"]


def form_of(field: FieldInfo) -> Form:
    """Whether an option is a switch, one text, a list, one or a list, or a mapping."""
    parts = _alternatives(field.annotation)
    if bool in parts:
        return "flag"
    origins = {get_origin(part) or part for part in parts}
    if Sequence in origins:
        return "one_or_list"
    if list in origins:
        return "list"
    return "mapping" if dict in origins or any(map(is_typeddict, parts)) else "text"


def type_name(field: FieldInfo) -> str:
    """The option's type in words: `number`, `text`, `list of text`, ..."""
    alternatives = _alternatives(field.annotation)
    if timedelta in alternatives:
        return "duration"
    names = [_name(part) for part in alternatives if part is not types.NoneType]
    return " or ".join(dict.fromkeys(names))


def bare(annotation: Any) -> Any:
    """The annotation without the validators that `Annotated` carries."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return bare(get_args(annotation)[0])
    arguments = get_args(annotation)
    if not arguments or origin is Literal:
        return annotation
    inner = tuple(bare(argument) for argument in arguments)
    return Union[inner] if origin in {Union, types.UnionType} else origin[inner]  # noqa: UP007 - made at run time


def group_of(model: type[Spec], name: str) -> str:
    """The heading below which an option is listed: that of its group, else what its model is for."""
    for group in model.groups:
        if name in group.names:
            return group.heading
    specs = [cls for cls in reversed(model.__mro__) if issubclass(cls, Spec)]
    owner = next(cls for cls in specs if name in inspect.get_annotations(cls))
    return (owner.__doc__ or "").strip().split("\n")[0].rstrip(".")


def _alternatives(annotation: Any) -> list[Any]:
    plain = bare(annotation)
    return list(get_args(plain)) if get_origin(plain) in {Union, types.UnionType} else [plain]


_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    dict: "mapping",
    list: "list",
    Any: "any",
}


def _name(part: Any) -> str:
    origin, arguments = get_origin(part), get_args(part)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in {list, Sequence}:
        return f"list of {_NAMES.get(arguments[0], 'value')}s"
    if origin is not None or is_typeddict(part):
        return "mapping"
    return _NAMES.get(part, str(part))


S = TypeVar("S", bound=Spec)
_GIVEN: Final = "given_options"
_METAVARS: Final[dict[Form, str]] = {"text": "VALUE", "list": "VALUE", "one_or_list": "VALUE", "mapping": "KEY:VALUE"}


def add_options(parser: argparse.ArgumentParser, model: type[Spec], *, exclude: Container[str] = ()) -> None:
    """Declare an option for each field of `model`, in groups; those that Jina 3 hid are accepted but not shown.

    Values are kept as they are written until `from_namespace` or `given`, but mappings are read at once.
    """
    texts = descriptions(model)
    aliases = aliases_of(model.model_fields)
    groups: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in exclude or name in model.made_by_methods:
            continue
        heading = group_of(model, name)
        group = groups.get(heading) or groups.setdefault(heading, parser.add_argument_group(heading.lower()))
        old = [alias for alias, option in aliases.items() if option == name]
        hidden = name in ServiceOptions.INTERNAL.names
        text = argparse.SUPPRESS if hidden else _help(name, texts.get(name, ""), field)
        action = _add(parser, group, name, form_of(field), text, old)
        action.model, action.field = model, field


def add_short(parser: argparse.ArgumentParser, letter: str, flag: str) -> None:
    """Give an option that was added a short name, such as `-t`, beside its own."""
    action = parser._option_string_actions[flag]  # noqa: SLF001 - argparse adds none later
    action.option_strings = [letter, *action.option_strings]
    parser._option_string_actions[letter] = action  # noqa: SLF001


def owner_of(parser: argparse.ArgumentParser, flag: str) -> Owner | None:
    """What an option describes that the models of `parser` do not have; None where nothing has it."""
    models = {action.model for action in parser._actions if isinstance(action, _Store)}  # noqa: SLF001 - it has no other list
    written = _underscored(flag).removeprefix("--")
    for model in models:
        for name in (written, written.removeprefix("no_")):
            if name not in model.model_fields and (owner := owner_of_option(name, model)):
                return owner
    return None


def model_of(parser: argparse.ArgumentParser, flag: str) -> type[Spec] | None:
    """The model by which `parser` takes an option; None where it does not, or not by a model."""
    action = parser._option_string_actions.get(flag)  # noqa: SLF001 - it has no other list
    return action.model if isinstance(action, _Store) else None


def given(namespace: argparse.Namespace) -> dict[str, Any]:
    """The options that stood on the command line, by name: what `parse` takes."""
    return dict(getattr(namespace, _GIVEN, {}))


def from_namespace(model: type[S], namespace: argparse.Namespace, where: str = "") -> S:
    """The spec that the command line asks for, or a ConfigError that names the option (`--replicas: 0 ...`)."""

    def locate(path: Path) -> tuple[str, Path]:
        flag = "--" + str(path[0]).replace("_", "-") if path else ""
        return (f"{where}:" if where else "").strip(), (flag, *path[1:]) if path else ()

    values = {name: value for name, value in given(namespace).items() if name in model.model_fields}
    return parse(model, values, locate=locate)


def options_in(namespace: argparse.Namespace, model: type[Spec]) -> dict[str, Any]:
    """The options that a namespace of any parser gives: those that differ from the defaults of `model`.

    What Jina 3 decided itself and wrote into such namespaces (`runtime_cls`, `pod_role`, `workspace_id`) is left out.
    """
    given = {}
    for name, value in vars(namespace).items():
        field = model.model_fields.get(name)
        if field is None or name in _DECIDED or name in model.made_by_methods:
            continue
        plain = _names_of(value)
        if name == "provider" and isinstance(plain, list):
            plain = plain[0]
        if not _is_default(plain, default_of(field)):
            given[name] = plain
    return given


def _is_default(value: Any, default: Any) -> bool:
    alone = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(alone, str) and isinstance(default, str):
        return alone.lower() == default.lower()
    return value is None or default in (value, alone) or (alone in ("{}", "[]") and not default)


_DECIDED: Final = {*ServiceOptions.INTERNAL.names} - {"native", "noblock_on_start"}


def _names_of(value: Any) -> Any:
    """Names in the place of enumeration members."""
    if isinstance(value, list):
        return [_names_of(item) for item in value]
    return value.name if isinstance(value, enum.Enum) else value


class _Store(argparse.Action):
    """Keeps what was written for an option, beside the others: lists and mappings grow when an option is repeated."""

    form: Form = "text"
    negatives: frozenset[str] = frozenset()
    model: type[Spec]
    field: FieldInfo

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del parser
        options: dict[str, Any] = getattr(namespace, _GIVEN, {})
        options[self.dest] = self._value(options.get(self.dest), values, option_string or "")
        setattr(namespace, _GIVEN, options)

    def _value(self, before: Any, values: Any, flag: str) -> Any:
        if self.form == "flag":
            return flag not in self.negatives
        if self.form == "text":
            return values
        items = [*_as_list(before), *values]
        if self.form == "mapping":
            return self._mapping(items)
        return items[0] if self.form == "one_or_list" and len(items) == 1 else items

    def _mapping(self, words: list[Any]) -> Any:
        """The mapping as the option itself reads it; words that it refuses are left to `parse`, which says why."""
        annotation: Any = self.field.annotation
        for rule in self.field.metadata:
            annotation = Annotated[annotation, rule]
        option: TypeAdapter[Any] = TypeAdapter(annotation)
        try:
            read = option.validate_python(words)
        except ValidationError:
            return words
        return read if isinstance(read, Mapping) else words


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _add(
    parser: argparse.ArgumentParser, group: Any, name: str, form: Form, text: str, old_names: Sequence[str]
) -> _Store:
    dashed = [spelled.replace("_", "-") for spelled in (name, *old_names)]
    positives = [f"--{spelled}" for spelled in dashed]
    negatives = [f"--no-{spelled}" for spelled in dashed] if form == "flag" else []
    action: _Store = group.add_argument(
        *positives[:1],
        *negatives[:1],
        dest=name,
        action=_Store,
        nargs={"flag": 0, "text": None}.get(form, "+"),
        default=argparse.SUPPRESS,
        help=text,
        metavar=_METAVARS.get(form),
    )
    action.form = form
    action.negatives = frozenset(negatives) | {_underscored(flag) for flag in negatives}
    # Spellings that work but would clutter the help and the shell completion.
    known = parser._option_string_actions  # noqa: SLF001 - argparse offers no other way to accept without listing
    for flag in (*positives, *negatives):
        known.setdefault(flag, action)
        known.setdefault(_underscored(flag), action)
    return action


def _underscored(flag: str) -> str:
    return "--" + flag.removeprefix("--").replace("-", "_")


def _help(name: str, text: str, field: FieldInfo) -> str:
    default = default_of(field)
    shown = "" if default in (None, False, "") or default == [] else f" [default: {default}]"
    later = " Not available yet." if name in UNAVAILABLE else ""
    return (text + later + shown).replace("`", "").replace("%", "%%")
