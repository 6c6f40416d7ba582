"""Requests and replies as the rooms hand them to each other: a header, parameters and a payload.

Listeners (gRPC, HTTP, WebSocket) make a `Request` of what they receive and send a `Reply`. A worker decodes
the payload once, into the endpoint's own class; a gateway forwards it undecoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from jina.codec import pb

CONSISTENCY = "jina-consistency"
"""Header by which a request asks for another consistency than the Deployment's that answers it."""
CONSISTENCIES = ("eventual", "session", "linearizable")
"""What it may say; the same as the option `consistency`."""


class DocumentCodec(Protocol):
    """What payloads need of `codec.Codec`, the codec of one document class."""

    list_type: Any
    """`DocList` of the class."""
    reads_text: bool
    """Whether it reads JSON from its text, by `decode_text`, rather than from parsed objects."""
    read_doc: Callable[[Any], Any]
    """Read one `docarray.DocProto`; raises `compiler.Mismatch` and `compiler.Invalid`."""

    def decode(self, message: pb.DocListProto) -> Any:
        """The documents of a message as a `DocList` of the class."""
        ...

    def from_bytes(self, data: bytes | memoryview) -> Any:
        """The documents of a serialised `docarray.DocListProto`."""
        ...

    def decode_json(self, items: Sequence[Any], location: tuple[str | int, ...] = (), *, indexed: bool = True) -> Any:
        """Documents from parsed JSON objects."""
        ...

    def encode(self, docs: Iterable[Any], into: pb.DocListProto) -> None:
        """Append documents to a message."""
        ...

    def to_bytes(self, docs: Any) -> bytes:
        """The documents of a list as one serialised `docarray.DocListProto`."""
        ...

    def encode_json(self, docs: Iterable[Any]) -> bytes:
        """Documents as one JSON array."""
        ...

    def encode_json_doc(self, doc: Any) -> bytes:
        """One document as a JSON object."""
        ...


class Payload(Protocol):
    """Documents in whatever form they are held; converted only when another form is asked for."""

    def __len__(self) -> int:
        """Number of documents."""
        ...

    def decode(self, codec: DocumentCodec) -> Any:
        """The documents as a `DocList` of the codec's class.

        Raises `ValidationFailed` when they do not fit the class and `BadRequest` when they are garbled.
        """
        ...

    def write_proto(self, into: Any) -> None:
        """Append the documents to a `docarray.DocListProto` message."""
        ...

    def to_bytes(self) -> bytes:
        """The documents as one serialised `docarray.DocListProto`."""
        ...

    def to_json(self) -> bytes:
        """The documents as one JSON array."""
        ...

    def json_items(self) -> list[bytes]:
        """Each document as JSON of its own."""
        ...

    def to_buffer(self) -> bytes | memoryview:
        """As `to_bytes`, perhaps as a view, for processes of this machine: large files stand in it by name alone."""
        ...

    @property
    def uploads(self) -> Sequence[str]:
        """The names of those files (`jina.documents.uploads`), once `to_buffer` was called."""
        ...

    def objects(self) -> Iterable[Any] | None:
        """The documents as the objects that an Executor of this process gave; None where they came as bytes."""
        ...

    def count_sent(self, size: int) -> None:
        """Note how many bytes the answer has that was made of `objects`."""
        ...


class HeldPayload:
    """What a `Payload` answers that names no files and has no objects."""

    __slots__ = ()
    uploads: Sequence[str] = ()

    def to_bytes(self) -> bytes:
        """See `Payload`."""
        raise NotImplementedError

    def to_buffer(self) -> bytes | memoryview:
        """See `Payload`."""
        return self.to_bytes()

    def objects(self) -> Iterable[Any] | None:
        """See `Payload`."""
        return None

    def count_sent(self, size: int) -> None:
        """See `Payload`: what came as bytes was counted where it was made."""


class Request(msgspec.Struct):
    """One request for one endpoint.

    `deadline` is in `time.monotonic()` seconds. `headers` are HTTP headers or gRPC metadata, names in lower
    case. `parameters` keep their Python types.
    """

    endpoint: str
    payload: Payload
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    request_id: str = ""
    target_executor: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    deadline: float | None = None
    json_reply: bool = False
    """Whether the reply will be asked for as JSON, so that it can be encoded ahead."""
    branches: list[tuple[str, Payload]] | None = None
    """At a join that does not merge: the documents of each branch under the name of its last Executor, in the order
    of `needs`. `payload` then holds those of the first."""
    began: Callable[[], object] | None = None
    """Called where and when the work on it begins, just before the handler; set by the listener or link."""
    handed_over: list[str] | None = None
    """Where large files of replies may be handed over by name (`jina.documents.uploads`): the names so far, which are
    removed when the request is answered."""
    clock_and_seed: tuple[float, int] | None = None
    """The time and the seed that handlers are given, of a write that several replicas apply."""
    bare: Literal["", "one", "many"] = ""
    """Whether one input or a list of them came as the body of an HTTP request, without an envelope; else empty."""
    takes_objects: bool = False
    """Whether `Payload.objects` of the reply are used where there are any, so that nothing is encoded ahead."""


class Route(msgspec.Struct):
    """One Executor that a request visited; times are seconds since the epoch."""

    executor: str
    start_time: float
    end_time: float


class Reply(msgspec.Struct):
    """The answer to a request; failures are raised, not returned.

    In a stream each reply holds the documents that are ready now (one or more), in order; a listener sends each
    document as a message of its own. `headers`, where there are any, stand beside it as those of a request do.
    """

    payload: Payload
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    routes: list[Route] = msgspec.field(default_factory=list)
    headers: dict[str, str] | None = None
