"""What a client tells stateful services."""

import pytest

from jina.client.sessions import Standing, Turns
from jina.codec import session_headers as wire
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.errors import BadRequest, SessionExpired


class Told:
    """An answer."""

    def __init__(self, request_id, error=None, **headers):
        self.request_id, self.error = request_id, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def request(name):
    return Request("/add", BytesPayload(b""), request_id=name, headers={"traceparent": "t"})


def met():
    standing = Standing()
    standing.heard({"jina-index": "notes=7"})
    return standing


def test_nothing_is_told_to_services_without_state():
    turns = Turns(Standing())
    assert turns.take(request("a")).headers == {"traceparent": "t"}
    turns.over(Told("a"))
    assert Standing().headers() == {}


def test_one_request_opens_a_session_and_the_next_ones_are_in_it():
    standing = met()
    turns = Turns(standing)
    first, second = turns.take(request("a")), turns.take(request("b"))
    turn = wire.turn_of(first.headers, "notes")
    assert (turn.opened, turn.sequence, turn.lowest) == (0, 0, 0)
    assert wire.turn_of(second.headers, "notes") is None
    assert first.headers["traceparent"] == "t"
    turns.over(Told("a", jina_index="notes=9", jina_session="notes=9"))
    third = turns.take(request("c"))
    assert wire.turn_of(third.headers, "notes") == (turn.client, 9, 2, 1)
    assert wire.index_of(third.headers, "notes") == 9
    turns.over(Told("b"))
    assert wire.turn_of(turns.take(request("d")).headers, "notes") == (turn.client, 9, 3, 2)


def test_what_will_not_be_sent_again_is_waited_for_no_more():
    standing = met()
    turns = Turns(standing)
    turns.take(request("a"))
    turns.close()
    assert wire.turn_of(Turns(standing).take(request("b")).headers, "notes").lowest == 1
    turns.take(request("c"))  # by a transport that had not heard of the end yet
    assert wire.turn_of(Turns(standing).take(request("d")).headers, "notes") is None, "b asks for the session"
    assert list(standing._flying) == [1, 3]


def test_after_an_expired_session_a_new_one_is_asked_for():
    standing = met()
    standing.heard({"jina-session": "notes=9"})
    turns = Turns(standing)
    assert wire.turn_of(turns.take(request("a")).headers, "notes").opened == 9
    turns.over(Told("a", SessionExpired("too late")))
    assert wire.turn_of(turns.take(request("b")).headers, "notes").opened == 0


def test_a_request_far_ahead_of_one_that_is_waited_for_is_in_no_session():
    standing = met()
    standing.heard({"jina-session": "notes=9"})
    numbers = [standing.begin() for _ in range(2050)]
    assert "jina-session" in numbers[2048][1]
    assert "jina-session" not in numbers[2049][1]


def test_an_older_index_is_not_gone_back_to_and_garbage_of_others_counts_for_nothing():
    standing = met()
    standing.heard({"jina-index": "notes=3, others=2"})
    standing.heard({"jina-index": "what?"})
    assert wire.numbers(standing.headers()["jina-index"]) == {"notes": 7, "others": 2}


MANY = f"me/1/1, notes={10**30}"
LONG = f"{'m' * 65}/1/1, notes=1"


@pytest.mark.parametrize(
    "text", ["me, notes=1", "me/1, notes=1", "me/1/2, notes=1", "/1/1, notes=1", "me/1/x, notes=1", LONG, MANY]
)
def test_a_session_that_cannot_be_read_is_refused(text):
    with pytest.raises(BadRequest):
        wire.turn_of({"jina-session": text}, "notes")


def test_headers_of_several_replies_are_those_of_one():
    assert wire.merged([None, {}, None]) is None
    assert wire.merged([{"jina-index": "a=1"}, None]) == {"jina-index": "a=1"}
    both = wire.merged([{"jina-index": "a=1"}, {"jina-index": "b=2", "jina-session": "b=2"}])
    assert wire.numbers(both["jina-index"]) == {"a": 1, "b": 2}
    assert both["jina-session"] == "b=2"
