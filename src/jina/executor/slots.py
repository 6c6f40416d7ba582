"""What a `@continuous_batching` method sees of the streams that run: one slot for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")


class Slot(Generic[Input, Output]):
    """One running stream, handed to each step from its admission until it leaves.

    In a test it is made by hand: `Slot(doc)`, then `MyExecutor().step([slot])`, then look at `slot.outputs`.
    """

    __slots__ = (
        "_callbacks",
        "cancelled",
        "doc",
        "error",
        "finished",
        "headers",
        "index",
        "outputs",
        "parameters",
        "request_id",
        "state",
    )

    def __init__(
        self,
        doc: Input,
        *,
        index: int = 0,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> None:
        self.doc = doc
        """The document that the stream answers."""
        self.index = index
        """Its place, from 0 to the number of slots less 1: such as its row in a cache. Others have it afterwards."""
        self.parameters: Mapping[str, Any] = {} if parameters is None else parameters
        """Those of the request."""
        self.headers: Mapping[str, str] = {} if headers is None else headers
        """HTTP headers or gRPC metadata of the request, in lower case."""
        self.request_id = request_id
        self.state: Any = None
        """The method's own: None in the first step of a stream, and then what the method has put there."""
        self.outputs: list[Output] = []
        """What was emitted in this step; sent when the step returns."""
        self.finished = False
        """Whether `finish` or `fail` was called."""
        self.error: BaseException | None = None
        """What `fail` was called with."""
        self.cancelled = False
        """Whether nobody waits for the stream any more. It is in no later step; a long step may look at it."""
        self._callbacks: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def emit(self, output: Output) -> None:
        """Send an output; it goes on its way when the step returns."""
        self.outputs.append(output)

    def finish(self) -> None:
        """The stream is complete: with this step it leaves its slot."""
        self.finished = True

    def fail(self, error: BaseException) -> None:
        """End this stream alone with an error, after what it has emitted."""
        self.finished = True
        self.error = error

    def on_leave(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call the function once when the stream has left its slot, however it ended, before another one has it.

        It runs where the steps run, and never during one. Of several the last runs first.
        """
        self._callbacks.append((callback, arguments))

    def leave(self) -> list[BaseException]:
        """Call what `on_leave` was given; gives what of it was raised."""
        raised: list[BaseException] = []
        while self._callbacks:
            callback, arguments = self._callbacks.pop()
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001 - the next callback frees something else
                raised.append(error)
        return raised

    def __repr__(self) -> str:
        ended = " cancelled" if self.cancelled else " finished" if self.finished else ""
        return f"<Slot {self.index}{ended} {self.doc!r}>"
