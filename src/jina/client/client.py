"""`Client(...)`: the client of a service, in blocking code and on event loops."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

from jina.client.loops import BLOCKING, ON_LOOP, Held, PerLoop, Waits, iterate, run
from jina.client.sessions import SessionState
from jina.errors import BadClientInput, ConfigError, JinaError, missing_extra
from jina.net.channel import Target, call_options, trace_of

if TYPE_CHECKING:
    from argparse import Namespace

    from jina.client.http import HttpChannel
    from jina.client.post import PostCall, Response, Run
    from jina.codec.messages import Request, Route
    from jina.config import ClientSpec
    from jina.net.channel import Answer, CallOptions, Channel, ChannelSettings, StreamChannel

_DRY_RUN = "_jina_dry_run_"


def _arguments_of_post() -> Iterable[str]:
    from jina.client.post import arguments_of_post  # which imports DocArray

    return arguments_of_post()


@overload
def Client(args: Namespace | None = ..., *, asyncio: Literal[True], **options: Any) -> AsyncClient: ...


@overload
def Client(args: Namespace | None = ..., *, asyncio: Literal[False] = ..., **options: Any) -> SyncClient: ...


def Client(args: Namespace | None = None, **options: Any) -> SyncClient | AsyncClient:  # noqa: N802 - Jina's name
    """A client of the service at an address.

    `Client(port=12345)`, `Client(host='grpcs://example.com')`, `Client(host='127.0.0.1', port=8080,
    protocol='http', asyncio=True)`. All options: `jina.config.ClientSpec`; `args` gives them as attributes.
    Nothing is connected before the first call. Use it in a `with` block (async: `async with`), or call `close`.

    Raises `ConfigError` (a ValueError) for unknown or contradicting options.
    """
    from jina.config import ClientSpec, parse

    if args is not None:
        from jina.config.command_line import options_in

        options = {**options_in(args, ClientSpec), **options}
    return client_of(parse(ClientSpec, options, "Client"))


def client_of(spec: ClientSpec) -> SyncClient | AsyncClient:
    """The client that a spec describes."""
    from jina.net.channel import ChannelSettings, TlsFiles

    if spec.tracing:
        _export_spans(spec)
    target = target_of(spec)
    if protocol_of(target) == "websocket" and (missing := missing_extra("websockets", "websockets", "WebSocket")):
        raise missing
    settings = ChannelSettings(
        max_message_size=spec.max_message_size,
        use_proxy=spec.proxy,
        grpc_options=spec.grpc_channel_options or {},
        tls=TlsFiles(ca=spec.ssl_ca_certs, certificate=spec.ssl_certfile, key=spec.ssl_keyfile),
        api_key=spec.api_key or "",
    )
    kinds: dict[tuple[str, bool], type[SyncClient | AsyncClient]] = {
        ("grpc", False): GRPCClient,
        ("grpc", True): AsyncGRPCClient,
        ("http", False): HTTPClient,
        ("http", True): AsyncHTTPClient,
        ("websocket", False): WebSocketClient,
        ("websocket", True): AsyncWebSocketClient,
    }
    return kinds[protocol_of(target), spec.asyncio](target, settings, spec.prefetch)


def _export_spans(spec: ClientSpec) -> None:
    """Send the program's spans to a collector while it runs; raises `ConfigError` without the extra."""
    import atexit

    from jina.observe import exporters
    from jina.plan.processes import telemetry

    atexit.register(exporters.start(telemetry(spec), "client").stop)


_SCHEMES = {
    ("grpc", False): "grpc",
    ("grpc", True): "grpcs",
    ("http", False): "http",
    ("http", True): "https",
    ("websocket", False): "ws",
    ("websocket", True): "wss",
}
_PROTOCOLS = {scheme: protocol for (protocol, _), scheme in _SCHEMES.items()}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - servers listen there, callers cannot call it


def target_of(spec: ClientSpec) -> Target:
    """The address of the spec; one that only servers can use becomes this machine's."""
    protocol, host, port, tls = spec.target
    return Target(_SCHEMES[protocol, tls], _EVERYWHERE.get(host, host), port, tls)


def protocol_of(target: Target) -> str:
    """The protocol of an address: grpc, http or websocket."""
    return _PROTOCOLS[target.scheme]


def _open_channel(target: Target, settings: ChannelSettings, waits: Waits) -> Channel:
    """A channel, which connects on its first call; only the modules of the protocol in use are loaded."""
    match protocol_of(target):
        case "grpc":
            from jina.client.grpc import GrpcChannel

            return GrpcChannel(target, settings, waits)
        case "http":
            from jina.client.http import HttpChannel

            return HttpChannel(target, settings, waits)
        case _:
            from jina.client.websocket import WebSocketChannel

            return WebSocketChannel(target, settings, waits)


class BaseClient:
    """A client of one address; connections are opened by the first call and shared from then on.

    What it does is written here, in coroutines, which blocking code runs without a loop; see `jina.client.loops`.
    """

    is_async: bool
    _waits: Waits

    def __init__(self, target: Target, settings: ChannelSettings, prefetch: int) -> None:
        self.target = target
        self._settings = settings
        self._prefetch = prefetch
        self._session_state = SessionState()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target}>"

    @property
    def protocol(self) -> str:
        """`grpc`, `http` or `websocket`."""
        return protocol_of(self.target)

    @property
    def host(self) -> str:
        """Host name or address that the client connects to."""
        return self.target.host

    @property
    def port(self) -> int:
        """Port that the client connects to."""
        return self.target.port

    @property
    def tls(self) -> bool:
        """True when connections are encrypted."""
        return self.target.tls

    @staticmethod
    def check_input(inputs: Any = None, **_: Any) -> None:
        """Raise `BadClientInput` unless the first of the inputs makes a document; reads one element."""
        from jina.client.post import Inputs

        if inputs is None:
            return
        source = Inputs(inputs, request_size=1)
        if source.is_async:
            raise BadClientInput("check_input cannot read an async generator")
        for _payload in source.payloads():
            return
        raise BadClientInput("inputs: empty; give at least one document")

    def _options(self, transport: Mapping[str, Any], timeout: float | None = None) -> CallOptions:
        keyed = self._keyed(transport)
        return call_options(keyed if timeout is None else {**keyed, "timeout": timeout}, others=_arguments_of_post)

    def _keyed(self, transport: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call with the client's key, unless the call has one of its own."""
        key = self._settings.api_key
        return {"api_key": key, **transport} if key else transport

    def _stream_request(
        self, on: str, inputs: Any, parameters: Any, target_executor: str | None, options: CallOptions
    ) -> Request:
        from jina.client.post import as_document, payload_of, plain_parameters
        from jina.codec.messages import Request

        if isinstance(inputs, list | tuple) and len(inputs) == 1:
            inputs = inputs[0]
        return Request(
            endpoint=on,
            payload=payload_of([as_document(inputs, 0)]),
            parameters=plain_parameters(parameters),
            request_id=os.urandom(16).hex(),
            target_executor=target_executor or "",
            headers={**trace_of(options), **self._session_state.headers()},
        )

    def _new_channel(self) -> Channel:
        return _open_channel(self.target, self._settings, self._waits)

    async def _connected(self) -> Channel:
        """The channel of the calling thread or loop."""
        raise NotImplementedError

    def _run_of(self, arguments: dict[str, Any], kwargs: dict[str, Any]) -> Run:
        from jina.client.post import Run, post_call

        return Run(post_call(arguments, self._keyed(kwargs), self._prefetch), self._session_state)

    async def _result(self, run: Run) -> Any:
        """What `post` returns."""
        if run.call.source.is_single_request:
            if (only := await self._only_response(run)) is not None:
                run.collect(only)
            return run.result()
        async with Held(self._responses(run)) as responses:
            async for response in responses:
                run.collect(response)
        return run.result()

    async def _responses(self, run: Run) -> AsyncGenerator[Response]:
        """The responses in the order in which they are handed out."""
        from jina.client.post import progress_of

        call = run.call
        if call.source.is_single_request:
            if (only := await self._only_response(run)) is not None:
                yield only
            return
        with closing(run), progress_of(call) as progress:
            channel = await self._connected()
            if call.stream and hasattr(channel, "stream"):
                flow = self._over_stream(run, cast("StreamChannel", channel))
            else:
                flow = self._by_calls(run, channel)
            async with Held(flow) as answers:
                async for answer in answers:
                    response = run.deliver(answer)
                    progress.advance()
                    if response is not None:
                        yield response

    @staticmethod
    def _failed(error: JinaError, call: PostCall) -> Answer:
        """A failure on the way as the last answer; a mistake of the caller is raised."""
        from jina.client.post import failed

        if isinstance(error, BadClientInput | ConfigError):
            raise error
        return failed(error, call.on)

    async def _only_response(self, run: Run) -> Response | None:
        """The response where there is one request, which is known before: without the generators that many need."""
        from jina.client.post import progress_of

        call = run.call
        with closing(run), progress_of(call) as progress:
            channel = await self._connected()
            try:
                request = run.pending.remember(next(call.source.payloads()))
                answer = next(run.arrived(await self._attempts(call, channel, request), call.max_attempts))
            except JinaError as error:
                answer = self._failed(error, call)
            response = run.deliver(answer)
            progress.advance()
            return response

    async def _over_stream(self, run: Run, channel: StreamChannel) -> AsyncGenerator[Answer]:
        from jina.errors import Unavailable
        from jina.net.channel import Repetitions

        retries, repetitions = run.call.retries, Repetitions(run.call.options)
        attempt = 1
        async with run.call.source.read(blocking=self._waits.blocking) as payloads:
            while True:
                try:
                    requests = run.pending.attempt(payloads)
                    async with Held(channel.stream(requests, repetitions.options)) as answers:
                        async for arrived in answers:
                            for answer in run.arrived(arrived, attempt):
                                yield answer
                    run.check_complete()
                    return
                except JinaError as error:
                    unseen = isinstance(error, Unavailable) and not error.begun
                    if unseen and not repetitions.over and run.pending.whole:
                        await self._waits.sleep(repetitions.pause())
                        continue
                    if not retries.again(attempt, error):
                        yield self._failed(error, run.call)
                        return
                    await self._waits.sleep(retries.wait(attempt, error))
                attempt, repetitions = attempt + 1, Repetitions(run.call.options)

    async def _by_calls(self, run: Run, channel: Channel) -> AsyncGenerator[Answer]:
        """Each request by a call of its own, which has made all its attempts when its answer is handed to `arrived`."""
        call = run.call
        at_once = self.protocol == "http" and call.stream
        width = min(call.options.window, self._waits.parallel) if at_once else 1
        try:
            async with call.source.read(blocking=self._waits.blocking) as payloads:
                requests = run.pending.attempt(payloads)
                if width > 1:
                    async with Held(self._at_once(run, channel, requests, width)) as answers:
                        async for answer in answers:
                            yield answer
                    return
                async for request in requests:
                    for answer in run.arrived(await self._attempts(call, channel, request), call.max_attempts):
                        yield answer
        except JinaError as error:
            yield self._failed(error, call)

    async def _at_once(
        self, run: Run, channel: Channel, requests: AsyncIterator[Request], width: int
    ) -> AsyncGenerator[Answer]:
        jobs, last = self._waits.jobs(width), run.call.max_attempts
        try:
            async for request in requests:
                jobs.start(self._attempts, run.call, channel, request)
                for arrived in await jobs.ended(block=jobs.running >= width):
                    for answer in run.arrived(arrived, last):
                        yield answer
            while jobs.running:
                for arrived in await jobs.ended(block=True):
                    for answer in run.arrived(arrived, last):
                        yield answer
        finally:
            await jobs.cancel()

    async def _attempts(self, call: PostCall, channel: Channel, request: Request) -> Answer:
        from jina.client.post import failed

        attempt = 1
        while True:
            try:
                answer = await channel.call(request, call.options)
            except (BadClientInput, ConfigError):
                raise
            except JinaError as error:
                answer = failed(error, call.on, request.request_id)
            if answer.error is None or not call.retries.again(attempt, answer.error):
                return answer
            await self._waits.sleep(call.retries.wait(attempt, answer.error))
            attempt += 1

    async def _stream_doc(self, request: Request, options: CallOptions, return_type: Any) -> AsyncGenerator[Any]:
        from jina.client.post import doc_type_of
        from jina.codec.codec import codec_of

        codec = codec_of(doc_type_of(return_type))
        channel = await self._connected()
        async with Held(channel.stream_doc(request, options)) as documents:
            async for document in documents:
                yield document.decode(codec)

    async def _is_ready(self, kwargs: Mapping[str, Any]) -> bool:
        try:
            channel = await self._connected()
            await channel.ready(self._options(kwargs))
        except JinaError:
            return False
        return True

    async def _profile(self, *, show_table: bool) -> dict[str, float]:
        started = time.perf_counter()
        times = _times_of(await self._visited(), (time.perf_counter() - started) * 1e3)
        if show_table:
            _print_table(times, str(self.target))
        return times

    async def _visited(self) -> list[Route]:
        """The server and the Executors behind it that an empty request visits which no handler sees."""
        from jina.codec.messages import Route

        def seconds(moment: Any) -> float:
            return float(moment.ToNanoseconds()) / 1e9

        if self.protocol != "grpc":
            channel: Any = await self._connected()
            return cast("list[Route]", await channel.visited(self._options({})))
        responses = await self._result(self._run_of({"on": _DRY_RUN, "return_responses": True}, {}))
        visited = responses[0].routes if responses else ()
        return [Route(one.executor, seconds(one.start_time), seconds(one.end_time)) for one in visited]

    async def _mutate(
        self,
        mutation: str,
        variables: dict[str, Any] | None,
        timeout: float | None,  # noqa: ASYNC109 - travels to the server
        headers: dict[str, str] | None,
    ) -> dict[str, Any]:
        from jina.client.http_messages import graphql_result

        channel = cast("HttpChannel", await self._connected())
        body = {"query": mutation, "variables": dict(variables or {})}
        status, _, answer = await channel.post_json("/graphql", body, self._options({"headers": headers}, timeout))
        return graphql_result(status, answer, self.target)


class SyncClient(BaseClient):
    """Calls a Deployment or Flow and blocks until it has answered; may be shared by threads."""

    is_async = False
    _waits = BLOCKING
    _channel: Channel | None = None

    def __init__(self, target: Target, settings: ChannelSettings, prefetch: int) -> None:
        super().__init__(target, settings, prefetch)
        self._lock = threading.Lock()

    def post(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        on: str,
        inputs: Any = None,
        on_done: Callable[[Response], Any] | None = None,
        on_error: Callable[..., Any] | None = None,
        on_always: Callable[[Response], Any] | None = None,
        parameters: Any = None,
        target_executor: str | None = None,
        request_size: int = 100,
        show_progress: bool = False,
        continue_on_error: bool = False,
        return_responses: bool = False,
        max_attempts: int = 1,
        initial_backoff: float = 0.5,
        max_backoff: float = 2,
        backoff_multiplier: float = 1.5,
        results_in_order: bool = False,
        stream: bool = True,
        prefetch: int | None = None,
        return_type: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Send documents to the endpoint `on`, give the documents that it returns.

        - `inputs`: a document, a list, tuple, `DocList` or (async) generator of documents, a function that
          returns one of these. None and an empty container make one request without documents; a generator that
          yields nothing makes none. Mappings, text and bytes become schemaless documents; to a method that takes
          plain values, `{"value": 3}` sends any other. `request_size` documents go into one request; 0 puts all
          into one. `docs` is another name of `inputs`.
        - `on_done(response)`, `on_error(response)`, `on_always(response)`: called with each `Response`; an
          `on_error` that needs a second argument gets the error too. With `on_done` or `on_always`, `post`
          returns None and holds no documents; with `on_error` it does not raise what failed, except where no
          server can be reached: `on_error` is called, and `post` raises. What a callback raises comes out as
          `BadClientCallback`; `continue_on_error` logs it, and failed requests, instead.
        - `parameters`: a mapping or a pydantic model; `name__key` reaches only the Executor `name`.
          `target_executor`: a regular expression (matched from the start) of the Executors to visit.
        - `max_attempts`: attempts for a request whose failure may pass (not reachable, overloaded, deadline).
          Seconds between: `initial_backoff`, then a random part of
          `min(initial_backoff * backoff_multiplier ** (attempt - 1), max_backoff)`; at least what the server asks for.
          Unanswered documents are held in memory when it is above 1.
          A write to a stateful Executor is applied once, however often it is sent.
        - `prefetch`: requests in flight at most (default: the client's, 1000). `results_in_order`: answers in
          the order of the inputs. `stream=False` (gRPC): one request after the other.
        - `return_type`: `DocList[T]`, or `T` for a single document; without it schemaless documents with all
          fields. `return_responses=True` gives a list of `Response`s.
        - Further arguments: `timeout` (seconds), `metadata` or `headers`, `api_key`, and on gRPC `compression`.
          `credentials` of grpcio are refused: calls are made without it. Give the client `tls`, `ssl_ca_certs` and
          its like.

        Raises the error that the server raised; see `jina.errors`.
        """
        arguments = {name: value for name, value in locals().items() if name not in {"self", "kwargs"}}
        return run(self._result(self._run_of(arguments, kwargs)))

    def index(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`post` to `/index`."""
        return self.post("/index", inputs, *args, **kwargs)

    def search(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`post` to `/search`."""
        return self.post("/search", inputs, *args, **kwargs)

    def update(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`post` to `/update`."""
        return self.post("/update", inputs, *args, **kwargs)

    def delete(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`post` to `/delete`."""
        return self.post("/delete", inputs, *args, **kwargs)

    def stream_doc(
        self,
        on: str,
        inputs: Any = None,
        parameters: Any = None,
        return_type: Any = None,
        timeout: float | None = None,
        target_executor: str | None = None,
        **kwargs: Any,
    ) -> Generator[Any, None, None]:
        """Send one document to a generator endpoint, yield the documents as they come.

        Leaving the loop closes the generator of the Executor. `timeout` is in seconds, for the whole stream on
        gRPC and between two documents elsewhere.
        """
        options = self._options(kwargs, timeout)
        request = self._stream_request(on, inputs, parameters, target_executor, options)
        yield from iterate(self._stream_doc(request, options, return_type))

    def is_flow_ready(self, **kwargs: Any) -> bool:
        """True when the server would serve a request."""
        return run(self._is_ready(kwargs))

    dry_run = is_flow_ready

    def profiling(self, show_table: bool = True) -> dict[str, float]:
        """Where the time of one empty request goes, in milliseconds; printed as a table too."""
        return run(self._profile(show_table=show_table))

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            run(channel.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _connected(self) -> Channel:
        channel = self._channel
        if channel is None:
            with self._lock:
                channel = self._channel
                if channel is None:
                    channel = self._channel = self._new_channel()
        return channel


class GRPCClient(SyncClient):
    """Over gRPC."""


class HTTPClient(SyncClient):
    """Over HTTP."""

    def mutate(
        self,
        mutation: str,
        variables: dict[str, Any] | None = None,
        timeout: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """POST a GraphQL query to `/graphql`, which Jina's servers had before version 3.12; `timeout` in seconds."""
        return run(self._mutate(mutation, variables, timeout, headers))


class WebSocketClient(SyncClient):
    """Over WebSocket."""


class AsyncClient(BaseClient):
    """Calls a Deployment or Flow from coroutines; may be shared by tasks, by event loops and by threads."""

    is_async = True
    _waits = ON_LOOP

    def __init__(self, target: Target, settings: ChannelSettings, prefetch: int) -> None:
        super().__init__(target, settings, prefetch)
        self._channels: PerLoop[Channel] = PerLoop(self._new_channel)

    def post(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        on: str,
        inputs: Any = None,
        on_done: Callable[[Response], Any] | None = None,
        on_error: Callable[..., Any] | None = None,
        on_always: Callable[[Response], Any] | None = None,
        parameters: Any = None,
        target_executor: str | None = None,
        request_size: int = 100,
        show_progress: bool = False,
        continue_on_error: bool = False,
        return_responses: bool = False,
        max_attempts: int = 1,
        initial_backoff: float = 0.5,
        max_backoff: float = 2,
        backoff_multiplier: float = 1.5,
        results_in_order: bool = False,
        stream: bool = True,
        prefetch: int | None = None,
        return_type: Any = None,
        **kwargs: Any,
    ) -> Answers:
        """Send documents to the endpoint `on`: `async for docs in client.post(...)`.

        Each turn gives the documents of one request, which are not held; `await client.post(...)` gives all at
        once. The arguments are those of `SyncClient.post`; callbacks are plain functions.
        """
        arguments = {name: value for name, value in locals().items() if name not in {"self", "kwargs"}}
        return Answers(self, self._run_of(arguments, kwargs))

    def index(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Answers:
        """`post` to `/index`."""
        return self.post("/index", inputs, *args, **kwargs)

    def search(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Answers:
        """`post` to `/search`."""
        return self.post("/search", inputs, *args, **kwargs)

    def update(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Answers:
        """`post` to `/update`."""
        return self.post("/update", inputs, *args, **kwargs)

    def delete(self, inputs: Any = None, *args: Any, **kwargs: Any) -> Answers:
        """`post` to `/delete`."""
        return self.post("/delete", inputs, *args, **kwargs)

    async def stream_doc(
        self,
        on: str,
        inputs: Any = None,
        parameters: Any = None,
        return_type: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109 - travels to the server
        target_executor: str | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[Any, None]:
        """Send one document to a generator endpoint, yield the documents as they come.

        Closing the generator closes that of the Executor. `timeout` is in seconds, for the whole stream on gRPC
        and between two documents elsewhere.
        """
        options = self._options(kwargs, timeout)
        request = self._stream_request(on, inputs, parameters, target_executor, options)
        async with Held(self._stream_doc(request, options, return_type)) as documents:
            async for document in documents:
                yield document

    async def is_flow_ready(self, **kwargs: Any) -> bool:
        """True when the server would serve a request."""
        return await self._is_ready(kwargs)

    dry_run = is_flow_ready

    async def profiling(self, show_table: bool = True) -> dict[str, float]:
        """Where the time of one empty request goes, in milliseconds; printed as a table too."""
        return await self._profile(show_table=show_table)

    async def close(self) -> None:
        """Close the connections of all loops; a later call opens new ones."""
        await self._channels.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connected(self) -> Channel:
        return await self._channels.get()


class Answers:
    """What the async `post` gives: iterate it for the documents of each request, or await it for all.

    Nothing is sent before one of the two.
    """

    def __init__(self, client: AsyncClient, run: Run) -> None:
        self._client = client
        self._run = run
        self._iterator: AsyncGenerator[Any, None] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = _results(self._client, self._run)
        return await anext(self._iterator)

    async def aclose(self) -> None:
        """Stop early: what is in flight is cancelled."""
        if self._iterator is not None:
            await self._iterator.aclose()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._all().__await__()

    async def _all(self) -> Any:
        return await self._client._result(self._run)  # noqa: SLF001 - one thing in two classes


async def _results(client: AsyncClient, run: Run) -> AsyncGenerator[Any, None]:
    # Not a method of Answers: in a reference cycle the garbage collector would end the inner generators first.
    async with Held(client._responses(run)) as responses:  # noqa: SLF001
        async for response in responses:
            yield response if run.call.return_responses else run.shaped(response.docs)


class AsyncGRPCClient(AsyncClient):
    """Over gRPC."""


class AsyncHTTPClient(AsyncClient):
    """Over HTTP."""

    async def mutate(
        self,
        mutation: str,
        variables: dict[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - travels to the server
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """POST a GraphQL query to `/graphql`, which Jina's servers had before version 3.12; `timeout` in seconds."""
        return await self._mutate(mutation, variables, timeout, headers)


class AsyncWebSocketClient(AsyncClient):
    """Over WebSocket."""


def _times_of(routes: list[Route], roundtrip: float) -> dict[str, float]:
    """Name -> milliseconds, the names as in Jina 3; `roundtrip` is in milliseconds.

    The first route is the server that was asked, the others are the Executors behind it.
    """
    times = {"Roundtrip": roundtrip}
    if not routes:
        return times
    server, *executors = routes
    total = _milliseconds(server)
    times["Client-server network"] = roundtrip - total
    times["Server"] = total
    if executors:
        each = {route.executor: _milliseconds(route) for route in executors}
        times["  Gateway-executors network"] = max(0.0, total - sum(each.values()))
        times |= {f"  {name}": value for name, value in each.items()}
    return times


def _milliseconds(route: Route) -> float:
    return 1e3 * (route.end_time - route.start_time)


def _print_table(times: dict[str, float], title: str) -> None:
    """Show the times with their shares of the roundtrip on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "ms", "%", title=title)
    for name, value in times.items():
        table.add_row(name, f"{value:.2f}", f"{value / times['Roundtrip']:.0%}")
    Console().print(table)
