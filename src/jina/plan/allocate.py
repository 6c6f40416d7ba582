"""What a plan needs from the machine, as a protocol: plans themselves decide nothing by chance."""

from __future__ import annotations

from typing import Protocol


class PortAllocator(Protocol):
    """Reserves free ports."""

    def port(self) -> int:
        """A port that is free and stays reserved for the plan's processes (1 to 65535)."""
        ...
