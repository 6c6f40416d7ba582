"""`jina client`: send documents to a service and print what comes back, one JSON document a line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from jina.errors import BadClientInput, UsageError
from jina.spec import ClientSpec
from jina.spec.flags import add_options, given
from jina.spec.text import read_json

OWN = ("on", "text", "inputs", "parameters", "target_executor", "request_size", "stream_doc", "show_progress")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to send, and the options of the client."""
    own = parser.add_argument_group("request")
    own.add_argument("--on", default="/", help="endpoint [default: /]")
    own.add_argument("--text", action="append", default=[], help="send a document with this text; may be repeated")
    own.add_argument(
        "--inputs", metavar="FILE", help="send the documents of this file, one JSON object a line; - is stdin"
    )
    own.add_argument("--parameters", metavar="JSON", default="{}", help="parameters of the request, as a JSON object")
    own.add_argument("--target-executor", default=None, help="regular expression of the Executors that should work")
    own.add_argument("--request-size", type=int, default=100, help="documents in one request [default: 100]")
    own.add_argument("--stream-doc", action="store_true", help="for generators: print documents as they come")
    own.add_argument("--show-progress", action="store_true", help="show a progress bar on stderr")
    add_options(parser, ClientSpec)


def run(options: argparse.Namespace) -> int:
    """Send and print."""
    from jina.client import Client

    own = {name: getattr(options, name) for name in OWN}
    try:
        parameters = read_json(own["parameters"])
    except ValueError as error:
        raise UsageError(f"--parameters: not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise UsageError("--parameters: must be a JSON object, such as '{\"limit\": 3}'")
    with Client(**given(options)) as client:
        if own["stream_doc"]:
            for document in _documents(own):
                for item in client.stream_doc(own["on"], inputs=document, parameters=parameters):
                    print(_line(item), flush=True)
            return 0
        found = client.post(
            own["on"],
            _documents(own) if own["text"] or own["inputs"] else None,
            parameters=parameters,
            target_executor=own["target_executor"],
            request_size=own["request_size"],
            results_in_order=True,
            show_progress=own["show_progress"],
        )
        for document in found:
            print(_line(document))
    return 0


def _line(document: Any) -> str:
    """What is set of the document, as JSON."""
    fields = {
        name: value for name, value in json.loads(document.model_dump_json()).items() if value not in (None, {}, [])
    }
    return json.dumps(fields, ensure_ascii=False)


def _documents(own: dict[str, Any]) -> Iterator[Any]:
    from jina.documents import Document

    for text in own["text"]:
        yield Document(text=text)
    if own["inputs"] is None:
        return
    try:
        source = sys.stdin if own["inputs"] == "-" else open(own["inputs"], encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"--inputs: {error.strerror}: {own['inputs']}") from error
    with source:
        for number, line in enumerate(source, 1):
            if line.strip():
                yield _document(own["inputs"], number, line)


def _document(file: str, number: int, line: str) -> Any:
    from jina.documents import Document

    try:
        fields = read_json(line)
    except ValueError as error:
        raise BadClientInput(f"{file}:{number}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadClientInput(f"{file}:{number}: a document is a JSON object, this is {type(fields).__name__}")
    return Document(**fields)
