"""Pillow's images as arguments and answers of methods: on the wire they are files. Loads Pillow only to convert one."""

from __future__ import annotations

import functools
import io
import typing
from types import UnionType
from typing import Any

from jina.documents.records import item_of_list, stripped


@functools.cache
def image_class() -> Any:
    """What a method that is annotated `PIL.Image.Image` takes and gives on the wire; made when one is."""
    from jina.documents.files import File

    class Image(File):
        accepts = ("image/*",)

    return Image


def on_wire(annotation: Any) -> Any:
    """The annotation with `Image` in the place of Pillow's class: alone, or None, or in a list."""
    kind = stripped(annotation)
    if _is_pillows(kind):
        return image_class()
    if (item := item_of_list(kind)) is not None:
        inner = on_wire(item)
        return annotation if inner is item else list[inner]  # type: ignore[valid-type]
    if typing.get_origin(kind) in {typing.Union, UnionType}:
        given = typing.get_args(kind)
        if any(_is_pillows(stripped(part)) for part in given):
            parts = tuple(image_class() if _is_pillows(stripped(part)) else part for part in given)
            return typing.Union[parts]  # noqa: UP007 - of a number that is not known here
    return annotation


def _is_pillows(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__module__ == "PIL.Image" and kind.__name__ == "Image"


def opened(value: Any) -> Any:
    """Files as Pillow's images, also in a list; raises ValueError for what Pillow does not read."""
    if isinstance(value, list):
        return [opened(one) for one in value]
    if not isinstance(value, image_class()):
        return value
    import PIL.Image

    try:
        image = PIL.Image.open(value.open())
        image.load()
    except PIL.UnidentifiedImageError:
        raise ValueError("no image of a format that Pillow reads") from None
    except Exception as error:  # noqa: BLE001 - its readers raise all kinds, also for images that are too large
        raise ValueError(f"the image cannot be read: {error}") from None
    return image


def packed(value: Any) -> Any:
    """Pillow's images as files, also in a list: in the format that they were read in, else as PNG."""
    if isinstance(value, list | tuple):
        return [packed(one) for one in value]
    if not any(_is_pillows(kind) for kind in type(value).__mro__):
        return value
    import PIL.Image

    kind = value.format or "PNG"
    try:
        data = _saved(value, kind)
    except (OSError, KeyError, ValueError):
        kind = "PNG"
        data = _saved(value if value.mode in _OF_PNG else value.convert("RGB"), kind)
    return image_class()(data=data, media_type=PIL.Image.MIME.get(kind, "image/png"))


_OF_PNG = {"1", "L", "LA", "I", "P", "RGB", "RGBA", "I;16"}
"""Modes that PNG has."""


def _saved(image: Any, kind: str) -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()
