"""Documents of several branches or shards become one list, on messages, without a document class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from jina.codec import pb
from jina.codec.messages import Payload
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload
from jina.routing.conditions import id_of, proto_of

_NUMBERS = {"integer", "float"}
_SEQUENCES = {"list", "set", "tuple"}


def same(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    """Whether `node` is the value that `base` was, exactly or as a class would have read it from JSON."""
    if node == base:
        return True
    kind, was = node.WhichOneof("content"), base.WhichOneof("content")
    if kind is None or was is None:
        return bool(kind == was)
    if kind == was and getattr(node, kind) == getattr(base, kind):
        return True  # but for the name of a type
    if kind in _NUMBERS and was in _NUMBERS:
        return bool(number_key(getattr(node, kind)) == number_key(getattr(base, was)))
    compare = _COMPARISONS.get((kind, was))
    return compare is not None and compare(node, base)


def number_key(number: float) -> object:
    """Equal for equal numbers, whatever their types; NaN equals itself."""
    return "nan" if math.isnan(number) else number


def item_key(node: pb.NodeProto) -> object:
    """Equal for equal items of a list."""
    kind = node.WhichOneof("content")
    if kind in _NUMBERS:
        return number_key(getattr(node, kind))
    if kind == "text":
        return ("text", node.text)
    return node.SerializeToString(deterministic=True)


def is_empty(node: pb.NodeProto) -> bool:
    """Whether the value is the empty one of its type."""
    kind = node.WhichOneof("content")
    if kind in _SEQUENCES or kind == "dict":
        return not getattr(node, kind).data
    if kind == "doc_array":
        return not node.doc_array.docs
    return kind is None or (kind not in {"ndarray", "doc"} and not getattr(node, kind))


def _same_items(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    items, others = _items(node), _items(base)
    return len(items) == len(others) and all(same(item, other) for item, other in zip(items, others, strict=True))


def _same_set(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    return Counter(map(item_key, _items(node))) == Counter(map(item_key, _items(base)))


def _items(node: pb.NodeProto) -> Sequence[pb.NodeProto]:
    kind = node.WhichOneof("content")
    assert kind is not None
    return [pb.NodeProto(doc=doc) for doc in node.doc_array.docs] if kind == "doc_array" else getattr(node, kind).data


def _same_dict(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    fields, others = node.dict.data, base.dict.data
    return len(fields) == len(others) and all(name in others and same(fields[name], others[name]) for name in fields)


def _same_doc(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    """Fields that only one has must be unset; an object of JSON gets its id when it becomes a document."""
    fields = node.doc.data
    others: Mapping[str, pb.NodeProto] = base.doc.data if base.HasField("doc") else base.dict.data
    for name in {*fields, *others}:
        if name not in others:
            if fields[name].WhichOneof("content") is not None and name != "id":
                return False
        elif name not in fields:
            if others[name].WhichOneof("content") is not None:
                return False
        elif not same(fields[name], others[name]):
            return False
    return True


def _same_tensor(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    import numpy as np

    dense = node.ndarray.dense
    try:
        tensor = np.frombuffer(dense.buffer, np.dtype(dense.dtype)).reshape(tuple(dense.shape))
        was = np.asarray(_plain(base), dtype=tensor.dtype)
    except (ValueError, TypeError, OverflowError, SyntaxError):
        return False
    return bool(np.array_equal(tensor, was, equal_nan=tensor.dtype.kind in "fc"))


def _plain(node: pb.NodeProto) -> Any:
    kind = node.WhichOneof("content")
    if kind == "list":
        return [_plain(item) for item in node.list.data]
    return float("nan") if kind is None else getattr(node, kind)


def _same_bytes(node: pb.NodeProto, base: pb.NodeProto) -> bool:
    from jina.codec.json_text import text_to_bytes

    return text_to_bytes(base.text) == node.blob


_COMPARISONS: dict[tuple[str, str], Callable[[pb.NodeProto, pb.NodeProto], bool]] = {
    ("list", "list"): _same_items,
    ("tuple", "tuple"): _same_items,
    ("tuple", "list"): _same_items,
    ("set", "set"): _same_set,
    ("set", "list"): _same_set,
    ("dict", "dict"): _same_dict,
    ("doc", "doc"): _same_doc,
    ("doc", "dict"): _same_doc,
    ("doc_array", "doc_array"): _same_items,
    ("doc_array", "list"): _same_items,
    ("ndarray", "list"): _same_tensor,
    ("blob", "text"): _same_bytes,
}

Fields: TypeAlias = "Mapping[str, pb.NodeProto]"  # no message class is made before one is needed


class MergePolicy(msgspec.Struct, frozen=True):
    """What is not the same for all merges.

    `keeps_equal`: what several versions of a document add to a list of the base is all kept. `lists` is told of each
    list of documents that was merged: its field (empty for the documents themselves, where none of them was in the
    base), the list, and its versions.
    """

    keeps_equal: bool = False
    lists: Callable[[str, pb.DocListProto, Sequence[Sequence[pb.DocProto]]], None] | None = None


_BRANCHES = MergePolicy()
_GROWING = frozenset({"list", "doc", "dict", "doc_array"})
"""Kinds of values to which equal versions may have added."""


def merge(branches: Sequence[Payload], base: Payload, policy: MergePolicy = _BRANCHES) -> Payload:
    """The documents of `branches`, left-most first, that all came from `base`, as one payload.

    Linear in the size of the documents. None of the payloads is changed. Raises `BadRequest` where one is garbled.
    """
    before = _Places([doc.data for doc in proto_of(base).docs], by_place=False)
    merged = pb.DocListProto()
    lists = [proto_of(branch).docs for branch in branches]
    found = _by_document(lists, before)
    for key, versions in found.items():
        _merge_document(versions, before.find(key), merged.docs.add(), policy)
    if policy.lists is not None and all(before.find(key) is None for key in found):
        policy.lists("", merged, lists)
    return ProtoPayload(merged)


def with_ids(payload: Payload, new_id: Callable[[], str]) -> Payload:
    """The payload with an id in each document; the same one where none is missing."""
    if isinstance(payload, JsonPayload):
        items = payload.items()
        if all(_has_id(item) for item in items):
            return payload
        named = [item if _has_id(item) else {**item, "id": new_id()} for item in items]
        return JsonPayload(named, location=payload.location, single=payload.single)
    message = proto_of(payload)
    missing = [place for place, doc in enumerate(message.docs) if id_of(doc.data) is None]
    if not missing:
        return payload
    copy = pb.DocListProto()
    copy.CopyFrom(message)
    for place in missing:
        node = copy.docs[place].data["id"]
        node.text, node.type = new_id(), "id"
    return ProtoPayload(copy)


def _has_id(item: Any) -> bool:
    # What is no object, or has an id that is no text, is left for the worker, which knows where it stood.
    if not isinstance(item, Mapping):
        return True
    found = item.get("id")
    return found is not None and found != ""


class _Places:
    """The documents at the fork, by key.

    `by_place`: a nested document without an id, as in JSON, is known by its place, in lists of the same length.
    """

    def __init__(self, docs: Sequence[Fields], *, by_place: bool) -> None:
        self.size = len(docs)
        self._docs: dict[object, Fields] = {}
        self._unnamed: set[int] = set()
        for place, (key, fields) in enumerate(zip(_keys(docs), docs, strict=True)):
            if key is not None:
                self._docs[key] = fields
            elif by_place:
                self._unnamed.add(place)
                self._docs[place] = fields

    def find(self, key: object) -> Fields | None:
        """The fields of the document with that key."""
        return self._docs.get(key)

    def keys(self, docs: Sequence[pb.DocProto]) -> list[object]:
        """A key for each document of one branch, equal to that of its other versions."""
        keys: list[object] = list(_keys([doc.data for doc in docs]))
        for place, key in enumerate(keys):
            if place in self._unnamed and len(docs) == self.size:
                keys[place] = place
            elif key is None:
                keys[place] = object()
        return keys


def _keys(docs: Sequence[Fields]) -> list[tuple[str, int] | None]:
    """The id of each document and the how-many-th with that id it is; None without an id."""
    seen: Counter[str] = Counter()
    keys: list[tuple[str, int] | None] = []
    for fields in docs:
        doc_id = id_of(fields)
        if doc_id is None:
            keys.append(None)
            continue
        keys.append((doc_id, seen[doc_id]))
        seen[doc_id] += 1
    return keys


def _by_document(branches: Sequence[Sequence[pb.DocProto]], before: _Places) -> dict[object, list[pb.DocProto]]:
    versions: dict[object, list[pb.DocProto]] = {}
    for docs in branches:
        for key, doc in zip(before.keys(docs), docs, strict=True):
            versions.setdefault(key, []).append(doc)
    return versions


def _merge_document(
    versions: Sequence[pb.DocProto], base: Fields | None, into: pb.DocProto, policy: MergePolicy
) -> None:
    into.CopyFrom(versions[0])
    if policy.keeps_equal and base is None:
        policy = replace(policy, keeps_equal=False)  # copies of one document, to which nothing was added
    if (policy.keeps_equal and len(versions) > 1) or any(version != versions[0] for version in versions[1:]):
        _merge_fields([version.data for version in versions], base, into.data, policy)


def _merge_fields(
    versions: Sequence[Fields], base: Fields | None, into: MutableMapping[str, pb.NodeProto], policy: MergePolicy
) -> None:
    """`into` holds the first version."""
    first = versions[0]
    conflicts = dict.fromkeys(
        name for fields in versions[1:] for name in fields if name not in first or fields[name] != first[name]
    )
    if policy.keeps_equal:
        conflicts |= dict.fromkeys(name for name, node in first.items() if node.WhichOneof("content") in _GROWING)
    for name in conflicts:
        nodes = [fields[name] for fields in versions if name in fields]
        _merge_value(name, nodes, base[name] if base is not None and name in base else None, into[name], policy)


def _merge_value(
    name: str, nodes: Sequence[pb.NodeProto], base: pb.NodeProto | None, into: pb.NodeProto, policy: MergePolicy
) -> None:
    nodes = [node for node in nodes if node.WhichOneof("content") is not None]
    if not nodes:
        return
    into.CopyFrom(nodes[0])
    if len(nodes) == 1:
        return
    kind = into.WhichOneof("content")
    alike = all(node.WhichOneof("content") == kind for node in nodes)
    if alike and kind == "doc":
        _merge_fields([node.doc.data for node in nodes], _fields_of(base), into.doc.data, policy)
    elif alike and kind == "dict":
        _merge_keys([node.dict.data for node in nodes], _fields_of(base), into.dict.data, policy)
    elif alike and kind == "doc_array":
        lists = [node.doc_array.docs for node in nodes]
        _merge_nested(lists, _docs_of(base), into.doc_array, policy)
        if policy.lists is not None:
            policy.lists(name, into.doc_array, lists)
    else:
        _merge_changed(_changed(nodes, base), base, into, policy)


def _changed(nodes: Sequence[pb.NodeProto], base: pb.NodeProto | None) -> Sequence[pb.NodeProto]:
    """The versions that count in a conflict; all where none is a change."""
    if base is None:
        return [node for node in nodes if not is_empty(node)] or nodes
    return [node for node in nodes if not same(node, base)] or nodes


def _merge_changed(
    nodes: Sequence[pb.NodeProto], base: pb.NodeProto | None, into: pb.NodeProto, policy: MergePolicy
) -> None:
    into.CopyFrom(nodes[0])
    kind = into.WhichOneof("content")
    if kind not in {"list", "set"}:
        return
    items = getattr(into, kind).data
    have = Counter(map(item_key, items))
    old = Counter(map(item_key, _items_of(base)))
    for node in nodes[1:]:
        seen: Counter[object] = Counter()
        for item in _items_of(node):
            key = item_key(item)
            seen[key] += 1
            if seen[key] > (old[key] if policy.keeps_equal and kind == "list" else max(old[key], have[key])):
                items.add().CopyFrom(item)
                have[key] += 1


def _merge_keys(
    versions: Sequence[Fields], base: Fields | None, into: MutableMapping[str, pb.NodeProto], policy: MergePolicy
) -> None:
    _merge_fields(versions, base, into, policy)
    for name in [name for name in into if base is not None and name in base]:
        kept = [fields[name] for fields in versions if name in fields]
        if base is not None and len(kept) < len(versions) and all(same(node, base[name]) for node in kept):
            del into[name]


def _merge_nested(
    versions: Sequence[Sequence[pb.DocProto]], base: Sequence[Fields], into: pb.DocListProto, policy: MergePolicy
) -> None:
    before = _Places(base, by_place=True)
    del into.docs[:]
    for key, docs in _by_document(versions, before).items():
        was = before.find(key)
        if was is not None and len(docs) < len(versions):
            old = pb.NodeProto(doc=pb.DocProto(data=was))
            if all(same(pb.NodeProto(doc=doc), old) for doc in docs):
                continue
        _merge_document(docs, was, into.docs.add(), policy)


def _items_of(node: pb.NodeProto | None) -> Sequence[pb.NodeProto]:
    kind = node.WhichOneof("content") if node is not None else None
    return getattr(node, kind).data if kind in {"list", "set", "tuple"} else ()


def _fields_of(node: pb.NodeProto | None) -> Fields | None:
    kind = node.WhichOneof("content") if node is not None else None
    fields: Fields | None = getattr(node, kind).data if kind in {"doc", "dict"} else None
    return fields


def _docs_of(node: pb.NodeProto | None) -> Sequence[Fields]:
    if node is not None and node.WhichOneof("content") == "doc_array":
        return [doc.data for doc in node.doc_array.docs]
    return [_fields_of(item) or {} for item in _items_of(node)]


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


def merge_shards(answers: Sequence[Payload], base: Payload) -> Payload:
    """The documents of all shards, that of the lowest number first, which all got those of `base`."""
    ranking = Ranking()
    merged = merge(answers, base, MergePolicy(keeps_equal=True, lists=ranking.note))
    ranking.settle()
    return merged


def together(answers: Sequence[Payload]) -> Payload:
    """The documents of all shards one after the other; none is parsed."""
    # Serialised lists of documents are one after the other the list of all of them.
    return BytesPayload(b"".join(answer.to_bytes() for answer in answers))
