"""Requests of OpenAI's chat, completions and responses, and of Anthropic's messages, as conversations. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from jina.errors import BadRequest, TooLarge, quoted

_MOST_ANSWERS = 2048
"""Answers to one request, each of which is a request of its own to the endpoint."""


class StreamOptions(msgspec.Struct):
    """What else a stream tells."""

    include_usage: bool | None = False


class _Common(msgspec.Struct, kw_only=True):
    model: str = ""
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None


class _OpenAi(_Common, kw_only=True):
    n: int | None = 1
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stream_options: StreamOptions | None = None


class ChatBody(_OpenAi, kw_only=True):
    """Of `/v1/chat/completions`."""

    messages: list[dict[str, Any]]
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None


class CompletionBody(_OpenAi, kw_only=True):
    """Of `/v1/completions`."""

    prompt: str | list[str]
    echo: bool | None = False
    suffix: str | None = None


class ResponseBody(_Common, kw_only=True):
    """Of `/v1/responses`."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    previous_response_id: str | None = None
    background: bool | None = False
    metadata: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True


class MessagesBody(_Common, kw_only=True):
    """Of Anthropic's `/v1/messages`."""

    messages: list[dict[str, Any]]
    max_tokens: int
    system: str | list[dict[str, Any]] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    """Of `/v1/embeddings`."""

    input: str | list[str]
    model: str = ""
    dimensions: int | None = None
    encoding_format: str = "float"


class RerankBody(msgspec.Struct, kw_only=True):
    """Of `/v1/rerank`, in Jina AI's form."""

    query: str
    documents: list[str | dict[str, Any]]
    model: str = ""
    top_n: int | None = None
    return_documents: bool | None = True


@dataclass(slots=True)
class Conversation:
    """What is to be continued, and how the answer is to look. `documents` has a document of `Chat` for each prompt."""

    model: str
    documents: list[dict[str, Any]]
    stream: bool = False
    n: int = 1
    stop: list[str] = field(default_factory=list)
    include_usage: bool = False
    body: Any = None
    """The request as it came."""


T = TypeVar("T")


def parsed(value: Any, kind: type[T]) -> T:
    """A body as a class; raises `BadRequest` naming the field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body: {error}") from None


def of_chat(value: dict[str, Any]) -> Conversation:
    """The conversation of a chat completion."""
    body = parsed(value, ChatBody)
    document = {
        "messages": [_message(one, at) for at, one in enumerate(body.messages)],
        "tools": [_tool(tool, at) for at, tool in enumerate(body.tools or [])],
        "tool_choice": _tool_choice(body.tool_choice),
        "response_format": body.response_format or {},
        "max_tokens": body.max_completion_tokens or body.max_tokens,
    }
    return _openai(body, value, [document])


def of_completion(value: dict[str, Any]) -> Conversation:
    """Prompts, each as the message of a user."""
    body = parsed(value, CompletionBody)
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if not prompts:
        raise BadRequest("prompt: there is none")
    documents = [{"messages": [{"role": "user", "content": text}], "max_tokens": body.max_tokens} for text in prompts]
    return _openai(body, value, documents)


def _openai(body: Any, value: dict[str, Any], documents: list[dict[str, Any]]) -> Conversation:
    n = 1 if body.n is None else body.n
    if not 1 <= n <= 128:
        raise BadRequest(f"n: {n} is not between 1 and 128")
    answers = len(documents) * n
    if answers > _MOST_ANSWERS:
        raise TooLarge(
            f"{len(documents)} prompts with n={n} are {answers} answers; a request may ask for {_MOST_ANSWERS}",
            help="send fewer prompts per request",
        )
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    for document in documents:
        document.update(_settings(body, value, stop), seed=body.seed)
    include = body.stream_options is not None and bool(body.stream_options.include_usage)
    return Conversation(body.model, documents, bool(body.stream), n, stop, include, body)


def of_response(value: dict[str, Any]) -> Conversation:
    """The conversation of a response; what is kept by a server between two of them is refused."""
    body = parsed(value, ResponseBody)
    if body.previous_response_id or body.background:
        name = "previous_response_id" if body.previous_response_id else "background"
        raise BadRequest(f"{name}: responses are not kept here", help="send the whole conversation as `input`")
    items = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    system = [{"role": "system", "content": body.instructions}] if body.instructions else []
    form = (body.text or {}).get("format") or {}
    document = {
        "messages": system + _merged_calls([_item(one, at) for at, one in enumerate(items)]),
        "tools": [_flat_tool(tool, at) for at, tool in enumerate(body.tools or [])],
        "tool_choice": _tool_choice(body.tool_choice),
        "response_format": _format_of(form),
        "max_tokens": body.max_output_tokens,
        **_settings(body, value, []),
    }
    return Conversation(body.model, [document], bool(body.stream), body=body)


def of_messages(value: dict[str, Any]) -> Conversation:
    """The conversation of Anthropic's messages."""
    body = parsed(value, MessagesBody)
    stop = body.stop_sequences or []
    system = body.system if isinstance(body.system, str) else _texts(body.system or [])
    messages = [{"role": "system", "content": system}] if system else []
    for at, one in enumerate(body.messages):
        messages += _anthropic_messages(one, at)
    choice = body.tool_choice or {}
    modes = {"any": "required", "tool": "function"}
    mode = str(choice.get("type", ""))
    document = {
        "messages": messages,
        "tools": [_anthropic_tool(tool, at) for at, tool in enumerate(body.tools or [])],
        "tool_choice": {"mode": modes.get(mode, mode), "name": str(choice.get("name", ""))} if mode else {},
        "max_tokens": body.max_tokens,
        **_settings(body, value, stop),
    }
    return Conversation(body.model, [document], bool(body.stream), stop=stop, body=body)


def _settings(body: Any, value: dict[str, Any], stop: Sequence[str]) -> dict[str, Any]:
    known = type(body).__struct_fields__
    return {
        "model": body.model,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "stop": list(stop),
        "extra": {name: one for name, one in value.items() if name not in known and one is not None},
    }


def _tool_choice(choice: str | dict[str, Any] | None) -> dict[str, Any]:
    if choice is None:
        return {}
    if isinstance(choice, str):
        return {"mode": choice}
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
    return {"mode": str(choice.get("type", "function")), "name": str(name or "")}


def _message(one: dict[str, Any], at: int) -> dict[str, Any]:
    role = one.get("role")
    if not isinstance(role, str):
        raise BadRequest(f"messages.{at}.role has to be a string")
    text, parts = _content(one.get("content"), f"messages.{at}.content")
    message: dict[str, Any] = {"role": "system" if role == "developer" else role, "content": text}
    if parts:
        message["parts"] = parts
    for name in ("tool_calls", "tool_call_id", "name"):
        if one.get(name):
            message[name] = one[name]
    return message


def _content(content: Any, where: str) -> tuple[str, list[dict[str, Any]]]:
    """The text of a content, and its pieces where others are among them."""
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise BadRequest(f"{where} has to be a string or a list of objects")
    return _texts(content), content if any("text" not in part for part in content) else []


def _texts(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))


def _item(one: dict[str, Any], at: int) -> dict[str, Any]:
    kind = one.get("type", "message")
    if kind == "message":
        return _message(one, at)
    if kind == "function_call":
        function = {"name": one.get("name", ""), "arguments": one.get("arguments", "")}
        call = {"id": one.get("call_id", ""), "type": "function", "function": function}
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind == "function_call_output":
        text, _ = _content(one.get("output"), f"input.{at}.output")
        return {"role": "tool", "content": text, "tool_call_id": str(one.get("call_id", ""))}
    if kind == "reasoning":
        return {}
    raise BadRequest(f"input.{at}.type: {kind!r} is not supported", help="send messages, and calls of functions")


def _merged_calls(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls in a row are one message of the assistant."""
    merged: list[dict[str, Any]] = []
    for message in filter(None, messages):
        calls = message.get("tool_calls")
        if calls and merged and merged[-1].get("role") == "assistant":
            merged[-1]["tool_calls"] = [*merged[-1].get("tool_calls", ()), *calls]
        else:
            merged.append(message)
    return merged


def _tool(tool: dict[str, Any], at: int) -> dict[str, Any]:
    """A tool with a function that has a name; all others are refused."""
    if tool.get("type", "function") != "function":
        raise BadRequest(
            f"tools.{at}.type: {quoted(str(tool['type']))} is not supported",
            help="give functions, which the client runs",
        )
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise BadRequest(f"tools.{at}: there is no function with a name")
    return tool


def _flat_tool(tool: dict[str, Any], at: int) -> dict[str, Any]:
    function = {name: one for name, one in tool.items() if name != "type"}
    return _tool({"type": tool.get("type"), "function": function}, at)


def _format_of(form: dict[str, Any]) -> dict[str, Any]:
    if form.get("type") != "json_schema":
        return {} if form.get("type") in {None, "text"} else form
    return {"type": "json_schema", "json_schema": {name: one for name, one in form.items() if name != "type"}}


def _anthropic_tool(tool: dict[str, Any], at: int) -> dict[str, Any]:
    function = {"name": tool.get("name", ""), "parameters": tool.get("input_schema") or {}}
    return _tool({"type": "function", "function": {**function, "description": tool.get("description", "")}}, at)


def _anthropic_messages(one: dict[str, Any], at: int) -> list[dict[str, Any]]:
    """The message, after the results of tools that it holds."""
    content = one.get("content")
    if not isinstance(content, list):
        return [_message(one, at)]
    results, calls, parts = [], [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "tool_result":
            text, _ = _content(part.get("content"), f"messages.{at}.content")
            results.append({"role": "tool", "content": text, "tool_call_id": str(part.get("tool_use_id", ""))})
        elif kind == "tool_use":
            arguments = msgspec.json.encode(part.get("input") or {}).decode()
            function = {"name": part.get("name", ""), "arguments": arguments}
            calls.append({"id": part.get("id", ""), "type": "function", "function": function})
        elif kind not in {"thinking", "redacted_thinking"}:
            parts.append(part)
    if not parts and not calls:
        return results
    message = _message({**one, "content": parts}, at)
    return [*results, {**message, "tool_calls": calls} if calls else message]


READERS: Mapping[str, Callable[[dict[str, Any]], Conversation]] = {
    "/v1/chat/completions": of_chat,
    "/v1/completions": of_completion,
    "/v1/responses": of_response,
    "/v1/messages": of_messages,
}
"""What reads a request, by path."""
