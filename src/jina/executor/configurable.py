"""Class methods of an Executor that reach beyond it: configuration files, and serving as Jina 3 knew it.

The one place of this room that looks upwards, to `jina.orchestration`, and only when `serve` is called.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from jina.errors import BadConfigSource, ConfigError, NotSupportedError

if TYPE_CHECKING:
    from jina.executor.base import Executor


class StandaloneExecutorType(enum.IntEnum):
    """Whether an Executor exported alone is used by one Flow or by several."""

    EXTERNAL = 0
    SHARED = 1


class Configurable:
    """What `Executor` offers beside the contract itself."""

    StandaloneExecutorType = StandaloneExecutorType

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
        from jina.executor.load import load_executor
        from jina.executor.reference import reference_of

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
        if not isinstance(executor, cls):
            raise BadConfigSource(f"{source!r} describes a {type(executor).__name__}, which is no {cls.__name__}")
        return executor

    def save_config(self, filename: str | None = None) -> None:
        """Write YAML from which `load_config` makes the Executor again; `<name>.yml` unless a name is given.

        Raises `ConfigError` for a constructor argument that YAML cannot hold.
        """
        from jina.executor.reference import split_with
        from jina.spec import ExecutorSpec, dump_spec

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

    @classmethod
    def serve(
        cls,
        uses_with: Mapping[str, Any] | None = None,
        uses_metas: Mapping[str, Any] | None = None,
        uses_requests: Mapping[str, str] | None = None,
        stop_event: Any = None,
        uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        reload: bool = False,
        **options: Any,
    ) -> None:
        """Serve the class until `stop_event` is set or the process is interrupted.

        The same as `with Deployment(uses=cls, ...) as d: d.block()`, which is the way to write it.
        """
        from jina.orchestration import Deployment

        given = {
            "uses_with": uses_with,
            "uses_metas": uses_metas,
            "uses_requests": uses_requests,
            "uses_dynamic_batching": uses_dynamic_batching,
        }
        options.update({key: value for key, value in given.items() if value is not None})
        if reload:
            options["reload"] = True
        with Deployment(uses=cls, **options) as deployment:
            deployment.block(stop_event=stop_event)

    @classmethod
    def from_hub(cls, uri: str, **options: Any) -> NoReturn:
        """Not available yet."""
        del options
        raise NotSupportedError(
            f"{cls.__name__}.from_hub({uri!r}) is not available yet",
            help="copy the package to this machine and give its config.yml to load_config",
        )

    @staticmethod
    def to_kubernetes_yaml(uses: Any, output_base_path: str, **options: Any) -> NoReturn:
        """Not available yet."""
        del output_base_path, options
        raise NotSupportedError(f"to_kubernetes_yaml of {uses!r} is not available yet", help=BY_HAND)

    to_k8s_yaml = to_kubernetes_yaml

    @staticmethod
    def to_docker_compose_yaml(uses: Any, output_path: str | None = None, **options: Any) -> NoReturn:
        """Not available yet."""
        del output_path, options
        raise NotSupportedError(f"to_docker_compose_yaml of {uses!r} is not available yet", help=BY_HAND)


BY_HAND = (
    "write the file yourself: `jina hub build PATH --dockerfile-only` makes the Dockerfile, and `jina executor --uses"
    " config.yml` is the command of the container"
)
"""What to do instead of an export."""

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
    from jina.executor.base import given_arguments

    args, kwargs = given_arguments(executor)
    bound = inspect.signature(type(executor)).bind(*args, **kwargs)
    arguments: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        arguments.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    injected = {"metas", "requests", "runtime_args", "dynamic_batching"}
    return {name: value for name, value in arguments.items() if name not in injected and value is not None}
