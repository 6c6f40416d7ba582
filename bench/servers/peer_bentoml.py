"""BentoML: one text, upper case."""

import os
import sys

import bentoml


@bentoml.service(workers=1)
class Upper:
    @bentoml.api(route="/upper")
    async def upper(self, data: list[dict]) -> dict:
        return {"data": [{"text": doc["text"].upper()} for doc in data]}


if __name__ == "__main__":
    command = ["-m", "bentoml", "serve", "peer_bentoml:Upper", "--port", sys.argv[-1], "--host", "127.0.0.1"]
    os.execv(sys.executable, [sys.executable, *command])
