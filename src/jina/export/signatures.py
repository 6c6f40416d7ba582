"""What a class at hand says about its endpoints, before any worker runs."""

from __future__ import annotations

from collections.abc import Mapping

from jina.executor.annotations import types_of
from jina.executor.binding import endpoints_of, marked
from jina.executor.decorators import Marks
from jina.executor.signatures import kind_of
from jina.export.picture import EndpointPicture


def endpoints_of_class(cls: type, requests: Mapping[str, str] | None = None) -> tuple[EndpointPicture, ...]:
    """The endpoints with the names of their document classes, in the order of the methods.

    `requests` binds endpoints to methods as the option `uses_requests` does. Raises `ExecutorDefinitionError` where
    the annotations are wrong.
    """
    bound = dict(requests or {})
    moved = set(bound.values())
    table = {path: name for path, name in endpoints_of(cls).items() if name not in moved} | bound
    notes = marked(cls)
    return tuple(_endpoint(path, getattr(cls, name), notes.get(name, Marks())) for path, name in table.items())


def _endpoint(path: str, function: object, marks: Marks) -> EndpointPicture:
    found = types_of(function, marks)
    streams = kind_of(function)[1]
    return EndpointPicture(path, found.input_type.__name__, found.output_type.__name__, streams)
