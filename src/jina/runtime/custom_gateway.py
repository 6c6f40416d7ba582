"""The classes that users subclass for a gateway of their own. Importing this loads no server and no web framework."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from jina.errors import ConfigError, NotSupportedError
from jina.runtime.custom_gateway_base import BaseGateway

if TYPE_CHECKING:
    from jina.plan.plans import FacePlan, GatewayPlan, HttpPlan, TlsPlan
    from jina.transport.http_app import HttpApp
    from jina.transport.http_exchange import AsgiApp
    from jina.transport.server import Server

__all__ = [
    "BaseGateway", "CompositeGateway", "CompositeServer", "FastAPIBaseGateway", "GRPCGateway", "Gateway", "HTTPGateway",
    "RestExtended", "WebSocketGateway", "rest_extension",
]  # fmt: skip

_PAUSE = 0.1
"""Seconds between two questions whether a service is ready."""

_HTTP: Final = frozenset({
    "title", "description", "cors", "uvicorn_kwargs", "no_debug_endpoints", "no_crud_endpoints", "expose_endpoints",
})  # fmt: skip
"""Options of the HTTP face that a constructor may be given as well, as in Jina 3."""
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
    """Whether the server heeds the plan's rules of access; ours does."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what is injected, and options of the HTTP face, which count instead of those of the Flow."""
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
        """Stop serving; called once, when the process shall end."""
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
        from jina.transport.limits import limits_of
        from jina.transport.server import serve

        plan = self._around.plan
        self.keeps_access = True
        return serve(
            self._our_faces(plan),
            self._around.service,
            http=self._our_http(plan.http),
            grpc_options=plan.grpc_server_options,
            limits=limits_of(plan),
            prefetch=plan.prefetch,
            access=plan.access,
            customise=self.extend_http,
        )

    def _our_http(self, http: HttpPlan) -> HttpPlan:
        import msgspec

        given = {name: value for name, value in self._options.items() if name in _HTTP}
        return msgspec.structs.replace(http, **given) if given else http

    def _our_faces(self, plan: GatewayPlan) -> list[FacePlan]:
        """Those of the plan, where and as what `runtime_args` say; in the protocol of this class if it serves one."""
        import msgspec

        only: Any = self.protocol_served
        both = {"http", "websocket"}  # one application answers either
        tls = self._our_tls()
        planned = {face.port: face for face in plan.faces}
        faces = []
        for number, port in enumerate(self.ports):
            face = planned.get(port) or msgspec.structs.replace(plan.faces[0], port=port, share_port=False)
            protocol: Any = self.protocols[number] if number < len(self.protocols) else face.protocol
            protocol = protocol if only is None or {protocol, only} <= both else only
            faces.append(msgspec.structs.replace(face, host=self.host, protocol=protocol, tls=tls or face.tls))
        return faces

    @property
    def given_options(self) -> dict[str, Any]:
        """Options of the HTTP face, and of TLS, that the constructor was given."""
        return dict(self._options)

    def _our_tls(self) -> TlsPlan | None:
        given = {name: self._options.get(name) for name in sorted(_TLS)}
        if not any(given.values()):
            return None
        if not all(given.values()):
            raise ConfigError(f"{type(self).__name__}: ssl_certfile and ssl_keyfile are needed both")
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
        """Wait at most `timeout` seconds for the service at `host:port`, or for the event; says whether one came."""
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
