"""Dynamic batching of writes: gathered before the log, one batch on every replica."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from docarray import DocList

from jina.errors import ExecutorError
from tests.stateful.conftest import PATIENCE, group
from tests.stateful.users import Gathering, Item

pytestmark = [pytest.mark.timeout(120)]
FRESH = {"headers": {"jina-consistency": "linearizable"}}


@pytest.fixture(scope="module")
def gathering(tmp_path_factory):
    with group(Gathering, tmp_path_factory.mktemp("batches"), protocol=["grpc", "http"]) as running:
        yield running


def items(*texts):
    return DocList[Item]([Item(text=text) for text in texts])


def batches(running):
    """What the replicas noted, which is the same."""
    states = running.everywhere("/list", documents=items("x"), return_type=DocList[Item], **FRESH)
    assert states[0] == states[1] == states[2]
    return states[0]["batches"]


def over_http(running, endpoint, data, request_id):
    body = json.dumps({"data": data, "header": {"request_id": request_id}}).encode()
    url = f"http://127.0.0.1:{running.deployment.port[1]}{endpoint}"
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read())["data"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def test_writes_are_gathered_and_each_is_given_its_own_answer(gathering):
    texts = [f"w{number}" for number in range(60)]
    answers = gathering.post("/add", items(*texts), request_size=1, return_type=DocList[Item])
    noted = batches(gathering)
    assert sorted(chain(*noted)) == sorted(texts)
    assert max(map(len, noted)) > 1
    assert all(len(one) <= 8 for one in noted)
    assert sorted(answers.text) == sorted(f"{n}:{text}" for n, batch in enumerate(noted) for text in batch)


def test_a_member_that_comes_again_is_applied_once(gathering):
    bodies = [([{"text": f"again{number}"}], f"again{number}") for number in range(4)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda one: over_http(gathering, "/add", *one), bodies * 3))
    assert all(status == 200 for status, _ in found)
    for number in range(4):
        result = {found[place][1][0]["text"] for place in range(number, 12, 4)}
        assert len(result) == 1, "a repeated write is answered as before"
    noted = [text for text in chain(*batches(gathering)) if text.startswith("again")]
    assert sorted(noted) == [f"again{number}" for number in range(4)]


def test_a_bad_request_fails_alone(gathering):
    """One that cannot be read is refused before it is gathered, one that raises is found by halving the batch."""
    bodies = [([{"text": text}], f"alone-{text}") for text in ("a", "b", "bad", "c")] + [([{"text": ["?"]}], "odd")]
    with ThreadPoolExecutor(5) as pool:
        found = [status for status, _ in pool.map(lambda one: over_http(gathering, "/check", *one), bodies)]
    assert found == [200, 200, 500, 200, 422]
    noted = [text for text in chain(*batches(gathering)) if text in {"a", "b", "c", "bad"}]
    assert sorted(noted) == ["a", "b", "c"]
    with pytest.raises(ExecutorError, match="a bad one"):
        gathering.post("/check", items("bad"))


def test_a_request_larger_than_a_batch_is_applied_as_a_whole(gathering):
    texts = [f"large{number}" for number in range(20)]
    gathering.post("/add", items(*texts))
    assert texts in batches(gathering)
