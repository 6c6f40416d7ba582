"""How a running worker or gateway is, for whoever supervises it."""

from __future__ import annotations

from collections.abc import Callable


class Vitals:
    """Numbers by name; `source` gives them once there is a service, and may be called by any thread.

    `in_flight` requests are in work, `queued` of them wait for a thread, `done` grows whenever one gets on; `beats` of
    a gateway grows from one question to the next while its loop goes on. `silent_ms` is for how long one of its event
    loops has not turned.
    """

    def __init__(self) -> None:
        self.source: Callable[[], dict[str, int]] | None = None

    def read(self) -> dict[str, int]:
        """The numbers now; empty before there is a service."""
        return {} if self.source is None else self.source()
