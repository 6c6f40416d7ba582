"""Requests of agents to a service: tools, resources, prompts and questions, of one Executor and through a Flow."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import contextmanager
from typing import Literal

import pytest
from docarray import BaseDoc
from docarray.documents import TextDoc

from jina import Deployment, Executor, Flow, requests
from jina.apis.mcp import CallTerms, McpServer, Seal
from jina.apis.mcp_messages import INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CAPABILITY, VERSION, McpError, read_message
from jina.errors import ExecutorDefinitionError
from jina.mcp import McpClient, prompt, resource
from jina.net.limits import DEFAULT_LIMITS, Gate
from tests.apis.mcp_everything import Everything

Tone = Literal["kind", "keen", "harsh"]


class Loud(Executor):
    """Answers everything, were it asked."""

    @requests
    def loud(self, docs, **kwargs):
        for doc in docs:
            doc.text = doc.text.upper()


class Sum(BaseDoc):
    a: int
    b: int


class Total(BaseDoc):
    total: int


class Calculator(Executor):
    """Calculates."""

    @requests(on="/add", safe=True)
    def add(self, doc: Sum, **kwargs) -> Total:
        """Add two numbers."""
        return Total(total=doc.a + doc.b)

    @requests(on="/count")
    async def count(self, doc: Sum, **kwargs) -> TextDoc:
        """Count from a to b."""
        for number in range(doc.a, doc.b + 1):
            yield TextDoc(text=str(number))


class Agent:
    """Speaks to a service as a client would; `notified` are the notifications of the last call."""

    def __init__(self, inside) -> None:
        self._inside = inside
        gate = Gate(inside.service)
        self._server = McpServer(gate)
        self._ids = itertools.count()
        self.notified = []

    def ask(self, method, params=None, meta=None, capabilities=None, terms=None):
        """The result; raises `McpError`."""
        own = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": capabilities or {},
            **(meta or {}),
        }
        content = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            "params": {**(params or {}), "_meta": own},
        }
        return self._send(content, terms)

    def ask_as_before(self, method, params=None):
        """The same of a client that began with `initialize`."""
        return self._send({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params or {}}, None)

    def _send(self, content, terms):
        self.notified = []

        async def notify(method, params):
            self.notified.append((method, params))

        request = read_message(json.dumps(content), None, DEFAULT_LIMITS)
        answer = self._server.answer(request, terms or CallTerms(notify=notify))
        message = json.loads(asyncio.run_coroutine_threadsafe(answer, self._inside.loop).result(30))
        assert message["id"] == content["id"]
        return message["result"]


@contextmanager
def agent_of(service):
    with service.in_process() as running:
        yield Agent(running._inside)


@pytest.fixture(scope="module")
def everything():
    with agent_of(Deployment(uses=Everything)) as agent:
        yield agent


@pytest.fixture(scope="module", params=["deployment", "flow"])
def calculator(request):
    alone = request.param == "deployment"
    service = Deployment(uses=Calculator) if alone else Flow().add(name="one", uses=Calculator).add(name="two")
    with agent_of(service) as agent:
        yield agent


def test_a_tool_gives_text_and_structure(calculator):
    tools = {tool["name"]: tool for tool in calculator.ask("tools/list")["tools"]}
    assert sorted(tools) == ["add", "count"]
    assert tools["add"]["annotations"] == {"readOnlyHint": True}
    result = calculator.ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert result["structuredContent"]["total"] == 3
    assert json.loads(result["content"][0]["text"])["total"] == 3
    assert result["isError"] is False
    assert result["resultType"] == "complete"


def test_documents_of_a_generator_are_progress(calculator):
    call = {"name": "count", "arguments": {"a": 4, "b": 6}}
    result = calculator.ask("tools/call", call, {"progressToken": "p"})
    assert [item["text"] for item in result["structuredContent"]["items"]] == ["4", "5", "6"]
    progress = [params for method, params in calculator.notified if method == "notifications/progress"]
    assert [(one["progress"], one["message"]) for one in progress] == [(1, "4"), (2, "5"), (3, "6")]
    calculator.ask("tools/call", call)
    assert calculator.notified == []


def test_arguments_that_do_not_fit_are_told_to_the_model(calculator):
    result = calculator.ask("tools/call", {"name": "add", "arguments": {"a": "x"}})
    assert result["isError"] is True
    text = result["content"][0]["text"]
    assert "arguments.a" in text
    assert "arguments.b" in text


def test_an_unknown_tool_is_an_error_that_names_the_nearest(calculator):
    with pytest.raises(McpError, match="did you mean 'count'") as caught:
        calculator.ask("tools/call", {"name": "counts"})
    assert caught.value.code == INVALID_PARAMS


def test_no_capability_means_no_method(calculator):
    assert calculator.ask("server/discover")["capabilities"] == {"tools": {}}
    for method in ("prompts/list", "resources/read", "completion/complete", "initialize", "ping", "tools/nothing"):
        with pytest.raises(McpError) as caught:
            calculator.ask(method)
        assert (caught.value.code, caught.value.status) == (METHOD_NOT_FOUND, 404)


def test_lists_have_one_page_and_may_be_kept(everything):
    assert everything.ask("tools/list")["ttlMs"] > 0
    with pytest.raises(McpError, match="cursor"):
        everything.ask("tools/list", {"cursor": "x"})


def test_what_a_tool_raises_is_told_to_the_model(everything):
    result = everything.ask("tools/call", {"name": "test_error_handling"})
    assert result["isError"] is True
    assert "intentionally" in result["content"][0]["text"]


def test_log_messages_come_where_they_are_wanted(everything):
    everything.ask("tools/call", {"name": "test_logging_tool"})
    assert everything.notified == []
    everything.ask("tools/call", {"name": "test_logging_tool"}, {"io.modelcontextprotocol/logLevel": "info"})
    assert len(everything.notified) == 3


def test_a_question_is_answered_in_the_next_call(everything):
    able = {"elicitation": {}}
    call = {"name": "test_input_required_result_multi_round"}
    first = everything.ask("tools/call", call, capabilities=able)
    assert list(first["inputRequests"]) == ["step1"]
    answers = {"step1": {"action": "accept", "content": {"name": "Ada"}}}
    second = everything.ask(
        "tools/call", {**call, "inputResponses": answers, "requestState": first["requestState"]}, capabilities=able
    )
    assert list(second["inputRequests"]) == ["step2"]
    answers = {"step2": {"action": "decline"}}
    third = everything.ask(
        "tools/call", {**call, "inputResponses": answers, "requestState": second["requestState"]}, capabilities=able
    )
    assert third["content"][0]["text"] == "{'name': 'Ada'} likes None"


def test_a_state_belongs_to_its_call(everything):
    able = {"elicitation": {}}
    call = {"name": "test_input_required_result_request_state"}
    state = everything.ask("tools/call", call, capabilities=able)["requestState"]
    for other in (
        {**call, "requestState": state + "x"},
        {**call, "requestState": "." + state},
        {**call, "requestState": "ü"},
        {**call, "requestState": 7},
        {**call, "requestState": state, "arguments": {"text": "other"}},
        {"name": "test_input_required_result_tampered_state", "requestState": state},
    ):
        with pytest.raises(McpError) as caught:
            everything.ask("tools/call", other, capabilities=able)
        assert caught.value.code == INVALID_PARAMS


def test_a_state_gets_old():
    now = 1000.0
    seal = Seal(b"secret", lambda: now)
    text = seal.seal({"responses": {}, "state": 1}, b"call")
    assert seal.open(text, b"call")["state"] == 1
    now += 4000
    with pytest.raises(McpError, match="too old"):
        seal.open(text, b"call")


def test_what_a_client_cannot_do_is_not_asked(everything):
    with pytest.raises(McpError) as caught:
        everything.ask("tools/call", {"name": "test_missing_capability"}, capabilities={"elicitation": {}})
    assert caught.value.code == MISSING_CAPABILITY
    assert caught.value.data == {"requiredCapabilities": {"sampling": {}}}
    call = {"name": "test_input_required_result_capabilities"}
    assert list(everything.ask("tools/call", call, capabilities={"sampling": {}})["inputRequests"]) == ["model"]


@pytest.mark.parametrize("responses", [None, [], {"user_name": 1}])
def test_answers_of_another_form_are_refused(everything, responses):
    call = {"name": "test_input_required_result_elicitation", "inputResponses": responses}
    with pytest.raises(McpError) as caught:
        everything.ask("tools/call", call, capabilities={"elicitation": {}})
    assert caught.value.code == INVALID_PARAMS


def test_resources_by_uri_and_by_template(everything):
    assert {one["uri"] for one in everything.ask("resources/list")["resources"]} == {
        "test://static-text",
        "test://static-binary",
    }
    (template,) = everything.ask("resources/templates/list")["resourceTemplates"]
    assert template["uriTemplate"] == "test://template/{id}/data"
    assert template["mimeType"] == "application/json"
    (found,) = everything.ask("resources/read", {"uri": "test://template/12/data"})["contents"]
    assert json.loads(found["text"])["id"] == "12"
    with pytest.raises(McpError, match="valid integer") as caught:
        everything.ask("resources/read", {"uri": "test://template/x/data"})
    assert caught.value.code == INVALID_PARAMS
    with pytest.raises(McpError) as caught:
        everything.ask("resources/read", {"uri": "test://template/1/2/data"})
    assert caught.value.data == {"uri": "test://template/1/2/data"}


def test_prompts_with_arguments(everything):
    prompts = {one["name"]: one for one in everything.ask("prompts/list")["prompts"]}
    assert prompts["test_prompt_with_arguments"]["arguments"] == [
        {"name": "arg1", "required": True},
        {"name": "arg2", "required": True},
    ]
    call = {"name": "test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "b"}}
    (message,) = everything.ask("prompts/get", call)["messages"]
    assert message == {"role": "user", "content": {"type": "text", "text": "Prompt with arguments: arg1='a', arg2='b'"}}
    with pytest.raises(McpError, match="arg2"):
        everything.ask("prompts/get", {**call, "arguments": {"arg1": "a"}})


def test_a_client_that_begins_with_a_handshake(everything):
    about = everything.ask_as_before("initialize", {"protocolVersion": "2025-11-25"})
    assert about["protocolVersion"] == "2025-11-25"
    assert about["serverInfo"]["name"] == "jina"
    assert everything.ask_as_before("ping") == {}
    result = everything.ask_as_before("tools/call", {"name": "test_simple_text"})
    assert "resultType" not in result
    assert result["content"][0]["type"] == "text"
    with pytest.raises(McpError, match=VERSION):
        everything.ask_as_before("tools/call", {"name": "test_streaming_elicitation"})
    with pytest.raises(McpError) as caught:
        everything.ask_as_before("resources/read", {"uri": "x:y"})
    assert caught.value.code == -32002


class Shelf(Executor):
    @resource(uri="shelf://{name}/{kind}")
    async def read(self, name: str, kind: str = "book", headers: dict | None = None) -> str:
        return f"{name} {kind}"

    @prompt
    def review(self, tone: Tone, parameters: dict) -> str:
        """Review."""
        return f"{tone} {McpClient(parameters).answers}"


@pytest.fixture(scope="module")
def shelf_in_a_flow():
    with agent_of(Flow().add(name="loud", uses=Loud).add(name="shelf", uses=Shelf)) as agent:
        yield agent


def test_what_is_no_tool_passes_a_flow_and_reaches_its_owner_alone(shelf_in_a_flow):
    (found,) = shelf_in_a_flow.ask("resources/read", {"uri": "shelf://a%20b/lamp"})["contents"]
    assert found["text"] == "a b lamp"
    (message,) = shelf_in_a_flow.ask("prompts/get", {"name": "review", "arguments": {"tone": "kind"}})["messages"]
    assert message["content"]["text"] == "kind {}"
    assert [tool["name"] for tool in shelf_in_a_flow.ask("tools/list")["tools"]] == ["default"]


def test_arguments_are_completed(shelf_in_a_flow):
    ask = {"ref": {"type": "ref/prompt", "name": "review"}, "argument": {"name": "tone", "value": "k"}}
    assert shelf_in_a_flow.ask("completion/complete", ask)["completion"]["values"] == ["kind", "keen"]
    for wrong in ({**ask, "ref": {"type": "ref/prompt", "name": "x"}}, {**ask, "argument": {"name": 1}}, {}):
        with pytest.raises(McpError):
            shelf_in_a_flow.ask("completion/complete", wrong)


def test_a_prompt_whose_argument_has_no_such_value(shelf_in_a_flow):
    with pytest.raises(McpError, match="tone"):
        shelf_in_a_flow.ask("prompts/get", {"name": "review", "arguments": {"tone": "dull"}})


@pytest.mark.parametrize(
    ("decorate", "wrong"),
    [
        (lambda: resource(uri="x:{a}")(lambda self: ""), "a"),
        (lambda: resource(uri="x:y")(lambda self, a: ""), "a"),
        (lambda: resource(uri="nothing"), "uri"),
        (lambda: prompt("x"), "keyword"),
        (lambda: resource(lambda self: ""), "keywords"),
        (lambda: prompt(name="a b")(lambda self: ""), "letters"),
    ],
)
def test_wrong_decorators_say_what_to_write(decorate, wrong):
    with pytest.raises((ExecutorDefinitionError, TypeError), match=wrong):
        decorated = decorate()
        decorated(lambda self: "")
