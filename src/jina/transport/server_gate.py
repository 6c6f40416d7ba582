"""Readiness as the faces show it."""

from __future__ import annotations

from jina.transport.service import Service


class Gate:
    """The readiness of a service, which turns false for good once its server begins to stop.

    One object is shared by all faces of a server, so that probes on any protocol agree.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.draining = False

    @property
    def ready(self) -> bool:
        """True while new requests are welcome."""
        return self.service.ready and not self.draining
