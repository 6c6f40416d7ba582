"""The limit of batching: a raw ASGI application under uvicorn with a batcher of 30 lines; the model has a thread."""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import orjson
import uvicorn

SIZE, WAIT = 32, 0.005
waiting = asyncio.Queue()
model = ThreadPoolExecutor(1)


def upper(texts):
    time.sleep(0.005 + 0.0001 * len(texts))
    return [f"{text.upper()} {len(texts)}" for text in texts]


async def batches():
    loop = asyncio.get_running_loop()
    while True:
        batch = [await waiting.get()]
        until = loop.time() + WAIT
        while len(batch) < SIZE and (left := until - loop.time()) > 0:
            try:
                batch.append(waiting.get_nowait() if waiting.qsize() else await asyncio.wait_for(waiting.get(), left))
            except TimeoutError:
                break
        while len(batch) < SIZE and waiting.qsize():
            batch.append(waiting.get_nowait())
        answers = await loop.run_in_executor(model, upper, [text for text, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        app.task = asyncio.create_task(batches())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        app.task.cancel()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    (doc,) = orjson.loads(body)["data"]
    future = asyncio.get_running_loop().create_future()
    waiting.put_nowait((doc["text"], future))
    doc["text"] = await future
    answer = orjson.dumps({"data": [doc], "parameters": {}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    config = uvicorn.Config(app, port=int(sys.argv[-1]), log_level="error", access_log=False, lifespan="on")
    asyncio.run(uvicorn.Server(config).serve())
