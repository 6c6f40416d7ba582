"""Pieces of a language model's answer as a payload: each is a document with one field, which is made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from jina.codec import pb
from jina.codec.messages import HeldPayload
from jina.documents.deltas import Delta, Finish, Reasoning, ToolCall, Usage

if TYPE_CHECKING:
    from jina.codec.messages import DocumentCodec, Payload


class DeltasPayload(HeldPayload):
    """See `messages.Payload`."""

    __slots__ = ("deltas",)

    def __init__(self, deltas: Sequence[Delta]) -> None:
        self.deltas = deltas

    def __len__(self) -> int:
        return len(self.deltas)

    def decode(self, codec: DocumentCodec) -> Any:
        """See `messages.Payload`."""
        return codec.from_bytes(self.to_bytes())

    def write_proto(self, into: pb.DocListProto) -> None:
        """See `messages.Payload`."""
        for delta in self.deltas:
            data = into.docs.add().data
            if isinstance(delta, str):
                data["text"].text = delta
            else:
                _write(delta, data)

    def to_bytes(self) -> bytes:
        """See `messages.Payload`."""
        message = pb.DocListProto()
        self.write_proto(message)
        return message.SerializeToString()

    def to_json(self) -> bytes:
        """See `messages.Payload`."""
        return b"[" + b",".join(self.json_items()) + b"]"

    def json_items(self) -> list[bytes]:
        """See `messages.Payload`."""
        return [orjson.dumps(_content(delta)) for delta in self.deltas]


def deltas_of(payload: Payload) -> Sequence[Delta]:
    """The pieces in a payload, in whichever form it came; documents without a known field are left out."""
    if isinstance(payload, DeltasPayload):
        return payload.deltas
    found = [_read(doc.data) for doc in pb.DocListProto.FromString(payload.to_bytes()).docs]
    return [delta for delta in found if delta is not None]


def _content(delta: Delta) -> dict[str, Any]:
    match delta:
        case str():
            return {"text": delta}
        case Reasoning():
            return {"reasoning": delta.text}
        case Finish():
            return {"finish": delta.reason}
        case ToolCall():
            return {"tool_call": {"name": delta.name, "arguments": arguments_of(delta), "id": delta.id}}
        case Usage():
            return {"usage": msgspec.structs.asdict(delta)}


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call, or a piece of them, as JSON text."""
    return call.arguments if isinstance(call.arguments, str) else orjson.dumps(call.arguments).decode()


def _write(delta: Delta, data: Any) -> None:
    for name, value in _content(delta).items():
        if isinstance(value, str):
            data[name].text = value
            continue
        fields = data[name].dict.data
        for key, one in value.items():
            if isinstance(one, str):
                fields[key].text = one
            else:
                fields[key].integer = min(one, 2**31 - 1)


def _read(data: Any) -> Delta | None:
    if "text" in data:
        return str(data["text"].text)
    if "reasoning" in data:
        return Reasoning(data["reasoning"].text)
    if "tool_call" in data:
        fields = data["tool_call"].dict.data
        given = {name: fields[name].text for name in ("name", "arguments", "id") if name in fields}
        return ToolCall(**given)
    if "usage" in data:
        fields = data["usage"].dict.data
        return Usage(**{name: fields[name].integer for name in Usage.__struct_fields__ if name in fields})
    if "finish" in data:
        return msgspec.convert({"reason": data["finish"].text}, Finish)
    return None
