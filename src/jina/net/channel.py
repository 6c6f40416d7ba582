"""What all channels share: where to, how, and the answers that come back.

A channel takes `codec.messages.Request` objects and gives `Answer`s; documents stay undecoded in both
directions until they are read. Transport failures and failures of the request itself are raised as
`JinaError`; a handler's exception comes back as the `error` of an answer, since it answers one request of
possibly many.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from jina.codec import parameters as wire_parameters
from jina.codec import pb
from jina.codec import status as wire_status
from jina.codec.messages import Payload, Request
from jina.codec.payloads import ProtoPayload
from jina.codec.session_headers import HEADERS as STANDING
from jina.errors import ConfigError, JinaError, NotSupportedError, Unavailable, nearest
from jina.net.messages import DEFAULT_WINDOW, add_routes
from jina.observe import traces

MAX_MESSAGE_SIZE = 64 * 1024 * 1024


class Target(msgspec.Struct, frozen=True):
    """A server's address. `str()` gives the URL that error messages show."""

    scheme: str
    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def unreachable(target: Target, message: str, why: str) -> Unavailable:
    """The error for a server that cannot be reached; `why` is what the system or gRPC says."""
    hint = why.lower()
    if "refused" in hint:
        hint = f"nothing listens at {target.authority}: start the service there"
        hint += (
            f" (`with Deployment(..., port={target.port})`, or `jina executor --port {target.port}`), or correct the"
        )
        hint += " host and port; `jina status` lists the services of this machine with their ports"
    elif any(word in hint for word in _NO_NAME):
        hint = f"no address is known for the host {target.host!r}: correct the host"
    else:
        hint = f"see that {target.authority} is the host and port of the service, and that no firewall is between"
    error = Unavailable.unreached(message)
    error.help = hint
    return error


_NO_NAME = (
    "name or service not known",
    "name resolution",
    "nodename nor servname",
    "no address associated",
    "lookup failed",
)


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Files (PEM) with which to connect by TLS: the authorities to trust, the certificate to show and its key."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every call of a channel.

    `max_message_size` is in bytes. `use_proxy` honours `http_proxy` and its like of the environment. `api_key` is what
    calls show that bring no key of their own.
    """

    max_message_size: int = MAX_MESSAGE_SIZE
    use_proxy: bool = False
    grpc_options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    tls: TlsFiles = TlsFiles()
    api_key: str = ""

    def __repr__(self) -> str:
        """All but the key, which no log may show."""
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "api_key")
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown)})"


Metadata = tuple[tuple[str, str | bytes], ...]
_TRANSPORT = ("metadata", "headers", "timeout", "compression", "credentials", "api_key")
_HTTP = ("auth", "cookies", "ssl", "proxy", "proxy_auth", "params", "allow_redirects", "max_redirects")


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one call.

    `timeout` is in seconds; `window` is the number of requests in flight at once. `metadata` travels as gRPC
    metadata or as HTTP headers, names in lower case. `extra` holds what only HTTP knows (`auth`, `cookies`).
    """

    timeout: float | None = None
    metadata: Metadata = ()
    compression: Any = None
    credentials: Any = None
    window: int = DEFAULT_WINDOW
    results_in_order: bool = False
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def refuse_extra(self) -> None:
        """Raise `NotSupportedError` on other protocols than HTTP: an argument that does nothing is an error."""
        if self.extra:
            names = ", ".join(sorted(self.extra))
            raise NotSupportedError(
                f"{names}: only HTTP clients take this",
                help="leave it out, or use Client(protocol='http')",
            )


def call_options(
    given: Mapping[str, Any],
    *,
    window: int = DEFAULT_WINDOW,
    results_in_order: bool = False,
    others: Callable[[], Iterable[str]] = tuple,
) -> CallOptions:
    """The arguments of a call that only the transport reads.

    Raises `ConfigError` for an unknown one, with the nearest of these and of `others`.
    """
    known = (*_TRANSPORT, *_HTTP)
    for name in given:
        if name not in known:
            near = nearest(name, [*known, *others()])
            raise ConfigError(f"post has no argument {name!r}", help=f"did you mean {near!r}?" if near else "")
    timeout = given.get("timeout")
    timeout = getattr(timeout, "total", timeout)  # aiohttp.ClientTimeout, as Jina 3's HTTP client took it
    if timeout is not None and (not isinstance(timeout, int | float) or timeout <= 0):
        raise ConfigError(f"timeout: {timeout!r} is not a number of seconds above 0")
    metadata = _with_key(_pairs(given.get("metadata")) + _pairs(given.get("headers")), given.get("api_key"))
    return CallOptions(
        timeout=timeout,
        metadata=_traced(metadata) if traces.active() else metadata,
        compression=given.get("compression"),
        credentials=given.get("credentials"),
        window=window,
        results_in_order=results_in_order,
        extra={name: given[name] for name in _HTTP if name in given},
    )


def trace_of(options: CallOptions) -> dict[str, str]:
    """What identifies the caller's span."""
    return {name: str(value) for name, value in options.metadata if name in traces.HEADERS}


def _traced(metadata: Metadata) -> Metadata:
    """With the caller's span as the parent of what the server does, unless the caller gives one."""
    found = dict(metadata)
    return (*metadata, *((name, value) for name, value in traces.outgoing({}).items() if name not in found))


def _pairs(metadata: Any) -> Metadata:
    items = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
    return tuple((str(name).lower(), value if isinstance(value, bytes) else str(value)) for name, value in items)


def _with_key(metadata: Metadata, key: str | None) -> Metadata:
    """The metadata with the key, unless it has one already."""
    if not key or any(name == "x-api-key" for name, _ in metadata):
        return metadata
    return (*metadata, ("x-api-key", key))


_SHORTEST, _LONGEST = 0.005, 0.25
"""Seconds before the second repetition, for each further one twice as long, and at most; none before the first.

While a server stops, each call on its connection ends unseen, until the client has read that it shall reconnect.
"""


class Repetitions:
    """A call, and its repetitions where the server never saw it, which are no attempts.

    `options` are those of the next, with the time that is left.
    """

    __slots__ = ("_done", "_due", "options")

    def __init__(self, options: CallOptions) -> None:
        self.options = options
        self._done = 0
        self._due = None if options.timeout is None else time.monotonic() + options.timeout

    @property
    def over(self) -> bool:
        """Whether there is to be no further one."""
        return self._done >= _REPETITIONS

    def pause(self) -> float:
        """Seconds to wait before the next repetition, which gets the time that is left then."""
        self._done += 1
        pause = min(_SHORTEST * 2 ** (self._done - 2), _LONGEST) if self._done > 1 else 0.0
        if self._due is not None:
            left = max(0.0, self._due - time.monotonic())
            pause = min(pause, left)
            self.options = replace(self.options, timeout=left - pause)
        return pause


_REPETITIONS = 9


class Answer(Protocol):
    """One reply, still undecoded."""

    @property
    def request_id(self) -> str:
        """Id of the request that this answers; empty when the peer does not say."""
        ...

    @property
    def error(self) -> JinaError | None:
        """The failure of this request, or None."""
        ...

    @property
    def payload(self) -> Payload:
        """The documents."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, with `__results__` where handlers returned dicts."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of stateful services beside the documents, see `codec.session_headers`."""
        ...

    @property
    def message(self) -> Any:
        """The answer as a `jina.DataRequestProto`; from JSON without its documents."""
        ...


class ProtoAnswer:
    """An answer that came as `jina.DataRequestProto`."""

    __slots__ = ("_error", "message")

    def __init__(self, message: Any) -> None:
        self.message = message
        self._error: JinaError | None = None

    @property
    def request_id(self) -> str:
        """Id of the request that this answers."""
        return str(self.message.header.request_id)

    @property
    def error(self) -> JinaError | None:
        """What `header.status` says, as an exception; the same object each time."""
        if self._error is None and self.message.header.status.code:
            self._error = wire_status.read_error(self.message.header.status)
        return self._error

    @property
    def payload(self) -> Payload:
        """The documents."""
        return ProtoPayload(self.message.data.docs)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters with their Python types."""
        return wire_parameters.read(self.message)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of stateful services beside the documents."""
        headers: Mapping[str, str] = self.message.header.trace
        return headers


class FailedAnswer:
    """The answer to a request that failed on the way; `request_id` is empty for a whole call."""

    parameters: dict[str, Any] = {}  # noqa: RUF012 - never written to
    headers: Mapping[str, str] = {}

    def __init__(self, error: JinaError, request_id: str, endpoint: str) -> None:
        self.error = error
        self.request_id = request_id
        self.message = pb.DataRequestProto()
        self.message.header.request_id = request_id
        self.message.header.exec_endpoint = endpoint
        wire_status.write_error(error, self.message.header.status)
        if error.routes:
            add_routes(self.message, error)

    @property
    def payload(self) -> Payload:
        """No documents."""
        return ProtoPayload(pb.DocListProto())


class DocAnswer:
    """One document of a stream, as `jina.SingleDocumentRequestProto`."""

    def __init__(self, message: Any) -> None:
        self.document = message.document
        self.header = message.header

    @property
    def error(self) -> JinaError | None:
        """What `header.status` says, as an exception."""
        status = self.header.status
        return wire_status.read_error(status) if status.code else None

    def decode(self, codec: Any) -> Any:
        """The document as an object of the codec's class."""
        return codec.decode_doc(self.document)


def request_message(request: Request) -> Any:
    """The request as `jina.DataRequestProto`."""
    message = pb.DataRequestProto()
    _write_header(request, message.header)
    if request.parameters:
        wire_parameters.write(request.parameters, message)
    request.payload.write_proto(message.data.docs)
    return message


def document_request_message(request: Request) -> Any:
    """The request, whose payload holds one document, as `jina.SingleDocumentRequestProto`."""
    message = pb.SingleDocumentRequestProto()
    _write_header(request, message.header)
    if request.parameters:
        wire_parameters.write(request.parameters, message)
    documents = pb.DocListProto()
    request.payload.write_proto(documents)
    message.document.CopyFrom(documents.docs[0])
    return message


def _write_header(request: Request, header: Any) -> None:
    header.request_id = request.request_id
    header.exec_endpoint = request.endpoint
    if request.target_executor:
        header.target_executor = request.target_executor
    # A call may carry many requests: its metadata cannot tell these of each.
    if request.headers:
        header.trace.update({name: request.headers[name] for name in STANDING if name in request.headers})


class StreamedDocument(Protocol):
    """One document of a stream, still undecoded."""

    def decode(self, codec: Any) -> Any:
        """The document as an object of the codec's class."""
        ...


class Channel(Protocol):
    """A connection to one server, of one event loop or of the threads of a program without one.

    Those for threads block in their coroutines, which never suspend; see `jina.client.loops`.
    """

    async def call(self, request: Request, options: CallOptions) -> Answer:
        """Send one request and wait for its answer."""
        ...

    def stream_doc(self, request: Request, options: CallOptions) -> AsyncIterator[StreamedDocument]:
        """Send one document, get many. Closing the iterator cancels the call."""
        ...

    async def ready(self, options: CallOptions) -> None:
        """Return when the peer would serve a request; raise a `JinaError` otherwise."""
        ...

    async def close(self, *, abruptly: bool = False) -> None:
        """Close the connections; `abruptly` where the loop is about to end and no handshake is possible."""
        ...


class StreamChannel(Channel, Protocol):
    """A channel that carries many requests over one call."""

    def stream(self, requests: AsyncIterator[Request], options: CallOptions) -> AsyncIterator[Answer]:
        """Send requests as they come, at most `options.window` unanswered. Closing the iterator cancels."""
        ...
