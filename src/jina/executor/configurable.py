"""Methods of an Executor that need more than its class: configuration files, and exports as Jina 3 has them.

They are attached to `Configurable`, the base of `Executor`, so that `jina.executor.base` imports nothing above it.
`serve` is attached by `jina.executor_serve`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self, cast

from jina.errors import BadConfigSource, ConfigError, NoContainerizedError, NotSupportedError
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

    @staticmethod
    def to_kubernetes_yaml(uses: Any, output_base_path: str, **options: Any) -> NoReturn:
        """Not available yet. Raises `NoContainerizedError` for an Executor that is not in an image."""
        del output_base_path, options
        check_in_image(uses, "to_kubernetes_yaml")
        raise NotSupportedError(f"to_kubernetes_yaml of {uses!r} is not available yet", help=BY_HAND)

    to_k8s_yaml = to_kubernetes_yaml

    @staticmethod
    def to_docker_compose_yaml(uses: Any, output_path: str | None = None, **options: Any) -> NoReturn:
        """Not available yet. Raises as `to_kubernetes_yaml`."""
        del output_path, options
        check_in_image(uses, "to_docker_compose_yaml")
        raise NotSupportedError(f"to_docker_compose_yaml of {uses!r} is not available yet", help=BY_HAND)


BY_HAND = (
    "write the file yourself: `jina hub build PATH --dockerfile-only` makes the Dockerfile, and `jina executor --uses"
    " config.yml` is the command of the container"
)
"""What to do instead of an export."""


def check_in_image(uses: Any, place: str) -> None:
    """Raise `NoContainerizedError` unless `uses` is an image, or the base Executor, which every image of ours has."""
    if uses is None or uses is Executor or uses == "BaseExecutor":
        return
    if isinstance(uses, str) and "://" in uses and "docker" in uses.partition("://")[0].lower().split("+"):
        return
    shown = uses.__name__ if inspect.isclass(uses) else repr(uses)
    raise NoContainerizedError(
        f"{place}: the Executor {shown} is not in an image, which is what is exported",
        help="build one, `jina hub build PATH -t IMAGE`, and give it as uses='docker://IMAGE'",
    )


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
