"""Reads a model file of llama.cpp (GGUF, version 3) into arrays: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_BLOCK = 32
"""Numbers that share a scale."""
_BYTES = {_Q4_1: 20, _Q8_0: 34}
"""Bytes of a block."""


class Gguf:
    """`metadata` by key, and `tensor(name)` in float32."""

    def __init__(self, path: Path) -> None:
        self._data = np.memmap(path, dtype=np.uint8, mode="r")
        self._buffer = memoryview(self._data)
        self._at = 0
        magic, version, tensors, pairs = self._unpack("4sIQQ")
        if (magic, version) != (b"GGUF", 3):
            raise ValueError(f"{path} is no GGUF file of version 3")
        self.metadata: dict[str, Any] = {self._text(): self._value(self._unpack("I")[0]) for _ in range(pairs)}
        self._tensors = dict(self._tensor_head() for _ in range(tensors))
        alignment = self.metadata.get("general.alignment", 32)
        self._start = -(-self._at // alignment) * alignment

    def tensor(self, name: str) -> np.ndarray:
        """A tensor; its rows are what numpy calls the first axis."""
        shape, kind, offset = self._tensors[name]
        count = int(np.prod(shape))
        if kind == _F32:
            return self._bytes(offset, 4 * count).view(np.float32).reshape(shape)
        if kind not in _BYTES:
            raise ValueError(f"{name} is quantised in a way that this reader does not know: {kind}")
        blocks = self._bytes(offset, count // _BLOCK * _BYTES[kind]).reshape(-1, _BYTES[kind])
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        if kind == _Q8_0:
            return (scale * blocks[:, 2:].view(np.int8)).reshape(shape)
        least = blocks[:, 2:4].copy().view(np.float16).astype(np.float32)
        halves = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
        return (scale * halves + least).reshape(shape)

    def _bytes(self, offset: int, count: int) -> np.ndarray:
        return np.array(self._data[self._start + offset : self._start + offset + count])

    def _tensor_head(self) -> tuple[str, tuple[tuple[int, ...], int, int]]:
        name = self._text()
        (axes,) = self._unpack("I")
        shape = self._unpack(f"{axes}Q")
        kind, offset = self._unpack("IQ")
        return name, (shape[::-1], kind, offset)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            of, count = self._unpack("IQ")
            return [self._value(of) for _ in range(count)] if of in {_STRING, _ARRAY} else self._numbers(of, count)
        return self._unpack(_SCALARS[kind])[0]

    def _numbers(self, kind: int, count: int) -> list[Any]:
        return list(self._unpack(f"{count}{_SCALARS[kind]}"))

    def _text(self) -> str:
        (size,) = self._unpack("Q")
        start, self._at = self._at, self._at + size
        return str(self._buffer[start : self._at], "utf-8")

    def _unpack(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self._buffer, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values
