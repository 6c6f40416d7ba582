"""Lists of documents that several shards gave ordered by a score, ordered by it again once they are one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from jina.wire import pb

Docs: TypeAlias = "Sequence[pb.DocProto]"

_FIELDS: Final = ("score", "distance")
"""Fields that hold a score as a number."""
_NAMED: Final = "scores"
"""The field that maps names to scores: numbers, or dicts with a `value`."""
_DISTANCES: Final = frozenset({"distance", "cosine", "euclidean", "sqeuclidean"})
"""Scores of which the smallest is the best, where the documents do not show it."""


class _Key(NamedTuple):
    """Where a score is: in a field, or in `scores` under a name."""

    field: str
    name: str = ""


class _List(NamedTuple):
    """A list to be ordered, with the key; `descends` is None where neither direction shows."""

    docs: pb.DocListProto
    place: str
    key: _Key
    descends: bool | None


class Ranking:
    """The merged lists of one request.

    A list is ordered where all its documents have a score and each shard gave its part ordered by it. Where no part
    of a list has two different scores, other lists of the same field tell which end is the best one, else the name.
    """

    def __init__(self) -> None:
        self._lists: list[_List] = []

    def note(self, place: str, merged: pb.DocListProto, parts: Sequence[Docs]) -> None:
        """A list was merged from those of several shards; `place` is the field that holds it."""
        parts = [part for part in parts if part]
        if len(parts) < 2:
            return
        for key in _keys_of(parts[0][0].data):
            scores = [[_score(doc.data, key) for doc in part] for part in parts]
            known = [[score for score in part if score is not None] for part in scores]
            if any(len(some) < len(part) for some, part in zip(known, scores, strict=True)):
                continue
            ascends, descends = all(map(_ascends, known)), all(map(_ascends, map(reversed, known)))
            if ascends or descends:
                self._lists.append(_List(merged, place, key, None if ascends and descends else descends))
                return

    def settle(self) -> None:
        """Order the lists, when all are merged."""
        shown = {(one.place, one.key): one.descends for one in self._lists if one.descends is not None}
        for one in self._lists:
            descends = one.descends
            if descends is None:
                descends = shown.get((one.place, one.key), not _DISTANCES.intersection(one.key))
            key = one.key
            # Those with equal scores stay in the order of the shards.
            one.docs.docs.sort(key=lambda doc: _score(doc.data, key) or 0.0, reverse=descends)


def _keys_of(fields: Mapping[str, pb.NodeProto]) -> Iterator[_Key]:
    for field in _FIELDS:
        if field in fields:
            yield _Key(field)
    if _NAMED in fields and fields[_NAMED].WhichOneof("content") == "dict":
        for name in fields[_NAMED].dict.data:
            yield _Key(_NAMED, name)


def _score(fields: Mapping[str, pb.NodeProto], key: _Key) -> float | None:
    node = _member(fields, key.field)
    if key.name and node is not None:
        node = _member(node.dict.data, key.name)
        if node is not None and node.WhichOneof("content") == "dict":
            node = _member(node.dict.data, "value")
    kind = None if node is None else node.WhichOneof("content")
    if node is None or kind not in {"float", "integer"}:
        return None
    score = float(getattr(node, kind))
    return None if math.isnan(score) else score


def _member(fields: Mapping[str, pb.NodeProto], name: str) -> pb.NodeProto | None:
    return fields[name] if name in fields else None  # noqa: SIM401 - a protobuf map would make one


def _ascends(scores: Iterable[float]) -> bool:
    return all(one <= other for one, other in pairwise(scores))
