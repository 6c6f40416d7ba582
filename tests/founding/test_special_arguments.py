"""workspace, requests, metas and runtime_args of a served Executor. The fixtures are in `conftest`."""

import os
from pathlib import Path

import pytest

from jina import Deployment, Document, Executor
from jina.errors import ConfigError
from jina.executor.loading import load_executor
from jina.plan.plans import ExecutorPlan
from tests.founding.marks import sentence
from tests.founding.users import Inspect, Keeper

TYPES = ["str", "dict", "SimpleNamespace", "SimpleNamespace"]


@sentence(42, 43)
def test_the_four(by_python):
    assert by_python["later"]["types"] == TYPES


@sentence(44, 45, 46, 47, 48, 69, 70)
def test_workspace(python_service, by_python, yaml_service, by_yaml):
    for service, found in ((python_service, by_python), (yaml_service, by_yaml)):
        given = service.workspace
        assert found["later"]["workspace"] == f"{given}/given/0"  # <workspace>/<executor_name>/<shard_id>
        assert found["later"]["is folder"]
        assert found["later"]["runtime_args"]["workspace"] == given


@sentence(44)
def test_instances_do_not_share_a_workspace(tmp_path):
    plans = [ExecutorPlan(metas={"name": name}) for name in ("a", "b")]
    paths = [
        load_executor(plan, {"workspace": str(tmp_path), "shard_id": shard}, Inspect).workspace
        for plan in plans
        for shard in (0, 1)
    ]
    assert len(set(paths)) == 4
    assert paths == [str(tmp_path / name / shard) for name in "ab" for shard in "01"]


@sentence(48)
def test_a_workspace_in_the_yaml_of_an_executor(tmp_path):
    made = Executor.load_config({"jtype": "Keeper", "metas": {"workspace": str(tmp_path)}})
    assert made.workspace == str(tmp_path / "Keeper")


@sentence(49)
def test_the_default_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Keeper().workspace == str(tmp_path / ".cache" / "jina" / "Keeper")
    assert os.path.isdir(Keeper().workspace)


@sentence(50, 51, 52)
def test_requests(python_service, by_python, yaml_service, by_yaml):
    for service, found in ((python_service, by_python), (yaml_service, by_yaml)):
        assert found["later"]["requests"] == {
            "/inspect": "inspect",
            "/plain": "plain",
            "/coroutine": "coroutine",
            "/index": "index",
            "/bound": "unbound",
        }
        assert found["later"]["callable"]
        assert service.post("/bound", Document(text="a")).texts == ["bound by configuration"]
    alone = Inspect()
    assert alone.requests["/plain"] == alone.plain


@sentence(53, 54, 55, 56, 57, 58)
def test_metas(by_python, by_yaml):
    for found, by in ((by_python, "by Python"), (by_yaml, "by YAML")):
        metas = found["later"]["metas"]
        assert (metas["name"], metas["description"]) == ("given", by)
    alone = Keeper().metas
    assert (alone.name, alone.description) == ("Keeper", "")


@sentence(59, 60, 63, 64, 66, 67, 68, 69, 71)
def test_runtime_args(python_service, by_python, by_yaml):
    args = by_python["later"]["runtime_args"]
    expected = {"name": "given", "replicas": 1, "shards": 1, "shard_id": 0, "workspace": python_service.workspace}
    assert {name: args[name] for name in expected} == expected
    assert args["py_modules"] == []  # the class was imported by its own path
    users = str(Path(__file__).parent / "users.py")
    assert by_yaml["later"]["runtime_args"]["py_modules"] == [users]


@sentence(65)
@pytest.mark.parametrize(
    ("args", "name"),
    [
        ({"shard_id": 0, "shards": 1}, "given"),
        ({"shard_id": 1, "shards": 3}, "given/shard-1"),
        ({"shard_id": 2, "shards": 3, "replica_id": 1, "replicas": 2}, "given/shard-2/rep-1"),
    ],
)
def test_the_runtime_name_derives_from_the_name_in_metas(args, name):
    assert load_executor(ExecutorPlan(metas={"name": "given"}), args, Keeper).runtime_args.name == name


@sentence(61, 62, 73)
def test_runtime_args_are_made_by_the_orchestration(by_python):
    assert vars(Keeper().runtime_args) == {}  # nothing is known before somebody serves it
    assert {"shard_id", "replicas"} <= by_python["later"]["runtime_args"].keys()


@sentence(72)
def test_runtime_args_cannot_be_provided(caplog):
    with pytest.raises(ConfigError, match="runtime_args"):
        Deployment(uses=Keeper, runtime_args={"shard_id": 3})
    with pytest.raises(ConfigError, match="runtime_args"):
        Deployment.load_config({"jtype": "Deployment", "with": {"uses": "Keeper", "runtime_args": {"shard_id": 3}}})
    # Jina 3 passes over the key in the file of an Executor, and public programs have it there: it changes nothing.
    executor = Executor.load_config({"jtype": "Keeper", "runtime_args": {"shard_id": 3}})
    assert "shard_id" not in vars(executor.runtime_args)
    assert "runtime_args: options of a Deployment, without effect in an Executor's file" in caplog.text
    with pytest.raises(ConfigError, match="runtime_args"):
        Executor.load_config({"jtype": "Keeper", "with": {"runtime_args": {"shard_id": 3}}})
