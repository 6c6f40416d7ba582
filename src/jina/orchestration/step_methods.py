"""Methods that take the options of a spec after arguments of their own, such as `flow.add(deployment, uses=...)`."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from jina.spec.base import Spec

P = ParamSpec("P")
OwnerT = TypeVar("OwnerT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class BoundStepMethod(Protocol[P, ResultT_co]):
    """What type checkers see: the options by name, after at most two values by position."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ResultT_co: ...
    @overload
    def __call__(self, first: Any, /, *args: P.args, **kwargs: P.kwargs) -> ResultT_co: ...
    @overload
    def __call__(self, first: Any, second: Any, /, *args: P.args, **kwargs: P.kwargs) -> ResultT_co: ...
    @overload
    def __call__(self, *args: Any, copy_flow: bool, **kwargs: Any) -> ResultT_co: ...


class StepMethod(Generic[P]):
    """A method whose signature is its own and the options of a spec, put together when somebody asks for it."""

    def __init__(self, load: Callable[[], Any], method: Callable[..., Any]) -> None:
        functools.update_wrapper(self, method)
        self._load = load
        self._method = method

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> StepMethod[P]: ...
    @overload
    def __get__(self, instance: OwnerT, owner: type[Any]) -> BoundStepMethod[P, OwnerT]: ...
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
        from jina.spec.signature import signature_of

        signature = signature_of(self._load())
        return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "self"])


def takes_step_options(
    load: Callable[[], Callable[P, Spec]],
) -> Callable[[Callable[..., Any]], StepMethod[P]]:
    """Turn `method(self, ..., **options)` into one that shows the options of the spec that `load` imports."""
    return lambda method: StepMethod(load, method)


def _joined(method: Callable[..., Any], model: type[Spec]) -> inspect.Signature:
    from jina.spec.signature import signature_of

    own = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {parameter.name for parameter in own}
    options = [p for p in signature_of(model).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in names]
    return inspect.Signature([*own, *options])
