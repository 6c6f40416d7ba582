"""What a call remembers of its requests."""

import pytest

from jina.client.loops import iterate
from jina.client.post import Payloads, PendingRequests, PostCall, Run
from jina.client.sessions import SessionState
from jina.codec.messages import Request
from jina.errors import BadRequest, Unavailable
from jina.net.channel import FailedAnswer


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_nothing_is_held_of_answered_requests(keep, ordered):
    numbers = iter(range(1000))
    pending = PendingRequests(
        lambda payload: Request("/", payload, request_id=str(next(numbers))), keep=keep, ordered=ordered
    )
    handed_out = []
    for request in iterate(pending.attempt(Payloads(iter(range(1000))))):
        answer = FailedAnswer(Unavailable("away"), request.request_id, "/")
        pending.answered(answer)
        handed_out += pending.in_order(answer) if ordered else [answer]
    assert len(handed_out) == 1000
    assert not pending._pending
    assert not pending._order
    assert not pending._early


def test_a_failure_that_names_no_request_is_the_failure_of_the_call():
    """A server cannot name a request that it could not read."""
    run = Run(PostCall(on="/", max_attempts=3), SessionState())
    with pytest.raises(BadRequest, match="no protobuf"):
        next(run.arrived(FailedAnswer(BadRequest("no protobuf"), "", "/"), 1))
