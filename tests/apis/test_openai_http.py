"""OpenAI's API and Anthropic's messages by plain HTTP, from a worker and from a gateway."""

import base64
import json
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from jina import Deployment, Flow
from tests.apis.language_model import LanguageModel, SteppingModel


@pytest.fixture(
    scope="module",
    params=[(kind, model) for kind in ("Deployment", "Flow") for model in (LanguageModel, SteppingModel)],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def server(request, tmp_path_factory):
    kind, model = request.param
    closed = tmp_path_factory.mktemp("closed") / "file"
    options = {"protocol": "http", "apis": "openai"}
    if kind == "Flow":
        made = Flow(**options).add(uses=model, env={"CLOSED_FILE": str(closed)})
    else:
        made = Deployment(uses=model, env={"CLOSED_FILE": str(closed)}, **options)
    with made, httpx.Client(base_url=f"http://127.0.0.1:{made.port}/v1", timeout=60) as client:
        client.closed = closed
        yield client


def user(text):
    return [{"role": "user", "content": text}]


def chat(server, text, **more):
    return server.post("/chat/completions", json={"model": "chat", "messages": user(text), **more})


def events(answer):
    """The data of the server-sent events, each with its name if it has one."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    *blocks, last = answer.text.split("\n\n")
    assert last == ""
    found = []
    for block in blocks:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        data = lines["data"] if lines["data"] == "[DONE]" else json.loads(lines["data"])
        assert "event" not in lines or lines["event"] == data["type"]
        found.append(data)
    return found


def test_models(server):
    listed = server.get("/models").json()["data"]
    assert {one["id"]: one["serves"] for one in listed} == {
        "chat": ["chat"], "whole": ["chat"], "embed": ["embedding", "rerank"], "rank": ["rerank"],
        "listen": ["transcription"], "hear": ["transcription"], "say": ["speech"], "speak": ["speech"],
    }  # fmt: skip


def test_a_chat_in_one_piece(server):
    content = chat(server, "you").json()
    [choice] = content["choices"]
    assert choice["message"]["content"] == "Hello there, you"
    assert (choice["finish_reason"], content["usage"]["total_tokens"]) == ("stop", 7)


def test_a_chat_as_a_stream(server):
    *chunks, usage, done = events(chat(server, "you", stream=True, stream_options={"include_usage": True}))
    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        *({"content": word} for word in ("Hello", " there", ", ", "you")),
        {},
    ]
    assert [chunk["usage"] for chunk in chunks] == [None] * 6
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"]
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 3)
    assert len({chunk["id"] for chunk in [*chunks, usage]}) == 1


TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "time")]


def test_calls_of_tools_in_pieces(server):
    *chunks, last, _ = events(chat(server, "tools", stream=True, tools=TOOLS))
    pieces = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [(piece["index"], piece["function"]["arguments"]) for piece in pieces] == [
        (0, '{"city":'), (0, ' "Berlin"}'), (1, '{"zone":1}'),
    ]  # fmt: skip
    assert ["id" in piece for piece in pieces] == [True, False, True]
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    message = chat(server, "tools", tools=TOOLS).json()["choices"][0]["message"]
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"city": "Berlin"}', '{"zone":1}']
    assert message["content"] is None


def test_several_answers(server):
    choices = chat(server, "you", n=3).json()["choices"]
    assert [(one["index"], one["message"]["content"]) for one in choices] == [(n, "Hello there, you") for n in range(3)]
    chunks = events(chat(server, "you", n=2, stream=True))[:-1]
    for index in range(2):
        own = [one["choices"][0] for one in chunks if one["choices"][0]["index"] == index]
        assert "".join(one["delta"].get("content", "") for one in own) == "Hello there, you"
        assert own[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("stop", "text"), [("ere, y", "Hello th"), (["x", "o"], "Hell"), ("never", "Hello there, you")]
)
def test_it_stops_at_a_text_that_comes_in_pieces(server, stop, text):
    assert chat(server, "you", stop=stop).json()["choices"][0]["message"]["content"] == text
    chunks = events(chat(server, "you", stop=stop, stream=True))[:-1]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == text
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_an_answer_that_is_too_long(server):
    assert chat(server, "long").json()["choices"][0]["finish_reason"] == "length"


def test_errors(server):
    answers = {
        400: chat(server, "you", n=0),
        404: server.post("/chat/completions", json={"model": "nothing", "messages": user("you")}),
        405: server.get("/chat/completions"),
        500: chat(server, "fail", stream=True),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]
        assert answer.headers["x-request-id"]
    assert answers[404].json()["error"]["code"] == "model_not_found"
    for path, wrong in (
        ("/completions", {"prompt": []}),
        ("/chat/completions", {"messages": user("you"), "tools": [{}]}),
        ("/chat/completions", {"messages": user("you"), "tools": [{"function": {"name": 1}}]}),
        ("/responses", {"input": "you", "tools": [{"type": "function"}]}),
        ("/messages", {"messages": user("you"), "max_tokens": 9, "tools": [{}]}),
    ):
        assert server.post(path, json={"model": "chat", **wrong}).status_code == 400, wrong
    for body in ("{", "[]", '{"model": "chat"}', '{"model": "chat", "messages": [{}]}', '{"messages": "x"}'):
        assert server.post("/chat/completions", content=body).status_code == 400


def test_an_error_in_the_middle_of_a_stream_is_its_last_event(server):
    *_, last = events(chat(server, "late", stream=True))
    assert "too late" in last["error"]["message"]


def test_a_client_that_leaves_ends_its_answer_at_once(server):
    body, file, took = {"model": "chat", "messages": user("wait"), "stream": True}, Path(server.closed), []
    while not took or min(took) > 0.3:  # the machine may be busy
        assert len(took) < 10, took
        with server.stream("POST", "/chat/completions", json=body) as answer:
            assert any("one" in text for text in answer.iter_text())
            left = time.monotonic()
        limit = left + 20
        while not file.exists() or not (text := file.read_text()).endswith("\n"):
            assert time.monotonic() < limit, "the answer was not ended"
        took.append(float(text) - left)
        file.unlink()


def test_completions(server):
    content = server.post("/completions", json={"model": "chat", "prompt": ["a", "b"]}).json()
    assert [one["text"] for one in content["choices"]] == ["Hello there, a", "Hello there, b"]
    assert content["usage"]["completion_tokens"] == 8
    *chunks, _ = events(server.post("/completions", json={"model": "chat", "prompt": "a", "stream": True}))
    assert "".join(one["choices"][0]["text"] for one in chunks) == "Hello there, a"


def test_too_many_prompts_are_refused_before_one_of_them_is_answered(server):
    answer = server.post("/completions", json={"model": "chat", "prompt": ["you"] * 1025, "n": 2})
    assert answer.status_code == 413, answer.text
    assert answer.json()["error"]["message"].startswith("1025 prompts with n=2 are 2050 answers")


def test_responses(server):
    body = {"model": "chat", "input": [{"role": "user", "content": "think"}], "instructions": "be brief"}
    content = server.post("/responses", json=body).json()
    assert [item["type"] for item in content["output"]] == ["reasoning", "message"]
    assert content["output"][1]["content"][0]["text"] == "Hello there, think"
    assert (content["status"], content["usage"]["output_tokens_details"]) == ("completed", {"reasoning_tokens": 2})
    found = events(server.post("/responses", json={**body, "stream": True}))
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert found[-1]["type"] == "response.completed"
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("weather", "time")]
    asked = {"model": "chat", "input": "tools", "tools": tools, "stream": True}
    *found, last = events(server.post("/responses", json=asked))
    calls = [item for item in last["response"]["output"] if item["type"] == "function_call"]
    assert [call["arguments"] for call in calls] == ['{"city": "Berlin"}', '{"zone":1}']
    results = [*calls, {"type": "function_call_output", "call_id": calls[1]["call_id"], "output": "noon"}]
    answer = server.post("/responses", json={"model": "chat", "input": results}).json()
    assert answer["output"][0]["content"][0]["text"] == "call_1=noon"
    ended = server.post("/responses", json={"model": "chat", "input": "long"}).json()
    assert (ended["status"], ended["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    failed = events(server.post("/responses", json={"model": "chat", "input": "late", "stream": True}))
    assert [one["type"] for one in failed[-2:]] == ["error", "response.failed"]
    assert [one["sequence_number"] for one in failed] == list(range(len(failed)))
    refused = server.post("/responses", json={"model": "chat", "input": "x", "previous_response_id": "resp_1"})
    assert refused.status_code == 400


def test_anthropics_messages(server):
    body = {"model": "chat", "max_tokens": 10, "system": "be brief", "messages": user("think")}
    content = server.post("/messages", json=body).json()
    assert [block["type"] for block in content["content"]] == ["thinking", "text"]
    assert (content["stop_reason"], content["usage"]["cache_read_input_tokens"]) == ("end_turn", 1)
    tools = [{"name": name, "input_schema": {}} for name in ("weather", "time")]
    found = events(server.post("/messages", json={**body, "messages": user("tools"), "tools": tools, "stream": True}))
    assert [one["type"] for one in found] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert found[-2]["delta"]["stop_reason"] == "tool_use"
    result = [{"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "noon"}]}]
    answer = server.post("/messages", json={**body, "messages": [{"role": "user", "content": result}]}).json()
    assert answer["content"][0]["text"] == "call_1=noon"
    stopped = server.post("/messages", json={**body, "stop_sequences": ["there"]}).json()
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "there")
    failed = server.post("/messages", json={**body, "model": "nothing"})
    assert (failed.status_code, failed.json()["error"]["type"]) == (404, "not_found_error")
    assert events(server.post("/messages", json={**body, "messages": user("late"), "stream": True}))[-1]["error"]


def test_a_method_that_gives_its_answer_at_once(server):
    messages = [{"role": "developer", "content": [{"type": "text", "text": "be brief"}]}, *user("you")]
    body = {"model": "whole", "messages": messages}
    assert server.post("/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "be brief|you"


def test_embeddings(server):
    asked = {"model": "embed", "input": ["a", "bcd"]}
    found = [one["embedding"] for one in server.post("/embeddings", json=asked).json()["data"]]
    assert found == [[1, 1, 2], [3, 1, 2]]
    packed = server.post("/embeddings", json={**asked, "encoding_format": "base64"}).json()["data"]
    assert [np.frombuffer(base64.b64decode(one["embedding"]), "<f4").tolist() for one in packed] == found
    [short] = server.post("/embeddings", json={"input": "abc", "dimensions": 2}).json()["data"]
    assert short["embedding"] == pytest.approx([0.94868, 0.31623], abs=1e-4)
    many = server.post("/embeddings", json={"model": "embed", "input": ["a", "bc"] * 12_000}).json()["data"]
    assert [one["embedding"] for one in many] == [[1, 1, 2], [2, 1, 2]] * 12_000
    for wrong in ({"input": [1, 2]}, {"input": []}, {"input": "a", "encoding_format": "hex"}):
        assert server.post("/embeddings", json={"model": "embed", **wrong}).status_code == 400
    for tokens in ([1, 2], [[1, 2], [3]]):
        error = server.post("/embeddings", json={"model": "embed", "input": tokens}).json()["error"]
        assert error["message"].startswith("input: this server takes texts, not tokens")


def test_the_routes_are_documented(server):
    document = server.get("/../openapi.json").json()
    assert {path for path in document["paths"] if path.startswith("/v1/")} == {
        "/v1/models", "/v1/models/{model}",
        "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings",
        "/v1/rerank", "/v1/audio/transcriptions", "/v1/audio/speech",
    }  # fmt: skip


def test_rerank(server):
    body = {"query": "abc", "documents": ["xyz", {"text": "cab"}, "ab"], "top_n": 2}
    for model in ("rank", "embed"):
        results = server.post("/rerank", json={**body, "model": model}).json()["results"]
        assert len(results) == 2
    results = server.post("/rerank", json={**body, "model": "rank"}).json()["results"]
    assert [(one["index"], one["document"]["text"]) for one in results] == [(1, "cab"), (2, "ab")]


@pytest.mark.slow
def test_the_endpoint_by_other_protocols(server):
    answer = server.post("/../chat", json={"data": [{"messages": user("you")}]})
    assert '{"text":"Hello"}' in answer.text


def listen(server, model="listen", content=b"to be", name="a.wav", kind="audio/wav", **fields):
    files = {"file": (name, content, kind)}
    return server.post("/audio/transcriptions", data={"model": model, **fields}, files=files)


def test_transcriptions(server):
    assert listen(server).json() == {"text": "to be"}
    text = listen(server, response_format="text")
    assert (text.headers["content-type"], text.text) == ("text/plain; charset=utf-8", "to be")
    verbose = listen(server, response_format="verbose_json", language="de", temperature="0.5", unknown="x").json()
    assert (verbose["language"], verbose["duration"], verbose["text"]) == ("de", 2.5, "to be")
    assert [(one["id"], one["start"], one["text"], one["tokens"]) for one in verbose["segments"]] == [
        (0, 0, "to", []), (1, 1, "be", []),
    ]  # fmt: skip
    assert listen(server, response_format="srt").text.startswith("1\n00:00:00,000 --> 00:00:01,500\nto\n\n2\n")
    assert listen(server, response_format="vtt").text.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.500\nto\n")
    assert listen(server, "hear", prompt="yes ").json() == {"text": "yes to be "}


def test_large_audio(server):
    assert listen(server, content=b"long " * 500_000).json()["text"].startswith("long long")


@pytest.mark.parametrize("model", ["listen", "hear"])
def test_transcriptions_as_a_stream(server, model):
    *deltas, done = events(listen(server, model, stream="true"))
    assert "".join(one["delta"] for one in deltas) == done["text"]
    assert ({one["type"] for one in deltas}, done["type"]) == ({"transcript.text.delta"}, "transcript.text.done")
    assert len(deltas) == (1 if model == "listen" else 2)


def test_media_types_of_audio(server):
    for name, kind in (("a.wav", "application/octet-stream"), ("a.webm", "video/webm"), ("a.mp3", "audio/mpeg")):
        assert listen(server, name=name, kind=kind).status_code == 200, name
    for name, kind in (("a", "application/octet-stream"), ("a.png", "image/png")):
        refused = listen(server, name=name, kind=kind)
        assert (refused.status_code, refused.json()["error"]["type"]) == (415, "invalid_request_error")


def test_wrong_transcriptions(server):
    assert listen(server, "hear", response_format="verbose_json").status_code == 400
    assert "gives no segments" in listen(server, "hear", response_format="srt").json()["error"]["message"]
    assert listen(server, response_format="mp3").status_code == 400
    assert listen(server, "chat").json()["error"]["code"] == "model_not_found"
    assert server.post("/audio/transcriptions", json={"model": "listen"}).status_code == 415
    assert server.post("/audio/transcriptions", files={"model": (None, "listen")}).status_code == 400
    assert server.post("/audio/transcriptions", files={"file": (None, "text")}).status_code == 422
    assert listen(server, "hear", prompt="fail", stream="true").json()["error"]["message"]
    assert "too late" in events(listen(server, "hear", prompt="late", stream="true"))[-1]["error"]["message"]


def say(server, model, text, **more):
    return server.post("/audio/speech", json={"model": model, "input": text, "voice": "alloy", **more})


def test_speech(server):
    answer = say(server, "say", "to be", speed=2)
    assert (answer.headers["content-type"], answer.content) == ("audio/wav", b"alloy:to be:2.0")
    assert answer.headers["content-length"] == "15"
    assert say(server, "say", "x", voice={"id": "own"}).content == b"own:x:1.0"
    assert len(say(server, "say", "long").content) == 1_400_000
    streamed = say(server, "speak", "to be", response_format="flac")
    assert (streamed.headers["content-type"], streamed.content) == ("audio/flac", b"tobe")
    assert say(server, "speak", "to be").headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize("model", ["say", "speak"])
def test_speech_as_events(server, model):
    *deltas, done = events(say(server, model, "to be", stream_format="sse"))
    sound = b"".join(base64.b64decode(one["audio"]) for one in deltas)
    assert sound == (b"tobe" if model == "speak" else b"alloy:to be:1.0")
    assert (done["type"], done["usage"]["total_tokens"]) == ("speech.audio.done", 0)


@pytest.mark.slow
def test_wrong_speech(server):
    assert "gives audio/wav" in say(server, "say", "x", response_format="mp3").json()["error"]["message"]
    for wrong in ({"response_format": "xyz"}, {"stream_format": "xyz"}, {"input": None}, {"model": "chat"}):
        asked = {"model": "say", "input": "x", "voice": "alloy", **wrong}
        assert server.post("/audio/speech", json=asked).is_client_error, wrong
    assert "no voice" in say(server, "speak", "fail").json()["error"]["message"]
    assert "no voice" in events(say(server, "speak", "x fail", stream_format="sse"))[-1]["error"]["message"]
    with pytest.raises(httpx.RemoteProtocolError):
        say(server, "speak", "x fail")
