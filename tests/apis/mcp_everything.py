"""The Executor that the conformance suite of the Model Context Protocol calls: its scenarios name tools and texts."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

from docarray import BaseDoc

from jina import Executor, requests
from jina.mcp import LIST_ROOTS, Content, McpClient, elicitation, prompt, resource, sampling

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = base64.b64decode("UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=")


def _form(**fields: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in fields.items()}
    return {"type": "object", "properties": properties, "required": list(fields)}


class Nothing(BaseDoc):
    """A tool without arguments."""


class Everything(Executor):
    """Everything that the protocol has."""

    @requests(on="/test_simple_text", safe=True)
    def simple_text(self, doc: Nothing, **kwargs) -> Content:
        """Text."""
        return Content(text="This is a simple text response for testing.")

    @requests(on="/test_image_content")
    def image(self, doc: Nothing, **kwargs) -> Content:
        """An image."""
        return Content(type="image", data=PNG, mime_type="image/png")

    @requests(on="/test_audio_content")
    def audio(self, doc: Nothing, **kwargs) -> Content:
        """Sound."""
        return Content(type="audio", data=WAV, mime_type="audio/wav")

    @requests(on="/test_embedded_resource")
    def embedded(self, doc: Nothing, **kwargs) -> Content:
        """A file."""
        text = "This is an embedded resource content."
        return Content(type="resource", uri="test://embedded-resource", mime_type="text/plain", text=text)

    @requests(on="/test_multiple_content_types")
    async def mixed(self, doc: Nothing, **kwargs) -> AsyncIterator[Content]:
        """Several pieces."""
        yield Content(text="Multiple content types test:")
        yield Content(type="image", data=PNG, mime_type="image/png")
        uri, text = "test://mixed-content-resource", '{"test":"data","value":123}'
        yield Content(type="resource", uri=uri, mime_type="application/json", text=text)

    @requests(on="/test_error_handling")
    def failing(self, doc: Nothing, **kwargs) -> Content:
        """Always fails."""
        raise ValueError("This tool intentionally returns an error for testing")

    @requests(on="/test_tool_with_progress")
    async def progress(self, doc: Nothing, **kwargs) -> AsyncIterator[Content]:
        """Tells how far it is."""
        for done in (0, 50, 100):
            yield Content(type="progress", progress=done, total=100)
            await asyncio.sleep(0)
        yield Content(text="done")

    @requests(on=["/test_logging_tool", "/test_tool_with_logging"])
    async def logging(self, doc: Nothing, **kwargs) -> AsyncIterator[Content]:
        """Tells what it does."""
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            yield Content(type="log", text=text)
        yield Content(text="done")

    @requests(on="/test_missing_capability")
    def missing_capability(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Needs the client's model."""
        answer = McpClient(parameters).sample("question", "Hello?")
        return Content(text=str(answer["content"]))

    @requests(on=["/test_streaming_elicitation", "/test_input_required_result_elicitation"])
    def elicitation(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Asks a person."""
        answer = McpClient(parameters).elicit("user_name", "What is your name?", _form(name="string"))
        return Content(text=f"Hello, {answer['name'] if answer else 'stranger'}!")

    @requests(on="/test_input_required_result_sampling")
    def sampling(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Asks the client's model."""
        answer = McpClient(parameters).sample("capital_question", "What is the capital of France?", max_tokens=100)
        return Content(text=answer["content"]["text"])

    @requests(on="/test_input_required_result_list_roots")
    def list_roots(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Asks for the client's folders."""
        return Content(text=", ".join(root["uri"] for root in McpClient(parameters).roots("client_roots")))

    @requests(on=["/test_input_required_result_request_state", "/test_input_required_result_tampered_state"])
    def request_state(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Keeps something between two calls."""
        client = McpClient(parameters)
        client.ask({"confirm": elicitation("Please confirm", _form(ok="boolean"))}, state={"step": 1})
        return Content(text="state-ok" if client.state == {"step": 1} else "state-lost")

    @requests(on="/test_input_required_result_multiple_inputs")
    def multiple_inputs(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Asks for several things at once."""
        answers = McpClient(parameters).ask(
            {
                "user_name": elicitation("What is your name?", _form(name="string")),
                "greeting": sampling("Generate a greeting", max_tokens=50),
                "client_roots": LIST_ROOTS,
            }
        )
        return Content(text=", ".join(sorted(answers)))

    @requests(on="/test_input_required_result_multi_round")
    def multi_round(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Asks twice."""
        client = McpClient(parameters)
        name = client.elicit("step1", "Step 1: What is your name?", _form(name="string"))
        color = client.elicit("step2", "Step 2: What is your favorite color?", _form(color="string"))
        return Content(text=f"{name} likes {color}")

    @requests(on="/test_input_required_result_capabilities")
    def capabilities(self, doc: Nothing, parameters: dict, **kwargs) -> Content:
        """Asks for what the client can do."""
        questions = {"form": elicitation("What?", _form(text="string")), "model": sampling("What?")}
        return Content(text=", ".join(McpClient(parameters).ask(questions)))

    @resource(uri="test://static-text", title="A text")
    def static_text(self) -> str:
        """A text that does not change."""
        return "This is the content of the static text resource."

    @resource(uri="test://static-binary", mime_type="image/png")
    async def static_binary(self) -> bytes:
        """An image that does not change."""
        return PNG

    @resource(uri="test://template/{id}/data")
    def template(self, id: int) -> dict[str, Any]:
        """Data by number."""
        return {"id": str(id), "templateTest": True, "data": f"Data for ID: {id}"}

    @prompt
    def test_simple_prompt(self) -> str:
        """A prompt without arguments."""
        return "This is a simple prompt for testing."

    @prompt
    def test_prompt_with_arguments(self, arg1: str, arg2: str) -> str:
        """A prompt with arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @prompt(name="test_prompt_with_embedded_resource")
    async def with_resource(self, resourceUri: str) -> list[Any]:
        """A prompt with a file."""
        text = "Embedded resource content for testing."
        file = Content(type="resource", uri=resourceUri, mime_type="text/plain", text=text)
        return [file, "Please process the embedded resource above."]

    @prompt
    def test_prompt_with_image(self) -> list[Any]:
        """A prompt with an image."""
        return [Content(type="image", data=PNG, mime_type="image/png"), "Please analyze the image above."]

    @prompt
    def test_input_required_result_prompt(self, parameters: dict) -> list[Any]:
        """A prompt that asks a person first."""
        question = "What context should the prompt use?"
        answer = McpClient(parameters).elicit("user_context", question, _form(context="string"))
        return [{"role": "assistant", "content": f"Context: {answer}"}]
