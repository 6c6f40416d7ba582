"""What scripts define arrives in another process. Dumped by a script of its own, loaded here."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec

from jina.executor.endpoints import EndpointTable
from jina.supervisor import pickling

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickled")
    subprocess.run([sys.executable, HERE / "pickled_cases.py", folder], check=True, timeout=60)
    sys.path.append(str(HERE))  # the orchestrator sends its sys.path
    yield folder
    sys.path.remove(str(HERE))


def _loaded(cases, name):
    return pickling.loads((cases / name).read_bytes())


@pytest.fixture(scope="module")
def script(cases):
    return _loaded(cases, "script")[0]


@pytest.mark.slow
def test_class_keeps_helpers_attributes_and_constructor(script):
    assert script.__name__ == "Script"
    assert script(start=2).start == 6
    assert script.label == "class attribute"


def test_subclass_of_a_script_class(cases):
    assert _loaded(cases, "derived")[0]().start == 30


def _types(executor_class):
    table = EndpointTable(executor_class())
    return {endpoint.path: (endpoint.input_type.__name__, endpoint.output_type.__name__) for endpoint in table}


def test_annotations_written_as_text_arrive_resolved(script):
    assert _types(script) == {
        "/list": ("Outer", "Extended"),
        "/vec": ("Inner", "Node"),
        "/legacy": ("Document", "Document"),
        "/single": ("Node", "Node"),
    }
    assert EndpointTable(script()).resolve("/list").parameters_model(k=2).k == 2


def _type(script, path):
    return EndpointTable(script()).resolve(path).input_type


def test_validators_methods_and_globals_of_documents(script):
    outer = _type(script, "/list")
    assert outer(text="abc").shout() == "ABC!!!"


def test_nested_and_optional_documents_round_trip_through_the_wire(script):
    outer, inner = _type(script, "/list"), _type(script, "/vec")
    doc = outer(
        inner=inner(tensor=[1, 2, 3], shaped=np.zeros((4, 2))),
        many=DocList[inner]([inner(tensor=np.ones(3))]),
        maybe=DocList[inner]([inner(tensor=np.zeros(3), n=7)]),
        tags={"a": 1},
        union="either",
    )
    back = outer.from_protobuf(doc.to_protobuf())
    assert back.maybe[0].n == 7
    assert back.inner.shaped.shape == (4, 2)
    with pytest.raises(ValueError, match="Expected"):
        inner(tensor=[1, 2, 3], shaped=np.zeros((4, 3)))


def test_self_referencing_documents(script):
    table = EndpointTable(script())
    endpoint = table.resolve("/vec")
    (root,) = endpoint.function(docs=None)
    assert isinstance(root, endpoint.output_type)
    assert root.children.name == ["leaf"]  # the list class has the columns of the finished document class
    assert type(root)(name="a", next=type(root)(name="b")).next.name == "b"


def test_list_class_is_docarrays_own(script):
    outer = _type(script, "/list")
    assert DocList[outer]([outer(text="a")]).text == ["A"]
    assert issubclass(outer, BaseDoc)


def test_stacked_documents(script):
    inner = _type(script, "/vec")
    assert script.stacked.__annotations__["return"] is DocVec[inner]


def test_local_class_with_its_closure(cases):
    local = _loaded(cases, "local")[0]
    endpoint = EndpointTable(local()).resolve("/default")
    docs = endpoint.function(docs=DocList[endpoint.input_type]([endpoint.input_type(value=1)]))
    assert docs.value == [6]


def test_arguments_that_are_no_json(cases):
    executor_class, arguments = _loaded(cases, "arguments")
    assert executor_class is None
    assert arguments["array"].tolist() == [0, 1, 2]
    assert arguments["function"](1) == 4
    assert arguments["object"].value == 4
    assert arguments["docs"].text == ["A"]


def test_nothing_to_send_is_empty(cases):
    assert (cases / "empty").read_bytes() == b""
    assert pickling.loads(b"") == (None, {})


def test_the_variable_that_cannot_be_sent_is_named(cases):
    text = (cases / "unpicklable").read_text()
    assert text.startswith("Unpicklable is defined in a script or function and cannot be sent to its worker: ")
    assert "global 'LOCK' (lock, used by guarded)" in text


def test_the_argument_that_cannot_be_sent_is_named(cases):
    assert (cases / "lock").read_text().startswith("uses_with['lock'] (lock) cannot be sent to the worker: ")


def test_class_of_a_module_that_no_import_finds(tmp_path):
    import types

    module = types.ModuleType("made_by_exec")
    sys.modules["made_by_exec"] = module
    source = (
        "from jina import Executor\ndef help(): return 7\nclass Made(Executor):\n    def ask(self): return help()\n"
    )
    try:
        exec(source, vars(module))
        blob = pickling.dumps(module.Made, {})
    finally:
        del sys.modules["made_by_exec"]
    assert pickling.loads(blob)[0]().ask() == 7
