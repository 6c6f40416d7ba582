"""The classes that users subclass for a gateway of their own. Importing this loads no server and no web framework."""

from __future__ import annotations

import asyncio
import functools
import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from jina.errors import BadConfigSource, ConfigError, UsageError
from jina.runtime import custom_gateway_registry as registry

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider
    from prometheus_client import CollectorRegistry

    from jina.observe.logs import JinaLogger
    from jina.plan.plans import FacePlan, GatewayPlan
    from jina.runtime.gateway_service import GatewayService
    from jina.runtime.gateway_streamer import ExecutorCallers, GatewayStreamer
    from jina.transport.http_app import HttpApp
    from jina.transport.http_exchange import AsgiApp
    from jina.transport.server import Server

_PAUSE = 0.1
"""Seconds between two questions whether a service is ready."""


@dataclass(slots=True)
class Surroundings:
    """What the process gives to the gateway that it constructs; `grace` is in seconds."""

    plan: GatewayPlan
    service: GatewayService
    streamer: GatewayStreamer
    grace: float


_surroundings: Surroundings | None = None
"""Those of the gateway that is being constructed."""


class BaseGateway:
    """What all gateway classes have, whatever they serve.

    All of it is there in `__init__` already, before `super().__init__(**kwargs)` is called.
    """

    name: str
    runtime_args: SimpleNamespace
    """What the orchestration decided: `name`, `host`, `port` and `protocol` (lists), `workspace`, ..."""
    metas: SimpleNamespace
    """What the YAML or `uses_metas` say: `name`, `description`, ..."""

    __surroundings: Surroundings | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make what was given readable before the user's `__init__` runs."""
        del args
        self = super().__new__(cls)
        runtime_args = kwargs.get("runtime_args") or {}
        values = dict(vars(runtime_args)) if isinstance(runtime_args, SimpleNamespace) else dict(runtime_args)
        values.setdefault("name", str(kwargs.get("name") or "gateway"))
        metas = {"name": cls.__name__, **(kwargs.get("metas") or {})}
        self.__dict__.update(
            {
                "_BaseGateway__surroundings": _surroundings,
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
        """Take what is injected. Further keywords are those of subclasses; here they change nothing."""
        del runtime_args, metas
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
        """Write YAML that names the class: its arguments are not known here."""
        with open(filename or f"{self.name}.yml", "w", encoding="utf-8") as file:
            file.write(f"jtype: {type(self).__name__}\n")

    @functools.cached_property
    def logger(self) -> JinaLogger:
        """Logger named like the gateway."""
        from jina.observe import logs

        return logs.get_logger(self.name)

    @property
    def _around(self) -> Surroundings:
        """Plan and service of the process that runs it; raises `UsageError` for one that was made by hand."""
        if self.__surroundings is None:
            raise UsageError(
                f"{type(self).__name__} was made by hand, so there are no Executors behind it",
                help=f"let a Flow run it: Flow().config_gateway(uses={type(self).__name__})",
            )
        return self.__surroundings

    @property
    def streamer(self) -> GatewayStreamer:
        """Sends documents through the whole graph."""
        return self._around.streamer

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


class Gateway(BaseGateway):
    """A server in front of a graph of Executors.

    As it is, it serves the ports of its plan as Flows do without `uses`. Override `extend_http` to mount applications
    and middlewares beside our routes, or all of `setup_server`, `run_server` and `shutdown` to serve anything else.
    """

    protocol_served: ClassVar[str | None] = None
    """The protocol of classes that serve only one."""

    server: Any

    @property
    def ports(self) -> list[int]:
        """One port for each protocol."""
        return _listed(getattr(self.runtime_args, "port", None))

    @property
    def port(self) -> int | None:
        """The first port."""
        return self.ports[0] if self.ports else None

    @property
    def protocols(self) -> list[str]:
        """Protocols in lower case."""
        return [str(one).lower() for one in _listed(getattr(self.runtime_args, "protocol", None))]

    @property
    def host(self) -> str:
        """Where to listen."""
        return str(getattr(self.runtime_args, "host", "0.0.0.0"))  # noqa: S104 - the default of all servers here

    async def setup_server(self) -> None:
        """Make the server. The Executors can be called from here on."""
        self._ended = asyncio.Event()
        self.server = self._our_server()

    async def run_server(self) -> None:
        """Serve until `shutdown`."""
        await self.server.start()
        await self._ended.wait()

    async def shutdown(self) -> None:
        """Stop serving; called once, when the process shall end."""
        await self.server.stop(self._around.grace)
        self._ended.set()

    def extend_http(self, app: HttpApp) -> AsgiApp | None:
        """Change our HTTP application before it is served.

        `app.mount('/path', other)` adds an ASGI application beside our routes, `app.wrap(Middleware, option=...)`
        lays a middleware around all of them. An application that is returned is served instead of ours.
        """
        del app
        return None

    def _our_server(self) -> Server:
        from jina.transport.server import serve

        plan = self._around.plan
        return serve(
            self._our_faces(plan),
            self._around.service,
            http=plan.http,
            grpc_options=plan.grpc_server_options,
            max_message_size=plan.max_message_size,
            prefetch=plan.prefetch,
            customise=self.extend_http,
        )

    def _our_faces(self, plan: GatewayPlan) -> list[FacePlan]:
        """Those of the plan, in the protocol of this class where it serves but one."""
        import msgspec

        only: Any = self.protocol_served
        if only is None:
            return plan.faces
        both = {"http", "websocket"}  # one application answers either
        return [
            face
            if face.protocol == only or {face.protocol, only} <= both
            else msgspec.structs.replace(face, protocol=only)
            for face in plan.faces
        ]

    # --- is it ready? ---------------------------------------------------------------------------------------

    @staticmethod
    def is_ready(ctrl_address: str, protocol: str = "grpc", timeout: float = 1.0, **_: Any) -> bool:
        """Whether the service at `host:port` answers within `timeout` seconds."""
        from jina.client import Client

        with Client(host=_with_scheme(ctrl_address, protocol)) as client:
            return bool(client.is_flow_ready(timeout=timeout))

    @staticmethod
    async def async_is_ready(ctrl_address: str, protocol: str = "grpc", timeout: float = 1.0, **_: Any) -> bool:  # noqa: ASYNC109 - the signature of Jina 3
        """`is_ready` without blocking the running loop."""
        return await asyncio.to_thread(Gateway.is_ready, ctrl_address, protocol, timeout)

    @staticmethod
    def wait_for_ready_or_shutdown(
        timeout: float | None, ready_or_shutdown_event: Any, ctrl_address: str, protocol: str = "grpc", **_: Any
    ) -> bool:
        """Wait at most `timeout` seconds for the service at `host:port`, or for the event; says whether one came."""
        until = None if timeout is None else time.monotonic() + timeout
        while until is None or time.monotonic() < until:
            if ready_or_shutdown_event.is_set() or Gateway.is_ready(ctrl_address, protocol):
                return True
            time.sleep(_PAUSE)
        return False


class FastAPIBaseGateway(Gateway):
    """A gateway that serves an ASGI application of yours, FastAPI's or any other.

    Ports, TLS, CORS and `uvicorn_kwargs` are those of the Flow; `GET /` tells the health unless the application
    answers it.
    """

    protocol_served = "http"

    @property
    def app(self) -> Any:
        """The application; read once, when the server is made."""
        raise ConfigError(f"{type(self).__name__} has no property `app`, which gives the application to serve")

    def extend_http(self, app: HttpApp) -> AsgiApp | None:
        """Serve `self.app` instead of ours."""
        del app
        served: AsgiApp = self.app
        return served


class GRPCGateway(Gateway):
    """The built-in gateway, for gRPC."""

    protocol_served = "grpc"


class HTTPGateway(Gateway):
    """The built-in gateway, for HTTP."""

    protocol_served = "http"


class WebSocketGateway(Gateway):
    """The built-in gateway, for WebSocket."""

    protocol_served = "websocket"


class CompositeGateway(Gateway):
    """The built-in gateway, for several protocols."""


class RestExtended(Gateway):
    """The built-in gateway with the routes that `extend` adds to an application of FastAPI.

    Runs where a program put a function of its own in the place of `jina.helper.extend_rest_interface`.
    """

    def __init__(self, extend: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._extend = extend

    def extend_http(self, app: HttpApp) -> AsgiApp | None:
        """Give the paths that we have no route for to what `extend` makes of the application."""
        try:
            fastapi = importlib.import_module("fastapi")
        except ModuleNotFoundError as error:
            raise ConfigError(
                "jina.helper.extend_rest_interface takes an application of FastAPI, which is not installed",
                help="pip install fastapi, or override extend_http in a Gateway of your own",
            ) from error
        given = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.mount("/", self._extend(given) or given)
        return None


def construct(
    cls: type[BaseGateway], surroundings: Surroundings | None, arguments: Mapping[str, Any], injected: dict[str, Any]
) -> BaseGateway:
    """The instance; `injected` goes to the constructor as far as it takes that."""
    from jina.executor.load import check_arguments

    check_arguments(cls, arguments, BaseGateway)
    global _surroundings  # `__new__` of user classes cannot be given more arguments
    taken = _accepted(cls.__init__, injected)
    _surroundings = surroundings
    try:
        self = cls(**arguments, **{name: value for name, value in taken.items() if name not in arguments})
    finally:
        _surroundings = None
    self.runtime_args = SimpleNamespace(**{**injected["runtime_args"], **vars(self.runtime_args)})
    return self


def _accepted(init: Callable[..., Any], injected: dict[str, Any]) -> dict[str, Any]:
    import inspect

    parameters = inspect.signature(init).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return injected
    return {name: value for name, value in injected.items() if name in parameters}


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _with_scheme(address: str, protocol: Any) -> str:
    scheme = {"websocket": "ws"}.get(str(protocol).lower(), str(protocol).lower())
    return address if "://" in address else f"{scheme}://{address}"
