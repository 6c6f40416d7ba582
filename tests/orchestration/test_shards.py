"""Deployments whose data is divided among shards, alone and in Flows, in process and with processes."""

import argparse
import json
import os
import signal
import time
import urllib.request

import pytest
from docarray import DocList
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st
from shelves import Best, Line, LooseShelf, Shelf, Shout

from jina import Deployment, Document, DocumentArray, Flow
from jina.config import DeploymentSpec
from jina.config.command_line import add_options, given
from jina.errors import BadServer, ConfigError, NotSupportedError, RuntimeFailToStart, Unavailable, UsageError
from jina.orchestration.configuration import from_command_line

LOCAL = {"host": "127.0.0.1", "quiet": True, "quiet_error": True}


def lines(*numbers):
    return DocList[Line]([Line(id=f"l{number}", text=f"t{number}", number=number) for number in numbers])


def hits(service, *numbers, **parameters):
    found = service.post("/search", lines(*numbers), parameters=parameters, return_type=DocList[Line])
    return [[(hit.id, hit.text, hit.score) for hit in doc.hits] for doc in found]


def in_process(workspace, **options):
    return Deployment(uses=Shelf, workspace=str(workspace), **options).in_process()


# --- one shard and three answer alike -------------------------------------------------------------------------------

NUMBERS = st.lists(st.integers(-1000, 1000), max_size=12, unique=True)
SIZES = st.integers(1, 4)


@settings(max_examples=6, deadline=None)
@generated(stored=NUMBERS, later=NUMBERS, asked=st.sets(st.integers(-1000, 1000), min_size=1, max_size=3), size=SIZES)
def test_an_index_over_three_shards_answers_as_over_one(stored, later, asked, size, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelves")
    # Queries lie where no two lines are equally near: what is equally near has no order.
    asked = [number + 0.25 for number in asked]
    later = [number for number in later if number not in stored]
    for added, total in ((stored, len(stored)), (later, len(stored) + len(later))):
        # The second time both start on what they have kept.
        with in_process(folder / "one") as one, in_process(folder / "three", shards=3) as three:
            for service in (one, three):
                if added:
                    service.post("/index", lines(*added), request_size=size)
            assert hits(three, *asked) == hits(one, *asked)
            assert {len(found) for found in hits(three, *asked)} == {total}
            assert [found[:2] for found in hits(three, *asked, limit=2)] == hits(one, *asked, limit=2)
    kept = [len(file.read_text().splitlines()) for file in (folder / "three").glob("Shelf/*/lines")]
    assert sum(kept) == len(stored) + len(later)


@settings(max_examples=5, deadline=None)
@generated(stored=st.lists(st.integers(-500, 500), min_size=1, max_size=10, unique=True), query=st.integers(-500, 500))
def test_matches_of_schemaless_documents_too(stored, query):
    def asked(service):
        for number in stored:
            service.post("/index", DocumentArray([Document(id=f"d{number}", embedding=[float(number), 0.0])]))
        found = service.post("/search", DocumentArray([Document(embedding=[query + 0.25, 0.0])]))
        return [(match.id, match.scores["euclidean"].value) for match in found[0].matches]

    with Deployment(uses=LooseShelf).in_process() as one, Deployment(uses=LooseShelf, shards=3).in_process() as three:
        assert asked(three) == asked(one)


@pytest.mark.slow
def test_restarted_processes_find_what_they_kept(tmp_path):
    options = {"uses": Shelf, "shards": 3, "replicas": 2, "workspace": str(tmp_path), "name": "shelf", **LOCAL}
    with Deployment(**options) as deployment:
        for number in range(4):
            deployment.post("/index", lines(number))
        assert deployment.num_pods == 7
    with Deployment(**options) as deployment:
        (found,) = hits(deployment, 1.25)
        assert [hit[0] for hit in found] == ["l1", "l2", "l0", "l3"]
        where = deployment.post("/where", lines(*range(9)), request_size=1, return_type=DocList[Line])
        assert {doc.text for doc in where} == {f"{shard} of 3 in {tmp_path}/Shelf/{shard}" for shard in range(3)}
    assert sorted(os.listdir(tmp_path / "Shelf")) == ["0", "1", "2"]


# --- who is asked ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Three shards in a step of a Flow, on every protocol."""
    polling = {"/break": "ALL", "/rename": "ALL", "/letters": "ALL", "/count": "ALL"}
    flow = Flow(protocol=["grpc", "http", "websocket"], **LOCAL).add(
        uses=Shelf, name="shelf", shards=3, polling=polling, workspace=str(tmp_path_factory.mktemp("shelf"))
    )
    with flow:
        flow.post("/index", lines(5, 7, 6), request_size=1)
        yield flow


def test_any_takes_the_shards_in_turn(shelf):
    found = [shelf.post("/where", lines(1), return_type=DocList[Line])[0] for _ in range(6)]
    shards = [next(iter(doc.tags)) for doc in found]
    assert sorted(shards[:3]) == ["0", "1", "2"]
    assert shards[3:] == shards[:3]


def test_results_of_all_shards_are_collected(shelf):
    (reply,) = shelf.client.post("/count", lines(1), return_responses=True)
    assert sorted(reply.parameters["__results__"]) == [f"shelf/shard-{shard}/rep-0" for shard in range(3)]


@pytest.mark.parametrize("protocol", ["grpc", "http", "websocket"])
def test_every_protocol_gets_merged_documents(shelf, protocol):
    from jina import Client

    port = shelf.ports[shelf.protocols.index(protocol)]
    client = Client(host="127.0.0.1", port=port, protocol=protocol)
    found = client.post("/search", DocList[Line]([Line(number=5.25)]), return_type=DocList[Line])
    assert [hit.id for hit in found[0].hits][:3] == ["l5", "l6", "l7"]


@pytest.mark.parametrize("shard", [0, 2])
def test_a_shard_that_fails_is_named(shelf, shard):
    with pytest.raises(Exception, match=f"shelf {shard} is broken") as caught:
        shelf.post("/break", lines(1), parameters={"shard": shard})
    assert f"raised in shard {shard}" in str(caught.value)


@pytest.mark.parametrize("protocol", ["grpc", "http", "websocket"])
def test_a_write_to_all_is_done_where_one_shard_has_the_id(shelf, protocol):
    from jina import Client

    client = Client(host="127.0.0.1", port=shelf.ports[shelf.protocols.index(protocol)], protocol=protocol)
    text = f"renamed over {protocol}"
    (renamed,) = client.post("/rename", DocList[Line]([Line(id="l6", text=text)]), return_type=DocList[Line])
    assert (renamed.id, renamed.text) == ("l6", text)
    assert ("l6", text) in [hit[:2] for hit in hits(shelf, 6.25)[0]]
    with pytest.raises(BadServer, match="KeyError"):
        client.post("/rename", DocList[Line]([Line(id="none", text=text)]))


def test_the_reply_to_such_a_write_names_the_shards_that_lack_the_id(shelf):
    body = json.dumps({"data": [{"id": "l7", "text": "t7"}]}).encode()
    url = f"http://127.0.0.1:{shelf.ports[shelf.protocols.index('http')]}/rename"
    with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"})) as answer:
        missed = answer.headers["jina-missed"].split(", ")
    assert len(missed) == 2
    assert set(missed) < {f"shelf/shard-{shard}" for shard in range(3)}


def test_streams_of_all_shards_come_as_they_are_ready(shelf):
    found = [doc.text for doc in shelf.client.stream_doc("/letters", Line(text="x"), return_type=Line)]
    assert sorted(found) == [f"{shard}x{number}" for shard in range(3) for number in range(3)]
    for shard in range(3):
        assert [text for text in found if text[0] == str(shard)] == [f"{shard}x{number}" for number in range(3)]


def test_it_answers_a_dry_run_and_is_ready(shelf):
    assert shelf.is_flow_ready()
    assert shelf.client.is_flow_ready()


def test_the_picture_shows_the_shards(shelf, tmp_path):
    shelf.plot(str(tmp_path / "flow.mmd"))
    drawn = (tmp_path / "flow.mmd").read_text()
    assert [f"shelf/shard-{shard}/rep-0" in drawn for shard in range(4)] == [True, True, True, False]
    shelf.plot(str(tmp_path / "flow.txt"))
    assert "3 shards" in (tmp_path / "flow.txt").read_text()


def test_a_dead_shard_is_named(tmp_path):
    options = {"uses": Shelf, "name": "shelf", "shards": 2, "workspace": str(tmp_path), "retries": 0, **LOCAL}
    with Deployment(**options, polling={"/where": "ALL"}) as deployment:
        (doc,) = deployment.post("/where", lines(1), return_type=DocList[Line])
        os.kill(int(doc.tags["1"].split()[1]), signal.SIGKILL)
        deadline = time.monotonic() + 10
        with pytest.raises(Unavailable, match="shelf/shard-1"):
            while time.monotonic() < deadline:
                deployment.post("/where", lines(1))


# --- around the shards ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surrounded(tmp_path_factory):
    options = {"uses": Shelf, "name": "s", "shards": 3, "uses_before": Shout, "uses_after": Best}
    workspace = str(tmp_path_factory.mktemp("surrounded"))
    with Deployment(**options, workspace=workspace, polling={"/letters": "ALL"}, **LOCAL) as deployment:
        for number in range(6):
            deployment.post("/index", lines(number))
        yield deployment


def test_what_stands_before_changes_what_shards_get(surrounded):
    (found,) = surrounded.post("/search", lines(2.25), return_type=DocList[Line])
    assert [hit.text for hit in found.hits][:2] == ["T2", "T3"]


def test_what_stands_after_merges_the_answers(surrounded):
    (found,) = surrounded.post("/search", lines(2.25), parameters={"limit": 3}, return_type=DocList[Line])
    assert [hit.id for hit in found.hits] == ["l2", "l3", "l1"]
    assert found.tags == {"shard-0": "2", "shard-1": "2", "shard-2": "2"}


def test_what_stands_after_is_passed_on_other_endpoints(surrounded):
    (found,) = surrounded.post("/where", lines(1), return_type=DocList[Line])
    assert " of 3 in " in found.text


def test_a_stream_cannot_be_merged_by_what_stands_after(surrounded):
    with pytest.raises(NotSupportedError, match="s/uses_after merges whole replies, so that /letters cannot"):
        list(surrounded.client.stream_doc("/letters", Line(text="x"), return_type=Line))


def test_they_have_processes_of_their_own(surrounded):
    names = [worker.name for worker in surrounded.plan.workers]
    assert names == [*(f"s/shard-{shard}/rep-0" for shard in range(3)), "s/uses_before-0", "s/uses_after-0"]
    assert surrounded.num_pods == 6


def test_classes_of_this_program_travel_with_arguments_of_their_own(tmp_path):
    class Local(Best):
        """Cannot be imported."""

    deployment = Deployment(uses=Shelf, shards=2, uses_after=Local, workspace=str(tmp_path), **LOCAL)
    with deployment:
        deployment.post("/index", lines(1, 2))
        (found,) = deployment.post("/search", lines(1), return_type=DocList[Line])
    assert [hit.id for hit in found.hits] == ["l1", "l2"]


class BrokenAfter(Best):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise OSError("no glue")


@pytest.mark.slow
def test_one_that_does_not_start_is_named():
    with pytest.raises(RuntimeFailToStart, match=r"s/uses_after-0.*no glue"):
        Deployment(uses=Shelf, name="s", uses_after=BrokenAfter, **LOCAL).start()


def test_they_work_around_a_single_shard_and_in_process(tmp_path):
    deployment = Deployment(uses=Shelf, uses_before=Shout, uses_after=Best, workspace=str(tmp_path))
    with deployment.in_process() as running:
        running.post("/index", lines(1, 2))
        (found,) = running.post("/search", lines(1), parameters={"limit": 1}, return_type=DocList[Line])
    assert [hit.text for hit in found.hits] == ["T1"]


def test_without_reduction_all_documents_come(tmp_path):
    with in_process(tmp_path, shards=3, disable_reduce=True) as running:
        running.post("/index", lines(1, 2, 3), request_size=1)
        found = running.post("/search", lines(0), return_type=DocList[Line])
    assert [doc.id for doc in found] == ["l0"] * 3
    assert sorted(hit.id for doc in found for hit in doc.hits) == ["l1", "l2", "l3"]


# --- options --------------------------------------------------------------------------------------------------------


def test_from_yaml(tmp_path):
    (tmp_path / "flow.yml").write_text(
        "jtype: Flow\nexecutors:\n- name: shelf\n  uses: shelves.Shelf\n  shards: 2\n"
        "  polling: {/where: ALL, '*': ANY}\n  uses_after: shelves.Best\n  workspace: ${{ CONTEXT.where }}\n"
    )
    flow = Flow.load_config(str(tmp_path / "flow.yml"), context={"where": str(tmp_path)})
    with flow.in_process() as running:
        (doc,) = running.post("/where", lines(1), return_type=DocList[Line])
    assert sorted(doc.tags) == ["0", "1"]


def test_saved_and_read_again(tmp_path):
    options = {"shards": 3, "replicas": 2, "polling": {"/where": "all"}, "uses_before": Shout, "uses_after": Best}
    flow = Flow().add(uses=Shelf, name="shelf", **options)
    flow.save_config(str(tmp_path / "flow.yml"))
    assert Flow.load_config(str(tmp_path / "flow.yml")) == flow


def test_the_picture_shows_what_is_around_the_shards(tmp_path):
    flow = Flow().add(uses=Shelf, name="shelf", shards=2, uses_before=Shout, uses_after=Best)
    flow.plot(str(tmp_path / "flow.txt")).plot(str(tmp_path / "flow.mmd")).plot(str(tmp_path / "flow.svg"))
    assert "2 shards, Shout before, Best after" in (tmp_path / "flow.txt").read_text()
    assert "2 shards, Shout before, Best after" in (tmp_path / "flow.svg").read_text()
    drawn = (tmp_path / "flow.mmd").read_text()
    assert 'shelf/uses_before-0["Shout<br/>before the shards"]' in drawn
    assert 'shelf/uses_after-0["Best<br/>after the shards"]' in drawn


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--gpus", "1"], {"gpus": 1}),
        (["--gpus", "0.5"], {"gpus": 0.5}),
        (["--gpus", "all"], {"gpus": "all"}),
        (["--gpus", "0,2"], {"gpus": ["0", "2"]}),
        (["--gpus", "0", "2"], {"gpus": ["0", "2"]}),
        (["--shards", "3", "--polling", '{"/x": "ALL"}'], {"shards": 3, "polling": {"/x": "ALL"}}),
        (["--uses-after", "shelves.Best", "--polling", "all"], {"uses_after": "shelves.Best", "polling": "ALL"}),
        (["--concurrency", "4"], {"concurrency": 4}),
        (["--concurrency", '{"/a": 2}'], {"concurrency": {"/a": 2}}),
    ],
)
def test_from_the_command_line(words, expected):
    parser = argparse.ArgumentParser()
    add_options(parser, DeploymentSpec)
    spec = from_command_line(given(parser.parse_args(words)), "jina deployment")
    assert {name: getattr(spec, name) for name in expected} == expected


def test_a_flow_gives_its_shards_to_its_steps():
    plan = Flow(shards=2).add(uses=Shelf).add(uses=Shelf, shards=1).plan
    assert [len(one.workers) for one in plan.deployments] == [2, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"external": True, "port": 1, "shards": 2}, "shards: is for Executors that are started here"),
        ({"external": True, "port": 1, "uses_after": "X"}, "uses_after: is for Executors that are started here"),
        ({"shards": 2, "port": 1234}, "port: the shards of a step are reached through the Flow's gateway"),
        ({"uses_after": Best, "port": 1234}, "port: the shards of a step are reached through the Flow's gateway"),
        ({"shards": 2, "uses_after": 3}, "uses_after: 3 is not an Executor class"),
        (
            {"shards": 2, "uses_before": "jinaai+sandbox://x"},
            "uses_before: 'jinaai+sandbox://' is not available: there is",
        ),
        ({"shards": 2, "uses_after": "no.such.Thing:"}, "uses_after"),
    ],
)
def test_what_cannot_be(options, words):
    with pytest.raises(ConfigError) as caught:
        Flow().add(uses=options.pop("uses", Shelf), **options).build()
    assert words in str(caught.value)


def test_a_deployment_with_shards_has_its_gateway_in_any_case():
    plan = Deployment(uses=Shelf, shards=2, include_gateway=False).plan
    assert plan.gateway is not None
    assert [worker.listeners for worker in plan.workers] == [[], []]


def test_one_process_cannot_serve_them_here():
    with pytest.raises(UsageError, match="is more than one Executor") as caught:
        Deployment(uses=Shelf, shards=2).serve_here()
    assert "`jina deployment`" in caught.value.help


@pytest.mark.slow
def test_one_shard_costs_nothing():
    plan = Deployment(uses=Shelf, polling="ALL").plan
    assert plan.gateway is None
    assert plan.workers[0].name == "executor/rep-0"
    (node,) = Flow().add(uses=Shelf, polling="ALL").plan.gateway.graph.nodes
    assert node.polling == {}
