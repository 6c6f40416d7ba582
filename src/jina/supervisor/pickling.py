"""What cannot travel in a plan: classes of scripts and notebooks, and constructor arguments that are no JSON.

Pickles go from an orchestrator to its own child over their private socket, never over a network.
"""

from __future__ import annotations

import builtins
import inspect
import io
import pickle
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, cast

import cloudpickle

from jina.errors import ConfigError

_registry: Any = cloudpickle  # its functions are untyped
_ARRAYS = "docarray.array.any_array"
"""Where DocArray keeps the classes that it makes for `DocList[T]` and `DocVec[T]`."""


def dumps(executor_class: type | None, arguments: Mapping[str, Any]) -> bytes:
    """Pickle a class, by value unless the child can import it, with constructor arguments.

    Empty when there is nothing to send. Raises `ConfigError` that names the global variable or the argument
    which cannot be sent.
    """
    if executor_class is None and not arguments:
        return b""
    try:
        return _dumps((executor_class, dict(arguments)))
    except Exception as error:
        raise _explain(executor_class, arguments, error) from error


def loads(blob: bytes) -> tuple[type | None, dict[str, Any]]:
    """What `dumps` packed; only for the child of the process that packed it."""
    if not blob:
        return None, {}
    _made.clear()
    executor_class, arguments = pickle.loads(blob)  # noqa: S301 - see the module's docstring
    _complete_lists()
    return executor_class, arguments


def _dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    modules = [sys.modules[name] for name in _unfindable_modules(value)]
    for module in modules:
        _registry.register_pickle_by_value(module)
    try:
        cast("Any", _Pickler)(buffer).dump(value)
    finally:
        for module in modules:
            _registry.unregister_pickle_by_value(module)
    return buffer.getvalue()


def _unfindable_modules(value: Any) -> Iterator[str]:
    """Loaded modules of the class that no import can find again, such as those made by `exec`."""
    executor_class = value[0] if isinstance(value, tuple) else value
    for name in {cls.__module__ for cls in getattr(executor_class, "__mro__", ())}:
        known = name == "__main__" or name in _registry.list_registry_pickle_by_value()
        if not known and name in sys.modules and not _is_findable(name):
            yield name


def _is_findable(name: str) -> bool:
    parent = name.rpartition(".")[0]
    if parent and not (parent in sys.modules and _is_findable(parent)):
        return False  # pytest, for one, makes packages up around the modules that it imports by their files
    path = sys.modules[parent].__path__ if parent else None
    # importlib.util.find_spec answers from sys.modules, which is what the child does not have.
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return not spec.has_location or spec.origin == getattr(sys.modules[name], "__file__", None)
    return False


class _Pickler(cloudpickle.Pickler):
    """cloudpickle that knows DocArray's generated classes and ships annotations resolved.

    A function that travels by value takes along only the globals that its code names; a string annotation
    (`from __future__ import annotations`) could not be resolved in the child.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            make, arguments = cast("tuple[Any, Any]", self.dispatch_table[types.CodeType](obj))
            # cloudpickle 3.1.3 leaves out the file, which tracebacks need.
            return _code_of, (make, arguments, obj.co_filename)
        generated = _generated(obj)
        if generated is not None:
            return generated
        reduced = cast("Any", super()).reducer_override(obj)
        if isinstance(obj, types.FunctionType) and isinstance(reduced, tuple) and len(reduced) == 6:
            _, slots = reduced[2]
            slots["__annotations__"] = _resolved(obj)
        return reduced


def _code_of(make: Any, arguments: tuple[Any, ...], filename: str) -> types.CodeType:
    made: types.CodeType = make(*arguments)
    return made.replace(co_filename=filename)


def _generated(obj: Any) -> Any:
    """How to make one of DocArray's generated classes again, or None for anything else."""
    if isinstance(obj, type):
        bare = obj.__dict__.get("__unparametrizedcls__")
        if bare is not None:
            return _parametrise, (bare, obj.__dict__["__docarray_target_shape__"])
        if _is_typed_list(obj):
            return _typed_list_class, (obj.__mro__[1], obj.__dict__["doc_type"])
        return None
    origin = typing.get_origin(obj)
    if isinstance(origin, type) and _is_typed_list(origin):
        return _parametrise, (origin.__mro__[1], origin.__dict__["doc_type"])
    return None


def _is_typed_list(cls: type) -> bool:
    return cls.__module__ == _ARRAYS and "doc_type" in cls.__dict__


_made: list[tuple[Any, Any, type]] = []
"""Lists made during one `loads`: (DocList or DocVec, document class, list class)."""


def _parametrise(bare: Any, item: Any) -> Any:
    made = bare[item]
    origin = typing.get_origin(made) or made
    if _is_typed_list(origin):
        _made.append((bare, item, origin))
    return made


def _typed_list_class(bare: Any, item: Any) -> type:
    made = _parametrise(bare, item)
    found: type = typing.get_origin(made) or made
    return found


def _complete_lists() -> None:
    """Give `DocList[Node]` its columns where Node refers to itself.

    Such a list class is made while Node has no fields yet, and DocArray makes a property per field.
    """
    for bare, item, incomplete in _made:
        cache = bare.__typed_da__[bare]
        made = cache.pop(item)
        complete = typing.get_origin(bare[item]) or bare[item]
        for name in item._docarray_fields():  # noqa: SLF001 - what DocArray itself makes the properties from
            setattr(incomplete, name, complete.__dict__[name])
        cache[item] = made
    _made.clear()


def _resolved(function: types.FunctionType) -> dict[str, Any]:
    from jina.executor.decorators import marks_of

    marks = marks_of(function)
    names = {**vars(builtins), **function.__globals__, **_closure(function), **(marks.namespace if marks else {})}
    found = {}
    for name, annotation in function.__annotations__.items():
        value = annotation
        if isinstance(annotation, str):
            try:
                value = eval(annotation, names)  # noqa: S307 - the user's own annotation
            except Exception:  # noqa: BLE001 - names of TYPE_CHECKING blocks; the child reports those it needs
                value = annotation
        found[name] = value
    return found


def _closure(function: types.FunctionType) -> dict[str, Any]:
    return dict(inspect.getclosurevars(function).nonlocals) if function.__closure__ else {}


def _explain(executor_class: type | None, arguments: Mapping[str, Any], error: Exception) -> ConfigError:
    for name, value in arguments.items():
        if (reason := _refusal(value)) is not None:
            return ConfigError(
                f"uses_with[{name!r}] ({type(value).__name__}) cannot be sent to the worker: {reason}",
                help="pass what it is made from (a path, a name) and make it in __init__",
            )
    label = executor_class.__name__ if executor_class else "the Executor"
    culprit = _culprit(executor_class, set(), 0)
    return ConfigError(
        f"{label} is defined in a script or function and cannot be sent to its worker: "
        + (culprit or f"{type(error).__name__}: {error}"),
        help="make it in __init__, or move the class into a module that can be imported",
    )


def _refusal(value: Any) -> str | None:
    try:
        _dumps(value)
    except Exception as error:  # noqa: BLE001 - whatever pickling raises is the reason
        return str(error) or type(error).__name__
    return None


def _culprit(thing: Any, seen: set[int], depth: int) -> str | None:
    """The deepest named variable that cannot be pickled, searched through classes and functions."""
    if depth > 8 or id(thing) in seen:
        return None
    seen.add(id(thing))
    for label, value in _parts(thing):
        reason = _refusal(value)
        if reason is not None:
            return _culprit(value, seen, depth + 1) or f"{label} cannot be pickled ({reason})"
    return None


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, type):
        for name, value in vars(thing).items():
            member = getattr(value, "__func__", value)
            if isinstance(member, types.FunctionType) or not name.startswith("__"):
                yield f"attribute {name!r} of {thing.__name__}", member
        return
    function = inspect.unwrap(thing) if callable(thing) else thing
    if isinstance(function, types.FunctionType):
        place = f"used by {function.__qualname__.rpartition('<locals>.')[2]}"
        for name in sorted(_names(function.__code__) & function.__globals__.keys()):
            value = function.__globals__[name]
            yield f"global {name!r} ({type(value).__name__}, {place})", value
        for name, value in _closure(function).items():
            yield f"variable {name!r} ({type(value).__name__}, {place})", value


def _names(code: types.CodeType) -> set[str]:
    """The globals (and attributes) that a function names, also in the functions inside it."""
    inner = (_names(const) for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*inner)
