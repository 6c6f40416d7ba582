import json

import pytest

from jina.config import DeploymentSpec, FlowSpec, GatewaySpec, dump_spec, load_spec, parse
from jina.config.changes import with_gateway, with_step
from jina.errors import BadConfigSource, BadYAMLVersion, ConfigError, FlowTopologyError
from jina.plan.topology import topology_of

FLOW = """\
jtype: Flow
version: '1'
with:
  port: 54321
  protocol: http
  timeout_ready: 30s
gateway:
  protocol: [grpc, http, websocket]
  port: [54321, 54322, 54323]
  title: Shop
executors:
  - name: x
    uses: executor1/config.yml
    replicas: 2
  - executor2/deployment.yml
  - jtype: Deployment
    needs: gateway
    with:
      name: z
      uses: Other
  - method: needs
    needs: [executor1, z]
  - uses: {jtype: Last, with: {a: 1}}
    needs: joiner
"""
NESTED = """\
jtype: Deployment
with:
  uses: config.yml
  timeout_ready: 10000
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder, text, name="flow.yml"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problem(source, error=ConfigError, **kwargs):
    with pytest.raises(ConfigError) as caught:
        load_spec(FlowSpec, source, **kwargs)
    assert type(caught.value) is error
    return str(caught.value)


def test_every_form_of_an_executor(folder):
    written(folder, FLOW)
    written(folder, NESTED, "executor2/deployment.yml")
    flow = load_spec(FlowSpec, "flow.yml")
    assert (flow.port, flow.protocol, flow.timeout_ready, flow.folder) == (54321, "http", 30000, str(folder))
    assert (flow.front.protocols, flow.front.title) == (["grpc", "http", "websocket"], "Shop")
    assert [(step.method, step.name, step.uses, step.needs) for step in flow.executors] == [
        ("add", "x", "executor1/config.yml", None),
        ("add", "executor1", "config.yml", None),
        ("add", "z", "Other", ["gateway"]),
        ("needs", "joiner", "BaseExecutor", ["executor1", "z"]),
        ("add", "executor4", {"jtype": "Last", "with": {"a": 1}}, ["joiner"]),
    ]
    assert flow.executors[1].extra_search_paths == [str(folder / "executor2")]
    assert [step.timeout_ready for step in flow.steps] == [30000, 10000, 30000, 30000, 30000]
    assert topology_of(flow).ends == ("executor4",)


def test_strings_are_files_or_what_uses_may_be(folder):
    written(folder, "jtype: MyExecutor\nwith: {a: 1}\n", "executor/config.yml")
    flow = load_spec(FlowSpec, "jtype: Flow\nexecutors:\n  - executor/config.yml\n  - some.module.Executor\n")
    assert [step.uses for step in flow.executors] == ["executor/config.yml", "some.module.Executor"]


def test_an_executor_in_place(folder):
    del folder
    flow = load_spec(
        FlowSpec, "!Flow\nexecutors:\n  - !MyExecutor\n    with: {a: 1}\n  - !Deployment\n    with: {name: b}\n"
    )
    assert flow.executors[0].uses == {"jtype": "MyExecutor", "with": {"a": 1}}
    assert flow.executors[1].name == "b"


def test_paths_start_at_the_folder_of_the_flow(folder, tmp_path_factory):
    written(folder, "jtype: Flow\nexecutors: [deployment.yml]\n", "sub/flow.yml")
    written(folder, NESTED, "sub/deployment.yml")
    flow = load_spec(FlowSpec, "sub/flow.yml")
    assert flow.executors[0].uses == "config.yml"
    assert flow.executors[0].folder == str(folder / "sub")
    assert flow.executors[0].extra_search_paths == []


def test_every_way_of_adding():
    flow = load_spec(
        FlowSpec,
        "jtype: Flow\nwith: {inspect: HANG}\nexecutors:\n  - name: a\n  - {method: inspect, name: i, uses: Look}\n"
        "  - {name: b, needs: gateway}\n  - method: needs_all\n  - method: gather_inspect\n",
    )
    assert [step.method for step in flow.executors] == ["add", "inspect", "add", "needs_all", "gather_inspect"]
    assert {node.name: node.needs for node in topology_of(flow).nodes}["joiner"] == ("_aux_i", "b")


def test_variables(folder, monkeypatch):
    monkeypatch.setenv("COPIES", "3")
    written(folder, NESTED.replace("10000", "${{ CONTEXT.wait }}"), "deployment.yml")
    written(
        folder,
        "jtype: Flow\nwith:\n  port: ${{ CONTEXT.port }}\n  workspace: ws\ngateway:\n  title: T${{root.with.port}}\n"
        "executors:\n  - name: first\n    replicas: ${{ ENV.COPIES }}\n    workspace: ${{root.with.workspace}}\n"
        "    uses: ${{this.name}}\n  - deployment.yml\n",
    )
    flow = load_spec(FlowSpec, "flow.yml", context={"port": 5, "wait": 7})
    first, second = flow.executors
    assert (flow.port, flow.gateway.title, first.replicas, first.workspace, first.uses, second.timeout_ready) == (
        5, "T5", 3, "ws", "first", 7,
    )  # fmt: skip
    assert load_spec(FlowSpec, "jtype: Flow\nwith: {title: '$HOME'}", substitute=False).title == "$HOME"


def test_options_that_count_instead_of_the_files(folder):
    del folder
    flow = load_spec(FlowSpec, "jtype: Flow\nwith: {ports: 5, name: a}\n", overrides={"port": 6})
    assert (flow.port, flow.name) == (6, "a")
    assert problem("jtype: Flow\n", overrides={"prefetch": -1}) == "Flow: prefetch: -1 is less than 0"


def test_asynchronous_flows():
    assert load_spec(FlowSpec, "jtype: AsyncFlow").asyncio
    assert not load_spec(FlowSpec, "jtype: Flow").asyncio


@pytest.mark.parametrize(
    ("gateway", "uses"),
    [
        ("gateway.yml", "gateway.yml"),
        ({"uses": "gateway.yml"}, "gateway.yml"),
        ({"jtype": "MyGateway", "with": {"a": 1}}, {"jtype": "MyGateway", "with": {"a": 1}}),
        ({"jtype": "Gateway", "with": {"uses": "G"}}, "G"),
    ],
)
def test_every_form_of_a_gateway(gateway, uses):
    assert load_spec(FlowSpec, {"jtype": "Flow", "gateway": gateway}).gateway.uses == uses


def test_a_file_of_a_gateway():
    spec = load_spec(GatewaySpec, "jtype: Gateway\nwith: {protocol: http, port: 5}\n")
    assert (spec.protocols, spec.ports) == (["http"], [5])
    assert load_spec(GatewaySpec, dump_spec(spec)) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("executor: []", "flow.yml:2 unknown key 'executor', did you mean 'executors'?"),
        ("port: 5", "flow.yml:2 unknown key 'port'; options of the Flow stand below 'with:'"),
        ("with:\n  protcol: http", "flow.yml:3 with: unknown option 'protcol', did you mean 'protocol'?"),
        ("with: [a]", "flow.yml:2 with: ['a'] is not a mapping of options"),
        ("gateway:\n  prefetchs: 1", "flow.yml:3 gateway: unknown option 'prefetchs', did you mean 'prefetch'?"),
        ("gateway: 5", "flow.yml:2 gateway: 5 is not a mapping of options"),
        ("executors: {a: 1}", "flow.yml:2 executors: {'a': 1} is not a list of Executors"),
        (
            "executors:\n  - name: a\n  - name: b\n    replicass: 2",
            "flow.yml:5 executors[1]: unknown option 'replicass', did you mean 'replicas'?",
        ),
        ("executors:\n  - 5", "flow.yml:3 executors[0]: 5 is neither a mapping of options nor the path of a file"),
        (
            "executors:\n  - jtype: Deployment\n    with:\n      replicas: 0",
            "flow.yml:5 executors[0].with.replicas: 0 is less than 1",
        ),
        (
            "executors:\n  - jtype: Deployment\n    with: {}\n    replicas: 0",
            "flow.yml:5 unknown key 'replicas'",
        ),
        (
            "executors:\n  - jtype: Deployment\n    with: 3",
            "flow.yml:4 executors[0].with: 3 is not a mapping of options",
        ),
        ("executors:\n  - method: add_all", "flow.yml:3 executors[0].method: 'add_all' is not one of add, needs"),
        (
            "executors:\n  - name: a-b",
            "flow.yml:3 executors[0].name: a-b is invalid, please follow the python variable",
        ),
        ("version: 99", "flow.yml:2 version: 99 is not a valid version number"),
        ("executors:\n  - missing.yml", "flow.yml:3 executors[0]: can not find 'missing.yml' in"),
        ("executors:\n  - nested.yml", "nested.yml:3 with.replicas: 0 is less than 1"),
        ("wth: {}\nexecutor: []", "flow.yml:2 unknown key 'wth', did you mean 'with'?"),
        (
            "executors:\n  - jtype: Deployment\n    with_: {}\n    need_: a",
            "flow.yml:4 unknown key 'with_', did you mean 'with'?",
        ),
        (
            "executors:\n  - name: a\n    uses:\n      jtype: Mine\n      wth: {size: 3}",
            "flow.yml:6 executors[0].uses: unknown option 'wth', did you mean 'with'?",
        ),
        (
            "executors:\n  - name: a\n    uses_after:\n      jtype: Mine\n      meta: {name: b}",
            "flow.yml:6 executors[0].uses_after: unknown option 'meta', did you mean 'metas'?",
        ),
        (
            "executors:\n  - jtype: Mine\n    request: {}",
            "flow.yml:4 executors[0]: unknown option 'request', did you mean 'requests'?",
        ),
        (
            "executors:\n  - jtype: Deployment\n    with:\n      uses:\n        jtype: Mine\n        wth: {}",
            "flow.yml:7 executors[0].with.uses: unknown option 'wth', did you mean 'with'?",
        ),
        (
            "gateway:\n  uses:\n    jtype: Mine\n    py_module: a.py",
            "flow.yml:5 gateway.uses: unknown option 'py_module', did you mean 'py_modules'?",
        ),
        ("gateway:\n  jtype: Mine\n  wth: {a: 1}", "flow.yml:4 gateway: unknown option 'wth', did you mean 'with'?"),
    ],
)
def test_mistakes_name_file_line_and_option(folder, text, words):
    written(folder, f"jtype: Flow\n{text}\n")
    written(folder, "jtype: Deployment\nwith:\n  replicas: 0\n", "nested.yml")
    errors = {"version": BadYAMLVersion, "can not find": BadConfigSource}
    error = next((error for word, error in errors.items() if word in words), ConfigError)
    assert problem("flow.yml", error).startswith(words)


def test_mistakes_of_the_graph_name_the_step(folder):
    written(folder, "jtype: Flow\nexecutors:\n  - name: enc\n  - name: b\n    needs: [encc]\n")
    with pytest.raises(FlowTopologyError) as caught:
        topology_of(load_spec(FlowSpec, "flow.yml"))
    assert str(caught.value) == "flow.yml:4 executors[1]: needs: 'encc' is not a step of the Flow, did you mean 'enc'?"
    join = "jtype: Flow\nexecutors:\n  - name: a\n  - method: needs\n    needs: [a]\n"
    assert problem(join, FlowTopologyError) == (
        "YAML text:5 executors[1].needs: no need to wait for a single service, need len(needs) > 1"
    )


@pytest.mark.parametrize("text", ["jtype: Deployment\nwith: {}", "jtype: Flo", "- a"])
def test_files_that_describe_something_else(text):
    problem(text, BadConfigSource)


def test_what_is_written_is_what_was_given():
    flow = with_gateway(parse(FlowSpec, {"replicas": 2, "port": 5}), protocol="http")
    flow = with_step(with_step(flow, name="a", uses="A", replicas=1), "inspect", uses="I")
    flow = with_step(with_step(flow, "add", needs=["a"]), "needs_all")
    assert dump_spec(flow) == (
        "jtype: Flow\nversion: '1'\nwith:\n  port: 5\n  replicas: 2\ngateway:\n  protocol: http\nexecutors:\n"
        "- name: a\n  uses: A\n  replicas: 1\n- method: inspect\n  name: inspect\n  uses: I\n"
        "- name: executor3\n  needs:\n  - a\n- method: needs_all\n  name: joiner\n"
    )
    assert load_spec(FlowSpec, dump_spec(flow)) == flow


def test_a_deployment_of_an_older_file_keeps_its_place():
    spec = load_spec(
        DeploymentSpec, "jtype: Deployment\nwith: {name: x, needs: a, floating: true, when: {text: {$eq: b}}}"
    )
    assert (spec.needs, spec.floating, spec.when) == (["a"], True, {"text": {"$eq": "b"}})
    assert load_spec(DeploymentSpec, dump_spec(spec)) == spec


def test_what_jina_3_saves_is_read():
    saved = {
        "jtype": "Flow", "version": "1", "with": {}, "gateway": {"port": [50001], "port_monitoring": None},
        "executors": [
            {"name": "a", "polling": "ANY", "uses": "A", "port": [50002]},
            {"name": "b", "polling": "ANY", "uses": "B", "port": [50003, 50004], "replicas": 2, "needs": ["a"]},
        ],
    }  # fmt: skip
    flow = load_spec(FlowSpec, json.dumps(saved))
    assert [step.ports for step in flow.executors] == [[50002], [50003, 50004]]


CLOUD_FLOW = """
jtype: Flow
jcloud:
  version: 3.14.2
with:
  port: 51000
gateway:
  port: 8081
  jcloud: {resources: {instance: C2}}
executors:
  - name: a
    jcloud:
      autoscale: {min: 0}
  - jtype: Deployment
    jcloud: {}
    with:
      name: b
      jcloud: {}
"""


def test_what_is_for_jina_ai_cloud_is_passed_over_with_one_line(caplog, folder):
    flow = load_spec(FlowSpec, str(written(folder, CLOUD_FLOW)))
    assert (flow.port, flow.gateway.port, [step.name for step in flow.executors]) == (51000, 8081, ["a", "b"])
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "/flow.yml:3 jcloud, gateway.jcloud, executors[0].jcloud, executors[1].jcloud, executors[1].with.jcloud:"
        " for Jina AI Cloud, without effect here"
    )


def test_options_of_earlier_versions_are_passed_over_with_a_warning(caplog):
    text = (
        "jtype: Flow\nwith:\n  return_results: true\n  logserver: false\ngateway:\n  sse_logger: 1\n"
        "executors:\n  - name: a\n    read_only: true\n"
    )
    flow = load_spec(FlowSpec, text)
    assert [step.name for step in flow.executors] == ["a"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith(
        "with.return_results, with.logserver, gateway.sse_logger, executors[0].read_only:"
        " options of earlier versions of Jina, without effect here"
    )


@pytest.mark.parametrize(
    "text",
    [
        "jtype: Flow\nwith:\n  return_result: true",  # a word that no version had
        "jtype: Flow\nexecutors:\n  - yaml_path: indexer.yml",  # said what runs: cannot be passed over
        "jtype: Flow\nexecutorss: []",
    ],
)
def test_words_that_no_version_had_stay_errors(text):
    with pytest.raises(ConfigError, match="unknown"):
        load_spec(FlowSpec, text)


def test_former_options_stay_errors_in_python():
    with pytest.raises(ConfigError, match="unknown option 'read_only'"):
        with_step(FlowSpec(), read_only=True)


def test_options_of_earlier_versions_with_a_successor_keep_their_meaning():
    flow = load_spec(FlowSpec, "jtype: Flow\nexecutors:\n  - input_condition: {tags__x: {$eq: 1}}")
    assert flow.executors[0].when == {"tags__x": {"$eq": 1}}


def test_options_may_have_dashes(caplog):
    text = (
        "jtype: Flow\nwith: {pull-latest: true}\ngateway: {no-debug-endpoints: true}\nexecutors: [{timeout-ready: 5}]"
    )
    flow = load_spec(FlowSpec, text)
    assert (flow.gateway.no_debug_endpoints, flow.executors[0].timeout_ready) == (True, 5)
    assert "with.pull-latest: options of earlier versions" in caplog.text
    with pytest.raises(ConfigError, match="unknown option 'timeout-ready', did you mean 'timeout_ready'"):
        load_spec(FlowSpec, "jtype: Flow\nexecutors:\n  - {timeout-ready: 1, timeout_ready: 2}")


def test_deployments_may_be_said_for_executors(folder):
    flow = load_spec(FlowSpec, "jtype: Flow\ndeployments:\n  - name: a\n  - name: b\n    replicas: 2")
    assert [(step.name, step.replicas) for step in flow.executors] == [("a", 1), ("b", 2)]
    assert "flow.yml:3 deployments[0]: unknown option 'replica'" in problem(
        str(written(folder, "jtype: Flow\ndeployments:\n  - replica: 2"))
    )
    with pytest.raises(ConfigError, match="deployments: the same as 'executors'; give one of them"):
        load_spec(FlowSpec, {"jtype": "Flow", "deployments": [{}], "executors": [{}]})


def test_options_of_a_gateway_may_stand_below_with(folder):
    flow = load_spec(FlowSpec, "jtype: Flow\ngateway:\n  protocol: http\n  with:\n    port: 8080\n    title: T")
    assert (flow.gateway.protocol, flow.gateway.port, flow.gateway.title) == ("http", 8080, "T")
    assert "flow.yml:4 gateway.with: unknown option 'prot'" in problem(
        str(written(folder, "jtype: Flow\ngateway:\n  with:\n    prot: 8080"))
    )


def test_with_of_a_gateway_class_has_its_arguments():
    flow = load_spec(FlowSpec, "jtype: Flow\ngateway:\n  uses: Mine\n  with: {a: 1, b: 2}\n  uses_with: {b: 3}")
    assert (flow.gateway.uses, flow.gateway.uses_with) == ("Mine", {"a": 1, "b": 3})


@pytest.mark.parametrize("name", ["[1]", "{a: 1}", "1.5"])
def test_a_name_that_is_no_text_is_refused_by_its_line(name):
    with pytest.raises(ConfigError, match=r"^YAML text:3 .*name: .* is not text"):
        load_spec(FlowSpec, f"jtype: Flow\nexecutors:\n  - name: {name}\n    uses: Taker\n")
