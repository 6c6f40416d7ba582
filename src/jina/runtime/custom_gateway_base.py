"""What all gateway classes have, and how a process constructs one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

from jina.errors import BadConfigSource, ConfigError, UsageError
from jina.runtime import custom_gateway_registry as registry

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider
    from prometheus_client import CollectorRegistry

    from jina.observe.logs import JinaLogger
    from jina.plan.plans import GatewayPlan
    from jina.runtime.gateway_service import GatewayService
    from jina.runtime.gateway_streamer import ExecutorCallers, GatewayStreamer


@dataclass(slots=True)
class Surroundings:
    """What the process gives to the gateway that it constructs; `grace` is in seconds."""

    plan: GatewayPlan
    service: GatewayService
    streamer: GatewayStreamer
    grace: float


@dataclass(slots=True)
class _Given:
    """What a gateway is constructed with, besides what stands in the call of its constructor."""

    surroundings: Surroundings | None = None
    runtime_args: Mapping[str, Any] = field(default_factory=dict)
    metas: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    initialised: bool = False


_process: Surroundings | None = None
"""Those of the process, for gateways that a gateway makes by itself."""
_constructing: _Given | None = None
"""That of the gateway that is being constructed: `__new__` of user classes cannot be given more arguments."""


class BaseGateway:
    """What all gateway classes have, whatever they serve.

    All of it is there in `__init__` already, before `super().__init__(**kwargs)` is called.
    """

    name: str
    runtime_args: SimpleNamespace
    """What the orchestration decided: `name`, `host`, `port` and `protocol` (lists), `workspace`, ..."""
    metas: SimpleNamespace
    """What the YAML or `uses_metas` say: `name`, `description`, ..."""

    __given: _Given
    __called: dict[str, dict[str, Any]]
    """`runtime_args` and `metas` as the constructor was called with them, to tell what the subclass changed."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make what was given readable before the user's `__init__` runs."""
        del args
        self = super().__new__(cls)
        given = _constructing or _Given(surroundings=_process, arguments=kwargs)
        values = {**given.runtime_args, **_mapping(kwargs.get("runtime_args"))}
        values.setdefault("name", str(kwargs.get("name") or "gateway"))
        metas = {"name": cls.__name__, **given.metas, **_mapping(kwargs.get("metas"))}
        self.__dict__.update(
            {
                "_BaseGateway__given": given,
                "_BaseGateway__called": {name: _mapping(kwargs.get(name)) for name in ("runtime_args", "metas")},
                "name": str(kwargs.get("name") or values["name"]),
                "runtime_args": SimpleNamespace(**values),
                "metas": SimpleNamespace(**metas),
            }
        )
        return self

    def __init__(
        self,
        name: str | None = None,
        runtime_args: Mapping[str, Any] | None = None,
        metas: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what is injected, with the changes that the subclass made to it.

        Further keywords are those of subclasses; here they change nothing.
        """
        for namespace, known, after in (
            (self.runtime_args, self.__called["runtime_args"], runtime_args),
            (self.metas, self.__called["metas"], metas),
        ):
            changed = {name: value for name, value in _mapping(after).items() if known.get(name, self) is not value}
            vars(namespace).update(changed)
        self.__given.initialised = True
        self.name = name or self.name
        if kwargs:
            names = ", ".join(map(repr, sorted(kwargs)))
            self.logger.warning("%s: arguments that nothing takes: %s", type(self).__name__, names)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the class known by its name."""
        super().__init_subclass__(**kwargs)
        registry.register(cls)

    @classmethod
    def load_config(cls, source: Any, **options: Any) -> Self:
        """The gateway that YAML describes (`jtype`, `with`, `py_modules`), constructed in this process."""
        from jina.runtime.custom_gateway_loading import read_config

        plan, found = read_config(source, options, BaseGateway)
        if not issubclass(found, cls):
            raise BadConfigSource(f"{source!r} describes a {found.__name__}, which is no {cls.__name__}")
        injected = {"runtime_args": dict(options.get("runtime_args") or {}), "metas": plan.metas}
        return cast("Self", construct(found, None, plan.with_args, injected))

    def save_config(self, filename: str | None = None) -> None:
        """Write YAML from which `load_config` makes the gateway again; `<name>.yml` unless a name is given.

        Raises `ConfigError` for a constructor argument that YAML cannot hold.
        """
        from jina.executor.reference import split_with
        from jina.spec import ExecutorSpec, dump_spec

        injected = {"name", "runtime_args", "metas"}
        given = {key: value for key, value in self.__given.arguments.items() if key not in injected}
        plain, other = split_with(given)
        if other:
            raise ConfigError(f"{type(self).__name__}: YAML cannot hold the argument {min(other)!r}")
        metas = {key: value for key, value in vars(self.metas).items() if value}
        spec = ExecutorSpec.model_validate({"jtype": type(self).__name__, "with": plain, "metas": metas})
        with open(filename or f"{self.name}.yml", "w", encoding="utf-8") as file:
            file.write(dump_spec(spec))

    @functools.cached_property
    def logger(self) -> JinaLogger:
        """Logger named like the gateway."""
        from jina.observe import logs

        return logs.get_logger(self.name)

    @property
    def _around(self) -> Surroundings:
        """Plan and service of the process that runs it; raises `UsageError` for one that was made by hand."""
        surroundings = self.__given.surroundings
        if surroundings is None:
            raise UsageError(
                f"{type(self).__name__} was made by hand, so there are no Executors behind it",
                help=f"let a Flow run it: Flow().config_gateway(uses={type(self).__name__})",
            )
        return surroundings

    @property
    def streamer(self) -> GatewayStreamer:
        """Sends documents through the whole graph; a gateway that makes others may give them its own."""
        given: GatewayStreamer | None = vars(self).get("_streamer")
        return given or self._around.streamer

    @streamer.setter
    def streamer(self, streamer: GatewayStreamer) -> None:
        self._streamer = streamer

    @property
    def executor(self) -> ExecutorCallers:
        """The Executors by name, each to be called by itself: `await self.executor['name'].post(...)`."""
        return self.streamer.executor

    @property
    def tracing(self) -> bool:
        """Whether spans are exported."""
        return bool(getattr(self.runtime_args, "tracing", False))

    @functools.cached_property
    def tracer_provider(self) -> TracerProvider:
        """OpenTelemetry's provider of tracers."""
        from jina.observe import providers

        return getattr(self.runtime_args, "tracer_provider", None) or providers.tracer_provider()

    @functools.cached_property
    def meter_provider(self) -> MeterProvider:
        """OpenTelemetry's provider of meters."""
        from jina.observe import providers

        return getattr(self.runtime_args, "meter_provider", None) or providers.meter_provider()

    @functools.cached_property
    def tracer(self) -> Tracer:
        """OpenTelemetry tracer for spans of your own."""
        return self.tracer_provider.get_tracer(type(self).__name__)

    @functools.cached_property
    def meter(self) -> Meter:
        """OpenTelemetry meter for metrics of your own."""
        return self.meter_provider.get_meter(type(self).__name__)

    @property
    def metrics_registry(self) -> CollectorRegistry:
        """Prometheus registry of the process, with our counts; collectors of your own may be registered."""
        return self._around.service.counts.registry


def construct(
    cls: type[BaseGateway], surroundings: Surroundings | None, arguments: Mapping[str, Any], injected: dict[str, Any]
) -> BaseGateway:
    """The instance; `injected` goes to the constructor as far as it takes that."""
    from jina.executor.load import check_arguments
    from jina.executor.signatures import describe

    check_arguments(cls, arguments, BaseGateway)
    global _constructing, _process
    taken = _accepted(cls.__init__, injected)
    given = _Given(surroundings, _mapping(injected.get("runtime_args")), _mapping(injected.get("metas")), arguments)
    _constructing, _process = given, surroundings or _process
    try:
        self = cls(**arguments, **{name: value for name, value in taken.items() if name not in arguments})
    finally:
        _constructing = None
    if not given.initialised:
        raise ConfigError(f"{describe(cls.__init__)} has to call super().__init__(**kwargs)")
    return self


def _accepted(init: Callable[..., Any], injected: dict[str, Any]) -> dict[str, Any]:
    import inspect

    parameters = inspect.signature(init).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return injected
    return {name: value for name, value in injected.items() if name in parameters}


def _mapping(value: Any) -> dict[str, Any]:
    return dict(vars(value)) if isinstance(value, SimpleNamespace) else dict(value or {})
