"""What `post` accepts as documents, turned into payloads of at most `request_size` documents."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Self

from docarray import BaseDoc, DocVec

from jina.client.loops import Held
from jina.documents import Document
from jina.errors import BadClientInput
from jina.wire import pb
from jina.wire.codec import codec_for
from jina.wire.messages import Payload
from jina.wire.payloads import DocsPayload

ACCEPTED = "a document, a list, tuple, DocList or generator of documents, a function that returns one of these, or None"


class Inputs:
    """The `inputs` of one call.

    `total` is the number of documents where it is known before they are read, else None. None and an empty
    container (list, tuple, `DocList`) make one request without documents, which may have parameters, as in Jina 3; a
    generator that yields nothing makes no request.
    """

    def __init__(self, inputs: Any, request_size: int) -> None:
        if callable(inputs) and not isinstance(inputs, BaseDoc | type):
            inputs = inputs()
        self._source = _iterable(inputs)
        self._size = request_size if request_size > 0 else None
        self.total = len(self._source) if isinstance(self._source, Sized) else None
        self._empty = self.total == 0

    @property
    def requests(self) -> int | None:
        """The number of requests where it is known before the documents are read."""
        if self.total is None:
            return None
        return max(1, -(-self.total // (self._size or max(self.total, 1))))

    @property
    def is_async(self) -> bool:
        """True for an async generator."""
        return isinstance(self._source, AsyncIterable)

    @property
    def is_single_request(self) -> bool:
        """True when all is known to fit one request."""
        return self.requests == 1

    def payloads(self) -> Iterator[Payload]:
        """A payload per request; an async generator runs on a loop and thread of its own meanwhile."""
        if self._empty:
            yield payload_of([])
            return
        items = _from_async(self._source) if self.is_async else self._source
        documents = (as_document(item, index) for index, item in enumerate(items))
        while batch := list(islice(documents, self._size)):
            yield payload_of(batch)

    def payloads_async(self) -> AsyncPayloads:
        """A payload per request, read one by one."""
        return AsyncPayloads(Held(self._batches_async())) if self.is_async else AsyncPayloads(self.payloads())

    async def _batches_async(self) -> AsyncGenerator[list[BaseDoc], None]:
        batch: list[BaseDoc] = []
        index = 0
        async for item in self._source:
            batch.append(as_document(item, index))
            index += 1
            if len(batch) == self._size:
                yield batch
                batch = []
        if batch:
            yield batch


class AsyncPayloads:
    """Payloads for coroutines. A `next` that is cancelled loses nothing: the following one gives what it awaited."""

    def __init__(self, source: Iterator[Payload] | Held[list[BaseDoc]]) -> None:
        self._source = source
        self._reading: asyncio.Future[list[BaseDoc] | None] | None = None

    async def next(self) -> Payload | None:
        """The next payload, or None after the last."""
        if isinstance(self._source, Iterator):
            return next(self._source, None)
        if self._reading is None:
            self._reading = asyncio.ensure_future(_following(self._source))
        batch = await asyncio.shield(self._reading)
        self._reading = None
        return None if batch is None else payload_of(batch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if isinstance(self._source, Held):
            await self._source.aclose()


async def _following(batches: Held[list[BaseDoc]]) -> list[BaseDoc] | None:
    return await anext(batches, None)


def _iterable(inputs: Any) -> Any:
    if inputs is None:
        return ()
    if isinstance(inputs, BaseDoc | Mapping | str | bytes):
        return [inputs]
    if isinstance(inputs, DocVec):
        return list(inputs)
    if isinstance(inputs, Iterable | AsyncIterable):
        return inputs
    raise BadClientInput(f"inputs: {_shown(inputs)} is not {ACCEPTED}")


def _from_async(source: AsyncIterable[Any]) -> Iterator[Any]:
    iterator = aiter(source)
    end = object()

    async def following() -> Any:
        return await anext(iterator, end)

    runner = asyncio.Runner()
    with ThreadPoolExecutor(1, "jina-inputs") as thread:
        try:
            while (item := thread.submit(lambda: runner.run(following())).result()) is not end:
                yield item
        finally:
            thread.submit(runner.close).result()


def as_document(item: Any, index: int) -> BaseDoc:
    """One element of the inputs as a document.

    Mappings, text and bytes become schemaless documents: their fields, `text` and `blob`.
    """
    if isinstance(item, BaseDoc):
        return item
    try:
        if isinstance(item, Mapping):
            return Document(**item)
        if isinstance(item, str):
            return Document(text=item)
        if isinstance(item, bytes):
            return Document(blob=item)
    except (ValueError, TypeError) as error:
        raise BadClientInput(f"inputs: element {index}, {_shown(item)}, makes no document: {error}") from error
    hint = "call the generator function without `await`" if inspect.isawaitable(item) else ""
    raise BadClientInput(f"inputs: element {index} is {_shown(item)}, not a document", help=hint)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def payload_of(documents: list[BaseDoc]) -> Payload:
    """The documents, not yet encoded; each class has its own codec."""
    kinds = set(map(type, documents)) or {Document}
    if len(kinds) == 1:
        return DocsPayload(documents, codec_for(kinds.pop()))
    return _MixedPayload(documents)


class _MixedPayload:
    """Documents of several classes."""

    def __init__(self, documents: list[BaseDoc]) -> None:
        self._documents = documents

    def __len__(self) -> int:
        return len(self._documents)

    def decode(self, codec: Any) -> Any:
        documents = pb.DocListProto()
        self.write_proto(documents)
        return codec.decode(documents)

    def write_proto(self, into: Any) -> None:
        for document in self._documents:
            codec_for(type(document)).encode_doc(document, into.docs.add())

    def to_bytes(self) -> bytes:
        documents = pb.DocListProto()
        self.write_proto(documents)
        return bytes(documents.SerializeToString())

    def to_json(self) -> bytes:
        return b"[" + b",".join(self.json_items()) + b"]"

    def json_items(self) -> list[bytes]:
        return [codec_for(type(document)).encode_json_doc(document) for document in self._documents]
