"""The classes that users subclass for a gateway of their own. Importing this loads no server."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

import msgspec
from msgspec.structs import replace

from jina.errors import BadConfigSource, ConfigError, ExecutorNotFound, NotSupportedError, UsageError, nearest
from jina.observe.traces import Instrumented
from jina.plan.plans import ExecutorPlan

if TYPE_CHECKING:
    from types import ModuleType

    from jina.executor.loading import Kind
    from jina.gateway.service import GatewayService
    from jina.gateway.streamer import ExecutorCallers, GatewayStreamer
    from jina.observe.logs import JinaLogger
    from jina.observe.prometheus import CollectorRegistry
    from jina.plan.plans import GatewayPlan, HttpPlan, ListenerPlan, TlsPlan
    from jina.server.app import HttpApp
    from jina.server.http import AsgiApp
    from jina.server.server import Server

__all__ = [
    "BaseGateway",
    "CompositeGateway",
    "CompositeServer",
    "FastAPIBaseGateway",
    "GRPCGateway",
    "Gateway",
    "HTTPGateway",
    "RestExtended",
    "WebSocketGateway",
    "rest_extension",
]

BASE_NAMES = frozenset({"Gateway", "BaseGateway"})
_CLASSES: dict[str, type] = {}


def register(cls: type) -> None:
    """Make the class known by its name; a later class of the same name takes the place."""
    _CLASSES[cls.__name__] = cls


def find(name: str) -> type | None:
    """The class of that name, or None."""
    return _CLASSES.get(name)


def unknown(name: str, where: str = "") -> ConfigError:
    """The error for a name that no gateway class has."""
    known = sorted(_CLASSES)
    near = nearest(name, known)
    place, hint = f"{where}: " if where else "", f"; did you mean {near!r}?" if near else ""
    return ConfigError(
        f"{place}no gateway class is named {name!r}{hint}",
        help=f"known classes: {', '.join(known)}; list the files that define it under py_modules",
    )


def gateways(base: type) -> Kind:
    """How `uses` of a gateway is read."""
    from jina.executor.loading import Kind

    return Kind("Gateway", base, BASE_NAMES, find, unknown)


def find_named(plan: ExecutorPlan, base: type) -> type:
    """The gateway class that a plan names, imported; raises `ConfigError` where there is none."""
    from jina.documents import repair_docarray
    from jina.executor.loading import import_source

    imported = [import_source(source, plan.search_paths) for source in plan.py_modules]
    if plan.module:
        repair_docarray()
        imported = [_import(plan)]
    name = plan.qualname or plan.jtype
    for module in reversed(imported):
        found = _inside(module, name)
        if isinstance(found, type) and issubclass(found, base):
            return found
        if found is not None:
            raise ConfigError(f"{name!r} in {module.__name__!r} ({module.__file__}) is not a gateway class")
    known = find(name)
    if known is None:
        raise unknown(name, "uses")
    return known


def _inside(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _import(plan: ExecutorPlan) -> ModuleType:
    from jina.executor.loading import failed

    try:
        return importlib.import_module(plan.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{plan.module}.".startswith(f"{error.name}."):
            raise failed(plan.module, error) from error
        raise ExecutorNotFound(f"no module named {plan.module!r}, which uses names") from None
    except ConfigError:
        raise
    except Exception as error:
        raise failed(plan.module, error) from error


def read_config(source: Any, options: Mapping[str, Any], base: type) -> tuple[ExecutorPlan, type]:
    """What YAML says of a gateway, and its class; `options` are those of `Executor.load_config` that gateways have."""
    from jina.executor.loading import reference_of

    known = ("uses_with", "uses_metas", "py_modules")
    plan, found = reference_of(
        source,
        **{name: options[name] for name in known if options.get(name) is not None},
        search_paths=list(options.get("extra_search_paths") or ()),
        reading={name: options[name] for name in ("context", "substitute") if options.get(name) is not None},
        kind=gateways(base),
    )
    return plan, found or find_named(plan, base)


class GatewayContext(msgspec.Struct):
    """What the process gives to the gateway that it constructs; `grace` is in seconds."""

    plan: GatewayPlan
    service: GatewayService
    streamer: GatewayStreamer
    grace: float


class _Given(msgspec.Struct):
    """What a gateway is constructed with, besides what stands in the call of its constructor."""

    context: GatewayContext | None = None
    runtime_args: Mapping[str, Any] = msgspec.field(default_factory=dict)
    metas: Mapping[str, Any] = msgspec.field(default_factory=dict)
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)
    initialised: bool = False


_process: GatewayContext | None = None
"""Those of the process, for gateways that a gateway makes by itself."""
_constructing: _Given | None = None
"""That of the gateway that is being constructed: `__new__` of user classes cannot be given more arguments."""


class BaseGateway(Instrumented):
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
        given = _constructing or _Given(context=_process, arguments=kwargs)
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
            self.logger.warning("%s: arguments without effect: %s", type(self).__name__, names)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the class known by its name."""
        super().__init_subclass__(**kwargs)
        register(cls)

    @classmethod
    def load_config(cls, source: Any, **options: Any) -> Self:
        """The gateway that YAML describes (`jtype`, `with`, `py_modules`), constructed in this process."""
        plan, found = read_config(source, options, BaseGateway)
        if not issubclass(found, cls):
            raise BadConfigSource(f"{source!r} describes a {found.__name__}, where {cls.__name__} is expected")
        injected = {"runtime_args": dict(options.get("runtime_args") or {}), "metas": plan.metas}
        return cast("Self", construct(found, None, plan.with_args, injected))

    def save_config(self, filename: str | None = None) -> None:
        """Write YAML from which `load_config` makes the gateway again; `<name>.yml` unless a name is given.

        Raises `ConfigError` for a constructor argument that YAML cannot hold.
        """
        from jina.config import ExecutorSpec, dump_spec
        from jina.executor.loading import split_with

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
    def _around(self) -> GatewayContext:
        """Plan and service of the process that runs it; raises `UsageError` for one that was made by hand."""
        context = self.__given.context
        if context is None:
            raise UsageError(
                f"{type(self).__name__} was not started by a Flow or Deployment, so it has no Executors",
                help=f"let a Flow run it: Flow().config_gateway(uses={type(self).__name__})",
            )
        return context

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

    @property
    def metrics_registry(self) -> CollectorRegistry:
        """Prometheus registry of the process, with our counts; collectors of your own may be registered."""
        from jina.observe.prometheus import registry_of

        return registry_of(self._around.service.counts)


def construct(
    cls: type[BaseGateway], context: GatewayContext | None, arguments: Mapping[str, Any], injected: dict[str, Any]
) -> BaseGateway:
    """The instance; `injected` goes to the constructor as far as it takes that."""
    from jina.executor.decorators import describe
    from jina.executor.loading import check_arguments

    check_arguments(cls, arguments, BaseGateway)
    global _constructing, _process
    taken = _accepted(cls.__init__, injected)
    given = _Given(context, _mapping(injected.get("runtime_args")), _mapping(injected.get("metas")), arguments)
    _constructing, _process = given, context or _process
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


_PAUSE = 0.1
"""Seconds between two questions whether a service is ready."""
_HTTP: Final = frozenset({
    "title", "description", "cors", "uvicorn_kwargs", "no_debug_endpoints", "no_crud_endpoints", "expose_endpoints",
})  # fmt: skip
"""Options of the HTTP listener that a constructor may be given as well, as in Jina 3."""
_TLS: Final = frozenset({"ssl_certfile", "ssl_keyfile"})
_MADE: Final = frozenset({"host", "port", "protocol", "req_handler"})
"""What gateways that make other gateways hand on to them; `runtime_args` say it too."""


class CompositeServer:
    """Serves by several gateways, one for each protocol at first; programs insert others of their own.

    A base beside `Gateway`, as in Jina 3: `class Mine(Gateway, CompositeServer)`.
    """

    @functools.cached_property
    def gateways(self) -> list[Any]:
        """The gateways that serve; each has `setup_server`, `run_server` and `shutdown`."""
        owner = cast("Gateway", self)
        return [_part_of(owner, number) for number in range(len(owner.ports))]

    @property
    def servers(self) -> list[Any]:
        """The same."""
        return self.gateways

    @servers.setter
    def servers(self, servers: list[Any]) -> None:
        vars(self)["gateways"] = servers

    async def setup_server(self) -> None:
        """Make all servers."""
        await asyncio.gather(*(gateway.setup_server() for gateway in self.gateways))
        self.keeps_access = all(getattr(gateway, "keeps_access", False) for gateway in self.gateways)

    async def run_server(self) -> None:
        """Serve until `shutdown`."""
        await asyncio.gather(*(gateway.run_server() for gateway in self.gateways))

    async def shutdown(self) -> None:
        """Stop all servers, whatever the shutdown of one raises."""
        ended = await asyncio.gather(*(gateway.shutdown() for gateway in self.gateways), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    @staticmethod
    def _deepcopy_with_ignore_attrs(obj: Any, ignore_attrs: Iterable[str]) -> Any:
        """A deep copy in which these attributes, which cannot be copied, are None."""
        copied = copy.copy(obj)
        kept = {name: None if name in ignore_attrs else copy.deepcopy(value) for name, value in vars(obj).items()}
        vars(copied).update(kept)
        return copied


class Gateway(BaseGateway):
    """A server in front of a graph of Executors.

    As it is, it serves the ports of its plan as Flows do without `uses`. Override `extend_http` to mount applications
    and middlewares beside our routes, or all of `setup_server`, `run_server` and `shutdown` to serve anything else.
    """

    protocol_served: ClassVar[str | None] = None
    """The protocol of classes that serve only one."""

    server: Any
    _options: dict[str, Any]
    keeps_access = False
    """Whether the server enforces the plan's rules of access; the built-in one does."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what is injected, and options of the HTTP listener, which count instead of those of the Flow."""
        if kwargs.pop("expose_graphql_endpoint", None):
            raise NotSupportedError(
                "expose_graphql_endpoint: not available yet", help="call the endpoints by POST, as GET /docs shows them"
            )
        self._options = {name: value for name, value in kwargs.items() if name in _HTTP | _TLS and value is not None}
        super().__init__(**{name: value for name, value in kwargs.items() if name not in _HTTP | _TLS | _MADE})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let `CompositeServer` serve a class that names it behind `Gateway`."""
        super().__init_subclass__(**kwargs)
        if issubclass(cls, CompositeServer):
            for name in ("setup_server", "run_server", "shutdown"):
                if getattr(cls, name) is vars(Gateway)[name]:
                    setattr(cls, name, vars(CompositeServer)[name])

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
        """Stop serving; called once, when the process ends."""
        await self.server.stop(self._around.grace)
        self._ended.set()

    def extend_http(self, app: HttpApp) -> AsgiApp | None:
        """Change our HTTP application before it is served.

        `app.mount('/path', other)` adds an ASGI application beside our routes, `app.wrap(Middleware, option=...)`
        lays a middleware around all of them. An application that is returned is served instead of ours.
        """
        extend = rest_extension()
        if extend is not None:
            _mount_extension(app, extend)
        return None

    def _our_server(self) -> Server:
        from jina.apis import load
        from jina.net.limits import limits_of
        from jina.server.server import serve

        plan = self._around.plan
        self.keeps_access = True
        return serve(
            self._our_listeners(plan),
            self._around.service,
            http=self._our_http(plan.http),
            grpc_options=plan.grpc_server_options,
            limits=limits_of(plan),
            access=plan.access,
            customise=self.extend_http,
            apis=load(plan.http.apis),
        )

    def _our_http(self, http: HttpPlan) -> HttpPlan:

        given = {name: value for name, value in self._options.items() if name in _HTTP}
        return replace(http, **given) if given else http

    def _our_listeners(self, plan: GatewayPlan) -> list[ListenerPlan]:
        """Those of the plan, where and as what `runtime_args` say; in the protocol of this class if it serves one."""
        only: Any = self.protocol_served
        both = {"http", "websocket"}  # one application answers either
        tls = self._our_tls()
        planned = {listener.port: listener for listener in plan.listeners}
        listeners = []
        for number, port in enumerate(self.ports):
            listener = planned.get(port) or replace(plan.listeners[0], port=port, share_port=False)
            protocol: Any = self.protocols[number] if number < len(self.protocols) else listener.protocol
            protocol = protocol if only is None or {protocol, only} <= both else only
            listeners.append(replace(listener, host=self.host, protocol=protocol, tls=tls or listener.tls))
        return listeners

    @property
    def given_options(self) -> dict[str, Any]:
        """Options of the HTTP listener, and of TLS, that the constructor was given."""
        return dict(self._options)

    def _our_tls(self) -> TlsPlan | None:
        given = {name: self._options.get(name) for name in sorted(_TLS)}
        if not any(given.values()):
            return None
        if not all(given.values()):
            raise ConfigError(f"{type(self).__name__}: ssl_certfile and ssl_keyfile must be given together")
        from jina.plan.plans import TlsPlan

        return TlsPlan(certfile=str(given["ssl_certfile"]), keyfile=str(given["ssl_keyfile"]))

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
        """Wait at most `timeout` seconds for the service at `host:port`, or for the event; returns whether one came."""
        until = None if timeout is None else time.monotonic() + timeout
        while until is None or time.monotonic() < until:
            if ready_or_shutdown_event.is_set() or Gateway.is_ready(ctrl_address, protocol):
                return True
            time.sleep(_PAUSE)
        return False


class FastAPIBaseGateway(Gateway):
    """A gateway that serves an ASGI application of yours, FastAPI's or any other.

    Ports, TLS, CORS and `uvicorn_kwargs` are those of the Flow, unless the constructor is given others or they are
    assigned; `GET /` tells the health unless the application answers it.
    """

    protocol_served = "http"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.title: str | None = self._http_option("title")
        self.description: str | None = self._http_option("description")
        self.cors: bool = self._http_option("cors") or False
        self.uvicorn_kwargs: dict[str, Any] = dict(self._http_option("uvicorn_kwargs") or {})
        self.no_debug_endpoints: bool = self._http_option("no_debug_endpoints") or False
        self.no_crud_endpoints: bool = self._http_option("no_crud_endpoints") or False
        self.expose_endpoints: Any = self._http_option("expose_endpoints") or {}
        self.expose_graphql_endpoint = False

    def _http_option(self, name: str) -> Any:
        """What the constructor was given, else what the Flow says."""
        return self._options.get(name, getattr(self.runtime_args, name, None))

    def _our_http(self, http: HttpPlan) -> HttpPlan:
        self._options |= {"cors": self.cors, "uvicorn_kwargs": self.uvicorn_kwargs}
        return super()._our_http(http)

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


class CompositeGateway(CompositeServer, Gateway):
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
        _mount_extension(app, self._extend)
        return None


def rest_extension() -> Callable[[Any], Any] | None:
    """What a gateway put in the place of `jina.helper.extend_rest_interface`, which is how Jina 3 added routes."""
    hook = getattr(sys.modules.get("jina.helper"), "extend_rest_interface", None)
    return None if hook is None or hook.__module__.startswith("jina.") else hook


def _mount_extension(app: HttpApp, extend: Callable[[Any], Any]) -> None:
    """Give the paths that we have no route for to what `extend` makes of an application of FastAPI."""
    try:
        fastapi = importlib.import_module("fastapi")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "jina.helper.extend_rest_interface takes an application of FastAPI, which is not installed",
            help="pip install fastapi, or override extend_http in a Gateway of your own",
        ) from error
    given = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/", extend(given) or given)


def _part_of(owner: Gateway, number: int) -> Gateway:
    """A gateway that serves one of the ports of another one, as that one says."""
    protocol = owner.protocols[number] if number < len(owner.protocols) else "grpc"
    arguments = {**vars(owner.runtime_args), "port": [owner.ports[number]], "protocol": [protocol]}
    cls = {"grpc": GRPCGateway, "http": HTTPGateway, "websocket": WebSocketGateway}[protocol]
    part = cls(name=owner.name, runtime_args=arguments, metas=vars(owner.metas), **owner.given_options)
    vars(part)["extend_http"] = owner.extend_http
    return part


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _with_scheme(address: str, protocol: Any) -> str:
    scheme = {"websocket": "ws"}.get(str(protocol).lower(), str(protocol).lower())
    return address if "://" in address else f"{scheme}://{address}"
