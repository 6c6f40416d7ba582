"""Constructing an Executor: `__init__`, `**kwargs` and what is in them. The fixtures are in `conftest`."""

import pytest

from jina import Executor, requests
from jina.errors import ExecutorDefinitionError
from tests.founding.marks import sentence
from tests.founding.users import Undecorated, WithState


@sentence(27)
def test_a_constructor_is_needed_for_initial_state_only():
    assert "__init__" not in vars(Undecorated)
    assert Executor.load_config({"jtype": "Undecorated"}).metas.name == "Undecorated"


@sentence(28, 29, 39, 40)
def test_a_constructor_with_kwargs_that_calls_its_base():
    made = Executor.load_config({"jtype": "WithState", "with": {"foo": "a", "bar": 2}})
    assert (made.foo, made.bar) == ("a", 2)
    alone = WithState(foo="b", bar=3)
    assert (alone.foo, alone.bar, alone.metas.name) == ("b", 3, "WithState")


@sentence(28, 39)
def test_a_constructor_without_kwargs_is_refused_where_the_class_is_written():
    with pytest.raises(ExecutorDefinitionError, match=r"NoKwargs.__init__ .*lacks \*\*kwargs"):

        class NoKwargs(Executor):
            def __init__(self, foo):
                super().__init__()


@sentence(28, 39)
def test_a_constructor_that_forgets_its_base_is_refused():
    class Forgetful(Executor):
        def __init__(self, **kwargs):
            pass

    with pytest.raises(ExecutorDefinitionError, match=r"has to call super\(\).__init__"):
        Executor.load_config({"jtype": "Forgetful"})


@sentence(30, 31, 41)
def test_what_is_injected(by_python, by_yaml):
    for found in (by_python, by_yaml):
        injected = found["injected"]
        assert injected["metas"]["name"] == "given"
        assert injected["requests"] == {"/bound": "unbound"}  # endpoint -> function
        assert injected["runtime_args"]["shard_id"] == 0


@sentence(32, 42, 43)
def test_special_arguments_can_be_read_before_the_base_class_is_constructed(by_python):
    first = by_python["first"]
    assert first["metas"]["name"] == "given"
    assert first["requests"] == by_python["later"]["requests"]
    assert first["runtime_args"] == by_python["later"]["runtime_args"]
    assert first["workspace"] == by_python["later"]["workspace"]


@sentence(32)
def test_special_arguments_can_be_changed_before_they_are_passed_on(by_python):
    assert "note" not in by_python["first"]["metas"]
    assert by_python["later"]["metas"]["note"] == "changed"

    class Changing(Executor):
        def __init__(self, **kwargs):
            kwargs["metas"] = {**kwargs.get("metas", {}), "name": "other"}
            kwargs["requests"] = {"/other": "foo"}
            kwargs["runtime_args"] = {**kwargs.get("runtime_args", {}), "shard_id": 7}
            self.metas.description = "set on self"
            super().__init__(**kwargs)

        @requests(on="/foo")
        def foo(self, docs, **kwargs):
            return docs

    for made in (Changing(), Executor.load_config({"jtype": "Changing"})):
        assert (made.metas.name, made.metas.description) == ("other", "set on self")
        assert list(made.requests) == ["/other"]
        assert made.requests["/other"] == made.foo
        assert made.runtime_args.shard_id == 7
        assert made.workspace.endswith("/other/7")


@sentence(33)
def test_arguments_of_the_user_come_from_python_and_yaml(by_python, by_yaml):
    assert (by_python["foo"], by_python["bar"]) == ("python", 1)
    assert (by_yaml["foo"], by_yaml["bar"]) == ("yaml", 2)
