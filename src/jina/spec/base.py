"""The base of every spec: frozen, no unknown options, option texts on demand."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic.fields import FieldInfo

S = TypeVar("S", bound="Spec")


class Spec(BaseModel):  # noqa: PLW1641 - frozen models have pydantic's hash
    """What a user asked for: validated, frozen, serialisable.

    Build one with `jina.spec.parse`, which also applies old names, cross-field rules and our own error texts.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    made_by_methods: ClassVar[frozenset[str]] = frozenset()
    """Fields that are no options: methods fill them."""

    _folder: str | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        """Whether it asks for the same; where it was written down is no part of it, the folder is."""
        same = isinstance(other, Spec) and type(self) is type(other)
        return same and self.__dict__ == other.__dict__ and self._folder == other._folder  # type: ignore[attr-defined]

    @property
    def folder(self) -> str | None:
        """Folder of the file that the spec was read from; relative paths in it start there."""
        return self._folder

    def in_folder(self, folder: str | None) -> Self:
        """The same spec, read from a file in `folder`."""
        copy = self.model_copy()
        copy._folder = folder  # noqa: SLF001 - a copy of ourselves
        return copy

    def non_defaults(self) -> dict[str, Any]:
        """The options whose values differ from their defaults, by name."""
        # Not `default_of`: pydantic's copies and looks at signatures cost more than all the rest of building a Flow.
        return {
            name: value
            for name, field in type(self).model_fields.items()
            if (value := getattr(self, name)) != (make() if (make := field.default_factory) else field.default)  # type: ignore[call-arg]
        }


def default_of(field: FieldInfo) -> Any:
    """The default of an option; those that the environment decides are read now."""
    return field.get_default(call_default_factory=True, validated_data={})


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Option -> its text: the string literal below the attribute, whitespace folded.

    Read from the source on demand: pydantic's `use_attribute_docstrings` would parse it at every import.
    """
    texts: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, Spec) and cls is not Spec:
            texts |= _docstrings_of(cls)
    return texts


@functools.cache
def _docstrings_of(cls: type[BaseModel]) -> dict[str, str]:
    tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    texts: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            texts[statement.target.id] = " ".join(following.value.value.split())
    return texts
