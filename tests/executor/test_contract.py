"""The class: constructor, what is injected, workspace, life, inheritance."""

import abc
import ast
import asyncio
import importlib
import inspect
import logging
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from jina.errors import ExecutorDefinitionError, JinaError, NotSupportedError
from jina.executor import Executor, base, dynamic_batching, monitor, requests, write


def test_an_executor_can_be_of_a_class_with_a_metaclass_too():
    class Both(type(Executor), abc.ABCMeta):
        pass

    class Limit(abc.ABC):
        @abc.abstractmethod
        def limit(self): ...

    class Limited(Executor, Limit, metaclass=Both):
        @requests(on="/cut")
        def cut(self, docs, **kwargs):
            return docs[: self.limit()]

    class OfTwo(Limited):
        def limit(self):
            return 2

    assert OfTwo().requests["/cut"]([1, 2, 3]) == [1, 2]
    with pytest.raises(TypeError, match="abstract"):
        Limited()


def test_init_without_kwargs_is_an_error_when_the_class_is_made():
    with pytest.raises(TypeError, match=r"\*\*kwargs") as caught:

        class Broken(Executor):
            def __init__(self, model):
                super().__init__()

    assert isinstance(caught.value, ExecutorDefinitionError)
    assert "Broken.__init__" in str(caught.value)
    assert "test_contract.py:" in str(caught.value)
    assert "def __init__(self, model, **kwargs)" in str(caught.value)


def test_init_of_a_mixin_without_kwargs_is_an_error():
    class Mixin:
        def __init__(self):
            """Takes nothing."""

    with pytest.raises(ExecutorDefinitionError, match=r"\*\*kwargs"):

        class Broken(Mixin, Executor):
            """Its constructor is the mixin's."""


def test_init_may_name_what_is_injected_instead():
    class Explicit(Executor):
        def __init__(self, metas=None, requests=None, runtime_args=None):
            super().__init__(metas=metas, requests=requests, runtime_args=runtime_args)

    assert Explicit(metas={"name": "x"}).metas.name == "x"


def test_everything_is_readable_before_super_init():
    seen = {}

    class Reader(Executor):
        def __init__(self, foo, bar=2, **kwargs):
            seen.update(metas=self.metas.name, shard=self.runtime_args.shard_id, requests=set(self.requests))
            seen.update(workspace=self.workspace, kwargs=set(kwargs))
            super().__init__(**kwargs)
            self.bar = bar

        @requests(on="/a")
        def a(self, docs, **kwargs):
            """Does nothing."""

    executor = Reader(
        foo="x", metas={"name": "nm"}, runtime_args={"shard_id": 3, "workspace": "w"}, requests={}, dynamic_batching={}
    )
    assert seen["metas"] == "nm"
    assert seen["shard"] == 3
    assert seen["requests"] == {"/a"}
    assert seen["workspace"].endswith("/w/nm/3")
    assert seen["kwargs"] == {"metas", "runtime_args", "requests", "dynamic_batching"}
    assert executor.bar == 2
    assert isinstance(executor.metas, SimpleNamespace)
    assert isinstance(executor.runtime_args, SimpleNamespace)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_kwargs_can_be_changed_before_they_are_passed_on():
    class Changer(Executor):
        def __init__(self, **kwargs):
            kwargs["metas"]["name"] = "changed"
            kwargs["metas"]["colour"] = "red"
            kwargs["runtime_args"]["shard_id"] = 7
            kwargs["requests"] = {"/moved": "foo"}
            super().__init__(**kwargs)

        @requests
        def foo(self, docs, **kwargs):
            """Does nothing."""

    executor = Changer(metas={"name": "given", "gone": 1}, runtime_args={"shard_id": 0}, requests={})
    assert executor.metas.name == "changed"
    assert executor.metas.colour == "red"
    assert executor.metas.gone == 1
    assert executor.runtime_args.shard_id == 7
    assert list(executor.requests) == ["/moved"]
    assert executor.workspace.endswith("/changed/7")


def test_attributes_can_be_changed_before_super_init():
    class Changer(Executor):
        def __init__(self, **kwargs):
            self.metas.name = "changed"
            self.runtime_args.extra = 1
            self.requests["/more"] = self.bar
            super().__init__(**kwargs)

        @requests
        def foo(self, docs, **kwargs):
            """Does nothing."""

        def bar(self, docs, **kwargs):
            """Does nothing."""

    executor = Changer(metas={"name": "given"}, runtime_args={"shard_id": 0}, requests={})
    assert executor.metas.name == "changed"
    assert executor.runtime_args.extra == 1
    assert set(executor.requests) == {"/default", "/more"}


def test_the_name_falls_back_to_the_class():
    class Named(Executor):
        """Nothing of its own."""

    assert Named().metas.name == "Named"
    assert Named(metas={"name": ""}).metas.name == "Named"
    assert vars(Named().runtime_args) == {}


def test_workspace_rule(tmp_path):
    class W(Executor):
        """Nothing of its own."""

    assert W(runtime_args={"shard_id": 0}).workspace == str(tmp_path / "home/.cache/jina/W/0")
    assert W().workspace == str(tmp_path / "home/.cache/jina/W")
    assert W(workspace="own").workspace == str(tmp_path / "own/W")
    from_metas = W(metas={"workspace": "meta"}, workspace="own", runtime_args={"shard_id": -1, "workspace": None})
    assert from_metas.workspace == str(tmp_path / "meta/W")
    given = W(metas={"workspace": "meta", "name": "nm"}, runtime_args={"workspace": "a/b", "shard_id": 1})
    assert given.workspace == str(tmp_path / "a/b/nm/1")
    assert (tmp_path / "a/b/nm/1").is_dir()


def test_a_name_cannot_lead_out_of_the_workspace():
    class W(Executor):
        """Nothing of its own."""

    with pytest.raises(JinaError, match="outside"):
        _ = W(metas={"name": "../x"}).workspace


def test_context_manager_closes():
    closed = []

    class Closing(Executor):
        def close(self):
            closed.append(self.metas.name)

    with Closing() as executor:
        assert not closed
        assert isinstance(executor, Closing)
    assert closed == ["Closing"]


def test_requests_maps_endpoints_to_methods():
    class Many(Executor):
        @requests
        def foo(self, docs, **kwargs):
            return "foo"

        @requests(on=["/a", "/b"])
        def bar(self, docs, **kwargs):
            return "bar"

        @requests(on=("/c",))
        async def baz(self, docs, **kwargs):
            return "baz"

        @requests()
        def last(self, docs, **kwargs):
            return "last"

    executor = Many()
    assert set(executor.requests) == {"/default", "/a", "/b", "/c"}
    assert executor.requests["/a"](docs=None) == "bar"
    assert executor.requests["/default"](docs=None) == "last"
    assert asyncio.run(executor.requests["/c"](docs=None)) == "baz"
    assert executor.foo(docs=None) == "foo"


def test_endpoints_are_inherited_and_overridden():
    class Parent(Executor):
        @requests(on="/a")
        def a(self, docs, **kwargs):
            return "parent a"

        @requests(on="/b")
        @write
        def b(self, docs, **kwargs):
            return "parent b"

        @requests(on="/c")
        def c(self, docs, **kwargs):
            return "parent c"

    class Child(Parent):
        @requests(on="/a")
        def other(self, docs, **kwargs):
            return "child a"

        def b(self, docs, **kwargs):
            return "child b"

    child = Child()
    assert {path: method(docs=None) for path, method in child.requests.items()} == {
        "/a": "child a",
        "/b": "child b",
        "/c": "parent c",
    }
    assert child.write_endpoints == ["/b"]
    assert Parent().requests["/a"](docs=None) == "parent a"


def test_requests_override_moves_the_method():
    class Moved(Executor):
        @requests(on=["/x", "/y"])
        def foo(self, docs, **kwargs):
            """Does nothing."""

        @requests(on="/z")
        def bar(self, docs, **kwargs):
            """Does nothing."""

        def plain(self, docs, **kwargs):
            """Is not decorated."""

    moved = Moved(requests={"/new": "foo", "/newer": "foo", "/plain": "plain", "_jina_dry_run_": "_dry_run_func"})
    assert {path: method.__name__ for path, method in moved.requests.items()} == {
        "/z": "bar",
        "/new": "foo",
        "/newer": "foo",
        "/plain": "plain",
    }
    with pytest.raises(ExecutorDefinitionError, match="did you mean 'foo'"):
        Moved(requests={"/new": "fooo"})


def test_write_with_parentheses():
    class Stateful(Executor):
        @write()
        @requests(on="/put")
        def put(self, docs, **kwargs):
            """Writes."""

        @requests(on="/del")
        @write()
        def delete(self, docs, **kwargs):
            """Writes."""

        @requests(on="/get")
        def get(self, docs, **kwargs):
            """Reads."""

    assert Stateful().write_endpoints == ["/put", "/del"]


def test_write_in_either_order():
    class Stateful(Executor):
        @write
        @requests(on="/put")
        def put(self, docs, **kwargs):
            """Changes."""

        @requests(on=["/del", "/remove"])
        @write
        def delete(self, docs, **kwargs):
            """Changes."""

        @requests(on="/get")
        def get(self, docs, **kwargs):
            """Reads."""

    assert Stateful().write_endpoints == ["/put", "/del", "/remove"]


@pytest.mark.parametrize("order", ["above", "below"])
def test_dynamic_batching_options_are_kept(order):
    decorate = dynamic_batching(preferred_batch_size=8, timeout=50)

    class Batched(Executor):
        if order == "above":

            @decorate
            @requests(on="/a")
            def a(self, docs, **kwargs):
                """Does nothing."""

        else:

            @requests(on="/a")
            @decorate
            def a(self, docs, **kwargs):
                """Does nothing."""

    options = Batched(dynamic_batching={"/a": {"timeout": 5}}).dynamic_batching
    assert options["a"]["preferred_batch_size"] == 8
    assert options["a"]["timeout"] == 50
    assert options["/a"] == {"timeout": 5}


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda self, docs: 0, r"\*\*kwargs"),
        (lambda self, doc, docs, **kwargs: 0, "both `doc` and `docs`"),
        (lambda self, docs, modl, **kwargs: 0, "parameter 'modl'"),
        (lambda self, document, **kwargs: 0, "parameter 'document'"),
        (lambda self, docs, /, **kwargs: 0, "positional-only"),
        (staticmethod(lambda docs, **kwargs: 0), "staticmethod"),
        (3, "not a int"),
    ],
)
def test_signature_is_checked_at_decoration(function, complaint):
    with pytest.raises(TypeError, match=complaint):
        requests(function)


def test_complete_signatures_need_no_kwargs():
    def handler(self, docs, parameters, docs_matrix):
        """Takes all three."""

    def single(self, doc, parameters, docs_matrix, extra=1):
        """Takes one document."""

    assert requests(handler) is handler
    assert requests(on="/x")(single) is single


@pytest.mark.parametrize("on", ["", [], [1], 3, [""]])
def test_on_is_checked(on):
    def handler(self, docs, **kwargs):
        """Does nothing."""

    with pytest.raises(ExecutorDefinitionError, match="on="):
        requests(on=on)(handler)


def test_requests_with_a_positional_endpoint_is_explained():
    with pytest.raises(ExecutorDefinitionError, match="on='/x'"):
        requests("/x")


def test_unused_arguments_are_named(caplog):
    class Typo(Executor):
        def __init__(self, model="m", **kwargs):
            super().__init__(**kwargs)

    with caplog.at_level(logging.WARNING):
        Typo(modl="x")
    assert "modl" in caplog.text
    assert "did you mean 'model'" in caplog.text


def test_monitor_measures_each_kind_and_keeps_the_marks():
    from jina.observe.metrics import Metrics
    from jina.observe.prometheus import exposition

    class Monitored(Executor):
        @monitor(name="contract_sync_seconds", documentation="A test.")
        @requests(on="/sync")
        def sync(self, docs, **kwargs):
            with self.monitor("contract_block_seconds", "A block."):
                return 1

        @requests(on="/async")
        @monitor(name="contract_async_seconds")
        async def asynchronous(self, docs, **kwargs):
            return 2

        @requests(on="/stream")
        @monitor(name="contract_stream_seconds")
        def stream(self, doc, **kwargs):
            yield 3

        @requests(on="/astream")
        @monitor(name="contract_astream_seconds")
        async def astream(self, doc, **kwargs):
            yield 4

    executor = Monitored()
    assert set(executor.requests) == {"/sync", "/async", "/stream", "/astream"}

    async def run():
        return await executor.asynchronous(docs=None), [item async for item in executor.astream(doc=None)]

    assert executor.sync(docs=None) == 1
    assert list(executor.stream(doc=None)) == [3]
    assert asyncio.run(run()) == (2, [4])
    text = exposition(Metrics("test")).decode()
    for name in ("sync", "block", "async", "stream", "astream"):
        assert f'jina_contract_{name}_seconds_count{{runtime_name="test"}} 1.0' in text
    with pytest.raises(ExecutorDefinitionError, match="keywords"):
        monitor(name=lambda: None)


def test_snapshot_needs_to_be_defined_and_restore_does_nothing(tmp_path):
    class Plain(Executor):
        """Nothing of its own."""

    with pytest.raises(NotSupportedError, match="no snapshot method"):
        Plain().snapshot(str(tmp_path))
    assert Plain().restore(str(tmp_path)) is None


@pytest.mark.parametrize("name", ["tracer", "meter", "tracer_provider", "meter_provider", "logger"])
def test_observers_are_made_on_first_use(name):
    class Observed(Executor):
        """Nothing of its own."""

    executor = Observed()
    assert name not in vars(executor)
    assert getattr(executor, name) is getattr(executor, name)


def test_importing_costs_no_heavy_library():
    code = """
import sys
from jina import Executor, requests, dynamic_batching, monitor
from jina.executor import write
class E(Executor):
    @requests
    def foo(self, docs: "DocList[Nothing]", **kwargs): ...
E()
heavy = {"docarray", "numpy", "pydantic", "opentelemetry", "rich", "prometheus_client", "grpc"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_type_checkers_see_the_signatures_of_attached_methods():
    """`Configurable` declares for them what `jina.executor.configurable` and `jina.executor_serve` define."""
    importlib.import_module("jina.executor_serve")
    tree = ast.parse(inspect.getsource(base))
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Configurable")
    (block,) = (node for node in cls.body if isinstance(node, ast.If))
    declared = {node.name: node for node in block.body if isinstance(node, ast.FunctionDef)}
    attached = {name for name, member in vars(base.Configurable).items() if hasattr(member, "__func__")}
    later = ("serve", "save_config", "from_hub", "to_kubernetes_yaml", "to_docker_compose_yaml")
    attached |= {name for name in later if callable(getattr(Executor, name))}
    assert declared.keys() == attached - {"to_k8s_yaml"}
    for name, node in declared.items():
        function = inspect.unwrap(getattr(Executor, name))
        (defined,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        assert ast.unparse(node.args) == ast.unparse(defined.args)
        assert ast.get_docstring(node) == ast.get_docstring(defined).split("\n")[0]
        assert ast.unparse(node.returns) == ast.unparse(defined.returns)
        assert list(map(ast.unparse, node.decorator_list)) == list(map(ast.unparse, defined.decorator_list))
