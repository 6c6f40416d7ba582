"""The class that users subclass: its registry by name, and its workspace."""

from __future__ import annotations

import contextlib
import copy
import enum
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from jina.errors import ConfigError, ExecutorNotFound, NotSupportedError, nearest
from jina.executor import binding
from jina.executor.decorators import check_init, parameters_of
from jina.observe.traces import Instrumented

if TYPE_CHECKING:
    from jina.executor.endpoints import FunctionWithSchema
    from jina.observe.logs import JinaLogger

_CLASSES: dict[str, type[Executor]] = {}
BASE_NAMES = frozenset({"Executor", "BaseExecutor"})


def register(cls: type[Executor]) -> None:
    """Make the class known by its name; a later class of the same name takes the place."""
    _CLASSES[cls.__name__] = cls


def registered_class(name: str) -> type[Executor] | None:
    """The class of that name, or None."""
    return _CLASSES.get(name)


def registered_names() -> list[str]:
    """All known names, sorted."""
    return sorted(_CLASSES)


def version_of(cls: type) -> str:
    """What a class states as its `__version__`, else its module, else the packages around that; empty without any."""
    names = cls.__module__.split(".")
    if names[0] == "jina":
        return ""
    modules = [sys.modules.get(".".join(names[:many])) for many in range(len(names), 0, -1)]
    stated = (getattr(place, "__version__", None) for place in (cls, *modules))
    return next((version[:100] for version in stated if isinstance(version, str)), "")


def unknown_class(name: str, where: str = "", among: Iterable[str] | None = None) -> ExecutorNotFound:
    """The error for a name that no class has."""
    known = sorted(set(registered_names() if among is None else among) - BASE_NAMES)
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else ""
    place = f"{where}: " if where else ""
    help_text = f"known classes: {', '.join(known)}" if known else "no Executor class has been imported"
    return ExecutorNotFound(
        f"{place}no Executor class is named {name!r}{hint}",
        help=f"{help_text}; list the files that define it under py_modules",
    )


def path_of(metas: SimpleNamespace, runtime_args: SimpleNamespace, given: str | None) -> str:
    """`<workspace>/<executor_name>/<shard_id>`, absolute; without the shard where there is none.

    The workspace is that of the orchestration, else of the metas, else the constructor's, else the folder `jina` of
    the user's cache.
    """
    from jina.config.paths import user_cache

    candidates = (getattr(runtime_args, "workspace", None), getattr(metas, "workspace", None), given)
    root = next((str(path) for path in candidates if path), user_cache())
    name = str(metas.name)
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
        raise ConfigError(f"metas.name {name!r} would put the workspace outside of {root!r}")
    shard = getattr(runtime_args, "shard_id", None)
    parts = [name] if shard in {None, -1} else [name, str(shard)]
    return os.path.abspath(os.path.join(os.path.expanduser(root), *parts))


def create(path: str) -> str:
    """Create the folder with its parents and give its path back; raises `ConfigError` when it cannot be.

    One that is made is this user's alone; one that is there keeps its mode.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the workspace {path!r} cannot be created: {error.strerror or error}") from error
    return path


class _Given(msgspec.Struct):
    """What the constructor was called with, to tell what the user changed on the way to the base class."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    metas: dict[str, Any]
    requests: dict[str, str]
    runtime_args: dict[str, Any]
    workspace: str | None
    initialised: bool = False


class ExecutorType(type):
    """The class of Executor classes: programs derive from it beside that of another library, to subclass both."""


class StandaloneExecutorType(enum.IntEnum):
    """Whether an Executor exported alone is used by one Flow or by several."""

    EXTERNAL = 0
    SHARED = 1


class Configurable:
    """What a configuration describes; `JAMLCompatible` of Jina 3.

    Its methods need more than this module may import: `jina.executor.configurable` and `jina.executor_serve` attach
    them. Type checkers and editors read their signatures here; a test compares the two.
    """

    StandaloneExecutorType = StandaloneExecutorType

    if TYPE_CHECKING:

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
            """The Executor that YAML describes, constructed in this process."""
            raise NotImplementedError

        def save_config(self, filename: str | None = None) -> None:
            """Write YAML from which `load_config` makes the Executor again; `<name>.yml` unless a name is given."""
            raise NotImplementedError

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
            """Serve the class until `stop_event` is set or the process is interrupted."""
            raise NotImplementedError

        @classmethod
        def from_hub(
            cls,
            uri: str,
            *,
            force_update: bool = False,
            offline: bool = False,
            install_requirements: bool = False,
            **options: Any,
        ) -> Self:
            """The Executor of a package, fetched and constructed in this process."""
            raise NotImplementedError

        @staticmethod
        def to_kubernetes_yaml(
            uses: str,
            output_base_path: str | os.PathLike[str],
            k8s_namespace: str | None = None,
            executor_type: Any = StandaloneExecutorType.EXTERNAL,
            uses_with: Mapping[str, Any] | None = None,
            uses_metas: Mapping[str, Any] | None = None,
            uses_requests: Mapping[str, str] | None = None,
            uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
            **options: Any,
        ) -> None:
            """Write the Kubernetes files of a Flow of the image `docker://NAME`; see `Flow.to_kubernetes_yaml`."""
            raise NotImplementedError

        to_k8s_yaml = to_kubernetes_yaml

        @staticmethod
        def to_docker_compose_yaml(
            uses: str,
            output_path: str | os.PathLike[str] | None = None,
            network_name: str | None = None,
            executor_type: Any = StandaloneExecutorType.EXTERNAL,
            uses_with: Mapping[str, Any] | None = None,
            uses_metas: Mapping[str, Any] | None = None,
            uses_requests: Mapping[str, str] | None = None,
            uses_dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
            **options: Any,
        ) -> None:
            """Write the Compose file of a Flow with this image alone; see `to_kubernetes_yaml`."""
            raise NotImplementedError


class Executor(Configurable, Instrumented, metaclass=ExecutorType):
    """A class whose methods are served: subclass it and decorate methods with `@requests`.

    What the constructor is given (`metas`, `requests`, `runtime_args`, `workspace`) can be read from `self`
    in `__init__`, before `super().__init__(**kwargs)`, and changed in `kwargs` or on `self`.
    """

    metas: SimpleNamespace
    """`name` (the class name when none is given), `description`, `workspace`, `py_modules` and what else was given."""
    requests: dict[str, Callable[..., Any]]
    """Endpoint -> method."""
    runtime_args: SimpleNamespace
    """What the orchestration decided: `name`, `replicas`, `shards`, `shard_id`, `workspace`, `py_modules`, ..."""
    dynamic_batching: dict[str, dict[str, Any]]
    """Options of `@dynamic_batching` by method name, and those given by configuration."""

    __given: _Given

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make what was given readable before the user's `__init__` runs."""
        self = super().__new__(cls)
        given = _Given(
            args=args,
            kwargs=dict(kwargs),
            metas=copy.deepcopy(_mapping(kwargs.get("metas"))),
            requests=dict(kwargs.get("requests") or {}),
            runtime_args=_mapping(kwargs.get("runtime_args")),
            workspace=kwargs.get("workspace"),
        )
        defaults: dict[str, Any] = {"name": "", "description": "", "workspace": None, "py_modules": None}
        metas = SimpleNamespace(**{**defaults, **copy.deepcopy(given.metas)})
        metas.name = metas.name or cls.__name__
        vars(self).update(
            {
                "_Executor__given": given,
                "metas": metas,
                "runtime_args": SimpleNamespace(**given.runtime_args),
                "requests": binding.bind(self, given.requests),
                "dynamic_batching": binding.batching_options(cls, kwargs.get("dynamic_batching") or {}),
            }
        )
        return self

    def __init__(
        self,
        metas: Mapping[str, Any] | None = None,
        requests: Mapping[str, str] | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        workspace: str | None = None,
        dynamic_batching: Mapping[str, Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what is injected, with the changes that the subclass made to it.

        Further keywords are those of subclasses; here they change nothing, and a warning names them.
        """
        given = self.__given
        given.initialised = True
        _apply(self.metas, given.metas, _mapping(metas) if metas is not None else given.metas)
        self.metas.name = self.metas.name or type(self).__name__
        _apply(
            self.runtime_args,
            given.runtime_args,
            _mapping(runtime_args) if runtime_args is not None else given.runtime_args,
        )
        given.workspace = workspace or given.workspace
        if requests is not None and dict(requests) != given.requests:
            self.requests = binding.bind(self, requests)
        if dynamic_batching is not None:
            self.dynamic_batching = binding.batching_options(type(self), dynamic_batching)
        if kwargs:
            self._warn_unused(kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the class and make it known by its name."""
        super().__init_subclass__(**kwargs)
        check_init(cls)
        binding.capture_names(cls)
        register(cls)

    def _warn_unused(self, kwargs: Mapping[str, Any]) -> None:
        known = {parameter.name for cls in type(self).__mro__ for parameter in _init_parameters(cls)}
        hints = ((name, nearest(name, known)) for name in sorted(kwargs))
        names = ", ".join(f"{name!r}; did you mean {near!r}?" if near else repr(name) for name, near in hints)
        self.logger.warning("%s: arguments without effect: %s", type(self).__name__, names)

    @functools.cached_property
    def _requests(self) -> dict[str, FunctionWithSchema]:
        """Endpoint -> method and types, as in Jina 3. What `__init__` assigns to an endpoint here counts.

        So does an Executor whose document classes are known only at run time say them.
        """
        from jina.executor.endpoints import functions_with_schemas

        return functions_with_schemas(self)

    @property
    def workspace(self) -> str:
        """The folder of this instance, `<workspace>/<executor_name>/<shard_id>`; created on first use."""
        return create(path_of(self.metas, self.runtime_args, self.__given.workspace))

    @property
    def write_endpoints(self) -> list[str]:
        """The endpoints whose methods are decorated with `@write`."""
        return binding.write_endpoints(self)

    @functools.cached_property
    def logger(self) -> JinaLogger:
        """Logger named like the Executor."""
        from jina.observe import logs

        return logs.get_logger(getattr(self.runtime_args, "name", None) or self.metas.name)

    def extend_http(self, app: Any) -> Any:
        """Override it to change the HTTP application that serves this Executor alone, before it is served.

        `app.mount('/path', other)` adds an ASGI application beside our routes, `app.wrap(Middleware, option=...)` lays
        a middleware around all of them. An application that is returned is served instead of ours. Where a gateway
        has the HTTP port, as with several replicas or in a Flow, that one's `extend_http` counts.
        """

    def close(self) -> None:
        """Called once when the Executor ends; override it to persist or release what the Executor holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def snapshot(self, snapshot_dir: str) -> None:  # noqa: ARG002 - the name is the contract
        """Write the state into the folder `snapshot_dir`; called between two writes of a stateful Deployment.

        Override it together with `restore`. Where the parameter is named `snapshot_file`, it is the path of a
        file to write.
        """
        raise NotSupportedError(
            f"{type(self).__name__} has no snapshot method: its state is rebuilt from the log of writes",
            help="define snapshot(self, snapshot_dir) and restore(self, snapshot_dir)",
        )

    def restore(self, snapshot_dir: str) -> None:
        """Read the state that `snapshot` wrote; nothing to do here."""

    @contextlib.contextmanager
    def monitor(self, name: str | None = None, documentation: str | None = None) -> Iterator[None]:
        """Measure the block: `with self.monitor('load_seconds', 'Time to load'):`."""
        from jina.observe import metrics

        with metrics.timer(name or "block_seconds", documentation or ""):
            yield


def _init_parameters(cls: type) -> list[inspect.Parameter]:
    init = vars(cls).get("__init__")
    return parameters_of(init) if inspect.isfunction(init) else []


def _mapping(value: Any) -> dict[str, Any]:
    return dict(vars(value)) if isinstance(value, SimpleNamespace) else dict(value or {})


def _apply(namespace: SimpleNamespace, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Bring the differences between two dictionaries into the namespace, keeping what the user set there."""
    for key in before.keys() - after.keys():
        vars(namespace).pop(key, None)
    for key, value in after.items():
        if key not in before or (before[key] is not value and before[key] != value):
            setattr(namespace, key, value)


def is_initialised(executor: Executor) -> bool:
    """Whether the constructor of the base class was called."""
    return executor._Executor__given.initialised  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001 - of this module


def given_arguments(executor: Executor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the constructor was called with."""
    given = executor._Executor__given  # type: ignore[attr-defined]  # noqa: SLF001 - of this module
    return given.args, dict(given.kwargs)
