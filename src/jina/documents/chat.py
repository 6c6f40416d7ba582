"""What a method of a language model takes: a conversation, with how it is to be continued."""

from __future__ import annotations

from typing import Any, ClassVar

from docarray import BaseDoc, DocList
from pydantic import ConfigDict, Field

_MARKED: Any = ConfigDict(json_schema_extra={"x-jina-serves": "chat"})


class Message(BaseDoc):
    """One message of a conversation: `role` is system, user, assistant or tool."""

    role: str = "user"
    content: str = ""
    """Its text; of several pieces the texts in a row."""
    parts: list[dict[str, Any]] = Field(default=[])
    """Its pieces as OpenAI's chat has them, where there are others than text: images, audio, files."""
    tool_calls: list[dict[str, Any]] = Field(default=[])
    """Of the assistant: calls of tools, each with `id` and `function`, which has `name` and `arguments` (JSON text)."""
    tool_call_id: str = ""
    """Of a tool: the call that it answers."""
    name: str = ""


class Chat(BaseDoc):
    """A conversation to be continued. What a client leaves out is None or empty.

    `tools`, `tool_choice` and `response_format` are as OpenAI's chat has them; `extra` are fields of the request that
    have no place here.
    """

    jina_takes_chat: ClassVar[bool] = True
    model_config = _MARKED

    messages: DocList[Message] = Field(default=DocList[Message]())
    model: str = ""
    tools: list[dict[str, Any]] = Field(default=[])
    tool_choice: dict[str, Any] = Field(default={})
    """A `mode`, which is auto, none, required or function, and the `name` of the function."""
    response_format: dict[str, Any] = Field(default={})
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """The most tokens of the answer; end with `Finish("length")` where it reaches them."""
    stop: list[str] = Field(default=[])
    """Texts at which the answer ends. It is cut before the first of them in any case, and the generator closed."""
    seed: int | None = None
    extra: dict[str, Any] = Field(default={})

    @property
    def prompt(self) -> str:
        """The text of the last message of the user."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """The JSON Schema that the answer has to fit, where the client gives one."""
        described = self.response_format.get("json_schema") or {}
        schema = described.get("schema")
        return schema if isinstance(schema, dict) else None


class DeltaDoc(BaseDoc):
    """A piece of an answer as other protocols have it: one of the fields is given."""

    model_config = _MARKED

    text: str | None = None
    reasoning: str | None = None
    tool_call: dict[str, Any] | None = None
    """With `name`, `arguments` and `id`."""
    usage: dict[str, Any] | None = None
    """Numbers of tokens, such as `prompt_tokens`."""
    finish: str | None = None
