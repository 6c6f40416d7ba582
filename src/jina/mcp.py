"""What methods may give to agents, and ask of them, that call them by the Model Context Protocol (`apis=['mcp']`).

`resource` and `prompt` decorate methods of an Executor, as `requests` does; tools are its endpoints. A tool that
answers with `Content` gives text, images, sound and files instead of documents. `McpClient` asks the client for what a
method lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from docarray import BaseDoc
from pydantic import ConfigDict

from jina.errors import BadRequest, InputRequired
from jina.executor.offers import CONTENT_MARK, PARAMETER, block_of, prompt, resource

__all__ = ["LIST_ROOTS", "Content", "McpClient", "elicitation", "prompt", "resource", "sampling"]


class Content(BaseDoc):
    """One piece of what a tool answers with, or of a message of a prompt.

    `type` says which: `text`, `image` and `audio` (`data`, `mime_type`), `resource` (a file that is here: `uri`, with
    `text` or `data`), `resource_link` (one that is elsewhere: `uri`, `name`). A generator may also yield `progress`
    (`progress` of `total`, with a `text`) and `log` (`text`, `level`): clients see these at once, and they are no part
    of the answer.
    """

    model_config: ClassVar[Any] = ConfigDict(json_schema_extra={CONTENT_MARK: True})

    type: Literal["text", "image", "audio", "resource", "resource_link", "progress", "log"] = "text"
    text: str | None = None
    data: bytes | None = None
    mime_type: str | None = None
    uri: str | None = None
    name: str | None = None
    progress: float | None = None
    total: float | None = None
    level: Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] = "info"

    def block(self) -> dict[str, Any]:
        """The piece as the protocol writes it; see https://modelcontextprotocol.io/specification."""
        return block_of({name: value for name, value in vars(self).items() if value is not None})


class McpClient:
    """The client that called a method, made of the method's `parameters`: asks it for what the method lacks.

    A question that has no answer yet raises `InputRequired`, which ends the call; the client asks its user or its
    model and calls again, with the answers. So a method is begun again for each round: ask first, then act. Over other
    protocols than MCP the caller gets the error, with status 428.
    """

    def __init__(self, parameters: Any) -> None:
        given = parameters.get(PARAMETER) if isinstance(parameters, Mapping) else None
        found = given if isinstance(given, Mapping) else {}
        answers = found.get("responses")
        self.answers: dict[str, Any] = dict(answers) if isinstance(answers, Mapping) else {}
        """What the client has answered so far, by the name of the question."""
        self.state: Any = found.get("state")
        """What the method gave `ask` to keep; the client carries it, and may read it, but cannot change it."""

    def elicit(self, name: str, message: str, schema: Mapping[str, Any] | type) -> dict[str, Any] | None:
        """What a person filled in; None where that person declined or cancelled.

        `schema` is a flat JSON Schema of an object, or a pydantic model. An answer that lacks what the schema requires
        is asked for again.
        """
        found = self.answers.get(name)
        wanted = _schema(schema)
        if isinstance(found, Mapping) and found.get("action") in {"decline", "cancel"}:
            return None
        content = found.get("content") if isinstance(found, Mapping) and found.get("action") == "accept" else None
        if isinstance(content, Mapping) and all(key in content for key in wanted.get("required", ())):
            return dict(content)
        raise InputRequired(f"{name}: {message}", requests={name: elicitation(message, wanted)}, state=self.state)

    def sample(self, name: str, messages: str | list[Any], *, max_tokens: int = 1000, **options: Any) -> dict[str, Any]:
        """What the client's model wrote: `{"role": ..., "content": ..., "model": ...}`.

        `messages` is the text of one message, or messages as the protocol writes them; so are `options`, such as
        `systemPrompt`.
        """
        found = self.answers.get(name)
        if isinstance(found, Mapping) and "content" in found:
            return dict(found)
        request = sampling(messages, max_tokens=max_tokens, **options)
        raise InputRequired(f"{name}: a completion of the client's model", requests={name: request}, state=self.state)

    def roots(self, name: str = "roots") -> list[dict[str, Any]]:
        """The folders that the client works with: `{"uri": "file:///...", "name": ...}`."""
        found = self.answers.get(name)
        if isinstance(found, Mapping) and isinstance(found.get("roots"), list):
            return [dict(root) for root in found["roots"]]
        raise InputRequired(f"{name}: the client's folders", requests={name: LIST_ROOTS}, state=self.state)

    def ask(self, requests: Mapping[str, Mapping[str, Any]], *, state: Any = None) -> dict[str, Any]:
        """The answers to several questions, each made by `elicitation`, `sampling` or `LIST_ROOTS`.

        Those that the client cannot answer are left out, unless none would be left; without any answer to one of the
        others all of them are asked. `state` is kept for the next round.
        """
        if any(name in self.answers for name in requests):
            return {name: self.answers[name] for name in requests if name in self.answers}
        raise InputRequired(f"{', '.join(requests)}: answers of the client", requests=requests, state=state)


def elicitation(message: str, schema: Mapping[str, Any] | type) -> dict[str, Any]:
    """A question to a person; see `McpClient.elicit`."""
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": dict(_schema(schema))},
    }


def sampling(messages: str | list[Any], *, max_tokens: int = 1000, **options: Any) -> dict[str, Any]:
    """A question to the client's model; see `McpClient.sample`."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": {"type": "text", "text": messages}}]
    return {"method": "sampling/createMessage", "params": {**options, "messages": messages, "maxTokens": max_tokens}}


LIST_ROOTS: dict[str, Any] = {"method": "roots/list", "params": {}}
"""The question for the client's folders."""


def _schema(schema: Any) -> Mapping[str, Any]:
    if isinstance(schema, Mapping):
        return schema
    if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
        found: dict[str, Any] = schema.model_json_schema()
        if "$defs" in found:
            raise BadRequest(f"{schema.__name__} is nested; people are asked for flat forms")
        return {name: value for name, value in found.items() if name in {"type", "properties", "required"}}
    raise BadRequest(f"a schema is a dict or a pydantic model, not {json.dumps(str(schema))}")
