"""Every kind of `uses`, and the class and instance that come of it."""

import io
import os
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jina.errors import (
    BadConfigSource,
    ConfigError,
    ExecutorDefinitionError,
    ExecutorNotFound,
    NotSupportedError,
    RuntimeFailToStart,
)
from jina.executor import Executor, requests
from jina.executor.loading import load_executor, reference_of, split_with
from jina.plan.plans import ExecutorPlan, WorkerPlan, process_from_json, to_json


class Importable(Executor):
    """Found by its name in another process."""

    def __init__(self, foo: str = "a", **kwargs):
        super().__init__(**kwargs)
        self.foo = foo

    @requests(on="/x")
    def x(self, docs, **kwargs):
        """Does nothing."""


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if os.path.realpath(getattr(sys.modules[name], "__file__", None) or "/").startswith(str(tmp_path)):
            del sys.modules[name]


def loaded(uses, **given):
    """The instance, by way of the JSON that a child process gets."""
    plan, cls = reference_of(uses, **given)
    plain, extra = split_with(plan.with_args)
    plan = ExecutorPlan(**{**{name: getattr(plan, name) for name in plan.__struct_fields__}, "with_args": plain})
    worker = WorkerPlan(name="w", deployment="d", executor=plan, listeners=[])
    plan = process_from_json(to_json(worker)).executor
    return load_executor(plan, {"name": "executor/rep-0", "shard_id": 0}, cls, extra)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


CONFIG = """
    jtype: FromFile
    with:
      a: 1
      b: from yaml
    metas:
      name: nm
      description: "{this.name} of {root.with.b}"
    py_modules:
      - executor.py
    requests:
      /new: foo
    dynamic_batching:
      /new:
        preferred_batch_size: 4
"""
SOURCE = """
    from jina import Executor, requests

    class FromFile(Executor):
        def __init__(self, a, b='default', **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = a, b

        @requests(on='/old')
        def foo(self, docs, **kwargs):
            pass
"""


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "exec/config.yml", CONFIG)
    write(tmp_path / "exec/executor.py", SOURCE)
    return tmp_path / "exec"


def check(executor):
    assert type(executor).__name__ == "FromFile"
    assert (executor.a, executor.b) == (1, "from yaml")
    assert executor.metas.name == "nm"
    assert executor.metas.description == "nm of from yaml"
    assert list(executor.requests) == ["/new"]
    assert executor.dynamic_batching["/new"] == {"preferred_batch_size": 4}
    assert executor.runtime_args.shard_id == 0
    assert [os.path.basename(path) for path in executor.runtime_args.py_modules] == ["executor.py"]


def test_class_by_import_path():
    plan, cls = reference_of(Importable)
    assert (plan.module, plan.qualname) == (Importable.__module__, "Importable")
    assert cls is None
    assert plan.cwd == os.getcwd()
    assert type(loaded(Importable)) is Importable


def test_class_of_a_function_travels_by_pickle():
    class Local(Executor):
        """Has no import path."""

    plan, cls = reference_of(Local)
    assert (plan.module, plan.jtype) == ("", "")
    assert cls is Local
    assert type(loaded(Local)) is Local


def test_class_replaced_in_its_module_travels_by_pickle(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "Importable", 3)
    assert reference_of(Importable_original)[1] is Importable_original


Importable_original = Importable


def test_overrides_win_over_yaml(folder):
    executor = loaded(
        "exec/config.yml",
        uses_with={"b": "given"},
        uses_metas={"name": "other"},
        uses_requests={"/given": "foo"},
        uses_dynamic_batching={"/given": {"timeout": 3}, "/new": {"timeout": 5}},
    )
    assert (executor.a, executor.b) == (1, "given")
    assert executor.metas.name == "other"
    assert set(executor.requests) == {"/new", "/given"}
    assert executor.dynamic_batching["/new"] == {"preferred_batch_size": 4, "timeout": 5}
    assert executor.dynamic_batching["/given"] == {"timeout": 3}


def test_yaml_path(folder):
    check(loaded("exec/config.yml"))
    check(loaded(folder / "config.yml"))


def test_folder_with_config(folder):
    check(loaded("exec"))


def test_yaml_by_search_path(folder, tmp_path, monkeypatch):
    write(tmp_path / "elsewhere/x.txt", "")
    monkeypatch.chdir(tmp_path / "elsewhere")
    check(loaded("config.yml", search_paths=[str(folder)]))
    with pytest.raises(BadConfigSource, match=r"nothing\.yml") as caught:
        loaded("nothing.yml", search_paths=[str(folder)])
    assert str(folder) in str(caught.value)


def test_open_file(folder):
    with open("exec/config.yml") as file:
        check(loaded(file))


def test_yaml_text_mapping_and_json(folder):
    text = textwrap.dedent(CONFIG).replace("executor.py", "exec/executor.py")
    check(loaded(text))
    check(loaded(io.StringIO(text)))
    data = {
        "jtype": "FromFile", "with": {"a": 1, "b": "from yaml"}, "requests": {"/new": "foo"},
        "metas": {"name": "nm", "description": "{this.name} of {root.with.b}"},
        "py_modules": "exec/executor.py", "dynamic_batching": {"/new": {"preferred_batch_size": 4}},
    }  # fmt: skip
    check(loaded(data))
    import json

    check(loaded(json.dumps(data)))


@pytest.mark.parametrize(
    "text",
    [
        """
            jtype: Importable
            with:
                foo: b
        """,
        """
            !Importable
            with:
                foo: b
        """,
        """            jtype: Importable
            with: {foo: b}""",
    ],
)
def test_yaml_text_that_is_indented_as_the_program_around_it(text):
    assert loaded(text).foo == "b"
    assert Executor.load_config(text).foo == "b"


CALLER = """
    from jina import Deployment, Executor, Flow

    def load():
        return Executor.load_config("config.yml")

    def flow():
        return len(Flow.load_config("flow.yml").to_dict()["executors"])

    def deployment():
        return Deployment(uses="config.yml"), Deployment(uses="FromFile", py_modules="executor.py")
"""


def test_paths_may_start_beside_the_file_of_the_caller(folder, tmp_path, monkeypatch):
    write(folder / "calling.py", CALLER)
    write(folder / "flow.yml", "jtype: Flow\nexecutors:\n  - uses: config.yml\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(folder)
    import calling

    assert type(calling.load()).__name__ == "FromFile"
    assert calling.flow() == 1
    for deployment in calling.deployment():
        assert deployment.plan.workers[0].executor.py_modules == [str(folder / "executor.py")]
        deployment.close()
    # What the working directory has comes first.
    write(elsewhere / "config.yml", "jtype: Importable\n")
    assert type(calling.load()).__name__ == "Importable"


GIVING = """
    from jina import Deployment, Flow

    WAYS = {
        "uses": lambda: Flow().add(uses="config.yml"),
        "a folder": lambda: Flow().add(uses="inner"),
        "py_modules": lambda: Flow().add(uses="FromFile", py_modules="executor.py"),
        "a list": lambda: Flow().add(uses="FromFile", py_modules=["executor.py"]),
        "uses_before": lambda: Flow().add(name="executor0", shards=2, uses="Importable", uses_before="config.yml"),
        "uses_after": lambda: Flow().add(name="executor0", shards=2, uses="Importable", uses_after="config.yml"),
        "needs": lambda: Flow().add(name="a", uses="config.yml").needs(["a", "gateway"], uses="config.yml"),
        "YAML text": lambda: Flow.load_config("jtype: Flow\\nexecutors: [{uses: config.yml}]"),
        "a mapping": lambda: Flow.load_config({"jtype": "Flow", "executors": [{"uses": "config.yml"}]}),
        "a Deployment": lambda: Flow().add(Deployment(name="executor0", uses="config.yml")),
        "a Deployment's file": lambda: Flow().add(Deployment.load_config("d.yml", py_modules="executor.py")),
        "a file by its path": lambda: Flow().add("d.yml", name="executor0", py_modules="executor.py"),
    }
    GATEWAYS = {
        "config_gateway": lambda: Flow().config_gateway(uses="Own", py_modules="own.py"),
        "its file": lambda: Flow().config_gateway(uses="gateway.yml"),
        "YAML text": lambda: Flow.load_config("jtype: Flow\\ngateway: {uses: gateway.yml}"),
        "a Deployment": lambda: Deployment(protocol="http", gateway="gateway.yml"),
        "a mapping": lambda: Deployment(protocol="http", gateway={"uses": "Own", "py_modules": "own.py"}),
    }
"""
GATEWAY = """
    from jina import Gateway

    class Own(Gateway):
        pass
"""


@pytest.fixture
def giving(folder, tmp_path, monkeypatch):
    """A module that gives relative paths, which are beside it and not in the working directory."""
    (folder / "inner").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(folder / "giving.py", GIVING)
    write(folder / "own.py", GATEWAY)
    write(folder / "gateway.yml", "jtype: Own\npy_modules: own.py\n")
    write(folder / "inner" / "config.yml", "jtype: FromFile\npy_modules: ../executor.py\n")
    write(folder / "d.yml", "jtype: Deployment\nwith: {name: executor0, uses: FromFile}\n")
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(folder)
    import giving

    return giving


@pytest.mark.parametrize(
    "way",
    ["uses", "a folder", "py_modules", "a list", "uses_before", "uses_after", "needs", "YAML text", "a mapping",
     "a Deployment", "a Deployment's file", "a file by its path"],
)  # fmt: skip
def test_paths_are_looked_up_where_they_are_given(giving, folder, way):
    """The files of steps are read at the start of the Flow, which another module may do."""
    flow = giving.WAYS[way]()
    workers = [worker for deployment in flow.plan.deployments for worker in deployment.workers]
    named = {os.path.realpath(source) for worker in workers for source in worker.executor.py_modules}
    assert named == {str(folder / "executor.py")}
    flow.close()


@pytest.mark.parametrize("way", ["config_gateway", "its file", "YAML text", "a Deployment", "a mapping"])
def test_paths_of_gateways_are_looked_up_where_they_are_given(giving, folder, way):
    service = giving.GATEWAYS[way]()
    assert service.plan.gateway.custom.py_modules == [str(folder / "own.py")]
    service.close()


def test_a_thread_without_a_caller_looks_where_callers_were_before(folder, tmp_path, monkeypatch):
    write(folder / "calling.py", CALLER)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend(folder)
    import calling

    from jina.config.paths import callers_folders

    calling.load()
    seen = []
    # The thread's first frame is that of Python's own `threading`, which calls the function itself.
    thread = threading.Thread(target=lambda: seen.extend(callers_folders()))
    thread.start()
    thread.join(10)
    assert os.path.dirname(os.path.abspath(__file__)) in seen


@pytest.mark.parametrize(
    ("uses", "given"),
    [
        ("no.yml", {}),
        ("NotThere", {}),
        ("no_such_module.NotThere", {}),
        ("jtype: NotThere\n", {}),
        ("NotThere", {"py_modules": ["no.py"]}),
        ("NotThere", {"py_modules": ["no_such_module"]}),
    ],
)
def test_what_is_missing_is_found_before_the_start_and_fails_it(uses, given):
    with pytest.raises(ExecutorNotFound) as found:
        reference_of(uses, **given)
    assert isinstance(found.value, BadConfigSource)
    assert isinstance(found.value, RuntimeFailToStart)


def test_yaml_tag_and_minimal_text():
    assert type(loaded("!Importable {}")) is Importable
    assert type(loaded("jtype: Importable")) is Importable
    assert loaded("!Importable {with: {foo: b}}").foo == "b"


def test_yaml_of_a_url(folder):
    text = textwrap.dedent(CONFIG).replace("executor.py", str(folder / "executor.py")).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        check(loaded(f"http://127.0.0.1:{server.server_port}/config.yml"))
    finally:
        thread.join(10)
        server.server_close()


def test_class_names():
    assert type(loaded("Importable")) is Importable
    assert type(loaded("BaseExecutor")) is Executor
    assert type(loaded("Executor")) is Executor
    assert type(loaded(None)) is Executor
    assert type(loaded(Executor)) is Executor
    with pytest.raises(ConfigError, match="did you mean 'Importable'"):
        loaded("Importabel")


def test_class_name_with_py_modules(folder):
    executor = loaded("FromFile", py_modules=["exec/executor.py"], uses_with={"a": 2})
    assert executor.a == 2
    with pytest.raises(ConfigError, match="did you mean 'FromFile'"):
        loaded("FormFile", py_modules="exec/executor.py")


def test_dotted_path(folder):
    assert type(loaded(f"{__name__}.Importable")) is Importable
    sys.path.insert(0, str(folder))
    executor = loaded("executor.FromFile", uses_with={"a": 1})
    assert type(executor).__module__ == "executor"
    assert type(loaded("executor:FromFile", uses_with={"a": 1})) is type(executor)
    with pytest.raises(BadConfigSource, match="no module 'executr'"):
        loaded("executr.FromFile")
    with pytest.raises(ConfigError, match="did you mean 'FromFile'"):
        loaded("executor.FromFil")
    with pytest.raises(ConfigError, match="not an Executor"):
        loaded("executor.requests")


def test_the_parent_imports_no_user_module(folder):
    sys.path.insert(0, str(folder))
    write(folder / "loud.py", "raise RuntimeError('imported')")
    reference_of("exec/config.yml")
    plan, _ = reference_of("loud.Thing")
    reference_of("Thing", py_modules=str(folder / "loud.py"))
    assert "executor" not in sys.modules
    assert "loud" not in sys.modules
    with pytest.raises(ConfigError, match="importing loud failed: RuntimeError: imported"):
        load_executor(plan, {})


@pytest.mark.parametrize("scheme", ["docker", "jinahub+docker", "jinaai+docker", "jinaai+sandbox"])
def test_images_are_not_loaded(scheme):
    with pytest.raises(NotSupportedError, match="cannot be loaded into this process"):
        reference_of(f"{scheme}://user/name")


@pytest.mark.parametrize(
    ("uses", "complaint"),
    [
        ("dockr://x", "did you mean docker://"),
        ("", "empty"),
        ("a b c", "is neither a class name"),
        (3, "int"),
        (int, "not a subclass of Executor"),
        ("exec", "Executor class is named 'exec'"),
        ("no/folder", "there is no file"),
    ],
)
def test_other_things_are_refused(uses, complaint):
    with pytest.raises(ConfigError, match=complaint):
        reference_of(uses)


def test_an_instance_is_refused():
    with pytest.raises(ConfigError, match="give the class"):
        reference_of(Importable())


def test_a_python_file_is_explained(folder):
    with pytest.raises(ConfigError, match="py_modules"):
        reference_of("exec/executor.py")


def test_missing_py_modules_are_found_out_in_the_parent(folder):
    (folder / "executor.py").unlink()
    with pytest.raises(BadConfigSource, match=r"executor\.py") as caught:
        reference_of("exec/config.yml")
    assert str(folder / "executor.py") in str(caught.value)


def test_errors_inside_py_modules_name_file_and_line(folder):
    write(folder / "executor.py", "import os\n\nimport not_installed_anywhere\n")
    with pytest.raises(ConfigError, match=r"executor\.py:3 failed: ModuleNotFoundError") as caught:
        loaded("exec/config.yml")
    assert "not_installed_anywhere" in str(caught.value)
    write(folder / "executor.py", "x = 1\ndef broken(:\n")
    with pytest.raises(ConfigError, match=r"executor\.py:2 failed: SyntaxError"):
        loaded("exec/config.yml")


def test_the_document_array_that_docarray_dropped_is_explained(folder):
    write(folder / "executor.py", "from docarray import DocumentArray")
    with pytest.raises(ConfigError, match="from jina import DocumentArray"):
        loaded("exec/config.yml")


@pytest.mark.parametrize(
    ("helper", "executor", "place", "name"),
    [
        ("x = 1", "import os\n\nfrom docarray import DocumentArray", "executor.py:3", "DocumentArray"),
        ("x = 1", "import docarray\nx = docarray.DocumentArray", "executor.py:2", "DocumentArray"),
        ("import os\nfrom docarray import Document", "import helper_with_docs", "helper_with_docs.py:2", "Document"),
    ],
    ids=["direct", "attribute", "imported by it"],
)
def test_the_line_that_wants_it_is_named_and_docarrays_advice_is_not_given(folder, helper, executor, place, name):
    write(folder / "helper_with_docs.py", helper)
    write(folder / "executor.py", executor)
    with pytest.raises(ConfigError) as caught:
        loaded("exec/config.yml")
    assert f"{place}: docarray has no {name} since its version 0.30" in str(caught.value)
    assert f"write `from jina import {name}`" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_modules_beside_it_can_be_imported(folder):
    write(folder / "helper_of_load.py", "VALUE = 5")
    write(folder / "executor.py", "from helper_of_load import VALUE\n" + textwrap.dedent(SOURCE))
    check(loaded("exec/config.yml"))


def test_packages_with_relative_imports(folder, tmp_path):
    write(tmp_path / "exec/__init__.py", "")
    write(tmp_path / "exec/sub/__init__.py", "from .deep import VALUE")
    write(tmp_path / "exec/sub/deep.py", "VALUE = 5")
    write(tmp_path / "exec/helper_beside.py", "VALUE = 6")
    write(
        tmp_path / "exec/executor.py",
        "from .sub import VALUE\nfrom . import helper_beside\nimport helper_beside\n" + textwrap.dedent(SOURCE),
    )
    executor = loaded("exec/config.yml")
    check(executor)
    assert type(executor).__module__ == "exec.executor"


def test_a_package_listed_as_folder(folder, tmp_path):
    write(tmp_path / "exec/pkg/__init__.py", "from .inner import FromFile")
    write(tmp_path / "exec/pkg/inner.py", SOURCE)
    executor = loaded("FromFile", py_modules="exec/pkg", uses_with={"a": 1})
    assert type(executor).__module__ == "pkg.inner"


def test_two_files_of_one_name_in_one_process(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name / "executor.py", textwrap.dedent(SOURCE).replace("FromFile", f"From{name}"))
        write(tmp_path / name / "config.yml", f"jtype: From{name}\nwith: {{a: 1}}\npy_modules: executor.py\n")
    assert type(loaded("one/config.yml")).__name__ == "Fromone"
    assert type(loaded("two/config.yml")).__name__ == "Fromtwo"
    assert type(loaded("two")).__name__ == "Fromtwo"


def test_two_packages_of_one_name_in_one_process(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name / "pkg/__init__.py", "")
        write(tmp_path / name / "pkg/names.py", f"NAME = '{name}'")
        write(tmp_path / name / "pkg/executor.py", "from .names import NAME\n" + textwrap.dedent(SOURCE))
    for name in ("one", "two"):
        executor = loaded("FromFile", py_modules=f"{name}/pkg/executor.py", uses_with={"a": 1})
        assert name == sys.modules[type(executor).__module__].NAME


def test_a_file_does_not_hide_modules_of_python(tmp_path):
    write(tmp_path / "pkg/__init__.py", "")
    write(tmp_path / "pkg/colorsys.py", "raise RuntimeError('wrong module')")
    write(tmp_path / "pkg/executor.py", "import colorsys\ncolorsys.rgb_to_hsv\n" + textwrap.dedent(SOURCE))
    sys.modules.pop("colorsys", None)
    assert loaded("FromFile", py_modules="pkg/executor.py", uses_with={"a": 1}).a == 1


def test_values_that_are_no_json_travel_beside_the_plan():
    marker = object()
    given = {"a": marker, "b": 1, "c": (1, 2), "d": float("nan"), "e": {"x": [1, None, "s", True]}, "f": 2**70}
    plain, extra = split_with(given)
    assert plain == {"b": 1, "e": {"x": [1, None, "s", True]}}
    assert set(extra) == {"a", "c", "d", "f"}
    assert loaded(Importable, uses_with={"foo": marker}).foo is marker


def test_missing_constructor_argument_is_named(folder):
    with pytest.raises(ConfigError, match="needs the argument 'a'") as caught:
        loaded("FromFile", py_modules="exec/executor.py", uses_with={"aa": 1})
    assert "'aa' was given" in str(caught.value)
    assert "executor.py:" in str(caught.value)


def test_injected_names_cannot_be_arguments():
    with pytest.raises(ConfigError, match="uses_metas"):
        loaded(Importable, uses_with={"metas": {}})


def test_what_the_constructor_raises_passes_through():
    class Failing(Executor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        loaded(Failing)


def test_super_init_has_to_be_called():
    class Forgetful(Executor):
        def __init__(self, **kwargs):
            """Calls nothing."""

    with pytest.raises(ExecutorDefinitionError, match=r"super\(\)\.__init__\(\*\*kwargs\)"):
        loaded(Forgetful)


def test_wrong_annotations_show_before_the_constructor_runs():
    class Slow(Executor):
        def __init__(self, **kwargs):
            raise AssertionError("ran")

        @requests
        def foo(self, docs: int, **kwargs):
            """Is annotated wrongly."""

    with pytest.raises(ExecutorDefinitionError, match="docs is annotated int"):
        loaded(Slow)


def test_runtime_args_have_all_names():
    plan, cls = reference_of(Importable)
    args = {"name": "x/rep-1", "replicas": 2, "shards": 1, "shard_id": 0, "workspace": None, "allow_concurrent": False}
    executor = load_executor(plan, args, cls)
    assert vars(executor.runtime_args) == {**args, "py_modules": []}


def test_load_config_and_save_config(folder, tmp_path):
    executor = Executor.load_config("exec/config.yml", uses_with={"b": "given"})
    assert (executor.a, executor.b) == (1, "given")
    executor.save_config()
    assert (tmp_path / "nm.yml").exists()
    again = Executor.load_config(str(tmp_path / "nm.yml"))
    assert type(again) is type(executor)
    assert (again.a, again.b) == (1, "given")
    assert list(again.requests) == ["/new"]
    with pytest.raises(BadConfigSource, match="where Importable is expected"):
        Importable.load_config("exec/config.yml")
    with pytest.raises(BadConfigSource, match="allow_py_modules"):
        Executor.load_config("exec/config.yml", allow_py_modules=False)
    with pytest.raises(ConfigError, match="did you mean 'context'"):
        Executor.load_config("exec/config.yml", contxt={})


def test_metas_and_uses_metas_win_over_the_yaml():
    text = "jtype: Importable\nmetas: {name: yaml, description: d}\n"
    assert Executor.load_config(text, metas={"name": "mine"}).metas.name == "mine"
    both = Executor.load_config(text, metas={"name": "mine", "workspace": "w"}, uses_metas={"name": "other"})
    assert (both.metas.name, both.metas.description, both.metas.workspace) == ("other", "d", "w")


def test_context_fills_variables(monkeypatch):
    text = "jtype: Importable\nwith:\n  foo: ${{ CONTEXT.word }}\n"
    assert Executor.load_config(text, context={"word": "hello"}).foo == "hello"
    monkeypatch.setenv("JINA_TEST_WORD", "env")
    assert Executor.load_config("jtype: Importable\nwith:\n  foo: ${{ ENV.JINA_TEST_WORD }}\n").foo == "env"


def test_save_config_refuses_what_yaml_cannot_hold():
    with pytest.raises(ConfigError, match="'foo'"):
        Importable(foo=object()).save_config("x.yml")


def test_resolving_a_class_stays_light():
    code = """
import sys
from jina.executor import Executor, requests
from jina.executor.loading import reference_of
class E(Executor):
    @requests
    def foo(self, docs, **kwargs): ...
plan, cls = reference_of(E)
assert cls is E
heavy = {"docarray", "numpy", "pydantic", "opentelemetry", "yaml"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.slow
def test_serve_runs_a_deployment_until_the_event_is_set():
    stop = threading.Event()
    stop.set()
    Importable.serve(uses_with={"foo": "b"}, stop_event=stop, host="127.0.0.1")
    with pytest.raises(ConfigError, match="did you mean 'replicas'"):
        Importable.serve(replicass=1, stop_event=stop)


@pytest.mark.parametrize(
    ("runtime_args", "name"),
    [
        ({"shards": 1, "replicas": 1, "shard_id": 0, "replica_id": 0}, "nm"),
        ({"shards": 1, "replicas": 3, "shard_id": 0, "replica_id": 2}, "nm/rep-2"),
        ({"shards": 2, "replicas": 3, "shard_id": 1, "replica_id": 0}, "nm/shard-1/rep-0"),
    ],
)
def test_the_runtime_name_derives_from_metas(runtime_args, name):
    executor = load_executor(ExecutorPlan(metas={"name": "nm"}), runtime_args)
    assert executor.runtime_args.name == name


def test_a_wrong_method_in_yaml_is_named_with_its_place(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from jina import Executor, requests\n\n\nclass Mine(Executor):\n"
        "    @requests\n    def go(self, docs, **kwargs):\n        pass\n"
    )
    (tmp_path / "config.yml").write_text("jtype: Mine\npy_modules: mine.py\nrequests:\n  /good: go\n  /bad: goo\n")
    plan, _ = reference_of("config.yml")
    with pytest.raises(ExecutorDefinitionError) as caught:
        load_executor(plan, {})
    place, _, rest = str(caught.value).rpartition("config.yml")[2].partition(" ")
    assert place == ":5"
    assert rest.startswith("requests: '/bad' is bound to 'goo', which is not a method of Mine (mine.py:4)")
    assert rest.endswith("; did you mean 'go'?")
    with pytest.raises(ExecutorDefinitionError, match=r"^requests: '/bad' is bound to 'gow'"):
        load_executor(reference_of("config.yml", uses_requests={"/bad": "gow"})[0], {})
