"""Mosec: texts in batches, upper case."""

import sys
import time

import orjson
from mosec import Server, Worker


class Upper(Worker):
    def deserialize(self, data):
        return orjson.loads(data)

    def serialize(self, data):
        return orjson.dumps(data)

    def forward(self, batch):
        time.sleep(0.005 + 0.0001 * len(batch))
        for data in batch:
            for doc in data["data"]:
                doc["text"] = f"{doc['text'].upper()} {len(batch)}"
        return batch


if __name__ == "__main__":
    port = sys.argv.pop()
    sys.argv += ["--port", port, "--address", "127.0.0.1", "--log-level", "error"]
    server = Server()
    server.append_worker(Upper, max_batch_size=32, max_wait_time=5)
    server.run()
