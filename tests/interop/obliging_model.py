"""An Executor that does what is asked, for suites of tests that know no other model."""

from collections.abc import AsyncIterator

from jina import Chat, Delta, Executor, Reasoning, ToolCall, Usage, requests


class Obliging(Executor):
    """Calls the first tool where one is required, else answers with as much as it was asked."""

    @requests(on="/chat")
    async def chat(self, chat: Chat) -> AsyncIterator[Delta]:
        """Continue a conversation."""
        if chat.extra.get("reasoning"):
            yield Reasoning("Let me see.")
        if chat.tools and chat.tool_choice.get("mode") != "none":
            yield ToolCall(chat.tools[0].get("function", {}).get("name", "tool"), {"location": "San Francisco"})
        else:
            for word in ("You", " asked: ", chat.prompt or "nothing"):
                yield word
        yield Usage(prompt_tokens=len(chat.messages), completion_tokens=3)
