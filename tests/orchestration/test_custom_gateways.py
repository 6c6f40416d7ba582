"""Gateways of users: real processes, real requests."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import gateway_cases as cases
import pytest
from docarray import DocList

from jina import Client, Deployment, Flow, Gateway
from jina.errors import BadConfigSource, ConfigError, PortAlreadyUsed, RuntimeFailToStart, Unavailable, UsageError

WITHIN = 30.0
HERE = Path(__file__).parent


def fetch(flow, path, port=None, **headers):
    """Status, headers and the JSON of a GET request."""
    request = urllib.request.Request(f"http://127.0.0.1:{port or flow.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=WITHIN) as response:
            return response.status, response.headers, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def body_of(flow, path, port=None):
    status, _, body = fetch(flow, path, port)
    assert status == 200, body
    return body


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    flow = (
        Flow(quiet=True, host="127.0.0.1")
        .config_gateway(uses=cases.Served, uses_with={"arg": "given", "folder": str(folder)}, protocol="http")
        .add(name="upper", uses=cases.Upper)
        .add(name="twice", uses=cases.Twice)
    )
    with flow:
        flow.folder = folder
        yield flow


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    folder = tmp_path_factory.mktemp("application")
    (folder / "gateway.yml").write_text("jtype: gateway_cases.Any\nmetas: {name: mine}\nwith: {arg: from the file}\n")
    (folder / "flow.yml").write_text(
        textwrap.dedent(
            """
            jtype: Flow
            with: {quiet: true, host: 127.0.0.1}
            gateway: {uses: gateway.yml, protocol: http, cors: true}
            executors:
              - {name: upper, uses: gateway_cases.Upper}
            """
        )
    )
    with Flow.load_config(str(folder / "flow.yml")) as flow:
        yield flow


@pytest.fixture(scope="module")
def extended():
    flow = Flow(quiet=True, host="127.0.0.1", protocol=["http", "grpc"]).config_gateway(uses=cases.Extended)
    with flow.add(name="upper", uses=cases.Upper) as running:
        yield running


# --- before a Deployment ------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_deployment_takes_a_gateway_of_its_own(replicas):
    deployment = Deployment(
        name="upper", uses=cases.Upper, gateway=cases.Extended, protocol="http", host="127.0.0.1", quiet=True,
        replicas=replicas,
    )  # fmt: skip
    with deployment:
        status, headers, body = fetch(deployment, "/shop/hello?name=bo")
        assert (status, body) == (200, "hello BO")
        assert float(headers["x-time"]) >= 0
        assert deployment.post("/up", cases.Text(text="a")).text == ["A"]


@pytest.mark.slow
def test_a_deployments_gateway_from_yaml(tmp_path):
    (tmp_path / "gateway.yml").write_text("jtype: gateway_cases.Any\nwith: {arg: from the file}\n")
    (tmp_path / "deployment.yml").write_text(
        "jtype: Deployment\nwith:\n  name: upper\n  uses: gateway_cases.Upper\n  protocol: http\n  host: 127.0.0.1\n"
        "  quiet: true\n  gateway: {uses: gateway.yml}\n"
    )
    loaded = Deployment.load_config(str(tmp_path / "deployment.yml"))
    (tmp_path / "elsewhere").mkdir()
    loaded.save_config(str(tmp_path / "elsewhere" / "saved.yml"))
    loaded.close()
    with Deployment.load_config(str(tmp_path / "elsewhere" / "saved.yml")) as deployment:
        assert body_of(deployment, "/attributes")["arg"] == "from the file"
        assert body_of(deployment, "/one?text=abc") == ["DocList", "ABC!"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gateway": {"use": "x"}}, "gateway: unknown option 'use', did you mean 'uses'?"),
        ({"gateway": {"uses": "x", "port": 1}}, "the other options of the gateway are the Deployment's"),
        ({"gateway": {"uses_with": {}}}, "gateway: 'uses' is missing, the gateway class"),
        ({"gateway": "HTTPGatway"}, "gateway: uses: no gateway class is named 'HTTPGatway'"),
        ({"gateway": "x", "external": True, "port": 1}, "an external Deployment runs elsewhere"),
        ({"gateway": "x", "include_gateway": False}, "'gateway' needs one"),
        ({"gateway": "x", "name": "gateway"}, "name: 'gateway' is the name of the gateway in front"),
        (
            {"gateway": "x", "raft_peers": ["a:1"], "raft_key_file": "k", "stateful": True, "workspace": "w"},
            "not for replicas that are sta",
        ),
    ],
)
def test_mistakes_of_a_deployments_gateway_are_told(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Deployment(**{"uses": cases.Upper, **options})


def test_a_step_leaves_its_gateway_to_the_flow():
    for option, value in (("gateway", cases.Extended), ("expose_endpoints", {"/a": {}}), ("no_debug_endpoints", True)):
        with pytest.raises(ConfigError, match=rf"Flow.add: {option}: in a Flow it is an option of the gateway: "):
            Flow().add(uses=cases.Upper, **{option: value})
    flow = Flow(expose_endpoints={"/a": {}}).add(uses=cases.Upper)
    assert flow.plan.gateway.http.expose_endpoints == {"/a": {}}
    assert flow.plan.deployments[0].workers[0].http.expose_endpoints == {}
    flow.close()


@pytest.mark.slow
def test_a_deployment_gets_the_routes_of_the_rest_extension():
    program = textwrap.dedent(
        """
        import urllib.request
        import jina.helper
        from jina import Deployment
        from gateway_cases import Upper

        async def hello(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hi"})

        def extend(app):
            app.mount("/hello", hello)
            return app

        jina.helper.extend_rest_interface = extend
        with Deployment(uses=Upper, protocol="http", host="127.0.0.1", quiet=True) as deployment:
            with urllib.request.urlopen(f"http://127.0.0.1:{deployment.port}/hello", timeout=30) as answer:
                print(answer.read().decode())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "hi", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_deployment_exposes_endpoints_as_a_flow_does(replicas):
    deployment = Deployment(
        name="upper", uses=cases.Upper, protocol="http", host="127.0.0.1", quiet=True, replicas=replicas,
        expose_endpoints={"/up": {"http_path": "/loud", "methods": ["PUT"], "summary": "Capitals"}},
        no_debug_endpoints=True, description="What it does", api_version="2.1",
    )  # fmt: skip
    with deployment:
        request = urllib.request.Request(
            f"http://127.0.0.1:{deployment.port}/loud", b'{"data": [{"text": "a"}]}', method="PUT"
        )
        with urllib.request.urlopen(request, timeout=WITHIN) as response:
            assert json.loads(response.read())["data"][0]["text"] == "A"
        assert fetch(deployment, "/status")[0] == 404
        described = body_of(deployment, "/openapi.json")
    assert described["paths"]["/loud"]["put"]["summary"] == "Capitals"
    assert described["info"] == {"title": "upper", "description": "What it does", "version": "2.1"}


# --- what the class finds -----------------------------------------------------------------------------------


def test_attributes(served):
    found = body_of(served, "/attributes")
    assert {name: found[name] for name in ("port", "ports", "protocols", "host", "name", "arg", "metas")} == {
        "port": served.port, "ports": [served.port], "protocols": ["http"], "host": "127.0.0.1", "name": "gateway",
        "arg": "given", "metas": "Served",
    }  # fmt: skip
    assert found["early"] == [served.port, "gateway"]
    assert found["executors"] == ["upper", "twice"]
    assert {"name", "port", "protocol", "host", "workspace", "log_config", "tracing"} <= set(found["runtime_args"])
    assert (found["logger"], found["registry"], found["tracer"]) == ("jina.gateway", "CollectorRegistry", True)
    assert found["tracing"] is False
    assert found["main"]


def test_one_executor_is_called_by_itself(served):
    assert body_of(served, "/one?text=abc") == ["DocList", "ABC!"]
    assert body_of(served, "/order") == list("ABCDEF")
    assert body_of(served, "/plain")[1:] == ["D"]


def test_documents_go_through_the_whole_graph(served):
    assert body_of(served, "/through") == [["A.A.", "B.B."], ["C.C."]]


def test_streams_come_document_by_document(served):
    assert body_of(served, "/letters?text=abc") == [["a", "b", "c"], [["a", None], ["b", None], ["c", None]]]


def test_who_leaves_a_stream_closes_the_generators(served, tmp_path):
    assert body_of(served, f"/leaving?path={quote(str(tmp_path))}/left") == ["again", "again"]
    deadline = time.monotonic() + WITHIN
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failures_come_beside_the_documents(served):
    assert body_of(served, "/failing") == [
        ["AA"],
        ["ExecutorError", "ValueError", "Upper"],
        ["CC"],
        "ExecutorError",
        [None, "EndpointNotFound"],
    ]


def test_whole_responses(served):
    assert body_of(served, "/results") == [[["A"], ["gateway", "upper"], "mine"]]


def test_the_streamer_is_found_from_another_thread_and_loop(served):
    assert body_of(served, "/elsewhere") == [[["TT"]], ["x", "y"]]


def test_readiness_of_a_service(served):
    address = f"127.0.0.1:{served.port}"
    assert Gateway.is_ready(address, "http", timeout=WITHIN)
    assert asyncio.run(Gateway.async_is_ready(address, "http", timeout=WITHIN))
    assert Gateway.wait_for_ready_or_shutdown(WITHIN, threading.Event(), address, "http")
    assert not Gateway.wait_for_ready_or_shutdown(0.01, threading.Event(), "127.0.0.1:9", "http")


def test_an_unknown_executor_is_named(served):
    assert "did you mean 'upper'" in body_of(served, "/missing")


# --- applications ---------------------------------------------------------------------------------------------


def test_an_application_is_served(application):
    assert body_of(application, "/one?text=abc") == ["DocList", "ABC!"]
    assert body_of(application, "/attributes")["metas"] == "mine"
    assert body_of(application, "/attributes")["arg"] == "from the file"


def test_an_application_without_a_health_route_gets_one(application):
    status, headers, body = fetch(application, "/")
    assert (status, body) == (200, {})
    assert headers["access-control-allow-origin"] == "*"
    assert fetch(application, "/nothing")[0] == 404


def test_routes_and_middlewares_beside_ours(extended):
    port = extended.ports[0]
    status, headers, body = fetch(extended, "/shop/hello?name=bo", port)
    assert (status, body) == (200, "hello BO")
    assert float(headers["x-time"]) >= 0
    for served_by in ("http", "grpc"):
        with Client(host=f"{served_by}://127.0.0.1:{extended.ports[served_by == 'grpc']}") as client:
            assert cases.texts(client.post("/up", cases.listed("a"), return_type=DocList[cases.Text])) == ["A"]
    described = body_of(extended, "/openapi.json", port)
    assert set(described["paths"]) >= {"/up"}
    assert described["info"]["title"] == "Extended"
    assert fetch(extended, "/status", port)[1]["access-control-allow-origin"] == "*"


@pytest.mark.slow
def test_a_server_for_each_port():
    flow = Flow(quiet=True, host="127.0.0.1", protocol=["http", "grpc"]).config_gateway(uses=cases.TwoServers)
    with flow.add(name="upper", uses=cases.Upper) as flow:
        assert body_of(flow, "/hello", flow.ports[0]) == ["http", "grpc"]
        with socket.create_connection(("127.0.0.1", flow.ports[1]), timeout=WITHIN) as connection:
            connection.sendall(b"hi\n")
            assert connection.recv(10) == b"HI"


@pytest.mark.slow
def test_fastapi():
    fastapi = pytest.importorskip("fastapi")
    assert fastapi
    script = """
        from docarray import BaseDoc, DocList
        from fastapi import FastAPI
        from gateway_cases import Text, Upper
        from jina import Flow
        from jina.serve.runtimes.gateway.http.fastapi import FastAPIBaseGateway

        class Shop(FastAPIBaseGateway):
            def __init__(self, greeting, keep, **kwargs):
                super().__init__(**kwargs)
                self.greeting, self.keep = greeting, keep

            @property
            def app(self):
                app = FastAPI(title="Shop")

                @app.get("/greet")
                async def greet(name: str):
                    docs = DocList[Text]([Text(text=name)])
                    async for found in self.streamer.stream_docs(docs, exec_endpoint="/up", return_type=DocList[Text]):
                        return {"text": self.greeting + found[0].text, "keep": sorted(self.keep)}

                return app

        import json, urllib.request
        flow = Flow(quiet=True, host="127.0.0.1").add(name="upper", uses=Upper)
        with flow.config_gateway(uses=Shop, uses_with={"greeting": "hi ", "keep": {1, 2}}) as flow:
            assert flow.protocol == "http"
            def get(path):
                with urllib.request.urlopen(f"http://127.0.0.1:{flow.port}{path}", timeout=30) as response:
                    return json.loads(response.read())
            print(get("/greet?name=bo"), get("/"), get("/openapi.json")["info"]["title"])
    """
    done = run_script(script)
    assert done.stdout.split("\n")[0] == "{'text': 'hi BO', 'keep': [1, 2]} {} Shop"
    assert done.stderr == ""


@pytest.mark.slow
def test_the_hook_of_jina_3_for_routes_is_honoured():
    pytest.importorskip("fastapi")
    script = """
        import json, urllib.request
        import jina.helper
        from gateway_cases import Upper
        from jina import Flow

        def extend(app):
            @app.get("/extended/{name}")
            async def extended(name: str):
                return {"hello": name}

            @app.post("/up")
            async def up(said: dict):
                return {"UP": said["text"].upper()}
            return app

        def ask(flow, path, body=None):
            request = urllib.request.Request(f"http://127.0.0.1:{flow.port}{path}", body)
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read())

        jina.helper.extend_rest_interface = extend
        with Flow(quiet=True, host="127.0.0.1", protocol="http").add(uses=Upper) as flow:
            print(ask(flow, "/extended/bo"), ask(flow, "/up", b'{"text": "x"}'))
            print([doc.text for doc in flow.post("/up", [{"text": "y"}])])
    """
    assert run_script(script).stdout == "{'hello': 'bo'} {'UP': 'X'}\n['Y']\n"


def run_script(text):
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


# --- start and end --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gateway", "message"),
    [
        (cases.FailsInInit, r"gateway failed in __init__ \(gateway_cases.py:\d+\): ValueError: no such model"),
        (cases.FailsInSetup, r"gateway failed in setup_server \(gateway_cases.py:\d+\): ValueError: no such certif"),
    ],
)
def test_a_failing_start_is_told_as_that_of_an_executor(gateway, message):
    flow = Flow(quiet=True).config_gateway(uses=gateway)
    with pytest.raises(RuntimeFailToStart, match=message) as caught, flow:
        pass
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.slow
def test_a_server_that_never_listens_is_named():
    flow = Flow(quiet=True, noblock_on_start=True).config_gateway(uses=cases.NeverListens)
    with flow:
        deadline = time.monotonic() + WITHIN
        while "NeverListens to listen on port" not in (progress := flow._processes[0].progress):
            assert time.monotonic() < deadline, progress
            time.sleep(0.01)
        assert not flow.is_ready


def test_a_port_of_somebody_else_does_not_pass_for_ready():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        flow = Flow(quiet=True, host="127.0.0.1").config_gateway(uses=cases.Served, port=port, protocol="http")
        with pytest.raises(PortAlreadyUsed, match=str(port)), flow:
            pass


def test_a_server_that_fails_later_ends_the_flow():
    flow = Flow(quiet=True, restart_limit=0).config_gateway(uses=cases.FailsWhileRunning)
    with flow, pytest.raises(Unavailable, match=r"gateway .*exited with code 1"):
        flow.block()


@pytest.mark.slow
def test_requests_in_work_are_answered_before_the_end(tmp_path):
    flow = Flow(quiet=True, host="127.0.0.1").config_gateway(
        uses="gateway_cases.Served", uses_with={"folder": str(tmp_path)}, protocol="http"
    )
    answers = []
    with flow.add(name="upper", uses=cases.Upper) as flow:
        gateway = flow._processes[0].front[0]
        asking = threading.Thread(target=lambda: answers.append(fetch(flow, "/slow")[2]))
        asking.start()
        deadline = time.monotonic() + WITHIN
        while not fetch(flow, "/attributes")[2] and time.monotonic() < deadline:
            pass
        os.kill(gateway.pid, signal.SIGTERM)
        asking.join(WITHIN)
        while gateway.running and time.monotonic() < deadline:
            time.sleep(0.01)
    assert answers == ["done"]
    assert gateway.exit_status == 0
    assert (tmp_path / "shut").read_text() == str(gateway.pid)


# --- what `uses` may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "protocol"), [("HTTPGateway", "http"), ("GRPCGateway", "grpc"), ("WebSocketGateway", "websocket")]
)
def test_classes_of_one_protocol_decide_it(name, protocol):
    flow = Flow().config_gateway(uses=name).build()
    assert flow.protocol == protocol
    assert flow.plan.gateway.custom.qualname == name


@pytest.mark.slow
def test_a_built_in_class_by_name_serves():
    with Flow(quiet=True, uses=None).config_gateway(uses="HTTPGateway").add(uses=cases.Upper) as flow:
        assert cases.texts(flow.post("/up", cases.listed("a"), return_type=DocList[cases.Text])) == ["A"]


@pytest.mark.parametrize("uses", [Gateway, "Gateway", "BaseGateway", None])
def test_the_plain_gateway_is_the_built_in_one(uses):
    assert Flow().config_gateway(uses=uses).build().plan.gateway.custom is None


@pytest.mark.parametrize(
    ("uses", "error", "message"),
    [
        (cases.NoGateway, ConfigError, "gateway: uses is the class NoGateway .*not a subclass of Gateway"),
        (cases.Upper, ConfigError, "Upper .*which is not a subclass of Gateway"),
        ("HTTPGatway", ConfigError, "no gateway class is named 'HTTPGatway'; did you mean 'HTTPGateway'"),
        ("nowhere.yml", BadConfigSource, "no file 'nowhere.yml'"),
    ],
)
def test_what_is_no_gateway_is_refused_when_the_flow_is_built(uses, error, message):
    with pytest.raises(error, match=message):
        Flow().config_gateway(uses=uses).build()


def test_a_gateway_is_loaded_from_yaml_without_a_flow():
    gateway = cases.Served.load_config({"jtype": "Served", "with": {"arg": "x"}}, runtime_args={"port": [5]})
    assert (gateway.arg, gateway.port, gateway.early[0]) == ("x", 5, 5)
    with pytest.raises(UsageError, match="was not started by a Flow or Deployment"):
        _ = gateway.streamer
    with pytest.raises(BadConfigSource, match="where Extended is expected"):
        cases.Extended.load_config({"jtype": "Served"})


def test_a_gateway_is_saved_with_its_arguments(tmp_path):
    file = str(tmp_path / "gateway.yml")
    cases.Served.load_config({"jtype": "Served", "with": {"arg": "x"}}, uses_metas={"description": "d"}).save_config(
        file
    )
    again = cases.Served.load_config(file)
    assert (again.arg, again.metas.description) == ("x", "d")
    by_hand = cases.Served(arg="y", runtime_args={"port": 5})
    by_hand.save_config(file)
    assert (cases.Served.load_config(file).arg, by_hand.port) == ("y", 5)
    with pytest.raises(ConfigError, match="YAML cannot hold the argument 'arg'"):
        cases.Served(arg=object()).save_config(file)


def test_the_constructor_of_the_base_has_to_be_called():
    with pytest.raises(ConfigError, match=r"has to call super\(\).__init__\(\*\*kwargs\)"):
        cases.Forgets.load_config({"jtype": "Forgets"})


# --- a streamer made by hand ------------------------------------------------------------------------------------


def test_a_streamer_made_by_hand_connects_to_addresses():
    from jina.serve.runtimes.gateway.streamer import GatewayStreamer

    async def ask(port):
        streamer = GatewayStreamer(
            {"start-gateway": ["upper"], "upper": ["end-gateway"]},
            {"upper": [f"grpc://127.0.0.1:{port}"]},
            timeout_send=20,
        )
        try:
            docs = streamer.stream_docs(cases.listed("a", "b"), exec_endpoint="/up", return_type=DocList[cases.Text])
            whole = [cases.texts(found) async for found in docs]
            one = await streamer.executor["upper"].post(on="/up", inputs=cases.listed("c"))
            return whole, cases.texts(one)
        finally:
            await streamer.close()

    with Deployment(uses=cases.Upper, quiet=True, host="127.0.0.1") as deployment:
        assert asyncio.run(ask(deployment.port)) == ([["A", "B"]], ["C"])


def test_a_streamer_refuses_a_graph_without_addresses():
    from jina.serve.streamer import GatewayStreamer

    with pytest.raises(ConfigError, match="there is no address of 'a'"):
        GatewayStreamer({"start-gateway": ["a"], "a": ["end-gateway"]}, {})
    with pytest.raises(UsageError, match="no gateway runs in this process"):
        GatewayStreamer.get_streamer()


# --- keys --------------------------------------------------------------------------------------------------


KEY = {"x-api-key": "key-of-the-tests"}


@pytest.mark.slow
@pytest.mark.parametrize(("uses", "path"), [(cases.Any, "/plain"), (cases.Extended, "/shop/hello")])
def test_keys_hold_for_applications_of_the_users_own(uses, path):
    flow = Flow(quiet=True, host="127.0.0.1", protocol="http", api_keys=KEY["x-api-key"]).config_gateway(uses=uses)
    with flow.add(name="upper", uses=cases.Upper).add(name="twice", uses=cases.Twice) as running:
        assert fetch(running, path)[0] == 401
        assert fetch(running, path, **KEY)[0] == 200
        assert fetch(running, "/")[0] == 200


@pytest.mark.slow
def test_a_server_that_does_not_heed_keys_is_not_started():
    flow = Flow(quiet=True, host="127.0.0.1", protocol="http", api_keys="key-of-the-tests").config_gateway(
        uses=cases.Served
    )
    with pytest.raises(RuntimeFailToStart, match="Served runs its own server, which does not check"), flow:
        pass


# --- as programs for Jina 3 write them ----------------------------------------------------------------------


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.mark.slow
def test_gateways_of_a_program_beside_the_built_in_ones():
    front, aside, moved = free_ports(3)
    flow = Flow(quiet=True, host="127.0.0.1", port=front, protocol="http", env=[f"FRONT_PORT={front}"])
    flow = flow.config_gateway(uses=cases.Together, uses_with={"aside": aside, "moved": moved})
    with flow.add(name="upper", uses=cases.Upper) as running:
        assert body_of(running, "/", port=aside) == [[aside], ["http"], ["ASIDE"]]
        for port in (moved, front):
            status, headers, _ = fetch(running, "/dry_run", port, Origin="http://elsewhere", Connection="close")
            assert (status, headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.slow
def test_composite_server_as_a_second_base():
    flow = Flow(quiet=True, host="127.0.0.1", protocol=["http", "grpc"]).config_gateway(uses=cases.Plain)
    with flow.add(name="upper", uses=cases.Upper) as running:
        for protocol, port in zip(("http", "grpc"), running.port, strict=True):
            with Client(host=f"{protocol}://127.0.0.1:{port}") as client:
                assert client.post("/up", cases.Text(text="a"), return_type=cases.Text).text == "A"


@pytest.mark.slow
def test_options_of_the_http_face_are_attributes_and_may_be_assigned():
    flow = Flow(quiet=True, host="127.0.0.1", protocol="http", title="T", no_debug_endpoints=True)
    flow = flow.config_gateway(
        uses=cases.Told, uvicorn_kwargs={"limit_concurrency": 99}, uses_with={"description": "D"}
    )
    with flow.add(name="upper", uses=cases.Upper) as running:
        assert body_of(running, "/told") == {
            "cors": False, "uvicorn_kwargs": {"limit_concurrency": 99}, "title": "T", "description": "D",
            "no_debug_endpoints": True, "no_crud_endpoints": False, "expose_endpoints": {},
            "expose_graphql_endpoint": False,
        }  # fmt: skip
        assert fetch(running, "/told", Origin="http://elsewhere")[1]["access-control-allow-origin"] == "*"


@pytest.mark.slow
def test_a_gateway_of_jinas_own_protobuf_services():
    import grpc
    from jina.proto import jina_pb2, jina_pb2_grpc

    from jina.codec import pb

    flow = Flow(quiet=True, host="127.0.0.1").config_gateway(uses=cases.OwnGrpc).add(name="upper", uses=cases.Upper)
    with flow:
        words = [cases.Text(text=f"w{number}") for number in range(20)]
        for size in (100, 1):
            docs = flow.post("/up", words, request_size=size, return_type=DocList[cases.Text], results_in_order=True)
            assert docs.text == [word.text.upper() for word in words]
        with pytest.raises(Exception, match="nope"):
            flow.post("/nope", words)
        with grpc.insecure_channel(f"127.0.0.1:{flow.port}") as channel:
            stub = jina_pb2_grpc.JinaSingleDataRequestRPCStub(channel)
            asked = jina_pb2.DataRequestProto()
            asked.header.exec_endpoint = "/up"
            asked.data.docs.docs.add().data["text"].text = "hello"
            answer = stub.process_single_data(asked, timeout=WITHIN)
            answer.document_array_cls = DocList[cases.Text]
            assert answer.docs.text == ["HELLO"]
            assert [route.executor for route in answer.routes] == ["gateway", "upper"]
            calls = jina_pb2_grpc.JinaRPCStub(channel).Call(iter([asked] * 5), timeout=WITHIN)
            assert [len(one.docs) for one in calls] == [1] * 5
            with pytest.raises(grpc.RpcError) as refused:
                jina_pb2_grpc.JinaInfoRPCStub(channel)._status(pb.Empty())
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
