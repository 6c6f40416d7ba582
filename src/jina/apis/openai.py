"""OpenAI's API, and Anthropic's messages, over the endpoints of a service: the routes, and errors in their forms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from jina.apis.openai_models import Model, model_named, models_of
from jina.errors import (
    BadRequest,
    DeadlineExceeded,
    JinaError,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from jina.net.service import EndpointInfo
from jina.server.apis import Api, ErrorForm, Methods
from jina.server.http import Exchange, Header, dumps

_PREFIX = "/v1/"
_STARTED = int(time.time())
"""What models say of when they were made, in seconds since the epoch."""


class OpenAiApi(Api):
    """See `jina.server.apis.Api`."""

    name: ClassVar[str] = "openai"
    _models: Mapping[str, Model] = {}
    _models_of: Mapping[str, EndpointInfo] | None = None

    @property
    def models(self) -> Mapping[str, Model]:
        """What is served, by the name that clients give as `model`."""
        endpoints = self.gate.service.endpoints
        if endpoints is not self._models_of:
            self._models, self._models_of = models_of(endpoints), endpoints
        return self._models

    def routes(self) -> Mapping[str, Methods]:
        """See `Api`."""
        return {
            "/v1/models": {"GET": self.list_models},
            "/v1/models/{model:path}": {"GET": self.show_model},
        }

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """See `Api`."""
        if not path.startswith(_PREFIX):
            return None
        return dumps(error_content(error)), _retry_headers(error)

    async def list_models(self, exchange: Exchange) -> None:
        """All models."""
        content = {"object": "list", "data": [_shown(name, model) for name, model in self.models.items()]}
        await exchange.respond_json(dumps(content))

    async def show_model(self, exchange: Exchange, model: str) -> None:
        """One model."""
        await exchange.respond_json(dumps(_shown(model, model_named(self.models, model))))


def _shown(name: str, model: Model) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "jina", "serves": list(model.serves)}


def error_content(error: JinaError) -> dict[str, object]:
    """The error as clients of OpenAI's API read it."""
    status, message = error.http_status, str(error) or type(error).__name__
    return {
        "error": {"message": message, "type": _type_of(error), "param": None, "code": getattr(error, "code", None)},
        "status": status,
    }


def _type_of(error: JinaError) -> str:
    match error:
        case Unauthenticated():
            return "authentication_error"
        case PermissionDenied():
            return "permission_error"
        case Overloaded():
            return "rate_limit_error"
        case Unavailable() | DeadlineExceeded():
            return "server_error"
        case _:
            return (
                "invalid_request_error" if error.http_status < 500 or isinstance(error, BadRequest) else "server_error"
            )


def _retry_headers(error: JinaError) -> list[Header]:
    """Milliseconds, which clients obey before the seconds of `retry-after`."""
    if isinstance(error, Overloaded):
        return [(b"retry-after-ms", b"%d" % max(1, round(1000 * error.retry_after)))]
    return []
