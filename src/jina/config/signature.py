"""Methods that take the options of a spec as typed keyword arguments."""

from __future__ import annotations

import argparse
import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from jina.config.base import Spec

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
SpecT = TypeVar("SpecT", bound="Spec")


def takes_options_of(
    spec: Callable[P, SpecT],
) -> Callable[[Callable[[Owner, SpecT], R]], Callable[Concatenate[Owner, P], R]]:
    """Turn `method(self, spec)` into `method(self, *, option=..., ...)`.

    Type checkers, `help()` and editors see the options of the spec with their types and defaults; at run time
    the keyword arguments go through `parse`, so that mistakes are ConfigErrors.
    """
    return takes_options_from(lambda: spec)


def takes_options_from(
    load: Callable[[], Callable[P, SpecT]],
) -> Callable[[Callable[[Owner, SpecT], R]], Callable[Concatenate[Owner, P], R]]:
    """The same for a spec that `load` imports on first use, so that declaring the method costs no pydantic."""

    def decorate(method: Callable[[Owner, SpecT], R]) -> Callable[Concatenate[Owner, P], R]:
        return cast("Callable[Concatenate[Owner, P], R]", _OptionsMethod(load, method))

    return decorate


class _OptionsMethod:
    """A function whose signature is that of a spec, built when somebody asks for it."""

    def __init__(self, load: Callable[[], Any], method: Callable[..., Any]) -> None:
        functools.update_wrapper(self, method)
        self._load = load
        self._method = method
        self._where = method.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, instance: Any, /, *args: Any, **options: Any) -> Any:
        from jina.config.parsing import parse
        from jina.config.paths import located

        model = self._load()
        namespace = args[0] if args else options.pop("args", None)
        if isinstance(namespace, argparse.Namespace) and len(args) <= 1:
            from jina.config.command_line import options_in

            options = {**options_in(namespace, model), **options}
        elif args or namespace is not None:
            raise TypeError(f"{self._where} takes its options by name, not by position")
        return self._method(instance, parse(model, located(options), self._where))

    @property
    def __signature__(self) -> inspect.Signature:
        return signature_of(self._load())


def signature_of(model: type[Spec]) -> inspect.Signature:
    """`(self, *, option=default, ...)`."""
    from jina.config.base import default_of
    from jina.config.command_line import bare

    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else default_of(field),
            annotation=bare(field.annotation),
        )
        for name, field in model.model_fields.items()
        if name not in model.made_by_methods
    ]
    return inspect.Signature([me, *options])
