"""The limit: a raw ASGI application under uvicorn with orjson; binary bodies with upb."""

import asyncio
import sys
import time

import numpy as np
import orjson

BINARY = b"application/octet-stream"


def upper(body: bytes) -> bytes:
    message = orjson.loads(body)
    for doc in message["data"]:
        doc["text"] = doc["text"].upper()
    return orjson.dumps({"data": message["data"], "parameters": message.get("parameters", {})})


def double_json(body: bytes) -> bytes:
    message = orjson.loads(body)
    docs = [{"id": d["id"], "embedding": np.asarray(d["embedding"], dtype=np.float32) * 2} for d in message["data"]]
    return orjson.dumps({"data": docs, "parameters": {}}, option=orjson.OPT_SERIALIZE_NUMPY)


def double_binary(body: bytes) -> bytes:
    from jina.codec import pb

    docs = pb.DocListProto.FromString(body)
    answer = pb.DocListProto()
    for doc in docs.docs:
        dense = doc.data["embedding"].ndarray.dense
        array = np.frombuffer(dense.buffer, dtype=dense.dtype).reshape(dense.shape) * 2
        new = answer.docs.add()
        new.data["id"].text = doc.data["id"].text
        out = new.data["embedding"].ndarray.dense
        out.buffer, out.dtype = array.tobytes(), dense.dtype
        out.shape.extend(dense.shape)
    return answer.SerializeToString()


WORK = {"/upper": (upper, b"application/json"), "/double": (double_json, b"application/json"),
        "/double_binary": (double_binary, BINARY)}  # fmt: skip


async def unpaced():
    for i in range(1000):
        yield f"token {i}"


async def paced():
    for _ in range(50):
        await asyncio.sleep(0.01)
        yield f"{time.monotonic_ns()}"


async def chat(send) -> None:
    """The pieces of a chat completion, each of which is made and sent alone."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    chunk = {"id": "chatcmpl-0", "created": 1, "model": "chat", "object": "chat.completion.chunk"}
    async for text in unpaced():
        choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
        item = b"data: " + orjson.dumps({**chunk, "choices": [choice]}) + b"\n\n"
        await send({"type": "http.response.body", "body": item, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def events(texts, send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for text in texts:
        item = b"event: update\r\ndata: " + orjson.dumps({"id": "a", "text": text}) + b"\r\n\r\n"
        await send({"type": "http.response.body", "body": item, "more_body": True})
    await send({"type": "http.response.body", "body": b"event: end\r\n\r\n"})


STREAMS = {"/tokens": unpaced, "/paced": paced}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/v1/chat/completions":
        await chat(send)
        return
    if scope["path"] in STREAMS:
        await events(STREAMS[scope["path"]](), send)
        return
    work, kind = WORK[scope["path"]]
    answer = work(body)
    headers = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    import uvicorn

    config = uvicorn.Config(app, port=int(sys.argv[-1]), log_level="error", access_log=False, lifespan="off")
    asyncio.run(uvicorn.Server(config).serve())
