"""Methods that take the options of a spec as typed keyword arguments."""

from __future__ import annotations

import argparse
import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

if TYPE_CHECKING:
    from jina.config.base import Spec

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
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
    load: Callable[[], Callable[P, SpecT]], where: str = ""
) -> Callable[[Callable[[Owner, SpecT], R]], Callable[Concatenate[Owner, P], R]]:
    """The same for a spec that `load` imports on first use, so that declaring the method costs no pydantic.

    `where` names the method in errors, unless its own name does.
    """

    def decorate(method: Callable[[Owner, SpecT], R]) -> Callable[Concatenate[Owner, P], R]:
        return cast("Callable[Concatenate[Owner, P], R]", _OptionsMethod(load, method, where))

    return decorate


class _OptionsMethod:
    """A function whose signature is that of a spec, built when it is first read."""

    def __init__(self, load: Callable[[], Any], method: Callable[..., Any], where: str = "") -> None:
        functools.update_wrapper(self, method)
        self._load = load
        self._method = method
        self._where = where or method.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")

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


class BoundStepMethod(Protocol[P, R_co]):
    """What type checkers see: the options by name, after at most two values by position."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, first: Any, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, first: Any, second: Any, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Any, copy_flow: bool, **kwargs: Any) -> R_co: ...


class StepMethod(Generic[P]):
    """A method whose signature is its own and the options of a spec, put together when it is first read."""

    def __init__(self, load: Callable[[], Any], method: Callable[..., Any]) -> None:
        functools.update_wrapper(self, method)
        self._load = load
        self._method = method

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> StepMethod[P]: ...
    @overload
    def __get__(self, instance: Owner, owner: type[Any]) -> BoundStepMethod[P, Owner]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, instance: Any, /, *args: Any, **options: Any) -> Any:
        """Call the method on an instance."""
        return self._method(instance, *args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return _joined(self._method, self._load())


class ClassSignature:
    """The signature of a class: the options of a spec, where `__new__` would hide those of `__init__`."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> inspect.Signature:
        signature = signature_of(self._load())
        return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "self"])


def takes_step_options(
    load: Callable[[], Callable[P, Spec]],
) -> Callable[[Callable[..., Any]], StepMethod[P]]:
    """Turn `method(self, ..., **options)` into one that shows the options of the spec that `load` imports."""
    return lambda method: StepMethod(load, method)


def _joined(method: Callable[..., Any], model: type[Spec]) -> inspect.Signature:
    own = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {parameter.name for parameter in own}
    options = [p for p in signature_of(model).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in names]
    return inspect.Signature([*own, *options])
