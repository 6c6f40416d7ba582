"""The client for a running event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, cast

from jina.client.base import BaseClient
from jina.client.loops import Held, PerLoop
from jina.errors import BadClientInput, ConfigError, JinaError

if TYPE_CHECKING:
    from jina.client.post import PostCall, Response, Run
    from jina.codec.messages import Request, Route
    from jina.net.channel import Answer, AsyncChannel, AsyncStreamChannel, ChannelSettings, Target

PARALLEL_CALLS = 100
"""Requests in flight at most where each needs a connection of its own."""


class AsyncClient(BaseClient):
    """Calls a Deployment or Flow from coroutines; may be shared by tasks, by event loops and by threads."""

    is_async = True

    def __init__(self, target: Target, settings: ChannelSettings, prefetch: int) -> None:
        super().__init__(target, settings, prefetch)
        self._channels: PerLoop[AsyncChannel] = PerLoop(self._new_channel)

    def _new_channel(self) -> AsyncChannel:
        from jina.client.channels import open_async_channel

        return open_async_channel(self.target, self._settings)

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
        return Answers(self, arguments, kwargs)

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
        from jina.client.post import doc_type_of
        from jina.codec.codec import codec_for

        options = self._options(kwargs, timeout)
        request = self._stream_request(on, inputs, parameters, target_executor, options)
        codec = codec_for(doc_type_of(return_type))
        channel = await self._channels.get()
        async with Held(channel.stream_doc(request, options)) as documents:
            async for document in documents:
                yield document.decode(codec)

    async def is_flow_ready(self, **kwargs: Any) -> bool:
        """True when the server would serve a request."""
        try:
            channel = await self._channels.get()
            await channel.ready(self._options(kwargs))
        except JinaError:
            return False
        return True

    dry_run = is_flow_ready

    async def profiling(self, show_table: bool = True) -> dict[str, float]:
        """Where the time of one empty request goes, in milliseconds; printed as a table too."""
        from jina.client.profiling import print_table, times_of

        started = time.perf_counter()
        times = times_of(await self._visited(), (time.perf_counter() - started) * 1e3)
        if show_table:
            print_table(times, str(self.target))
        return times

    async def _visited(self) -> list[Route]:
        """The server and the Executors behind it that an empty request visits."""
        from jina.client.profiling import measure_async

        if self.protocol == "grpc":
            return await measure_async(self.post)
        channel: Any = await self._channels.get()
        return cast("list[Route]", await channel.visited(self._options({})))

    async def close(self) -> None:
        """Close the connections of all loops; a later call opens new ones."""
        await self._channels.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _responses(self, run: Run) -> AsyncGenerator[Response, None]:
        from jina.client.post import progress_of

        with closing(run), progress_of(run.call) as progress:
            async with Held(self._answers(run)) as answers:
                async for answer in answers:
                    response = run.deliver(answer)
                    progress.advance()
                    if response is not None:
                        yield response

    async def _answers(self, run: Run) -> AsyncGenerator[Answer, None]:
        """The answers in the order in which they are handed out; failures of the way come as answers too."""
        from jina.client.post import failed

        channel = await self._channels.get()
        call = run.call
        streams = not call.source.is_single_request and call.stream and hasattr(channel, "stream")
        answers = (
            self._over_stream(run, cast("AsyncStreamChannel", channel)) if streams else self._call_by_call(run, channel)
        )
        try:
            async with Held(answers) as held:
                async for answer in held:
                    yield answer
        except (BadClientInput, ConfigError):
            raise
        except JinaError as error:
            yield failed(error, call.on)

    async def _over_stream(self, run: Run, channel: AsyncStreamChannel) -> AsyncGenerator[Answer, None]:
        from jina.client.post import Repetitions

        payloads, repetitions = run.call.source.payloads_async(), Repetitions(run.call.options)
        attempt = 1
        async with payloads:
            while True:
                try:
                    requests = run.pending.attempt_async(payloads)
                    async with Held(channel.stream(requests, repetitions.options)) as answers:
                        async for arrived in answers:
                            for answer in run.arrived(arrived, attempt):
                                yield answer
                    run.check_complete()
                    return
                except JinaError as error:
                    if repetitions.may(error) and run.pending.whole:
                        await asyncio.sleep(repetitions.pause())
                        continue
                    if not run.call.retries.again(attempt, error):
                        raise
                    await asyncio.sleep(run.call.retries.wait(attempt, error))
                attempt, repetitions = attempt + 1, Repetitions(run.call.options)

    async def _call_by_call(self, run: Run, channel: AsyncChannel) -> AsyncGenerator[Answer, None]:
        call = run.call
        last = call.max_attempts  # each request has made its attempts when it is handed to `arrived`
        width = min(call.options.window, PARALLEL_CALLS) if self.protocol == "http" and call.stream else 1
        payloads = call.source.payloads_async()
        flying: set[asyncio.Task[Answer]] = set()
        try:
            async with payloads:
                async for request in run.pending.attempt_async(payloads):
                    if width == 1 or call.source.is_single_request:
                        for answer in run.arrived(await self._attempts(call, channel, request), last):
                            yield answer
                        continue
                    flying.add(asyncio.ensure_future(self._attempts(call, channel, request)))
                    landed, flying = await _wait(flying, block=len(flying) >= width)
                    for answer in _arrived(run, landed, last):
                        yield answer
            while flying:
                landed, flying = await _wait(flying, block=True)
                for answer in _arrived(run, landed, last):
                    yield answer
        finally:
            for task in flying:
                task.cancel()
            if flying:
                await asyncio.wait(flying)

    @staticmethod
    async def _attempts(call: PostCall, channel: AsyncChannel, request: Request) -> Answer:
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
            await asyncio.sleep(call.retries.wait(attempt, answer.error))
            attempt += 1


class Answers:
    """What the async `post` gives: iterate it for the documents of each request, or await it for all.

    Nothing is sent before one of the two.
    """

    def __init__(self, client: AsyncClient, arguments: dict[str, Any], kwargs: dict[str, Any]) -> None:
        from jina.client.post import Run, post_call

        self._client = client
        call = post_call(arguments, client._keyed(kwargs), client._prefetch)  # noqa: SLF001 - one thing in two classes
        self._run = Run(call, client._session_state)  # noqa: SLF001
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
        async with Held(self._client._responses(self._run)) as responses:  # noqa: SLF001
            async for response in responses:
                self._run.collect(response)
        return self._run.result()


async def _results(client: AsyncClient, run: Run) -> AsyncGenerator[Any, None]:
    # Not a method of Answers: in a reference cycle the garbage collector would end the inner generators first.
    async with Held(client._responses(run)) as responses:  # noqa: SLF001
        async for response in responses:
            yield response if run.call.return_responses else run.shaped(response.docs)


async def _wait(
    flying: set[asyncio.Task[Answer]], *, block: bool
) -> tuple[set[asyncio.Task[Answer]], set[asyncio.Task[Answer]]]:
    timeout = None if block else 0
    return await asyncio.wait(flying, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _arrived(run: Run, landed: set[asyncio.Task[Answer]], last: int) -> Generator[Answer, None, None]:
    for task in landed:
        yield from run.arrived(task.result(), last)


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
        from jina.client.graphql import body_of, result_of
        from jina.client.http import AsyncHttpChannel

        channel = cast("AsyncHttpChannel", await self._channels.get())
        options = self._options({"headers": headers}, timeout)
        status, _, body = await channel.post_json("/graphql", body_of(mutation, variables), options)
        return result_of(status, body, self.target)


class AsyncWebSocketClient(AsyncClient):
    """Over WebSocket."""
