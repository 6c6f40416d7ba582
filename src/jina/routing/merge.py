"""Documents of several branches become one list, on messages, without a document class.

Documents with the same id become one; those of the left-most branch keep their order, new ones of the others follow.
A document that only some branches give back is kept; one without an id is never merged. The base is what the
documents were where the branches parted. For each field of documents with the same id:

| versions                                         | result                                                         |
| ------------------------------------------------ | -------------------------------------------------------------- |
| set in one branch only                           | that value (None and a missing field set nothing)              |
| as in the base in some branches                  | that of the branches that changed it                           |
| changed, to equal values                         | that value, once                                               |
| changed in several branches:                     |                                                                |
| - a list                                         | the left-most, then what the others have added to the base     |
| - a set                                          | the union                                                      |
| - a dict                                         | these rules for each key                                       |
| - a nested document                              | these rules for each field                                     |
| - a nested DocList                               | by id, as a whole list                                         |
| - anything else: text, number, tensor, tuple ... | the left-most                                                  |

These are DocArray's rules for `BaseDoc.update` and `DocList.reduce`, but for four points: the left-most wins a conflict
(in `update` the right one); equal additions to lists are not doubled; the base decides who changed a field; and keys
and nested documents that one branch removed are gone unless another changed them. Where the base lacks a field, an
empty value (`''`, 0, False, an empty list) yields to others: it is most likely the default of a class.
A base of JSON has no types; a number, a list or an object there equals the float, tensor or document made from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from jina.routing.forms import id_of, proto_of
from jina.routing.sameness import is_empty, item_key, same
from jina.wire import pb
from jina.wire.messages import Payload
from jina.wire.payloads import JsonPayload, ProtoPayload

Fields: TypeAlias = "Mapping[str, pb.NodeProto]"  # no message class is made before one is needed


@dataclass(frozen=True, slots=True)
class Manner:
    """What is not the same for all merges.

    `keeps_equal`: what several versions of a document add to a list of the base is all kept. `lists` is told of each
    list of documents that was merged: its field (empty for the documents themselves, where none of them was in the
    base), the list, and its versions.
    """

    keeps_equal: bool = False
    lists: Callable[[str, pb.DocListProto, Sequence[Sequence[pb.DocProto]]], None] | None = None


_BRANCHES = Manner()
_GROWING = frozenset({"list", "doc", "dict", "doc_array"})
"""Kinds of values to which equal versions may have added."""


def merge(branches: Sequence[Payload], base: Payload, manner: Manner = _BRANCHES) -> Payload:
    """The documents of `branches`, left-most first, that all came from `base`, as one payload.

    Linear in the size of the documents. None of the payloads is changed. Raises `BadRequest` where one is garbled.
    """
    before = _Places([doc.data for doc in proto_of(base).docs], by_place=False)
    merged = pb.DocListProto()
    lists = [proto_of(branch).docs for branch in branches]
    found = _by_document(lists, before)
    for key, versions in found.items():
        _merge_document(versions, before.find(key), merged.docs.add(), manner)
    if manner.lists is not None and all(before.find(key) is None for key in found):
        manner.lists("", merged, lists)
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
    # What is no object is left for the worker, which knows where it stood.
    return not isinstance(item, Mapping) or item.get("id") not in {None, ""}


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


def _merge_document(versions: Sequence[pb.DocProto], base: Fields | None, into: pb.DocProto, manner: Manner) -> None:
    into.CopyFrom(versions[0])
    if manner.keeps_equal and base is None:
        manner = replace(manner, keeps_equal=False)  # copies of one document, to which nobody added
    if (manner.keeps_equal and len(versions) > 1) or any(version != versions[0] for version in versions[1:]):
        _merge_fields([version.data for version in versions], base, into.data, manner)


def _merge_fields(
    versions: Sequence[Fields], base: Fields | None, into: MutableMapping[str, pb.NodeProto], manner: Manner
) -> None:
    """`into` holds the first version."""
    first = versions[0]
    conflicts = dict.fromkeys(
        name for fields in versions[1:] for name in fields if name not in first or fields[name] != first[name]
    )
    if manner.keeps_equal:
        conflicts |= dict.fromkeys(name for name, node in first.items() if node.WhichOneof("content") in _GROWING)
    for name in conflicts:
        nodes = [fields[name] for fields in versions if name in fields]
        _merge_value(name, nodes, base[name] if base is not None and name in base else None, into[name], manner)


def _merge_value(
    name: str, nodes: Sequence[pb.NodeProto], base: pb.NodeProto | None, into: pb.NodeProto, manner: Manner
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
        _merge_fields([node.doc.data for node in nodes], _fields_of(base), into.doc.data, manner)
    elif alike and kind == "dict":
        _merge_keys([node.dict.data for node in nodes], _fields_of(base), into.dict.data, manner)
    elif alike and kind == "doc_array":
        lists = [node.doc_array.docs for node in nodes]
        _merge_nested(lists, _docs_of(base), into.doc_array, manner)
        if manner.lists is not None:
            manner.lists(name, into.doc_array, lists)
    else:
        _merge_changed(_changed(nodes, base), base, into, manner)


def _changed(nodes: Sequence[pb.NodeProto], base: pb.NodeProto | None) -> Sequence[pb.NodeProto]:
    """The versions that count in a conflict; all where none is a change."""
    if base is None:
        return [node for node in nodes if not is_empty(node)] or nodes
    return [node for node in nodes if not same(node, base)] or nodes


def _merge_changed(
    nodes: Sequence[pb.NodeProto], base: pb.NodeProto | None, into: pb.NodeProto, manner: Manner
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
            if seen[key] > (old[key] if manner.keeps_equal and kind == "list" else max(old[key], have[key])):
                items.add().CopyFrom(item)
                have[key] += 1


def _merge_keys(
    versions: Sequence[Fields], base: Fields | None, into: MutableMapping[str, pb.NodeProto], manner: Manner
) -> None:
    _merge_fields(versions, base, into, manner)
    for name in [name for name in into if base is not None and name in base]:
        kept = [fields[name] for fields in versions if name in fields]
        if base is not None and len(kept) < len(versions) and all(same(node, base[name]) for node in kept):
            del into[name]


def _merge_nested(
    versions: Sequence[Sequence[pb.DocProto]], base: Sequence[Fields], into: pb.DocListProto, manner: Manner
) -> None:
    before = _Places(base, by_place=True)
    del into.docs[:]
    for key, docs in _by_document(versions, before).items():
        was = before.find(key)
        if was is not None and len(docs) < len(versions):
            old = pb.NodeProto(doc=pb.DocProto(data=was))
            if all(same(pb.NodeProto(doc=doc), old) for doc in docs):
                continue
        _merge_document(docs, was, into.docs.add(), manner)


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
