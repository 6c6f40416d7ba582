"""Names of Jina 3 whose work is not available yet: they can be imported, and say so when they are used."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from jina.errors import NotSupportedError


class Later:
    """Base of classes that cannot be used yet, neither constructed nor subclassed."""

    instead: ClassVar[str] = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        raise _error(type(self))

    def __init_subclass__(cls, *, instead: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if instead is None:
            raise _error(cls.__mro__[1])
        cls.instead = instead


def _error(cls: type) -> NotSupportedError:
    instead = getattr(cls, "instead", "")
    return NotSupportedError(f"{cls.__name__} is not available yet", help=instead)


_INSTEAD = {"export_schema": "the command `jina export schema` writes it"}


def not_yet(name: str) -> NoReturn:
    """Raise the error for a function that is not available yet."""
    raise NotSupportedError(f"{name} is not available yet", help=_INSTEAD.get(name, "use Deployment, Flow and Client"))


class LoadBalancerGateway(Later, instead="Deployment(replicas=...) balances requests by itself"):
    """Gateway that only balances HTTP requests."""


class NetworkChecker(Later, instead="ask the service for GET /readyz or grpc.health.v1"):
    """What `jina ping` runs."""


def export_schema(*args: Any, **kwargs: Any) -> NoReturn:
    """Write the JSON Schema of the YAML files."""
    del args, kwargs
    not_yet("export_schema")
