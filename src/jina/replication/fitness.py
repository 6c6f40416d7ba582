"""Whether a replica may answer: it is a member of its group, and its state is that of the others."""

from __future__ import annotations

import msgspec

from jina.errors import Unavailable
from jina.observe import logs
from jina.replication import frames
from jina.replication.frames import Frame


class _Diverged(msgspec.Struct):
    index: int
    peer: int
    odd: bool


class _Removed(msgspec.Struct):
    removed: bool


class Fitness:
    """What the agent has told that keeps a replica from answering."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = logs.get_logger(name)
        self._diverged = False
        self._removed = False

    def take(self, frame: Frame) -> None:
        """Note what a frame of the kinds DIVERGED and REMOVED says."""
        if frame.kind == frames.DIVERGED:
            self._diverge(msgspec.json.decode(frame.body, type=_Diverged))
            return
        self._removed = msgspec.json.decode(frame.body, type=_Removed).removed
        if self._removed:
            self._log.error("%s was removed from its group: it answers nothing until it is taken in again", self._name)
        else:
            self._log.warning("%s is a member of its group again", self._name)

    def _diverge(self, told: _Diverged) -> None:
        self._diverged = self._diverged or told.odd
        what = "this replica is taken out" if told.odd else f"with replica {told.peer}"
        self._log.error("the replicas of %s differ since entry %d: %s", self._name, told.index, what)

    def renew(self) -> None:
        """Another agent tells from now on whether this is a member."""
        self._removed = False

    @property
    def fit(self) -> bool:
        """Whether nothing is wrong with it."""
        return not (self._diverged or self._removed)

    def check(self) -> None:
        """Raise `Unavailable`, so that another replica is asked, where something is."""
        if self._diverged:
            raise Unavailable(
                f"the state of {self._name} differs from that of the other replicas",
                help="another replica answers; end this one, empty its folder in the workspace and start it again: it "
                "then takes the state of the others",
            )
        if self._removed:
            raise Unavailable(
                f"{self._name} was removed from its group", help="end it; `jina raft add-voter` takes a replica in"
            )
