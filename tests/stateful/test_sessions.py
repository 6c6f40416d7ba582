"""Sessions and session consistency, with three replicas as real processes."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest

from jina import Client, Document, DocumentArray
from jina.codec.messages import CONSISTENCIES
from jina.codec.session_headers import numbers
from jina.config.types import Consistency
from jina.errors import BadRequest, SessionExpired
from tests.stateful.conftest import PATIENCE, group
from tests.stateful.users import FolderLedger, PatientLedger

pytestmark = [pytest.mark.timeout(120)]
SESSION = {"headers": {"jina-consistency": "session"}}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    protocols = ["grpc", "http", "websocket"]
    with group(PatientLedger, tmp_path_factory.mktemp("sessions"), protocol=protocols, name="notes") as running:
        yield running


def over_http(ledger, endpoint, text="", **headers):
    """The first document of the answer, and what stands beside it."""
    body = json.dumps({"data": [{"text": text}]}).encode()
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    url = f"http://127.0.0.1:{ledger.deployment.port[1]}{endpoint}"
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json", **named})
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        reply_headers = {name: value for name, value in answer.headers.items() if name.startswith("jina-")}
        return json.loads(answer.read())["data"][0]["text"], reply_headers


def refusal(ledger, endpoint, text="", **headers):
    """Status and name of the error."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        over_http(ledger, endpoint, text, **headers)
    with refused.value as answer:
        return answer.code, json.loads(answer.read())["code"]


def lines(ledger, **options):
    return json.loads(ledger.post("/list", Document(), **options)[0].text)["lines"]


@pytest.mark.parametrize("nonsense", ["nonsense", "", "Session", "x" * 5000])
def test_an_unknown_consistency_is_refused(ledger, nonsense):
    assert refusal(ledger, "/list", jina_consistency=nonsense) == (400, "BadRequest")
    with pytest.raises(BadRequest, match="one of eventual, session, linearizable"):
        ledger.post("/list", Document(), headers={"jina-consistency": nonsense})


def test_the_consistencies_are_those_of_the_option():
    assert get_args(get_args(Consistency)[0]) == CONSISTENCIES


def test_a_repeated_write_of_a_session_is_applied_once_and_answered_as_before(ledger):
    _, headers = over_http(ledger, "/add", "opens", jina_session="me/0/0, notes=0")
    assert headers["jina-session"] == headers["jina-index"]
    opened = headers["jina-session"]
    first, headers = over_http(ledger, "/add", "once", jina_session=f"me/1/0, {opened}")
    assert "jina-session" not in headers
    # Each has a request id of its own: it is the number that counts.
    assert {over_http(ledger, "/add", "once", jina_session=f"me/1/0, {opened}")[0] for _ in range(6)} == {first}
    assert lines(ledger, headers={"jina-consistency": "linearizable"}).count("once") == 1


def test_a_write_that_comes_again_too_late_is_refused_on_each_protocol(ledger):
    opened = over_http(ledger, "/add", "opens", jina_session="late/0/0, notes=0")[1]["jina-session"]
    over_http(ledger, "/add", "kept", jina_session=f"late/5/3, {opened}")
    expired = (409, "SessionExpired")
    assert refusal(ledger, "/add", "too late", jina_session=f"late/2/0, {opened}") == expired
    assert refusal(ledger, "/add", "too late", jina_session="nobody/2/0, notes=1") == expired
    assert refusal(ledger, "/add", "too late", jina_session="nonsense, notes=1") == (400, "BadRequest")
    for place, protocol in enumerate(ledger.deployment.protocol):
        with (
            Client(port=ledger.deployment.port[place], protocol=protocol) as client,
            pytest.raises(SessionExpired, match="it is unknown whether it was applied"),
        ):
            client.post("/add", Document(text="too late"), headers={"jina-session": f"late/2/0, {opened}"})
    assert "too late" not in lines(ledger, headers={"jina-consistency": "linearizable"})


@pytest.mark.parametrize("protocol", ["grpc", "http", "websocket"])
def test_clients_keep_a_session_and_see_what_they_wrote(ledger, protocol):
    port = dict(zip(ledger.deployment.protocol, ledger.deployment.port, strict=True))[protocol]
    with Client(port=port, protocol=protocol) as client:
        assert client.post("/list", Document())[0].text
        assert not client._session_state.known, "a client that has not met a stateful service pays nothing"
        for number in range(12):
            client.post("/add", Document(text=f"{protocol}{number}"))
            reply = json.loads(client.post("/list", Document(), **SESSION)[0].text)["lines"]
            assert reply[-1] == f"{protocol}{number}"
        assert list(client._session_state._sessions) == ["notes"]
        many = client.post("/add", DocumentArray([Document(text=f"{protocol}+{n}") for n in range(30)]), request_size=1)
        assert len(set(many.texts)) == 30
        assert not client._session_state._flying


def test_a_read_waits_until_its_replica_has_applied_what_the_client_has_seen(ledger):
    _, headers = over_http(ledger, "/add", "seen")
    text, beside = over_http(ledger, "/list", jina_consistency="session", jina_index=headers["jina-index"])
    assert json.loads(text)["lines"][-1] == "seen"
    assert int(beside["jina-index"].partition("=")[2]) >= int(headers["jina-index"].partition("=")[2])
    ahead = {"jina_consistency": "session", "jina_index": "notes=1000000", "x_request_timeout": 0.3}
    assert refusal(ledger, "/list", **ahead) == (504, "DeadlineExceeded")
    # Another group's log does not concern it.
    over_http(ledger, "/list", jina_consistency="session", jina_index="other=1000000")


def place(result, group="notes"):
    """The entry of the log that an answer tells of."""
    return numbers(result["jina-index"])[group]


def test_a_read_tells_what_was_written_while_its_handler_ran(ledger):
    """Else the next session read, on another replica, could miss what this one has seen."""
    with ThreadPoolExecutor() as pool:
        for number in range(6):
            word = f"awaited {number}"
            reading = pool.submit(over_http, ledger, "/until", word, jina_consistency="session")
            _, written = over_http(ledger, "/add", word)
            text, result = reading.result(PATIENCE)
            assert word in json.loads(text)
            assert place(result) >= place(written)


def test_a_read_tells_of_a_write_that_it_saw_before_that_had_ended(ledger):
    with ThreadPoolExecutor() as pool:
        for number in range(3):
            word = f"half done {number}"
            writing = pool.submit(over_http, ledger, "/add_slowly", word)
            text, headers = over_http(ledger, "/until", word, jina_consistency="session")
            assert word in json.loads(text)
            assert place(headers) >= place(writing.result(PATIENCE)[1])


def test_an_answer_tells_of_the_other_groups_that_the_client_knows(ledger):
    for endpoint, headers in (("/add", {}), ("/list", {"jina_consistency": "session"})):
        _, reply_headers = over_http(ledger, endpoint, "told", jina_index="other=7, notes=1", **headers)
        found = numbers(reply_headers["jina-index"])
        assert (found["other"], found["notes"] > 1) == (7, True)


@pytest.mark.slow
def test_streams_are_as_fresh_as_other_reads(ledger):
    with Client(port=ledger.deployment.port[0]) as client:
        for number in range(8):
            client.post("/add", Document(text=f"streamed {number}"))
            for wanted in ("session", "linearizable"):
                found = client.stream_doc("/each", Document(), headers={"jina-consistency": wanted})
                assert [doc.text for doc in found][-1] == f"streamed {number}"
        with pytest.raises(BadRequest, match="one of eventual, session, linearizable"):
            list(client.stream_doc("/each", Document(), headers={"jina-consistency": "nonsense"}))


@pytest.mark.slow
def test_over_shards_the_newest_answer_is_all_that_has_to_be_sent_back(tmp_path):
    """As the documentation says for HTTP: a session read of one shard misses nothing, whichever shard answered last."""
    options = {"shards": 2, "replicas": 3, "protocol": ["grpc", "http"], "name": "notes"}
    with group(FolderLedger, tmp_path, **options) as running:
        index, written = "", {}
        for number in range(40):
            before = numbers(index)
            _, headers = over_http(running, "/add", f"line {number}", jina_index=index)
            index = headers["jina-index"]
            (group_of,) = {one for one, at in numbers(index).items() if at > before.get(one, 0)}
            written.setdefault(group_of, []).append(f"line {number}")
            text, headers = over_http(running, "/list", jina_consistency="session", jina_index=index)
            index = headers["jina-index"]
            assert json.loads(text)["lines"] in [*written.values(), []][: 2 if len(written) == 2 else 3]
        assert numbers(index).keys() == written.keys()
        assert len(written) == 2


@pytest.mark.slow
def test_a_session_lasts_over_a_snapshot_and_a_restart(tmp_path):
    options = {"replicas": 1, "name": "notes", "protocol": ["grpc", "http"]}
    with group(FolderLedger, tmp_path, **options) as running:
        opened = over_http(running, "/add", "opens", jina_session="me/0/0, notes=0")[1]["jina-session"]
        over_http(running, "/add", "before", jina_session=f"me/1/1, {opened}")
        running.deployment.snapshot()
    with group(FolderLedger, tmp_path, **options) as running:
        over_http(running, "/add", "before", jina_session=f"me/1/1, {opened}")
        over_http(running, "/add", "after", jina_session=f"me/2/2, {opened}")
        assert lines(running) == ["opens", "before", "after"]
