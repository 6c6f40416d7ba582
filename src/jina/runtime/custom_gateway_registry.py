"""Gateway classes by name, as YAML (`jtype`) and `uses='MyGateway'` name them."""

from __future__ import annotations

from jina.errors import ConfigError, nearest

BASE_NAMES = frozenset({"Gateway", "BaseGateway"})
_CLASSES: dict[str, type] = {}


def register(cls: type) -> None:
    """Make the class known by its name; a later class of the same name takes the place."""
    _CLASSES[cls.__name__] = cls


def find(name: str) -> type | None:
    """The class of that name, or None."""
    return _CLASSES.get(name)


def unknown(name: str, where: str = "") -> ConfigError:
    """The error for a name that no gateway class has."""
    known = sorted(_CLASSES)
    near = nearest(name, known)
    place, hint = f"{where}: " if where else "", f"; did you mean {near!r}?" if near else ""
    return ConfigError(
        f"{place}no gateway class is named {name!r}{hint}",
        help=f"known classes: {', '.join(known)}; list the files that define it under py_modules",
    )
