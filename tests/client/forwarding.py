"""A service that forwards, as a gateway does: documents stay the bytes that they came in."""

import contextlib

from jina.codec import pb
from jina.codec.messages import Reply, Route
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.raw_fields import documents_in, field_head
from jina.errors import ExecutorError
from jina.net.service import EndpointInfo
from tests.fake_service import FakeService
from tests.server.sample_service import NOTE_SCHEMA, info


class Forwarder(FakeService):
    """Gives back what it got, in the form that it came in or that `as_json` wants."""

    forwards = True
    name = "gateway"

    def __init__(self, *paths, as_json=False):
        self.endpoints = {path: info(path) for path in ("/echo", "/fail", *paths)}
        self.endpoints["/each"] = EndpointInfo(
            "/each", "Note", NOTE_SCHEMA, "Note", NOTE_SCHEMA, is_generator=True, is_single=True
        )
        self.as_json = as_json
        self.requests = []

    async def call(self, request):
        self.requests.append(request)
        if request.endpoint == "/fail":
            error = ExecutorError("ValueError('boom')", name="ValueError", exception_args=["boom"], executor="Second")
            error.deployment = "second"
            if request.parameters.get("routes"):
                error.routes = [Route(name, 1.0, 2.0) for name in ("gateway", "first", "second", "third")]
            raise error
        payload = request.payload
        if self.as_json and request.json_reply:
            payload = JsonPayload(payload.to_json())
        return Reply(payload, dict(request.parameters), [Route("gateway", 1.0, 2.0), Route("first", 1.25, 1.5)])

    async def stream(self, request):
        self.requests.append(request)
        if isinstance(request.payload, JsonPayload):
            for item in request.payload.json_items():
                yield Reply(JsonPayload(b"[" + item + b"]"))
        else:
            for _ in range(2):
                for document in documents_in(request.payload.to_bytes()):
                    yield Reply(BytesPayload(field_head(1, len(document)) + document))


@contextlib.contextmanager
def no_document_read(monkeypatch):
    """Fail where a list of documents is parsed or a document class is asked for."""

    class Refused:
        def __init__(self, *args, **kwargs):
            raise AssertionError("documents are made")

        FromString = __init__

    with monkeypatch.context() as patched:
        patched.setattr(pb, "DocListProto", Refused)
        patched.setattr(pb, "DocProto", Refused)
        patched.setattr(pb, "DataRequestListProto", Refused)
        patched.setattr(BytesPayload, "parsed", Refused)
        patched.setattr(JsonPayload, "items", Refused)
        patched.setattr("jina.codec.codec.codec_for", Refused)
        yield
