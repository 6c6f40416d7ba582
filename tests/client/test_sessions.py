"""What a client tells stateful services."""

import pytest

from jina.client.sessions import CallSession, SessionState
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
    session_state = SessionState()
    session_state.heard({"jina-index": "notes=7"})
    return session_state


def test_nothing_is_told_to_services_without_state():
    call_session = CallSession(SessionState())
    assert call_session.take(request("a")).headers == {"traceparent": "t"}
    call_session.over(Told("a"))
    assert SessionState().headers() == {}


def test_one_request_opens_a_session_and_the_next_ones_are_in_it():
    session_state = met()
    call_session = CallSession(session_state)
    first, second = call_session.take(request("a")), call_session.take(request("b"))
    session = wire.session_of(first.headers, "notes")
    assert (session.opened, session.sequence, session.lowest) == (0, 0, 0)
    assert wire.session_of(second.headers, "notes") is None
    assert first.headers["traceparent"] == "t"
    call_session.over(Told("a", jina_index="notes=9", jina_session="notes=9"))
    third = call_session.take(request("c"))
    assert wire.session_of(third.headers, "notes") == (session.client, 9, 2, 1)
    assert wire.index_of(third.headers, "notes") == 9
    call_session.over(Told("b"))
    assert wire.session_of(call_session.take(request("d")).headers, "notes") == (session.client, 9, 3, 2)


def test_what_will_not_be_sent_again_is_waited_for_no_more():
    session_state = met()
    call_session = CallSession(session_state)
    call_session.take(request("a"))
    call_session.close()
    assert wire.session_of(CallSession(session_state).take(request("b")).headers, "notes").lowest == 1
    call_session.take(request("c"))  # by a transport that had not heard of the end yet
    assert wire.session_of(CallSession(session_state).take(request("d")).headers, "notes") is None, (
        "b asks for the session"
    )
    assert list(session_state._flying) == [1, 3]


def test_after_an_expired_session_a_new_one_is_asked_for():
    session_state = met()
    session_state.heard({"jina-session": "notes=9"})
    call_session = CallSession(session_state)
    assert wire.session_of(call_session.take(request("a")).headers, "notes").opened == 9
    call_session.over(Told("a", SessionExpired("too late")))
    assert wire.session_of(call_session.take(request("b")).headers, "notes").opened == 0


def test_a_request_far_ahead_of_one_that_is_waited_for_is_in_no_session():
    session_state = met()
    session_state.heard({"jina-session": "notes=9"})
    numbers = [session_state.begin() for _ in range(2050)]
    assert "jina-session" in numbers[2048][1]
    assert "jina-session" not in numbers[2049][1]


def test_an_older_index_is_not_gone_back_to_and_garbage_of_others_counts_for_nothing():
    session_state = met()
    session_state.heard({"jina-index": "notes=3, others=2"})
    session_state.heard({"jina-index": "what?"})
    assert wire.numbers(session_state.headers()["jina-index"]) == {"notes": 7, "others": 2}


MANY = f"me/1/1, notes={10**30}"
LONG = f"{'m' * 65}/1/1, notes=1"


@pytest.mark.parametrize(
    "text", ["me, notes=1", "me/1, notes=1", "me/1/2, notes=1", "/1/1, notes=1", "me/1/x, notes=1", LONG, MANY]
)
def test_a_session_that_cannot_be_read_is_refused(text):
    with pytest.raises(BadRequest):
        wire.session_of({"jina-session": text}, "notes")


def test_headers_of_several_replies_are_those_of_one():
    assert wire.merged([None, {}, None]) is None
    assert wire.merged([{"jina-index": "a=1"}, None]) == {"jina-index": "a=1"}
    both = wire.merged([{"jina-index": "a=1"}, {"jina-index": "b=2", "jina-session": "b=2"}])
    assert wire.numbers(both["jina-index"]) == {"a": 1, "b": 2}
    assert both["jina-session"] == "b=2"
