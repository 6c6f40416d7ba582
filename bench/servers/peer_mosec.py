"""Mosec: one text, upper case, with orjson."""

import sys

import orjson
from mosec import Server, Worker


class Upper(Worker):
    def deserialize(self, data):
        return orjson.loads(data)

    def serialize(self, data):
        return orjson.dumps(data)

    def forward(self, data):
        for doc in data["data"]:
            doc["text"] = doc["text"].upper()
        return data


if __name__ == "__main__":
    port = sys.argv.pop()
    sys.argv += ["--port", port, "--address", "127.0.0.1", "--log-level", "error"]
    server = Server()
    server.append_worker(Upper)
    server.run()
