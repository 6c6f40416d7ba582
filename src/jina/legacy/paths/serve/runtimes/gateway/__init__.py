# Written by scripts/gen_legacy.py from jina/legacy/table.py.
"""`jina.serve.runtimes.gateway` of Jina 3."""

from jina.gateway.custom import (
    BaseGateway as BaseGateway,
    CompositeGateway as CompositeGateway,
)

from jina.legacy.importer import modules_of

__getattr__ = modules_of(__name__)

__all__ = [
    "BaseGateway",
    "CompositeGateway",
]
