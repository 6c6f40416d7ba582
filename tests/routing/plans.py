"""Graphs, documents and a driver of walks for the tests of this room."""

import itertools

from jina.codec import pb
from jina.codec.payloads import BytesPayload
from jina.plan.plans import GraphPlan, NodePlan
from jina.routing.graph import Graph
from jina.routing.walk import Cancel, Done, Fail, Send, Walk


def node(name, *needs, **options):
    return NodePlan(name=name, needs=list(needs) or ["gateway"], upstreams=[], **options)


def graph(*nodes, ends=None, strict=False):
    return Graph(GraphPlan(nodes=list(nodes), ends=ends or [nodes[-1].name], strict=strict))


def route(*nodes, ends=None, endpoint="/x", known=None, target=""):
    return graph(*nodes, ends=ends).route(endpoint, known or {}, target)


def value(node, content):
    """Write a plain Python value into a NodeProto, with the types that a worker would use."""
    if content is None:
        node.SetInParent()
    elif isinstance(content, bool):
        node.boolean = content
    elif isinstance(content, int):
        node.integer = content
    elif isinstance(content, float):
        node.float = content
    elif isinstance(content, bytes):
        node.blob = content
    elif isinstance(content, str):
        node.text = content
    elif isinstance(content, Docs):
        node.doc_array.SetInParent()
        for fields in content:
            fill(node.doc_array.docs.add(), fields)
    elif isinstance(content, Doc):
        node.doc.SetInParent()
        fill(node.doc, content)
    elif isinstance(content, dict):
        node.dict.SetInParent()
        for name, item in content.items():
            value(node.dict.data[name], item)
    elif hasattr(content, "dtype"):
        node.ndarray.dense.buffer = content.tobytes()
        node.ndarray.dense.shape.extend(content.shape)
        node.ndarray.dense.dtype = content.dtype.str
        node.type = "ndarray"
    else:
        items = {list: node.list, set: node.set, tuple: node.tuple}[type(content)]
        items.SetInParent()
        for item in sorted(content) if isinstance(content, set) else content:
            value(items.data.add(), item)


class Doc(dict):
    """A nested document."""


class Docs(list):
    """A nested list of documents."""


def fill(message, fields):
    for name, content in fields.items():
        value(message.data[name], content)


def payload(*docs):
    message = pb.DocListProto()
    for fields in docs:
        fill(message.docs.add(), fields)
    return BytesPayload(message.SerializeToString())


def plain(node):
    kind = node.WhichOneof("content")
    if kind is None:
        return None
    content = getattr(node, kind)
    if kind == "doc":
        return Doc(fields(content))
    if kind == "doc_array":
        return Docs(fields(doc) for doc in content.docs)
    if kind == "dict":
        return {name: plain(content.data[name]) for name in content.data}
    if kind in {"list", "tuple", "set"}:
        return {"list": list, "tuple": tuple, "set": set}[kind](plain(item) for item in content.data)
    if kind == "ndarray":
        import numpy as np

        return np.frombuffer(content.dense.buffer, content.dense.dtype).reshape(tuple(content.dense.shape)).tolist()
    return content


def fields(doc):
    return {name: plain(doc.data[name]) for name in sorted(doc.data)}


def docs(payload):
    """What a payload holds, as dicts."""
    return [fields(doc) for doc in pb.DocListProto.FromString(payload.to_bytes()).docs]


def ids():
    counter = itertools.count()
    return lambda: f"new{next(counter)}"


def walk(route, **options):
    return Walk(route, new_id=ids(), **options)


def run(walk, request, handle, choose=lambda waiting: 0):
    """Walk to the end; `handle(name, send)` gives the documents back, `choose` picks who answers next."""
    waiting, order = [], []
    result = None
    actions = walk.begin(request)
    while True:
        for action in actions:
            if isinstance(action, Send):
                waiting.append(action)
                order.append(action.node)
            elif isinstance(action, Cancel):
                waiting = [each for each in waiting if each.node != action.node]
            else:
                assert result is None, "a second end"
                result = action
        if not waiting:
            return result, order
        send = waiting.pop(choose(waiting))
        outcome = handle(send.node, send)
        actions = (
            walk.failed(send.node, outcome) if isinstance(outcome, Exception) else walk.replied(send.node, outcome)
        )


def done(route, request, handle, **options):
    result, order = run(walk(route), request, handle, **options)
    assert isinstance(result, Done), result
    return docs(result.payload), order


__all__ = ["Cancel", "Done", "Fail", "Send", "Walk"]
