"""The classes that users subclass for a gateway of their own. Importing this loads no server and no web framework."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from jina.errors import ConfigError
from jina.runtime.custom_gateway_base import BaseGateway

if TYPE_CHECKING:
    from jina.plan.plans import FacePlan, GatewayPlan, HttpPlan, TlsPlan
    from jina.transport.http_app import HttpApp
    from jina.transport.http_exchange import AsgiApp
    from jina.transport.server import Server

__all__ = [
    "BaseGateway", "CompositeGateway", "FastAPIBaseGateway", "GRPCGateway", "Gateway", "HTTPGateway", "RestExtended",
    "WebSocketGateway",
]  # fmt: skip

_PAUSE = 0.1
"""Seconds between two questions whether a service is ready."""

_HTTP: Final = frozenset({
    "title", "description", "cors", "uvicorn_kwargs", "no_debug_endpoints", "no_crud_endpoints", "expose_endpoints",
})  # fmt: skip
"""Options of the HTTP face that a constructor may be given as well, as in Jina 3."""
_TLS: Final = frozenset({"ssl_certfile", "ssl_keyfile"})


class Gateway(BaseGateway):
    """A server in front of a graph of Executors.

    As it is, it serves the ports of its plan as Flows do without `uses`. Override `extend_http` to mount applications
    and middlewares beside our routes, or all of `setup_server`, `run_server` and `shutdown` to serve anything else.
    """

    protocol_served: ClassVar[str | None] = None
    """The protocol of classes that serve only one."""

    server: Any
    keeps_access = False
    """Whether the server heeds the plan's rules of access; ours does."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what is injected, and options of the HTTP face, which count instead of those of the Flow."""
        self._options = {name: value for name, value in kwargs.items() if name in _HTTP | _TLS and value is not None}
        super().__init__(**{name: value for name, value in kwargs.items() if name not in _HTTP | _TLS})

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
        self.keeps_access = True
        return serve(
            self._our_faces(plan),
            self._around.service,
            http=self._our_http(plan.http),
            grpc_options=plan.grpc_server_options,
            max_message_size=plan.max_message_size,
            prefetch=plan.prefetch,
            access=plan.access,
            customise=self.extend_http,
        )

    def _our_http(self, http: HttpPlan) -> HttpPlan:
        import msgspec

        given = {name: value for name, value in self._options.items() if name in _HTTP}
        return msgspec.structs.replace(http, **given) if given else http

    def _our_faces(self, plan: GatewayPlan) -> list[FacePlan]:
        """Those of the plan, in the protocol of this class where it serves but one."""
        import msgspec

        only: Any = self.protocol_served
        both = {"http", "websocket"}  # one application answers either
        tls = self._our_tls()
        faces = []
        for face in plan.faces:
            protocol = face.protocol if only is None or {face.protocol, only} <= both else only
            faces.append(msgspec.structs.replace(face, protocol=protocol, tls=tls or face.tls))
        return faces

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


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _with_scheme(address: str, protocol: Any) -> str:
    scheme = {"websocket": "ws"}.get(str(protocol).lower(), str(protocol).lower())
    return address if "://" in address else f"{scheme}://{address}"
