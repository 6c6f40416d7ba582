"""The adapters know the fields that the dated contract files name, and answer with those that they require."""

import json
from pathlib import Path

import msgspec
import pytest

import jina.apis
from jina.apis import anthropic_messages, openai_audio, openai_requests
from jina.apis.openai_answers import Choice, Completions, TextCompletions
from jina.apis.openai_responses import Responses
from jina.documents.deltas import Usage
from jina.errors import EndpointNotFound

FOLDER = Path(jina.apis.__file__).with_name("contracts")
CONTRACTS = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
OPENAI = CONTRACTS["openai"]["objects"]


def names(provider, name):
    told = CONTRACTS[provider]["objects"][name]
    return {*told.get("required", ()), *told.get("optional", ())}


def test_they_have_dates():
    assert {name: len(one["date"]) for name, one in CONTRACTS.items()} == {"openai": 10, "anthropic": 10}


@pytest.mark.parametrize(
    ("kind", "provider", "name"),
    [
        (openai_requests.ChatBody, "openai", "CreateChatCompletionRequest"),
        (openai_requests.CompletionBody, "openai", "CreateCompletionRequest"),
        (openai_requests.ResponseBody, "openai", "CreateResponse"),
        (openai_requests.EmbeddingsBody, "openai", "CreateEmbeddingRequest"),
        (openai_audio.SpeechBody, "openai", "CreateSpeechRequest"),
        (openai_requests.MessagesBody, "anthropic", "CreateMessageParams"),
    ],
)
def test_bodies_have_the_published_fields(kind, provider, name):
    fields = msgspec.structs.fields(kind)
    known = names(provider, name)
    assert {field.encode_name for field in fields} <= known
    required = {field.encode_name for field in fields if field.required}
    assert required <= {*CONTRACTS[provider]["objects"][name].get("required", ()), "input", "prompt"}


def test_the_form_of_audio_has_the_published_fields():
    fields = {name.removesuffix("[]") for name in openai_audio.FORM_SCHEMA["properties"]}
    assert fields <= names("openai", "CreateTranscriptionRequest")


def answered(reader, form, body):
    choice = Choice(0, texts=["yes"], usage=Usage(1, 2))
    return form(reader({"model": "chat", **body})).whole([choice])


MESSAGES = {"messages": [{"role": "user", "content": "you"}]}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (answered(openai_requests.of_chat, Completions, MESSAGES), "CreateChatCompletionResponse"),
        (answered(openai_requests.of_completion, TextCompletions, {"prompt": "you"}), "CreateCompletionResponse"),
        (answered(openai_requests.of_response, Responses, {"input": "you"}), "Response"),
    ],
)
def test_answers_have_the_required_fields(content, name):
    assert (
        {*OPENAI[name]["required"]} <= content.keys() <= names("openai", name) | {"completed_at", "store"} | UNPUBLISHED
    )


UNPUBLISHED = {"completed_at", "store", "frequency_penalty", "presence_penalty"}
"""Of responses: fields that Open Responses requires, and OpenAI's document does not name."""


def test_answers_of_anthropics_messages_have_the_required_fields():
    asked = openai_requests.of_messages({"model": "chat", "max_tokens": 9, **MESSAGES})
    content = anthropic_messages.Messages(asked).whole([Choice(0, texts=["yes"])])
    objects = CONTRACTS["anthropic"]["objects"]
    assert content.keys() == {*objects["Message"]["required"]}
    assert content["usage"].keys() == {*objects["Usage"]["required"]}
    error = anthropic_messages.error_content(EndpointNotFound("no"), "id")
    assert error.keys() == {*objects["ErrorResponse"]["required"]}
