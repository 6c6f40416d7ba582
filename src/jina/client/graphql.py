"""GraphQL calls of `mutate` (https://graphql.org/learn/serving-over-http/)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from jina.client.http_messages import http_error
from jina.errors import BadClient, BadServer, NotSupportedError

if TYPE_CHECKING:
    from jina.net.channel import Target


def body_of(mutation: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body of a request."""
    return {"query": mutation, "variables": dict(variables or {})}


def result_of(status: int, body: bytes, target: Target) -> dict[str, Any]:
    """The `{"data": ...}` of an answer. Raises what its `errors` say."""
    if status == 404:
        raise NotSupportedError(
            f"mutate: {target} has no /graphql",
            help="call the endpoints with `post`, as GET /docs of the service shows them",
        )
    if status >= 400:
        raise http_error(status, body, target)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadServer(f"{target} answered /graphql with no JSON: {error}") from error
    if errors := content.get("errors"):
        raise BadClient("; ".join(str(error.get("message", error)) for error in errors))
    return dict(content)
