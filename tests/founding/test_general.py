"""What an Executor is: documents in, documents out, functions as services."""

import pytest
from docarray import DocList

from jina import Client, Deployment, Document, DocumentArray, Executor, requests, write
from jina.errors import EndpointNotFound, JinaError
from tests.founding.marks import sentence
from tests.founding.users import Inspect, Keeper, Searcher


@sentence(1, 4)
def test_documents_go_in_and_out(python_service):
    docs = python_service.post("/plain", DocumentArray([Document(text="a"), Document(text="b")]))
    assert isinstance(docs, DocumentArray)
    assert issubclass(DocumentArray, DocList)
    assert docs.texts == ["a DocumentArray", "b DocumentArray"]


@sentence(3, 8, 9)
@pytest.mark.parametrize(("number", "protocol"), [(0, "grpc"), (1, "http")])
def test_functions_are_services_at_their_endpoints(python_service, number, protocol):
    with Client(host="127.0.0.1", port=python_service.ports[number], protocol=protocol) as client:
        assert client.post("/plain", Document(text="a")).texts == ["a DocumentArray"]
        assert client.post("/coroutine", Document(text="a")).texts == ["A"]
        with pytest.raises(EndpointNotFound, match="/coroutine"):
            client.post("/coroutines", Document(text="a"))
        with pytest.raises(EndpointNotFound):
            client.post("/unbound")  # a function that no decorator exposes


@sentence(5, 6)
def test_an_executor_is_a_direct_subclass():
    assert Inspect.__bases__ == (Executor,)
    assert Inspect.__init__ is not Executor.__init__

    class NoExecutor:
        @requests
        def foo(self, docs, **kwargs):
            pass

    with pytest.raises(JinaError, match="NoExecutor"):
        Deployment(uses=NoExecutor)


@sentence(7)
@pytest.mark.parametrize("count", [0, 1, 30])
def test_any_number_of_functions(count):
    def function(self, docs, **kwargs):
        return docs

    methods = {f"f{number}": requests(on=f"/{number}")(_copy(function)) for number in range(count)}
    made = type("Counted", (Executor,), methods)()
    assert list(made.requests) == [f"/{number}" for number in range(count)]


def _copy(function):
    import types

    return types.FunctionType(function.__code__, function.__globals__, function.__name__)


@sentence(11, 82)
def test_writing_functions_are_marked(python_service):
    assert Inspect().write_endpoints == ["/index"]
    assert set(Inspect().requests) - {"/index"} == {"/inspect", "/plain", "/coroutine"}
    before = _foo(python_service)
    python_service.post("/index", Document(text="+"))
    assert _foo(python_service) == before + "+"

    class Below(Executor):
        @requests(on="/index")
        @write
        def index(self, docs, **kwargs):
            pass

    assert Below().write_endpoints == ["/index"]


def _foo(service):
    (response,) = service.post("/inspect", return_responses=True)
    (found,) = response.parameters["__results__"].values()
    return found["foo"]


@sentence(12)
def test_init_and_close_change_the_state_without_a_mark(tmp_path):
    keeper = Keeper(workspace=str(tmp_path))
    assert keeper.write_endpoints == []
    assert keeper.lines == ["made"]
    keeper.close()
    assert (tmp_path / "Keeper" / "lines.txt").read_text().split() == ["made", "closed"]


@sentence(78, 79)
def test_an_index_for_vector_search_as_state():
    with Deployment(uses=Searcher, host="127.0.0.1", quiet=True) as served:
        served.post("/index", [Document(id=str(x), embedding=[float(x), 0.0]) for x in range(5)], request_size=2)
        (doc,) = served.post("/search", Document(embedding=[3.1, 0.0]))
        assert [match.id for match in doc.matches] == ["3"]


@sentence(89)
def test_snapshots_can_be_described(tmp_path):
    class Saved(Executor):
        state = "old"

        def snapshot(self, snapshot_dir):
            (tmp_path / snapshot_dir).write_text(self.state)

        def restore(self, snapshot_dir):
            self.state = (tmp_path / snapshot_dir).read_text()

    first, second = Saved(), Saved()
    first.state = "new"
    first.snapshot("s")
    second.restore("s")
    assert second.state == "new"
