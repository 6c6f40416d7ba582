"""Calls by the official clients of OpenAI's and Anthropic's APIs; runs in an environment of its own.

`python openai_program.py SERVER LIMITED CLOSED`: a server of `tests.apis.language_model`, one that takes few requests a
second, and the file that a closed generator leaves. Prints a JSON object: case -> "" or what went wrong.
"""

import asyncio
import inspect
import json
import os
import socket
import sys
import time
import traceback

import anthropic
import openai
from pydantic import BaseModel

SERVER, LIMITED, CLOSED = sys.argv[1:4]
KEY = "key-of-tests"
LESSER_KEY = "key-for-embeddings"
NOTHING = openai.NOT_GIVEN
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "time")]
FLAT_TOOLS = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in ("weather", "time")]
SCHEMA_TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("weather", "time")]
CASES = {}


def user(text):
    return [{"role": "user", "content": text}]


def case(function):
    CASES[function.__name__] = function
    return function


async def value(result):
    """What a call of either client gives."""
    return await result if inspect.isawaitable(result) else result


async def items(stream):
    """All of a stream of either client."""
    stream = await value(stream)
    if hasattr(stream, "__aiter__"):
        return [one async for one in stream]
    return list(stream)


async def raised(kind, result):
    """The error that a call raises, or what reads its answer."""
    try:
        await value(result())
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def create(client, text, **more):
    return client.chat.completions.create(model="chat", messages=user(text), **more)


def said(chunks):
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


@case
async def models_list(client):
    assert {one.id for one in await items(client.models.list())} == {
        "chat", "whole", "embed", "rank", "listen", "hear", "say", "speak",
    }  # fmt: skip


@case
async def models_retrieve(client):
    assert (await value(client.models.retrieve("chat"))).object == "model"


@case
async def models_retrieve_unknown(client):
    error = await raised(openai.NotFoundError, lambda: client.models.retrieve("nothing"))
    assert (error.code, bool(error.request_id)) == ("model_not_found", True)


@case
async def chat_create(client):
    answer = await value(create(client, "you"))
    assert answer.choices[0].message.content == "Hello there, you"
    assert answer.usage.total_tokens == 7
    assert answer._request_id


@case
async def chat_stream(client):
    chunks = await items(create(client, "you", stream=True))
    assert said(chunks) == "Hello there, you"
    assert chunks[-1].choices[0].finish_reason == "stop"


@case
async def chat_stream_usage(client):
    chunks = await items(create(client, "you", stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 2


@case
async def chat_several(client):
    answer = await value(create(client, "you", n=3))
    assert [one.message.content for one in answer.choices] == ["Hello there, you"] * 3


@case
async def chat_stop(client):
    answer = await value(create(client, "you", stop=["there"]))
    assert answer.choices[0].message.content == "Hello "


@case
async def chat_stop_stream(client):
    assert said(await items(create(client, "you", stop="ere,", stream=True))) == "Hello th"


@case
async def chat_length(client):
    assert (await value(create(client, "long", max_tokens=4))).choices[0].finish_reason == "length"


@case
async def chat_tools(client):
    answer = await value(create(client, "tools", tools=TOOLS))
    assert answer.choices[0].finish_reason == "tool_calls"
    first, second = answer.choices[0].message.tool_calls
    assert (first.function.name, json.loads(first.function.arguments)) == ("weather", {"city": "Berlin"})
    assert (second.id, second.function.name) == ("call_1", "time")


@case
async def chat_tools_stream(client):
    manager = client.chat.completions.stream(model="chat", messages=user("tools"), tools=TOOLS)
    answer = await final(manager, "get_final_completion")
    assert [call.function.arguments for call in answer.choices[0].message.tool_calls] == [
        '{"city": "Berlin"}', '{"zone":1}',
    ]  # fmt: skip


async def final(manager, method):
    """What a stream of the client's helpers gives in the end."""
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            return await getattr(stream, method)()
    with manager as stream:
        return getattr(stream, method)()


@case
async def chat_tool_result(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    messages = [
        *user("tools"),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    answer = await value(
        client.chat.completions.create(model="chat", messages=[messages[0] | {"content": "x"}, *messages[1:]])
    )
    assert answer.choices[0].message.content == "call_1=noon"


class Place(BaseModel):
    city: str


@case
async def chat_parse(client):
    answer = await value(client.chat.completions.parse(model="chat", messages=user("schema"), response_format=Place))
    assert answer.choices[0].message.parsed == Place(city="City")


@case
async def chat_final_stream(client):
    answer = await final(client.chat.completions.stream(model="chat", messages=user("you")), "get_final_completion")
    assert answer.choices[0].message.content == "Hello there, you"


@case
async def chat_reasoning(client):
    answer = await value(create(client, "think"))
    assert answer.choices[0].message.reasoning_content == "hm"


@case
async def chat_developer_and_parts(client):
    messages = [{"role": "developer", "content": [{"type": "text", "text": "be brief"}]}, *user("you")]
    answer = await value(client.chat.completions.create(model="whole", messages=messages))
    assert answer.choices[0].message.content == "be brief|you"


@case
async def completions(client):
    answer = await value(client.completions.create(model="chat", prompt="you"))
    assert answer.choices[0].text == "Hello there, you"


@case
async def completions_stream(client):
    chunks = await items(client.completions.create(model="chat", prompt="you", stream=True))
    assert "".join(one.choices[0].text for one in chunks) == "Hello there, you"


@case
async def embeddings_default(client):
    answer = await value(client.embeddings.create(model="embed", input=["a", "bcd"]))
    assert [one.embedding for one in answer.data] == [[1, 1, 2], [3, 1, 2]]


@case
async def embeddings_float(client):
    answer = await value(client.embeddings.create(model="embed", input="a", encoding_format="float"))
    assert answer.data[0].embedding == [1, 1, 2]


@case
async def embeddings_base64(client):
    answer = await value(client.embeddings.create(model="embed", input="a", encoding_format="base64"))
    assert isinstance(answer.data[0].embedding, str)


@case
async def embeddings_dimensions(client):
    answer = await value(client.embeddings.create(model="embed", input="a", dimensions=2))
    assert len(answer.data[0].embedding) == 2


def heard(client, model="listen", **more):
    return client.audio.transcriptions.create(model=model, file=("a.wav", b"to be"), **more)


@case
async def transcription(client):
    assert (await value(heard(client))).text == "to be"


@case
async def transcription_text(client):
    assert await value(heard(client, response_format="text")) == "to be"


@case
async def transcription_verbose(client):
    answer = await value(heard(client, response_format="verbose_json", language="de"))
    assert (answer.language, answer.duration, [one.text for one in answer.segments]) == ("de", 2, ["to", "be"])


@case
async def transcription_subtitles(client):
    assert (await value(heard(client, response_format="vtt"))).startswith("WEBVTT")


@case
async def transcription_stream(client):
    *deltas, done = await items(heard(client, "hear", stream=True))
    assert ("".join(one.delta for one in deltas), done.text) == ("to be ", "to be ")


@case
async def transcription_late_error(client):
    error = await raised(openai.APIError, lambda: items(heard(client, "hear", stream=True, prompt="late")))
    assert "too late" in str(error)


@case
async def transcription_errors(client):
    await raised(openai.NotFoundError, lambda: heard(client, "chat"))
    await raised(openai.BadRequestError, lambda: heard(client, "hear", response_format="verbose_json"))
    call = client.audio.transcriptions.create
    error = await raised(openai.APIStatusError, lambda: call(model="hear", file=("a.png", b"x")))
    assert (error.status_code, error.type) == (415, "invalid_request_error")


def spoken(client, model, text="to be", **more):
    return client.audio.speech.create(model=model, voice="alloy", input=text, **more)


@case
async def speech(client):
    answer = await value(spoken(client, "say", speed=2))
    assert (answer.content, answer.response.headers["content-type"]) == (b"alloy:to be:2.0", "audio/wav")


@case
async def speech_stream(client):
    asked = {"model": "speak", "voice": "alloy", "input": "to be", "response_format": "flac"}
    manager = client.audio.speech.with_streaming_response.create(**asked)
    if hasattr(manager, "__aenter__"):
        async with manager as answer:
            pieces = [piece async for piece in answer.iter_bytes()]
    else:
        with manager as answer:
            pieces = list(answer.iter_bytes())
    assert (b"".join(pieces), answer.headers["content-type"]) == (b"tobe", "audio/flac")


@case
async def speech_errors(client):
    await raised(openai.BadRequestError, lambda: spoken(client, "say", response_format="mp3"))
    await raised(openai.InternalServerError, lambda: spoken(client, "speak", "fail"))
    await raised(openai.NotFoundError, lambda: spoken(client, "chat"))


@case
async def responses_create(client):
    answer = await value(client.responses.create(model="chat", input="you", instructions="be brief"))
    assert (answer.output_text, answer.status) == ("Hello there, you", "completed")


@case
async def responses_stream(client):
    events = await items(client.responses.create(model="chat", input="think", stream=True))
    checked(events)
    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == "Hello there, think"
    assert "".join(one.delta for one in events if one.type == "response.reasoning_text.delta") == "hm"


def checked(events):
    """Each event is of a class of the client for its type, and strictly fits it; the numbers have no gaps."""
    assert [one.sequence_number for one in events] == list(range(len(events)))
    for one in events:
        assert type(one).__name__ != "BaseModel", one
        type(one).model_validate_json(one.model_dump_json(), strict=False)


@case
async def responses_tools(client):
    events = await items(client.responses.create(model="chat", input="tools", tools=FLAT_TOOLS, stream=True))
    checked(events)
    assert [one.arguments for one in events if one.type == "response.function_call_arguments.done"] == [
        '{"city": "Berlin"}', '{"zone":1}',
    ]  # fmt: skip


@case
async def responses_parse(client):
    answer = await value(client.responses.parse(model="chat", input="schema", text_format=Place))
    assert answer.output_parsed == Place(city="City")


@case
async def responses_incomplete(client):
    answer = await value(client.responses.create(model="chat", input="long"))
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@case
async def responses_conversation(client):
    turns = [*user("one"), {"role": "assistant", "content": "two"}, *user("three")]
    assert (await value(client.responses.create(model="chat", input=turns))).output_text == "Hello there, three"


@case
async def responses_late_error(client):
    error = await raised(
        openai.APIError, lambda: items(client.responses.create(model="chat", input="late", stream=True))
    )
    assert "too late" in str(error)


@case
async def error_at_first_token(client):
    error = await raised(openai.InternalServerError, lambda: create(client, "fail", stream=True))
    assert "no such luck" in str(error)


@case
async def error_later(client):
    error = await raised(openai.APIError, lambda: items(create(client, "late", stream=True)))
    assert "too late" in str(error)


@case
async def error_bad_request(client):
    await raised(openai.BadRequestError, lambda: create(client, "you", n=500))


@case
async def error_not_found(client):
    call = client.chat.completions.create
    await raised(openai.NotFoundError, lambda: call(model="nothing", messages=user("you")))


@case
async def error_key(client):
    other = client.with_options(api_key="wrong")
    error = await raised(openai.AuthenticationError, other.models.list)
    assert error.type == "authentication_error"


@case
async def error_many_requests(client):
    other = client.with_options(base_url=LIMITED, max_retries=0)
    for _ in range(20):
        try:
            await value(other.models.list())
        except openai.RateLimitError as error:
            refused = error
            break
    else:
        raise AssertionError("20 requests at once are within the limit")
    assert refused.response.headers["retry-after-ms"]


@case
async def retries_many_requests(client):
    other = client.with_options(base_url=LIMITED, max_retries=5)
    for _ in range(6):
        await value(other.models.list())


@case
async def disconnect(client):
    stream = await value(create(client, "wait", stream=True))
    if hasattr(stream, "__aiter__"):
        await anext(aiter(stream))
    else:
        next(iter(stream))
    await value(stream.close())
    await closed()


async def closed():
    """Wait until the generator, or the slot, told that nobody waits for it."""
    left = time.monotonic()
    while not os.path.exists(CLOSED):
        assert time.monotonic() - left < 20, "the generator was not closed"
        await asyncio.sleep(0.01)
    os.remove(CLOSED)


@case
async def error_permission(client):
    other = client.with_options(api_key=LESSER_KEY)
    error = await raised(openai.PermissionDeniedError, lambda: create(other, "you"))
    assert (error.type, bool(error.request_id)) == ("permission_error", True)
    assert (await value(other.embeddings.create(model="embed", input="a"))).data


@case
async def error_unprocessable(client):
    error = await raised(openai.UnprocessableEntityError, lambda: heard(client, extra_body={"temperature": "hot"}))
    assert "temperature" in str(error)


@case
async def error_too_large(client):
    error = await raised(openai.APIStatusError, lambda: create(client, "x" * 5_000_000))
    assert (error.status_code, error.type) == (413, "invalid_request_error")


@case
async def error_of_the_client_s_time(client):
    other = client.with_options(timeout=0.3, max_retries=0)
    await raised(openai.APITimeoutError, lambda: create(other, "wait"))
    await closed()


@case
async def error_of_the_server_s_time(client):
    other = client.with_options(max_retries=0, default_headers={"x-request-timeout": "0.3"})
    error = await raised(openai.InternalServerError, lambda: create(other, "wait"))
    assert (error.status_code, error.type) == (504, "server_error")
    await closed()


@case
async def error_connection(client):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        other = client.with_options(base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1", max_retries=0)
        await raised(openai.APIConnectionError, other.models.list)


@case
async def error_encoding_format(client):
    error = await raised(
        openai.BadRequestError, lambda: client.embeddings.create(model="embed", input="a", encoding_format="hex")
    )
    assert "encoding_format" in str(error)


@case
async def chat_raw_response(client):
    raw = await value(client.chat.completions.with_raw_response.create(model="chat", messages=user("you")))
    assert (raw.headers["x-request-id"], raw.status_code) == (raw.request_id, 200)
    assert (await value(raw.parse())).choices[0].message.content == "Hello there, you"


@case
async def chat_own_request_id(client):
    answer = await value(create(client, "you", extra_headers={"x-request-id": "mine"}))
    assert answer._request_id == "mine"


@case
async def chat_stream_parse(client):
    manager = client.chat.completions.stream(model="chat", messages=user("schema"), response_format=Place)
    answer = await final(manager, "get_final_completion")
    assert answer.choices[0].message.parsed == Place(city="City")


@case
async def chat_stream_several(client):
    chunks = await items(create(client, "you", n=2, stream=True))
    for index in (0, 1):
        texts = [one.delta.content or "" for chunk in chunks for one in chunk.choices if one.index == index]
        assert "".join(texts) == "Hello there, you"


@case
async def chat_parse_tools(client):
    tools = [openai.pydantic_function_tool(Weather, name="weather"), openai.pydantic_function_tool(Time, name="time")]
    answer = await value(client.chat.completions.parse(model="chat", messages=user("tools"), tools=tools))
    assert [call.function.parsed_arguments for call in answer.choices[0].message.tool_calls] == [
        Weather(city="Berlin"), Time(zone=1),
    ]  # fmt: skip


class Weather(BaseModel):
    city: str


class Time(BaseModel):
    zone: int


@case
async def completions_several_prompts(client):
    answer = await value(client.completions.create(model="chat", prompt=["a", "b"], n=2))
    assert [one.text[-1] for one in answer.choices] == ["a", "a", "b", "b"]


@case
async def embeddings_many(client):
    answer = await value(client.embeddings.create(model="embed", input=[str(number) for number in range(1000)]))
    assert [(one.index, one.embedding[0]) for one in answer.data] == [(at, len(str(at))) for at in range(1000)]


@case
async def responses_stream_helper(client):
    answer = await final(client.responses.stream(model="chat", input="schema", text_format=Place), "get_final_response")
    assert answer.output_parsed == Place(city="City")


def message(client, text, **more):
    return client.messages.create(model="chat", max_tokens=10, messages=user(text), **more)


async def anthropic_create(client):
    answer = await value(message(client, "think", system="be brief"))
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.stop_reason == "end_turn"


async def anthropic_stream(client):
    events = await items(message(client, "you", stream=True))
    assert "".join(one.delta.text for one in events if one.type == "content_block_delta") == "Hello there, you"
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")


async def anthropic_helper(client):
    manager = client.messages.stream(model="chat", max_tokens=9, messages=user("tools"), tools=SCHEMA_TOOLS)
    answer = await final(manager, "get_final_message")
    assert [block.input for block in answer.content] == [{"city": "Berlin"}, {"zone": 1}]
    assert answer.stop_reason == "tool_use"


async def anthropic_tool_result(client):
    result = [{"type": "tool_result", "tool_use_id": "call_1", "content": "noon"}]
    answer = await value(
        client.messages.create(model="chat", max_tokens=9, messages=[{"role": "user", "content": result}])
    )
    assert answer.content[0].text == "call_1=noon"


async def anthropic_stop(client):
    answer = await value(message(client, "you", stop_sequences=["there"]))
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "there")


async def anthropic_error(client):
    call = client.messages.create
    error = await raised(anthropic.NotFoundError, lambda: call(model="no", max_tokens=9, messages=user("x")))
    assert error.body["error"]["type"] == "not_found_error"


async def anthropic_late_error(client):
    error = await raised(anthropic.APIStatusError, lambda: items(message(client, "late", stream=True)))
    assert "too late" in str(error)


async def anthropic_key(client):
    await raised(anthropic.AuthenticationError, lambda: message(client.with_options(api_key="wrong"), "you"))


ANTHROPIC = {name: one for name, one in list(globals().items()) if name.startswith("anthropic_")}


async def main():
    failures = {}
    sync, other = openai.OpenAI(base_url=SERVER, api_key=KEY), openai.AsyncOpenAI(base_url=SERVER, api_key=KEY)
    root = SERVER.removesuffix("/v1")
    claude = anthropic.Anthropic(base_url=root, api_key=KEY), anthropic.AsyncAnthropic(base_url=root, api_key=KEY)
    both = [(CASES, client) for client in (sync, other)] + [(ANTHROPIC, client) for client in claude]
    for cases, client in both:
        for name, function in cases.items():
            case_name = f"{type(client).__name__}-{name}"
            try:
                async with asyncio.timeout(60):
                    await function(client)
                failures[case_name] = ""
            except Exception:
                failures[case_name] = traceback.format_exc(limit=-3)
    sys.stdout.write(f"{json.dumps(failures)}\n")


asyncio.run(main())
