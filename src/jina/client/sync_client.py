"""The client for blocking code."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, cast

from jina.client.base import BaseClient
from jina.errors import BadClientInput, ConfigError, JinaError

if TYPE_CHECKING:
    from jina.client.post import PostCall, Response, Run
    from jina.codec.messages import Request, Route
    from jina.net.channel import Answer, SyncChannel, SyncStreamChannel

PARALLEL_CALLS = 32
"""Requests in flight at most where each needs a thread and a connection of its own."""


class SyncClient(BaseClient):
    """Calls a Deployment or Flow and blocks until it has answered; may be shared by threads."""

    is_async = False
    _channel: SyncChannel | None = None

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
          yields nothing makes none. Mappings, text and bytes become schemaless documents. `request_size` documents
          go into one request; 0 puts all into one. `docs` is another name of `inputs`.
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
        - Further arguments: `timeout` (seconds), `metadata` or `headers`, `api_key`, and on gRPC `compression` and
          `credentials`.

        Raises the error that the server raised; see `jina.errors`.
        """
        arguments = {name: value for name, value in locals().items() if name not in {"self", "kwargs"}}
        return self._post(arguments, kwargs)

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
        from jina.client.post import doc_type_of
        from jina.codec.codec import codec_for

        options = self._options(kwargs, timeout)
        request = self._stream_request(on, inputs, parameters, target_executor, options)
        codec = codec_for(doc_type_of(return_type))
        for document in self._open_channel().stream_doc(request, options):
            yield document.decode(codec)

    def is_flow_ready(self, **kwargs: Any) -> bool:
        """True when the server would serve a request."""
        try:
            self._open_channel().ready(self._options(kwargs))
        except JinaError:
            return False
        return True

    dry_run = is_flow_ready

    def profiling(self, show_table: bool = True) -> dict[str, float]:
        """Where the time of one empty request goes, in milliseconds; printed as a table too."""
        from jina.client.profiling import print_table, times_of

        started = time.perf_counter()
        times = times_of(self._visited(), (time.perf_counter() - started) * 1e3)
        if show_table:
            print_table(times, str(self.target))
        return times

    def _visited(self) -> list[Route]:
        """The server and the Executors behind it that an empty request visits."""
        from jina.client.profiling import measure

        if self.protocol == "grpc":
            return measure(self.post)
        channel: Any = self._open_channel()
        return cast("list[Route]", channel.visited(self._options({})))

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_channel(self) -> SyncChannel:
        channel = self._channel
        if channel is None:
            from jina.client.channels import open_sync_channel

            with self._lock:
                channel = self._channel
                if channel is None:
                    channel = self._channel = open_sync_channel(self.target, self._settings)
        return channel

    def _post(self, arguments: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        from jina.client.post import Run, post_call, progress_of

        run = Run(post_call(arguments, self._keyed(kwargs), self._prefetch), self._session_state)
        with closing(run), progress_of(run.call) as progress, closing(self._answers(run)) as answers:
            for answer in answers:
                response = run.deliver(answer)
                progress.advance()
                if response is not None:
                    run.collect(response)
        return run.result()

    def _answers(self, run: Run) -> Generator[Answer, None, None]:
        """The answers in the order in which they are handed out; failures of the way come as answers too."""
        from jina.client.post import failed

        channel = self._open_channel()
        call = run.call
        try:
            if not call.source.is_single_request and call.stream and hasattr(channel, "stream"):
                yield from self._over_stream(run, cast("SyncStreamChannel", channel))
            else:
                yield from self._call_by_call(run, channel)
        except (BadClientInput, ConfigError):
            raise
        except JinaError as error:
            yield failed(error, call.on)

    def _over_stream(self, run: Run, channel: SyncStreamChannel) -> Iterator[Answer]:
        from jina.client.post import Repetitions

        payloads, repetitions = run.call.source.payloads(), Repetitions(run.call.options)
        attempt = 1
        while True:
            try:
                requests = run.pending.attempt(payloads)
                for answer in channel.stream(requests, repetitions.options):
                    yield from run.arrived(answer, attempt)
                run.check_complete()
                return
            except JinaError as error:
                if repetitions.may(error) and run.pending.whole:
                    time.sleep(repetitions.pause())
                    continue
                if not run.call.retries.again(attempt, error):
                    raise
                time.sleep(run.call.retries.wait(attempt, error))
            attempt, repetitions = attempt + 1, Repetitions(run.call.options)

    def _call_by_call(self, run: Run, channel: SyncChannel) -> Iterator[Answer]:
        call = run.call
        last = call.max_attempts  # each request has made its attempts when it is handed to `arrived`
        requests = run.pending.attempt(call.source.payloads())
        if call.source.is_single_request or self.protocol != "http" or not call.stream:
            for request in requests:
                yield from run.arrived(self._attempts(call, channel, request), last)
            return
        width = min(call.options.window, PARALLEL_CALLS)
        pool = ThreadPoolExecutor(width, "jina-client")
        flying: set[Future[Answer]] = set()
        try:
            for request in requests:
                flying.add(pool.submit(self._attempts, call, channel, request))
                landed, flying = wait(flying, None if len(flying) >= width else 0, FIRST_COMPLETED)
                for future in landed:
                    yield from run.arrived(future.result(), last)
            while flying:
                landed, flying = wait(flying, None, FIRST_COMPLETED)
                for future in landed:
                    yield from run.arrived(future.result(), last)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _attempts(call: PostCall, channel: SyncChannel, request: Request) -> Answer:
        from jina.client.post import failed

        attempt = 1
        while True:
            try:
                answer = channel.call(request, call.options)
            except (BadClientInput, ConfigError):
                raise
            except JinaError as error:
                answer = failed(error, call.on, request.request_id)
            if answer.error is None or not call.retries.again(attempt, answer.error):
                return answer
            time.sleep(call.retries.wait(attempt, answer.error))
            attempt += 1


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
        from jina.client.graphql import body_of, result_of
        from jina.client.http import HttpChannel

        channel = cast("HttpChannel", self._open_channel())
        options = self._options({"headers": headers}, timeout)
        status, _, body = channel.post_json("/graphql", body_of(mutation, variables), options)
        return result_of(status, body, self.target)


class WebSocketClient(SyncClient):
    """Over WebSocket."""
