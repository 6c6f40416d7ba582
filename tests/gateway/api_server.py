"""A stand-in for the API server of Kubernetes, as far as watchers of EndpointSlices see it.

Written after the documented protocol (https://kubernetes.io/docs/reference/using-api/api-concepts/): lists with a
version, watches from a version on as lines of JSON in chunks, bookmarks, 410 for versions that are too old (as the
status of the answer, or as an ERROR event), an end after `timeoutSeconds`, tokens, label selectors. Versions count up
with each change, and only the last `kept` changes are remembered.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

_WORDS = {200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 410: "Gone", 429: "Too Many Requests"}


def endpoint(ip, pod="", *, ready=True, serving=None, terminating=False, uid=None):
    """An endpoint as the controller writes it: a pod that terminates is not ready."""
    serving = ready if serving is None else serving
    conditions = {"ready": ready and not terminating, "serving": serving, "terminating": terminating}
    reference = {"kind": "Pod", "name": pod, "namespace": "shop", "uid": uid or f"uid-of-{pod}"}
    return {"addresses": [ip], "conditions": conditions, "nodeName": "node1", "targetRef": reference}


class ApiServer:
    """One, with the slices of one namespace; all that was asked is in `asked`, as path and query."""

    def __init__(self, *, token="", kept=100):
        self.token = token
        self.kept = kept
        self.version = 100
        self.slices = {}
        self.history = []  # version, kind, object
        self.asked = []
        self.refusal = None  # a status to answer with
        self.retry_after = None
        self.gone_as_event = True
        self.silent = False  # accept, and say nothing
        self.deadline = None  # ends each watch after so many seconds, whatever it asks for
        self.watches = set()
        self.changed = asyncio.Condition()
        self._server = None
        self._connections = set()

    @property
    def port(self):
        return self._server.sockets[0].getsockname()[1]

    async def start(self, port=0, context=None):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context)

    async def stop(self):
        """Stop, and cut what is open."""
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    async def cut(self):
        """End all connections, as a restart does."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def put(self, name, *endpoints, service="echo", ports=(8080,), family="IPv4"):
        """Create or replace a slice."""
        await self.put_ports(name, [{"name": f"p{one}", "port": one, "protocol": "TCP"} for one in ports], endpoints,
                             service=service, family=family)  # fmt: skip

    async def put_ports(self, name, ports, endpoints, *, service="echo", family="IPv4"):
        labels = {"kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "controller"}
        made = {
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": name, "namespace": "shop", "labels": labels},
            "addressType": family,
            "endpoints": list(endpoints),
            "ports": ports,
        }
        await self._record("MODIFIED" if name in self.slices else "ADDED", made)
        self.slices[name] = made

    async def delete(self, name):
        await self._record("DELETED", self.slices.pop(name))

    async def bookmark(self):
        """Tell all watchers a version without a change."""
        await self._record("BOOKMARK", {"kind": "EndpointSlice", "metadata": {"name": ""}})

    async def forget(self):
        """Compact: whoever watches from an older version on has to list again."""
        self.version += 1
        self.history.clear()

    async def _record(self, kind, made):
        async with self.changed:
            self.version += 1
            made["metadata"]["resourceVersion"] = str(self.version)
            self.history.append((self.version, kind, json.loads(json.dumps(made))))
            del self.history[: -self.kept]
            self.changed.notify_all()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            while (head := await self._head(reader)) is not None:
                target, headers = head
                parts = urlsplit(target)
                query = dict(parse_qsl(parts.query, keep_blank_values=True))
                self.asked.append((parts.path, query))
                if self.silent:
                    await asyncio.Event().wait()
                await self._answer(writer, parts.path, query, headers)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _head(self, reader):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return head[0].split()[1], headers

    async def _answer(self, writer, path, query, headers):
        if self.refusal is not None:
            await self._status(writer, self.refusal)
        elif self.token and headers.get("authorization") != f"bearer {self.token.lower()}":
            await self._status(writer, 401)
        elif path != "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices":
            await self._status(writer, 404)
        elif query.get("watch") in {"1", "true"}:
            await self._watch(writer, query)
        else:
            items = [one for one in self.slices.values() if _selected(one, query)]
            await self._whole(writer, 200, {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
                              "metadata": {"resourceVersion": str(self.version)}, "items": items})  # fmt: skip

    async def _status(self, writer, code):
        await self._whole(writer, code, _status(code))

    async def _whole(self, writer, code, content):
        body = json.dumps(content).encode()
        hint = f"Retry-After: {self.retry_after}\r\n" if self.retry_after else ""
        writer.write(f"HTTP/1.1 {code} {_WORDS.get(code, 'Error')}\r\nContent-Type: application/json\r\n{hint}"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)  # fmt: skip
        await writer.drain()

    async def _watch(self, writer, query):
        since = int(query["resourceVersion"])
        oldest = self.history[0][0] if self.history else self.version + 1
        expired = since < oldest - 1
        if expired and not self.gone_as_event:
            await self._status(writer, 410)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        if expired:
            self._event(writer, "ERROR", _status(410))
        else:
            self.watches.add(writer)
            try:
                async with asyncio.timeout(self.deadline or float(query["timeoutSeconds"])):
                    await self._events(writer, since, query)
            except TimeoutError:
                pass
            finally:
                self.watches.discard(writer)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _events(self, writer, since, query):
        while True:
            async with self.changed:
                while self.version <= since:
                    await self.changed.wait()
                news = [one for one in self.history if one[0] > since]
            for version, kind, made in news:
                since = version
                wanted = query.get("allowWatchBookmarks") == "true" if kind == "BOOKMARK" else _selected(made, query)
                if wanted:
                    self._event(writer, kind, made)
            since = max(since, self.version)
            await writer.drain()

    def _event(self, writer, kind, made):
        line = json.dumps({"type": kind, "object": made}).encode() + b"\n"
        for piece in (line[: len(line) // 2], line[len(line) // 2 :]):  # lines and chunks have nothing in common
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))


def _selected(made, query):
    name, _, value = query.get("labelSelector", "").partition("=")
    return not name or made["metadata"]["labels"].get(name) == value


def _status(code):
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}
    message = "too old resource version" if code == 410 else f"refused with {code}"
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
            "reason": reasons.get(code, "InternalError"), "code": code}  # fmt: skip


@asynccontextmanager
async def serving(**options):
    """One that runs."""
    server = ApiServer(**options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
