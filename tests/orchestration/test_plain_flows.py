"""Plain types over several processes: shards, and steps after each other."""

import json
import urllib.error
import urllib.request

import pytest
from loose_steps import Loose, Numbers, Pieces, Strict
from plain_service import Counting, Finding, Item, Out, Shelf

from jina import Client, Deployment, Flow
from jina.errors import BadRequest, JinaError, RuntimeFailToStart, ValidationFailed


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


class Misfit(Finding):
    """Takes what `Counting` does not give."""


def test_steps_that_do_not_fit_are_refused_with_what_to_write():
    flow = Flow(host="127.0.0.1", quiet=True).add(uses=Counting, name="counts").add(uses=Misfit, name="finds")
    with pytest.raises(RuntimeFailToStart) as caught, flow:
        pass
    assert "counts and finds do not match on /find: FindInput.text of finds is required, and Out of counts has" in str(
        caught.value
    )
    assert "give the field to Out, or a default to FindInput.text" in str(caught.value)


PROTOCOLS = ["grpc", "http", "websocket"]
WRONG = {
    "/fields": (ValidationFailed, "text"),
    "/value": (ValidationFailed, "text"),
    "/nothing": (ValidationFailed, "text"),
    "/number": (ValidationFailed, "int"),
    "/many": (BadRequest, "answers one input with a list"),
}


@pytest.fixture(scope="module")
def loose():
    flow = Flow(protocol=PROTOCOLS, host="127.0.0.1", quiet=True)
    with flow.add(uses=Loose, name="loose").add(uses=Strict, name="strict") as running:
        yield dict(zip(PROTOCOLS, running.port, strict=True))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_step_may_give_fits_or_is_an_error(loose, protocol):
    client = Client(protocol=protocol, port=loose[protocol])
    inputs, options = {"text": "ab"}, {"timeout": 20}
    assert client.post("/fits", inputs, return_type=Out, **options) == Out(n=4)
    assert client.post("/perhaps", inputs, return_type=Out, **options) == Out(n=2)
    with pytest.raises(ValidationFailed, match="text"):
        client.post("/perhaps", {"text": ""}, return_type=Out, **options)
    for path, (error, text) in WRONG.items():
        with pytest.raises(error, match=text) as caught:
            client.post(path, inputs, return_type=Out, **options)
        assert "strict" in str(caught.value), path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_streams_end_with_what_does_not_fit(loose, protocol):
    client = Client(protocol=protocol, port=loose[protocol])
    got = []
    with pytest.raises(ValidationFailed, match="text"):
        got.extend(client.stream_doc("/stream", {"text": "ab"}, return_type=Out, timeout=20))
    with pytest.raises(ValidationFailed, match="text"):
        got.extend(client.stream_doc("/late", {"text": "ab"}, return_type=Out, timeout=20))


def test_bare_bodies_get_the_errors(loose):
    for path in WRONG:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(loose["http"], path, {"text": "ab"})
        with caught.value as error:
            assert error.code in {400, 422}, path
    body = json.dumps({"text": "ab"}).encode()
    url = f"http://127.0.0.1:{loose['http']}/stream"
    asked = urllib.request.Request(url, body, {"accept": "text/event-stream", "content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        events = answer.read()
    assert events.startswith(b'event: update\r\ndata: {"n":2}\r\n\r\nevent: error')


NOT_TEXT = b"\x00\xff\xfe\x80"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_that_are_no_text_pass_unchanged(loose, protocol):
    client, options = Client(protocol=protocol, port=loose[protocol]), {"timeout": 20}
    assert client.post("/bytes", NOT_TEXT, return_type=bytes, **options) == NOT_TEXT
    pieces = Pieces(NOT_TEXT, [NOT_TEXT, b""], {"a": NOT_TEXT})
    assert client.post("/pieces", pieces, return_type=Pieces, **options) == pieces
    assert client.post("/read", "\u00fc".encode(), return_type=str, **options) == "\u00fc"
    with pytest.raises(ValidationFailed, match=r"strict.*str: .*valid string"):
        client.post("/read", NOT_TEXT, return_type=str, **options)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("number", [2**31, -(2**40), 2**53])
def test_large_integers_pass_unchanged(loose, protocol, number):
    client, options = Client(protocol=protocol, port=loose[protocol]), {"timeout": 20}
    given = Numbers(one=number, many=[number, 1], perhaps=number, named={"a": number})
    found = client.post("/numbers", given, return_type=Numbers, **options)
    assert (found, type(found.one)) == (given, int)
    assert client.post("/times", {"number": 3}, return_type=int, **options) == 3 * 2**31 + 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_integers_beyond_the_wire_are_an_error_that_says_what_to_do(loose, protocol):
    client = Client(protocol=protocol, port=loose[protocol])
    with pytest.raises(JinaError, match="beyond 53 bits, the limit of this wire; make the field a str"):
        client.post("/times", {"number": 2**50, "factor": 2**10}, return_type=int, timeout=20)
