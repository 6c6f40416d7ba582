"""Options of dynamic batching, as they are written in YAML and in `uses_dynamic_batching`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from jina.spec.types import Count, Flag, Milliseconds, Text, keys_as_text


class BatchingOptions(TypedDict, total=False):
    """How the documents of several requests are gathered into one call; keys that are not given stay out."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    preferred_batch_size: Count
    timeout: Milliseconds
    flush_all: Flag
    custom_metric: Any
    use_custom_metric: Flag
    isolate_errors: Flag
    use_dynamic_batching: Flag


if TYPE_CHECKING:
    # Mappings that programs build step by step should type-check too; the values are checked at run time.
    Batching = dict[str, Any]
else:
    Batching = Annotated[dict[Text, BatchingOptions], BeforeValidator(keys_as_text)]
