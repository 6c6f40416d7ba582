"""Requests to what is running: `post` and its kin, blocking and as coroutines."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from jina.errors import DeadlineExceeded, JinaError

if TYPE_CHECKING:
    from jina.client.client import AsyncClient, SyncClient
    from jina.supervisor.group import ProcessGroup


_KNOWING = 0.5
"""Seconds after a broken connection in which the end of a process becomes known."""
T = TypeVar("T")


class Requests(ABC):
    """Calls of what serves, by one client that is made for the first of them."""

    _processes: list[ProcessGroup]
    """Those that serve, the first by what clients connect to; none where the service is in this very process."""
    _client: Any = None

    @abstractmethod
    def _new_client(self, *, asyncio: bool) -> Any:
        """A client; raises `UsageError` where nothing serves."""

    @abstractmethod
    def _declared(self, on: str) -> Any:
        """The documents that the endpoint gives, where its class is known here, else None."""

    @abstractmethod
    def _release_client(self) -> None:
        """Close the client, unless a loop has to."""

    async def _close_client(self) -> None:  # noqa: B027 - others have nothing that belongs to a loop
        """Close a client that belongs to the running loop."""

    @abstractmethod
    def post(self, on: str, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """Send documents to the endpoint `on`."""

    def index(self, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """`post` to `/index`."""
        return self.post("/index", inputs, *args, **arguments)

    def search(self, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """`post` to `/search`."""
        return self.post("/search", inputs, *args, **arguments)

    def update(self, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """`post` to `/update`."""
        return self.post("/update", inputs, *args, **arguments)

    def delete(self, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """`post` to `/delete`."""
        return self.post("/delete", inputs, *args, **arguments)

    @property
    def is_ready(self) -> bool:
        """Whether every process serves requests now."""
        return bool(self._processes) and self._processes[0].alive

    def _up(self) -> None:
        """Raise when what clients connect to has died."""
        if self._processes and (down := self._processes[0].down()):
            raise down

    def _explained(self, error: ConnectionError) -> BaseException:
        """The error to raise for a broken connection: the process that died, where one did; may take `_KNOWING`."""
        if isinstance(error, DeadlineExceeded) or not self._processes:
            return error
        running = self._processes[0]
        if isinstance(error, JinaError) and error.deployment:
            # The gateway has answered, so it is one of the workers.
            if workers_down := running.workers_down(error.deployment, wait=_KNOWING):
                error.reword("; ".join([error.message, *(down.message for down in workers_down)]))
                error.help = workers_down[0].help
            return error
        if (down := running.down(wait=_KNOWING)) is None:
            return error
        down.__cause__ = error
        return down


class RequestMethods(Requests):
    """Blocking calls."""

    @property
    def client(self) -> SyncClient:
        """A client of the first protocol and port."""
        if self._client is None:
            self._client = self._new_client(asyncio=False)
        client: SyncClient = self._client
        return client

    def post(self, on: str, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """Send documents to the endpoint `on` and return the documents that come back.

        See `jina.client.client.SyncClient.post` for the arguments. Without `return_type` the documents come
        as the endpoint declares them, where its class is known here, else schemaless.
        """
        arguments.setdefault("_default_type", self._declared(on))
        return self._calling(lambda: self.client.post(on, inputs, *args, **arguments))

    async def stream_doc(self, on: str, inputs: Any, **arguments: Any) -> AsyncIterator[Any]:
        """The documents that a generator endpoint yields for one document, as they come."""
        arguments.setdefault("return_type", self._declared(on))
        async with self._new_client(asyncio=True) as client:
            async for doc in client.stream_doc(on, inputs, **arguments):
                yield doc

    def is_flow_ready(self, **arguments: Any) -> bool:
        """Whether a request would be served: every Executor answers."""
        return self.is_ready and self.client.is_flow_ready(**arguments)

    dry_run = is_flow_ready

    def profiling(self, show_table: bool = True) -> dict[str, float]:
        """Where the time of one empty request goes, in milliseconds; printed as a table too."""
        return self._calling(lambda: self.client.profiling(show_table))

    def _calling(self, call: Callable[[], T]) -> T:
        """The result of a call; a process that died is named instead of the connection that broke."""
        self._up()
        try:
            return call()
        except ConnectionError as error:
            failure = self._explained(error)
            if failure is error:
                raise
            raise failure from error

    def _release_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class AsyncRequestMethods(Requests):
    """Calls in a running loop: `async for docs in flow.post(...)`, or `await flow.post(...)` for all at once."""

    @property
    def client(self) -> AsyncClient:
        """An asynchronous client of the first protocol and port."""
        if self._client is None:
            self._client = self._new_client(asyncio=True)
        client: AsyncClient = self._client
        return client

    def post(self, on: str, inputs: Any = None, *args: Any, **arguments: Any) -> Answered:
        """Send documents to the endpoint `on`; see `jina.client.client.AsyncClient.post`."""
        arguments.setdefault("_default_type", self._declared(on))
        self._up()
        return Answered(self.client.post(on, inputs, *args, **arguments), self._explained)

    async def stream_doc(self, on: str, inputs: Any, **arguments: Any) -> AsyncIterator[Any]:
        """The documents that a generator endpoint yields for one document, as they come."""
        arguments.setdefault("return_type", self._declared(on))
        async for doc in self.client.stream_doc(on, inputs, **arguments):
            yield doc

    async def is_flow_ready(self, **arguments: Any) -> bool:
        """Whether a request would be served: every Executor answers."""
        return self.is_ready and await self.client.is_flow_ready(**arguments)

    dry_run = is_flow_ready

    async def profiling(self, show_table: bool = True) -> dict[str, float]:
        """Where the time of one empty request goes, in milliseconds; printed as a table too."""
        return await self.client.profiling(show_table)

    def _release_client(self) -> None:
        self._client = None  # its connections end with their loop, or with `_close_client`

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


class Answered:
    """Iterate it for the documents of each request, or await it for all; nothing is sent before one of the two."""

    def __init__(self, answers: Any, explained: Callable[[ConnectionError], BaseException]) -> None:
        self._answers = answers
        self._explained = explained

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._answers)
        except ConnectionError as error:
            raise await asyncio.to_thread(self._explained, error) from error.__cause__

    async def aclose(self) -> None:
        """Stop early: what is in flight is cancelled."""
        await self._answers.aclose()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._all().__await__()

    async def _all(self) -> Any:
        try:
            return await self._answers
        except ConnectionError as error:
            raise await asyncio.to_thread(self._explained, error) from error.__cause__
