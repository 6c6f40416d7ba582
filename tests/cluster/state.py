"""The state whose histories are checked, for as many writes as one likes: no write takes longer than the first."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.nemesis.state import NemesisState


class Registers(dict[str, Any]):
    """With a hash of all of them that is kept with each change."""

    def __init__(self, items: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.sum = 0
        for key, value in (items or {}).items():
            self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.sum ^= _hash(key, self[key])
        self.sum ^= _hash(key, value)
        super().__setitem__(key, value)


def _hash(key: str, value: Any) -> int:
    return int.from_bytes(hashlib.blake2b(json.dumps([key, value]).encode(), digest_size=8).digest(), "big")


class LongState(NemesisState):
    """That of `tests.nemesis`, whose hash is one of all registers each time, and there are new ones every second."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.registers = Registers()

    def restore(self, snapshot_dir: str) -> None:
        super().restore(snapshot_dir)
        self.registers = Registers(self.registers)

    def state_hash(self) -> str:
        return f"{self.chain} {self.registers.sum}"
