"""jina: serve Python classes as network services over gRPC, HTTP and WebSocket.

Names are imported on first use, so that `import jina` costs little and changes nothing in the process.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from jina.legacy.paths import PathsFinder as _PathsFinder
from jina.version import __proto_version__ as __proto_version__
from jina.version import __version__ as __version__

if TYPE_CHECKING:
    from jina.client import Client as Client
    from jina.documents import Document as Document
    from jina.documents import DocumentArray as DocumentArray
    from jina.documents.chat import Chat as Chat
    from jina.documents.chat import Message as Message
    from jina.documents.deltas import Delta as Delta
    from jina.documents.deltas import Finish as Finish
    from jina.documents.deltas import Reasoning as Reasoning
    from jina.documents.deltas import ToolCall as ToolCall
    from jina.documents.deltas import Usage as Usage
    from jina.documents.files import File as File
    from jina.executor import Slot as Slot
    from jina.executor import continuous_batching as continuous_batching
    from jina.executor import dynamic_batching as dynamic_batching
    from jina.executor import monitor as monitor
    from jina.executor import prompt as prompt
    from jina.executor import requests as requests
    from jina.executor import resource as resource
    from jina.executor import write as write
    from jina.executor_serve import Executor as Executor
    from jina.gateway.custom import FastAPIBaseGateway as FastAPIBaseGateway
    from jina.gateway.custom import Gateway as Gateway
    from jina.gateway.streamer import GatewayStreamer as GatewayStreamer
    from jina.orchestration import AsyncFlow as AsyncFlow
    from jina.orchestration import Deployment as Deployment
    from jina.orchestration import Flow as Flow

_HOMES = {
    "AsyncFlow": "jina.orchestration",
    "Chat": "jina.documents.chat",
    "Client": "jina.client",
    "Delta": "jina.documents.deltas",
    "Deployment": "jina.orchestration",
    "Document": "jina.documents",
    "DocumentArray": "jina.documents",
    "Executor": "jina.executor_serve",
    "File": "jina.documents.files",
    "FastAPIBaseGateway": "jina.gateway.custom",
    "Finish": "jina.documents.deltas",
    "Flow": "jina.orchestration",
    "Gateway": "jina.gateway.custom",
    "GatewayStreamer": "jina.gateway.streamer",
    "Slot": "jina.executor",
    "continuous_batching": "jina.executor",
    "Message": "jina.documents.chat",
    "Reasoning": "jina.documents.deltas",
    "ToolCall": "jina.documents.deltas",
    "Usage": "jina.documents.deltas",
    "dynamic_batching": "jina.executor",
    "monitor": "jina.executor",
    "prompt": "jina.executor",
    "requests": "jina.executor",
    "resource": "jina.executor",
    "write": "jina.executor",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one table of names  # pyright: ignore[reportUnsupportedDunderAll]

_FOLDER = os.path.dirname(__file__)

if os.path.exists(os.path.join(_FOLDER, "helper.py")):  # a file of Jina 3, whose folder has the same name
    raise ImportError(
        f"Jina 3 and this package (the distribution rejina) are both installed in {_FOLDER}, where neither works\n"
        "  help: pip uninstall -y jina rejina, then: pip install --find-links dist rejina"
    )

# Module paths of Jina 3 (`jina.serve.executors`, ...) come from a table.
__path__.append(_PathsFinder(__name__).entry)


def __getattr__(name: str) -> Any:
    if name == "__docarray_version__":
        from importlib.metadata import version

        return version("docarray")
    home = "jina.constants" if name == "__default_host__" else _HOMES.get(name)
    if home is None:
        if _is_module(name):
            return importlib.import_module(f"jina.{name}")
        raise AttributeError(f"module 'jina' has no attribute {name!r}{_hint(name)}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def _is_module(name: str) -> bool:
    """Whether it is a module of ours or of Jina 3, which programs use as attributes: `jina.helper.random_port()`."""
    import importlib.util

    return not name.startswith("__") and importlib.util.find_spec(f"jina.{name}") is not None


def _hint(name: str) -> str:
    from jina.errors import nearest

    near = nearest(name, _HOMES)
    return f"; did you mean {near!r}?" if near else ""


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
