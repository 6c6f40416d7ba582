"""What travels between clients and the language model."""

from __future__ import annotations

from docarray import BaseDoc, DocList


class Message(BaseDoc):
    """One message of a conversation; `role` is `system`, `user`, `assistant`, or `tool` for what a tool gave."""

    role: str
    content: str


class Tool(BaseDoc):
    """A function that the model may call with texts as its `arguments`."""

    name: str
    description: str
    arguments: list[str]


class Conversation(BaseDoc):
    """What the model goes on with."""

    messages: DocList[Message]
    tools: DocList[Tool] = DocList[Tool]()
    max_tokens: int = 48


class Delta(BaseDoc):
    """A piece of the answer: text, or a call of a tool whose `arguments` are a JSON object.

    `streams` is how many conversations were in the step of the model that made it.
    """

    text: str = ""
    tool: str = ""
    arguments: str = ""
    streams: int = 0
