"""The GPUs of this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property

from jina.plan.gpus import VARIABLE

_LINE = re.compile(r"GPU (\d+): .*\(UUID: (\S+)\)")
_PATIENCE = 30.0
"""Seconds that `nvidia-smi` may take, which it does where the driver is not loaded yet."""


class MachineGpus:
    """What `nvidia-smi -L` lists, or Jina 3's variable CUDA_TOTAL_DEVICES counts, asked once and only when needed.

    CUDA_VISIBLE_DEVICES of this program bounds what its workers get, unless it asks for turns (`RR`).
    """

    @property
    def variable(self) -> str:
        """CUDA_VISIBLE_DEVICES of this program."""
        return os.environ.get(VARIABLE, "")

    def gpus(self) -> Sequence[Mapping[str, str]]:
        """`index` and `uuid` of each GPU that this program may use."""
        visible = os.environ.get(VARIABLE)
        if visible is None or visible.startswith("RR"):
            return self._all
        return visible_of(self._all, visible)

    @cached_property
    def _all(self) -> Sequence[Mapping[str, str]]:
        if (total := os.environ.get("CUDA_TOTAL_DEVICES", "")).isdigit():
            return [{"index": str(index), "uuid": ""} for index in range(int(total))]
        try:
            listed = subprocess.run(
                ["nvidia-smi", "-L"],  # noqa: S607 - where the driver has put it
                capture_output=True, text=True, timeout=_PATIENCE, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ()
        return listed_in(listed.stdout)


def listed_in(text: str) -> list[Mapping[str, str]]:
    """The GPUs in the output of `nvidia-smi -L`."""
    return [{"index": index, "uuid": uuid} for index, uuid in _LINE.findall(text)]


def visible_of(gpus: Sequence[Mapping[str, str]], visible: str) -> list[Mapping[str, str]]:
    """Those that CUDA_VISIBLE_DEVICES names, in its order; as CUDA does, up to the first that is not there."""
    found: list[Mapping[str, str]] = []
    for name in filter(None, map(str.strip, visible.split(","))):
        gpu = next(
            (one for one in gpus if name == one["index"] or (one["uuid"] and one["uuid"].startswith(name))), None
        )
        if gpu is None:
            if name.startswith("MIG-"):
                gpu = {"index": name, "uuid": name}
            else:
                break
        found.append(gpu)
    return found
