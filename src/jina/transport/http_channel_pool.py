"""Keep-alive connections for blocking HTTP."""

from __future__ import annotations

import http.client
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import Any
from urllib.parse import unquote, urlsplit

from jina.errors import BadServer, DeadlineExceeded, JinaError, Unavailable
from jina.transport.base_channel import ChannelSettings, Target
from jina.transport.http_channel_routes import Outgoing
from jina.transport.tls import client_context

IDLE_CONNECTIONS = 32
"""Connections kept for later; more are opened when more calls run at once, and closed afterwards."""


class Pool:
    """Connections to one target, each lent to one exchange at a time."""

    def __init__(self, target: Target, settings: ChannelSettings) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._tls = client_context(settings.tls) if target.tls else None
        self._proxy = _proxy_of(target) if settings.use_proxy else None

    @contextmanager
    def exchange(self, method: str, outgoing: Outgoing, timeout: float | None) -> Iterator[http.client.HTTPResponse]:
        """Send a request and lend the response; its connection is kept when it was read to the end.

        Connection failures are raised as `Unavailable`, a passed `timeout` (seconds, per operation on the
        socket) as `DeadlineExceeded`.
        """
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._send(method, outgoing, timeout)
            response = connection.getresponse()
            yield response
            if response.isclosed() and not response.will_close:
                connection = self._give_back(connection)
        except JinaError:  # before OSError: some of ours are such errors too
            raise
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._target} did not answer within {timeout} s") from error
        except http.client.RemoteDisconnected as error:
            raise Unavailable(f"{self._target} closed the connection before it answered") from error
        except http.client.IncompleteRead as error:
            raise Unavailable(f"{self._target} closed the connection in the middle of its answer") from error
        except http.client.HTTPException as error:
            raise BadServer(f"{self._target} does not speak HTTP/1.1 ({error!r}); is it a port for gRPC?") from error
        except OSError as error:
            raise Unavailable.unreached(f"cannot reach {self._target}: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Close the idle connections; lent ones end with their exchange."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    __del__ = close

    def _send(self, method: str, outgoing: Outgoing, timeout: float | None) -> http.client.HTTPConnection:
        """Send over an idle connection, else over a new one.

        Sending again is safe when sending failed: the peer never had the whole request.
        """
        while (kept := self._take()) is not None:
            try:
                if kept.sock is not None:
                    kept.sock.settimeout(timeout)
                self._request(kept, method, outgoing)
            except (BrokenPipeError, ConnectionResetError):
                kept.close()
            except BaseException:
                kept.close()
                raise
            else:
                return kept
        fresh = self._open(timeout)
        try:
            self._request(fresh, method, outgoing)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _request(self, connection: http.client.HTTPConnection, method: str, outgoing: Outgoing) -> None:
        path, headers = outgoing.path, outgoing.headers
        if self._proxy is not None and self._tls is None:
            path = f"http://{self._target.authority}{path}"
            headers = {**headers, **self._proxy.headers}
        connection.request(method, path, outgoing.body or None, headers)

    def _take(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.sock is not None and not select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()

    def _give_back(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection | None:
        with self._lock:
            if len(self._idle) >= IDLE_CONNECTIONS:
                return connection
            self._idle.append(connection)
        return None

    def _open(self, timeout: float | None) -> http.client.HTTPConnection:
        host, port = (self._target.host, self._target.port) if self._proxy is None else self._proxy.address
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        if self._proxy is not None:
            connection.set_tunnel(self._target.host, self._target.port, self._proxy.headers)
        return connection


class _Proxy:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "//" in url else f"//{url}")
        self.address = parts.hostname or "", parts.port or 80
        self.headers: dict[str, str] = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["proxy-authorization"] = f"Basic {b64encode(login.encode()).decode()}"


def _proxy_of(target: Target) -> _Proxy | None:
    url: Any = urllib.request.getproxies().get("https" if target.tls else "http")
    return _Proxy(url) if url and not urllib.request.proxy_bypass(target.host) else None
