"""A document to and from dict, JSON, bytes and protobuf.

The JSON form is reversible: bytes are base64, NaN and infinities are kept (as Python's json writes them), integers
have any size. It is not the body of an HTTP request, where bytes are text when they can be.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Self

from docarray import BaseDoc
from pydantic import BaseModel

from jina.documents.contents import Content, stored_items


class Porting(Content, BaseDoc):
    """The part of Document that writes and reads it."""

    def to_dict(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """The fields as types that JSON has: tensors as nested lists, blob as base64, documents as dicts."""
        fields = {name: _plain(value) for name, value in stored_items(self)}
        return {name: value for name, value in fields.items() if value is not None} if exclude_none else fields

    @classmethod
    def from_dict(cls, obj: dict[str, Any]) -> Self:
        """The document that `to_dict` gave; unknown keys become fields of their own. ValueError names a bad one."""
        return cls.model_validate(_readable(obj))

    def to_json(self, *, exclude_none: bool = False, indent: int | None = None) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """The fields as one JSON object, see `to_dict`."""
        return json.dumps(self.to_dict(exclude_none=exclude_none), indent=indent)

    @classmethod
    def from_json(cls, data: str | bytes | bytearray) -> Self:
        """The document that `to_json` gave."""
        return cls.from_dict(json.loads(data))

    @classmethod
    def from_protobuf(cls, pb_msg: Any) -> Self:
        """The document of a `docarray.DocProto`; unknown fields are kept."""
        read = cls._get_content_from_node_proto
        return cls.model_validate({name: read(node, name) for name, node in pb_msg.data.items()})

    def to_protobuf(self) -> Any:
        """The document as a `docarray.DocProto`. ValueError names a field that it cannot express."""
        try:
            return super().to_protobuf()
        except ValueError as error:
            if "out of range" not in str(error):
                raise
            field = str(error.args[0]).removeprefix("Field ").removesuffix(" is problematic").strip("`")
            raise ValueError(
                f"{field}: {error.args[-1]}; integers on the wire have 32 bits: give it as a float or a str"
            ) from error

    @classmethod
    def from_pydantic_model(cls, model: BaseModel) -> Self:
        """A document with the fields of any pydantic model or DocArray document."""
        return cls.model_validate(dict(model))

    @classmethod
    def from_base64(cls, data: str, protocol: Any = "protobuf", compress: str | None = None) -> Self:
        """The document that `to_base64` gave."""
        return cls.from_bytes(base64.b64decode(data), protocol, compress)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """As pydantic's; documents nested in it become dicts too."""
        # Past DocArray's own method, which calls one that pydantic has deprecated.
        return BaseModel.model_dump(self, **options)


def _plain(value: Any) -> Any:
    from jina.documents.fields import jsonable

    return jsonable(value)


def _readable(obj: dict[str, Any]) -> dict[str, Any]:
    """The dict with its base64 decoded, also in nested documents; other keys of the dict stay untouched."""
    fields = {("url" if name == "uri" else name): value for name, value in obj.items()}
    if isinstance(fields.get("blob"), str):
        try:
            fields["blob"] = base64.b64decode(fields["blob"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"blob is not base64: {error}") from None
    for name in ("chunks", "matches"):
        if isinstance(fields.get(name), list):
            fields[name] = [_readable(doc) if isinstance(doc, dict) else doc for doc in fields[name]]
    return fields
