"""Methods of an Executor that need more than its class: configuration files.

They are attached to `Configurable`, the base of `Executor`, so that `jina.executor.base` imports nothing above it.
`serve` and the exports are attached by `jina.executor_serve`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from jina.errors import BadConfigSource, ConfigError
from jina.executor.base import Configurable, Executor, given_arguments


class _Methods:
    """What `Executor` offers beside the contract itself."""

    @classmethod
    def load_config(
        cls,
        source: Any,
        *,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        extra_search_paths: Sequence[str] = (),
        py_modules: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Self:
        """The Executor that YAML describes, constructed in this process.

        `source` is the path or text of YAML, a mapping, an open file or a URL. What is given here wins over the
        YAML. `context` and `substitute` steer the variables in it, `allow_py_modules=False` forbids `py_modules`;
        `metas` is `uses_metas` under its other name of Jina 3. Raises `ConfigError` naming the source and what is
        wrong, or what the constructor raises.
        """
        from jina.executor.loading import load_executor, reference_of

        plan, found = reference_of(
            source,
            uses_with=uses_with,
            uses_metas={**(options.pop("metas", None) or {}), **(uses_metas or {})},
            uses_requests=uses_requests,
            uses_dynamic_batching=uses_dynamic_batching,
            py_modules=py_modules,
            search_paths=extra_search_paths,
            reading=_reading_options(options),
        )
        if plan.py_modules and not options.get("allow_py_modules", True):
            raise BadConfigSource(
                f"{source!r} lists py_modules {plan.py_modules}, which allow_py_modules=False forbids"
            )
        executor = load_executor(plan, runtime_args or {}, found)
        if not issubclass(type(executor), cls):
            raise BadConfigSource(f"{source!r} describes a {type(executor).__name__}, where {cls.__name__} is expected")
        return cast("Self", executor)

    def save_config(self, filename: str | None = None) -> None:
        """Write YAML from which `load_config` makes the Executor again; `<name>.yml` unless a name is given.

        Raises `ConfigError` for a constructor argument that YAML cannot hold.
        """
        from jina.config import ExecutorSpec, dump_spec
        from jina.executor.loading import split_with

        executor = cast("Executor", self)
        plain, other = split_with(_constructor_arguments(executor))
        if other:
            raise ConfigError(f"{type(self).__name__}: YAML cannot hold the argument {min(other)!r}")
        metas = {key: value for key, value in vars(executor.metas).items() if value}
        requests = {path: method.__name__ for path, method in executor.requests.items()}
        spec = ExecutorSpec.model_validate(
            {"jtype": type(self).__name__, "with": plain, "metas": metas, "requests": requests}
        )
        with open(filename or f"{executor.metas.name}.yml", "w", encoding="utf-8") as file:
            file.write(dump_spec(spec))


_READING = {"context", "substitute"}
_WITHOUT_MEANING = {"allow_py_modules", "needs", "include_gateway", "noblock_on_start"}


def _reading_options(options: Mapping[str, Any]) -> dict[str, Any]:
    from jina.errors import nearest

    for name in options:
        if name not in _READING | _WITHOUT_MEANING:
            near = nearest(name, _READING | _WITHOUT_MEANING)
            raise ConfigError(f"load_config has no option {name!r}{f'; did you mean {near!r}?' if near else ''}")
    return {name: options[name] for name in _READING & options.keys()}


def _constructor_arguments(executor: Executor) -> dict[str, Any]:
    """What the user gave, by name, without what is injected."""
    args, kwargs = given_arguments(executor)
    bound = inspect.signature(type(executor)).bind(*args, **kwargs)
    arguments: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        arguments.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    injected = {"metas", "requests", "runtime_args", "dynamic_batching"}
    return {name: value for name, value in arguments.items() if name not in injected and value is not None}


def attach(methods: type, to: type) -> None:
    """Give the class `to` the methods of another class."""
    for name, method in vars(methods).items():
        if not name.startswith("__"):
            function = getattr(method, "__func__", method)
            function.__qualname__ = f"{to.__qualname__}.{function.__name__}"
            setattr(to, name, method)


attach(_Methods, Configurable)
