"""Plain types over several processes: shards, and steps after each other."""

import json
import urllib.request

from plain_service import Counting, Finding, Item, Out, Shelf

from jina import Client, Deployment, Flow


def ask(port, path, body):
    data = json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=20) as answer:
        return json.load(answer)


def test_shards_give_what_all_of_them_have():
    options = {"shards": 2, "polling": {"/keep": "any", "/find": "all"}}
    with Deployment(uses=Shelf, protocol=["http", "grpc"], host="127.0.0.1", quiet=True, **options) as deployment:
        http, grpc = deployment.port
        client = Client(port=grpc)
        for text in ("pen", "paper", "pencil", "ink"):
            client.post("/keep", Item(text=text))
        found = client.post("/find", {"text": "pe"}, return_type=list[Item])
        assert sorted(item.text for item in found) == ["paper", "pen", "pencil"]
        assert sorted(item["text"] for item in ask(http, "/find", {"text": "pe"})) == ["paper", "pen", "pencil"]
        assert ask(http, "/keep", {"text": "pear"}) is None


def test_a_step_takes_what_the_one_before_gives():
    flow = Flow(protocol=["http", "grpc"], host="127.0.0.1", quiet=True).add(uses=Finding).add(uses=Counting)
    with flow as running:
        http, grpc = running.port
        client = Client(port=grpc)
        assert client.post("/find", {"text": "ab", "k": 3}, return_type=list[Out]) == [Out(n=2), Out(n=4), Out(n=6)]
        assert ask(http, "/find", {"text": "ab", "k": 1}) == [{"n": 2}]
        assert ask(http, "/total", {"text": "ab"}) == 6
        assert client.post("/total", {"text": "ab"}, parameters={"scale": 2}, return_type=int) == 12
