"""What a YAML file says of an Executor."""

from __future__ import annotations

from pydantic import Field

from jina.spec.base import Spec
from jina.spec.batching import Batching
from jina.spec.types import Mapped, Text, TextList, TextMapped


class ExecutorSpec(Spec):
    """An Executor: which class, and what it is constructed with."""

    jtype: Text
    """Name or import path of the Executor class."""

    version: Text = "1"
    """Version of the format."""

    with_: Mapped = Field(default={}, alias="with")
    """Arguments of the Executor's `__init__`."""

    metas: Mapped = Field(default={})
    """What is known about the Executor: name, description, workspace, url, keywords."""

    py_modules: TextList = Field(default=[])
    """Python files or modules to import before the class is looked up; paths start at the file's folder."""

    requests: TextMapped = Field(default={})
    """Endpoint -> method name; replaces the endpoints that the method had."""

    dynamic_batching: Batching = Field(default={})
    """Endpoint or method -> how requests are gathered; `timeout` is in milliseconds."""
