"""Which GPUs each worker sees: what the options wish, dealt out from those that the machine has (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Protocol

from jina.errors import ConfigError

if TYPE_CHECKING:
    from jina.config.models import DeploymentSpec

VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
ORDER: Final = "CUDA_DEVICE_ORDER"
_BY_BUS: Final = {ORDER: "PCI_BUS_ID"}
"""Numbers then mean what `nvidia-smi` says; CUDA's own order begins with the fastest."""
_TURNS: Final = "RR"
_SLICE: Final = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d*))?")


class GpuInventory(Protocol):
    """The GPUs of a machine."""

    @property
    def variable(self) -> str:
        """What CUDA_VISIBLE_DEVICES of this program says; empty where it is not set."""
        ...

    def gpus(self) -> Sequence[Mapping[str, str]]:
        """`index` and `uuid` of each GPU that this program may use; the uuid is empty where it is not known."""
        ...


class NoGpus:
    """The inventory of a machine without any."""

    variable = ""

    def gpus(self) -> Sequence[Mapping[str, str]]:
        """None."""
        return ()


class Placement:
    """Deals out the GPUs of one machine to the Deployments of one plan, one Deployment after the other.

    What is asked for by number or by fraction is given once only; lists, `all` and Jina 3's `RR` say themselves which
    GPUs are meant, and may be given to several Deployments.
    """

    def __init__(self, inventory: GpuInventory) -> None:
        self._inventory = inventory
        self._loads: dict[str, Fraction] = {}

    def environments(self, spec: DeploymentSpec, workers: int, place: str) -> list[dict[str, str]]:
        """Variables for each of the workers that hold the Deployment's Executor; `place` names it in errors.

        Raises `ConfigError` where the machine has not what is asked for.
        """
        wanted = (spec.env or {}).get(VARIABLE, self._inventory.variable)
        if spec.gpus is None and wanted.startswith(_TURNS):
            dealt = self._in_turn(wanted.removeprefix(_TURNS), place)
            return [{VARIABLE: dealt[number % len(dealt)]} for number in range(workers)]
        if spec.gpus is None:
            return [{} for _ in range(workers)]
        given: Any = spec.gpus
        order = {} if self._inventory.variable or ORDER in (spec.env or {}) else _BY_BUS
        return [{**order, VARIABLE: ",".join(gpus)} for gpus in self._wanted(given, workers, f"{place}: gpus")]

    def of_containers(self, spec: DeploymentSpec, workers: int, place: str) -> list[str]:
        """For each of the workers what its container gets: `all`, a number of GPUs, `device=0,1`, or nothing.

        A machine without GPUs may have the engine of another one, which then deals out what is asked for by number.
        """
        given: Any = spec.gpus
        if given is None or given == 0:
            return [""] * workers
        if given == "all":
            return ["all"] * workers
        if not self._inventory.gpus():
            if isinstance(given, list):
                return [f"device={','.join(names)}" for names in _shared_out(given, workers, f"{place}: gpus")]
            if isinstance(given, int):
                return [str(given)] * workers
        return [f"device={one[VARIABLE]}" for one in self.environments(spec, workers, place)]

    def _wanted(self, wanted: Any, workers: int, place: str) -> Sequence[Sequence[str]]:
        if wanted == 0:
            return [()] * workers
        found = self._inventory.gpus()
        if wanted == "all":  # of none, too: so programs run where they are written as where they are served
            return [_names(found)] * workers
        if not found:
            raise ConfigError(f"{place}: no GPU was found on this machine", help="`nvidia-smi -L` lists them")
        if isinstance(wanted, list):
            return _shared_out([_known(name, found, place) for name in wanted], workers, place)
        return [self._taken(Fraction(str(wanted)), _names(found), place) for _ in range(workers)]

    def _taken(self, amount: Fraction, names: Sequence[str], place: str) -> Sequence[str]:
        """The GPUs of one worker: so many whole ones, or the least used one that has room."""
        count, part = (int(amount), Fraction(1)) if amount >= 1 else (1, amount)
        free = [name for name in names if self._loads.get(name, Fraction(0)) + part <= 1]
        if len(free) < count:
            used = ", ".join(f"{name} is used to {float(load):.0%}" for name, load in sorted(self._loads.items()))
            raise ConfigError(
                f"{place}: a worker needs {float(amount):g} GPU(s), but only {len(free)} of {len(names)} can be given"
                + (f" ({used})" if used else ""),
                help="a fraction, such as gpus=0.5, lets workers share a GPU; a list names GPUs that they share",
            )
        chosen = sorted(free, key=lambda name: self._loads.get(name, Fraction(0)))[:count]
        for name in chosen:
            self._loads[name] = self._loads.get(name, Fraction(0)) + part
        return chosen

    def _in_turn(self, wanted: str, place: str) -> Sequence[str]:
        """Jina 3's `RR`, `RR0:2`, `RR1,3` and `RRGPU-1,GPU-2`: the GPUs that workers get in turn."""
        named = [name.strip() for name in wanted.split(",") if name.strip()]
        if named and not _SLICE.fullmatch(wanted) and not all(name.lstrip("-").isdigit() for name in named):
            return named  # of UUIDs the machine need not be asked
        count = len(self._inventory.gpus())
        if not count and not (named and _SLICE.fullmatch(wanted) is None):
            return [""]  # none of none, as `all`: programs run where they are written as where they are served
        dealt = list(_numbers(wanted, named, count))
        outside = [number for number in dealt if not 0 <= number < count]
        if outside or not dealt:
            what = f"there is no GPU {outside[0]}" if outside else "it selects none"
            raise ConfigError(f"{place}: {VARIABLE}: '{_TURNS}{wanted}' on a machine with {count} GPU(s): {what}")
        return [str(number) for number in dealt]


def _numbers(wanted: str, named: Sequence[str], count: int) -> Iterator[int]:
    if not wanted:
        yield from range(count)
    elif (match := _SLICE.fullmatch(wanted)) is not None:
        yield from range(count)[slice(*(int(part) if part else None for part in match.groups()))]
    else:
        yield from map(int, named)


def _names(found: Sequence[Mapping[str, str]]) -> list[str]:
    return [gpu["index"] for gpu in found]


def _known(name: str, found: Sequence[Mapping[str, str]], place: str) -> str:
    """The GPU as CUDA knows it; its own parts (MIG) are not in the inventory."""
    if name.startswith("MIG-"):
        return name
    for gpu in found:
        if name in {gpu["index"], gpu["uuid"]} or (name.startswith("GPU-") and gpu["uuid"].startswith(name)):
            return name
    there = ", ".join(f"{gpu['index']} ({gpu['uuid']})" if gpu["uuid"] else gpu["index"] for gpu in found)
    raise ConfigError(f"{place}: there is no GPU {name!r}; there are {there}")


def _shared_out(names: Sequence[str], workers: int, place: str) -> Sequence[Sequence[str]]:
    """A list of GPUs in equal parts, one part for each worker; where there are more workers, one GPU each in turn."""
    if len(names) < workers:
        return [names[number % len(names) :][:1] for number in range(workers)]
    if len(names) % workers:
        raise ConfigError(f"{place}: {len(names)} GPUs cannot be shared out evenly among {workers} workers")
    size = len(names) // workers
    return [names[number * size : (number + 1) * size] for number in range(workers)]
