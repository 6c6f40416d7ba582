import http.server
import io
import json
import threading

import pytest

from jina.config import DeploymentSpec, ExecutorSpec, dump_spec, load, load_spec
from jina.errors import BadConfigSource, ConfigError

DEPLOYMENT = """\
jtype: Deployment
version: '1'
with:
  uses: executor1/config.yml
  name: toyExecutor
  protocol: [grpc, http]
  port: [54321, 54322]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder, text, name="deployment.yml"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problem(source, model=DeploymentSpec, error=ConfigError, **kwargs):
    with pytest.raises(error) as caught:
        load_spec(model, source, **kwargs)
    return str(caught.value)


# --- sources


def test_every_kind_of_source_gives_the_same(folder):
    path = written(folder, DEPLOYMENT)
    data = load(DEPLOYMENT).data
    sources = [path, str(path), "deployment.yml", DEPLOYMENT, json.dumps(data), data, io.StringIO(DEPLOYMENT)]
    with path.open("rb") as file:
        specs = [load_spec(DeploymentSpec, source) for source in [*sources, file]]
    assert all(spec.in_folder(None) == specs[-2] for spec in specs)
    assert (specs[0].ports, specs[0].protocols, specs[0].name) == ([54321, 54322], ["grpc", "http"], "toyExecutor")


def test_the_folder_of_a_file_is_known(folder):
    path = written(folder, DEPLOYMENT, "sub/deployment.yml")
    assert load_spec(DeploymentSpec, "sub/deployment.yml").folder == str(path.parent)
    with path.open() as file:
        assert load_spec(DeploymentSpec, file).folder == str(path.parent)
    assert load_spec(DeploymentSpec, DEPLOYMENT).folder is None


def test_files_are_found_below_the_search_paths(folder):
    path = written(folder, DEPLOYMENT, "elsewhere/deployment.yml")
    spec = load_spec(DeploymentSpec, "deployment.yml", search_paths=[str(path.parent)])
    assert spec.folder == str(path.parent)


@pytest.fixture
def site():
    """Serves the texts that the test puts into the mapping, by path."""
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in pages else 404)
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_urls(site):
    url, pages = site
    pages["/deployment.yml"] = DEPLOYMENT.encode()
    pages["/latin.yml"] = b"\xff\xfe\xff"
    assert load_spec(DeploymentSpec, f"{url}/deployment.yml").name == "toyExecutor"
    assert "cannot be fetched: HTTP Error 404" in problem(f"{url}/no.yml", error=BadConfigSource)
    assert "not UTF-8 text" in problem(f"{url}/latin.yml", error=BadConfigSource)
    pages["/bad.yml"] = b"jtype: Deployment\nwith: {replicas: 0}"
    assert problem(f"{url}/bad.yml") == f"{url}/bad.yml:2 with.replicas: 0 is less than 1"


def test_json_in_a_variable_is_text_for_text_and_a_mapping_for_mappings(monkeypatch):
    monkeypatch.setenv("CONF", '{"a": 1}')
    text = "jtype: Deployment\nwith:\n  env: {CONF: '${{ ENV.CONF }}'}\n  uses_with: ${{ ENV.CONF }}\n"
    spec = load_spec(DeploymentSpec, text)
    assert (spec.env, spec.uses_with) == ({"CONF": '{"a": 1}'}, {"a": 1})
    assert load_spec(DeploymentSpec, "jtype: Deployment\nwith: {env: '${{ ENV.CONF }}'}").env == {"a": "1"}


def test_a_missing_file_names_the_path_and_the_nearest(folder):
    written(folder, DEPLOYMENT)
    text = problem("deploymnt.yml", error=BadConfigSource)
    assert text == f"can not find 'deploymnt.yml' in {folder}, did you mean 'deployment.yml'?"
    assert isinstance(BadConfigSource(""), FileNotFoundError)
    assert "can not find 'no/x.yml' in" in problem("no/x.yml", error=BadConfigSource)


def test_other_things_are_no_source():
    assert "5 is neither a path" in problem(5, error=BadConfigSource)


# --- places


def test_problems_name_file_line_and_option(folder):
    written(folder, DEPLOYMENT + "  replicas: 0\n  replicass: 3\n  exit_on_exceptions:\n    - A\n    - 1.5\n")
    assert problem("deployment.yml").splitlines() == [
        "3 problems:",
        "  deployment.yml:12 with.exit_on_exceptions[1]: 1.5 is not text",
        "  deployment.yml:8 with.replicas: 0 is less than 1",
        "  deployment.yml:9 with: unknown option 'replicass', did you mean 'replicas'?",
    ]


def test_rules_and_old_names_name_the_line(folder):
    written(folder, "jtype: Deployment\nwith:\n  name: x\n  ports: [5, 5]\n  protocols: [grpc, http]\n  shard_id: 2\n")
    lines = problem("deployment.yml").splitlines()
    assert lines[1].startswith("  deployment.yml:4 with.ports: 5 is given twice")
    assert lines[2].startswith("  deployment.yml:6 with.shard_id: 2 is not available yet; Deployment(...) and")


def test_text_and_mappings_name_what_they_can():
    assert problem("jtype: Deployment\nwith:\n  replicas: 0") == "YAML text:3 with.replicas: 0 is less than 1"
    assert problem({"jtype": "Deployment", "with": {"replicas": 0}}) == "mapping: with.replicas: 0 is less than 1"


def test_overrides_count_instead_of_the_file_and_are_named_as_options(folder):
    written(folder, DEPLOYMENT)
    spec = load_spec(DeploymentSpec, "deployment.yml", overrides={"ports": [1, 2], "name": "y"})
    assert (spec.ports, spec.name) == ([1, 2], "y")
    assert problem("deployment.yml", overrides={"replicas": 0}) == "Deployment: replicas: 0 is less than 1"


# --- what the file describes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "jtype: Deplyment\nwith: {}",
            "YAML text:1 jtype: 'Deplyment' is not a Deployment, did you mean 'Deployment'?",
        ),
        ("jtype: Foo\nwith: {}", "YAML text:1 jtype: 'Foo' is not a Deployment; it has to be 'Deployment'"),
        ("jtype: Deployment\nversion: 99", "YAML text:2 version: 99 is not a valid version number; there is '1'"),
        ("- a\n- b", "YAML text:1: ['a', 'b'] is not a mapping with 'jtype'"),
        ("", "YAML text:1: None is not a mapping with 'jtype'"),
    ],
)
def test_files_that_describe_something_else(text, words):
    assert problem(text, error=BadConfigSource) == words


def test_other_kinds_are_named():
    text = problem("jtype: Flow\nwith: {}", error=BadConfigSource)
    assert text == "YAML text:1 jtype: 'Flow' is not a Deployment; it has to be 'Deployment'"
    text = problem("jtype: Flow", model=ExecutorSpec, error=BadConfigSource)
    assert text == "YAML text:1 jtype: 'Flow' is not an Executor"


def test_keys_beside_with():
    assert problem("jtype: Deployment\nwth: {}") == "YAML text:2 unknown key 'wth', did you mean 'with'?"
    assert problem("jtype: Deployment\nreplicas: 1") == (
        "YAML text:2 unknown key 'replicas'; options stand below 'with:'"
    )
    assert problem("jtype: Deployment\nwith: 5") == "YAML text:2 with: 5 is not a mapping of options"


def test_a_deployment_is_not_an_executor():
    assert problem(DEPLOYMENT, ExecutorSpec, BadConfigSource) == "YAML text:1 jtype: 'Deployment' is not an Executor"
    assert "'jtype' is missing" in problem({"with": {}}, ExecutorSpec, BadConfigSource)


# --- Executors


EXECUTOR = """\
jtype: MyExecutor
with: {a: 1, b: x}
metas:
  name: nm
  description: d
py_modules: executor.py
requests: {/x: foo}
dynamic_batching: {/x: {preferred_batch_size: 4, timeout: 1000}}
"""


def test_executor_yaml():
    spec = load_spec(ExecutorSpec, EXECUTOR)
    assert (spec.jtype, spec.with_, spec.metas) == (
        "MyExecutor",
        {"a": 1, "b": "x"},
        {"name": "nm", "description": "d"},
    )
    assert (spec.py_modules, spec.requests) == (["executor.py"], {"/x": "foo"})
    assert spec.dynamic_batching == {"/x": {"preferred_batch_size": 4, "timeout": 1000}}


@pytest.mark.parametrize("text", ["jtype: X", "!X", "!X {}", '{"jtype": "X"}', "jtype: X\nwith:"])
def test_a_name_is_enough(text):
    assert load_spec(ExecutorSpec, text) == ExecutorSpec(jtype="X")


def test_tags_name_the_class():
    spec = load_spec(ExecutorSpec, "!my.module.Exec\nwith:\n  a: 1\n")
    assert (spec.jtype, spec.with_) == ("my.module.Exec", {"a": 1})
    assert load("steps: [!A {with: {b: !B {}}}, !C {}]").data == {
        "steps": [{"jtype": "A", "with": {"b": {"jtype": "B"}}}, {"jtype": "C"}]
    }


def test_problems_of_executor_yaml_name_the_line():
    assert problem(EXECUTOR.replace("requests", "reqests"), ExecutorSpec) == (
        "YAML text:7: unknown option 'reqests', did you mean 'requests'?"
    )
    assert problem(EXECUTOR.replace("timeout: 1000", "timeout: soon"), ExecutorSpec).startswith(
        "YAML text:8 dynamic_batching./x.timeout: 'soon' is not a duration in milliseconds"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wth: {size: 3}", "config.yml:2: unknown option 'wth', did you mean 'with'?"),
        ("meta: {name: a}", "config.yml:2: unknown option 'meta', did you mean 'metas'?"),
        ("request: {/a: go}", "config.yml:2: unknown option 'request', did you mean 'requests'?"),
        ("py_module: a.py", "config.yml:2: unknown option 'py_module', did you mean 'py_modules'?"),
    ],
)
def test_wrong_keys_of_an_executors_file_are_named_with_the_place(folder, line, message):
    assert problem(str(written(folder, f"jtype: Mine\n{line}\n", "config.yml")), ExecutorSpec).endswith(message)


def test_the_first_of_several_wrong_keys_is_named():
    for first, second in (("wth", "with_"), ("with_", "wth")):
        text = problem(f"jtype: Deployment\n{first}: {{}}\n{second}: {{}}\n")
        assert text == f"YAML text:2 unknown key '{first}', did you mean 'with'?"


def test_an_executor_in_the_yaml_of_a_deployment_is_read_with_it():
    text = problem("jtype: Deployment\nwith:\n  uses:\n    jtype: Mine\n    wth: {size: 3}\n")
    assert text == "YAML text:5 with.uses: unknown option 'wth', did you mean 'with'?"


def test_keys_of_metas_that_look_like_mistakes_are_told(folder, caplog):
    text = "jtype: Mine\nmetas:\n  nme: a\n  author: somebody\n  work_space: b\n"
    spec = load_spec(ExecutorSpec, str(written(folder, text, "config.yml")))
    assert spec.metas == {"nme": "a", "author": "somebody", "work_space": "b"}  # programs read keys of their own
    assert [record.getMessage().rpartition("/")[2] for record in caplog.records] == [
        "config.yml:3 metas.nme: nothing reads this key, did you mean 'name'?",
        "config.yml:5 metas.work_space: nothing reads this key, did you mean 'workspace'?",
    ]


# --- YAML itself


def test_on_and_off_stay_text_and_numbers_keep_their_types():
    data = load("on: on\noff: Off\nyes: true\na: 1\nb: 1.0\nc: '1'\nd: ~\ne: 0x10").data
    assert data == {"on": "on", "off": "Off", True: True, "a": 1, "b": 1.0, "c": "1", "d": None, "e": 16}
    assert type(data["b"]) is float


def test_keys_given_twice_name_both_lines():
    assert problem("jtype: X\nwith:\n  a: 1\n  b: 2\n  a: 3\n", ExecutorSpec, BadConfigSource) == (
        "YAML text:5: the key 'a' is given twice; first on line 3"
    )


def test_merged_keys_are_overridden_by_the_mapping_itself():
    data = load("base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\n").data
    assert data["mine"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['ls']", "!!python/name:os.system ''", "!!set {a}", "!<x:y> z", "!a-b {}"]
)
def test_tags_that_construct_objects_are_refused(tag):
    assert "is not allowed" in problem(f"jtype: X\nwith: {tag}", ExecutorSpec, BadConfigSource)


def test_tags_before_other_things_are_refused():
    assert "the tag !X stands before a list" in problem("jtype: Y\nwith: !X [1]", ExecutorSpec, BadConfigSource)
    assert "the tag !X stands before 'abc'" in problem("jtype: Y\nwith: !X abc", ExecutorSpec, BadConfigSource)
    assert "both the tag !X and the key 'jtype'" in problem("!X {jtype: Y}", ExecutorSpec, BadConfigSource)


def test_broken_yaml_names_the_line():
    assert problem("jtype: X\nwith: [1\n", ExecutorSpec, BadConfigSource).startswith("YAML text:3: not YAML: ")
    assert "not YAML" in problem("a: 1\n---\nb: 2\n", ExecutorSpec, BadConfigSource)
    assert "not YAML" in problem("a: \x00\n", ExecutorSpec, BadConfigSource)


def test_aliases_that_never_end_are_refused():
    assert problem("jtype: X\nwith: &a {b: *a}", ExecutorSpec, BadConfigSource) == "YAML text:2: refers to itself"
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )
    assert "aliases of aliases?" in problem(bomb, ExecutorSpec, BadConfigSource)


def test_nesting_without_end_is_refused():
    assert "nested too deeply" in problem("a: " + "[" * 500, ExecutorSpec, BadConfigSource)


@pytest.mark.parametrize(
    "value",
    ["1" + "0" * 5000, "!!int x", "!!float x", "!!bool x", "!!timestamp x", "2001-12-14t21:59:43.10-99:99"],
    ids=lambda value: value[:12],
)
def test_a_scalar_that_cannot_be_read_is_named_by_its_line(value):
    assert problem(f"jtype: X\nwith:\n  a: {value}", ExecutorSpec, BadConfigSource).startswith("YAML text:3: ")


@pytest.mark.parametrize("text", ['{"a":' * 60_000, "[" + "1" * 5000 + "]"], ids=["deep", "long"])
def test_json_that_python_cannot_read_is_refused(text):
    problem(text, ExecutorSpec, BadConfigSource)


def test_json_with_tabs_is_read():
    assert load('{\t"a":\t[1,\t2]}').data == {"a": [1, 2]}


# --- writing


def test_only_what_differs_is_written():
    spec = load_spec(DeploymentSpec, DEPLOYMENT)
    assert dump_spec(spec) == (
        "jtype: Deployment\nwith:\n  uses: executor1/config.yml\n  name: toyExecutor\n"
        "  port:\n  - 54321\n  - 54322\n  protocol:\n  - grpc\n  - http\n"
    )
    assert dump_spec(load_spec(ExecutorSpec, "!X {with: {a: 1}}")) == "jtype: X\nwith:\n  a: 1\n"


class Importable:
    pass


def test_classes_are_written_by_name():
    class Local:
        pass

    for cls, name in ((Importable, f"{__name__}.Importable"), (Local, "Local")):
        spec = DeploymentSpec(uses=cls)
        assert load(dump_spec(spec)).data["with"]["uses"] == name


def test_values_that_yaml_cannot_hold_are_named():
    spec = DeploymentSpec(uses_with={"a": {"b": [1, object()]}})
    with pytest.raises(ConfigError, match=r"Deployment: uses_with\.a\.b\[1\]: YAML cannot hold <object"):
        dump_spec(spec)


def test_a_deployment_for_jina_ai_cloud(folder, caplog):
    text = (
        "jtype: Deployment\njcloud: {version: 3.21.0}\ngateway:\n  port: [8000]\nwith:\n  replicas: 2\n  jcloud: {}\n"
    )
    assert load_spec(DeploymentSpec, str(written(folder, text))).replicas == 2
    (record,) = caplog.records
    assert "deployment.yml:2 jcloud, gateway, with.jcloud: for Jina AI Cloud" in record.getMessage()


def test_options_of_deployments_and_the_cloud_in_the_file_of_an_executor(folder, caplog):
    text = (
        "jtype: Mine\nport: 12345\ndescription: What it does\nruntime_args: {name: x}\njcloud: {}\nmetas: {name: y}\n"
    )
    spec = load_spec(ExecutorSpec, str(written(folder, text, "config.yml")))
    assert (spec.jtype, spec.metas) == ("Mine", {"name": "y"})
    assert [record.getMessage().rpartition("config.yml")[2].partition(" ")[2] for record in caplog.records] == [
        "jcloud: for Jina AI Cloud, without effect here",
        "port, description, runtime_args: options of a Deployment, without effect in an Executor's file",
    ]
