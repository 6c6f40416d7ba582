"""The bill of materials of a package, in the form of CycloneDX 1.6: the distributions that its requirements name.

With uv.lock they are those that are installed from it; of requirements.txt and pyproject.toml those that are listed,
with a version where exactly one is named. Each has a package URL (https://github.com/package-url/purl-spec).
"""

from __future__ import annotations

import re
import tomllib
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jina.errors import ConfigError
from jina.hub.requirements import normal_name, project_dependencies, requirement_lines

_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?![\w/:\\+])\s*(?:\[[^\]]*\])?\s*"
    r"(?:@\s*(?P<address>[^\s;]+)|(?P<limits>[^;@\s]*))"
)
_EXACT: Final = re.compile(r"={2,3}(?P<version>[A-Za-z0-9.!+_-]+)")
_FILE: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._]+|[A-Za-z0-9._-]+(?=-[0-9][^-]*\.(?:tar\.gz|zip)$))-(?P<version>[0-9][^-]*?)"
    r"(?:-.+\.whl|\.tar\.gz|\.zip)"
)
"""Of a wheel or a source distribution."""
_VCS: Final = ("git+", "hg+", "svn+", "bzr+")


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One distribution."""

    name: str
    """In lower case, with `-` for other marks between its words."""
    version: str = ""
    """Empty where requirements leave it open."""
    address: str = ""
    """Where it comes from if not from an index: an address, or the path of a file."""

    def to_json(self) -> dict[str, Any]:
        """As a bill of materials lists it."""
        found = {"type": "library", "bom-ref": self.purl or f"{self.name}@{self.address}", "name": self.name}
        found |= {"version": self.version} if self.version else {}
        return found | ({"purl": self.purl} if self.purl else {})

    @property
    def purl(self) -> str:
        """Its package URL; empty for a file of the package itself."""
        if self.address and "://" not in self.address:
            return ""
        version = f"@{urllib.parse.quote(self.version, safe='')}" if self.version else ""
        kind = "vcs_url" if self.address.startswith(_VCS) else "download_url"
        qualifier = f"?{kind}={urllib.parse.quote(self.address, safe='')}" if self.address else ""
        return f"pkg:pypi/{self.name}{version}{qualifier}"


def bill_of_materials(name: str, digest: str, components: Iterable[Component]) -> dict[str, Any]:
    """What is stored beside a package of that name and digest."""
    subject = {"type": "application", "bom-ref": digest, "name": name, "version": digest}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": [one.to_json() for one in sorted(set(components))],
    }


def components_of(folder: Path) -> Iterator[Component]:
    """What a package requires: its uv.lock, else its pyproject.toml, and requirements.txt with what that includes.

    Raises `ConfigError` naming a file that cannot be read.
    """
    lock, project, listed = (folder / name for name in ("uv.lock", "pyproject.toml", "requirements.txt"))
    if lock.is_file():
        yield from _locked(lock)
    elif project.is_file():
        yield from _named(project_dependencies(str(project)) or (), {})
    if listed.is_file():
        lines = list(requirement_lines(str(listed), below=str(folder)))
        limits = {one.name: one.version for one in _named((line.text for line in lines if line.constraint), {})}
        yield from _named((line.text for line in lines if not line.constraint), limits)


# --- lines of requirements ----------------------------------------------------------------------------------------


def _named(lines: Iterable[str], limits: Mapping[str, str]) -> Iterator[Component]:
    """The components that lines name, with the versions of constraints where they leave theirs open."""
    for line in lines:
        text = re.split(r"\s--?[a-z]|\s;", line, maxsplit=1)[0].strip()
        match = _REQUIREMENT.match(text.replace(" ", "") if "@" not in text else text)
        if match is None:
            yield from _at(text)
        elif address := match["address"]:
            (found,) = [*_at(address), Component("")][:1]
            yield Component(normal_name(match["name"]), found.version, _without_fragment(address))
        else:
            exact, name = _EXACT.fullmatch(match["limits"]), normal_name(match["name"])
            yield Component(name, exact["version"] if exact else limits.get(name, ""))


def _at(address: str) -> Iterator[Component]:
    """What an address or a path names; nothing for an option, and for a folder, whose name is not known."""
    fragment = urllib.parse.parse_qs(address.partition("#")[2])
    path = urllib.parse.unquote(_without_fragment(address)).rpartition("/")[2]
    if match := _FILE.fullmatch(path):
        yield Component(normal_name(match["name"]), match["version"], _without_fragment(address))
    elif egg := fragment.get("egg"):
        yield Component(normal_name(egg[0].partition("[")[0]), "", _without_fragment(address))


def _without_fragment(address: str) -> str:
    return address.partition("#")[0]


# --- uv.lock ------------------------------------------------------------------------------------------------------


def _locked(lock: Path) -> Iterator[Component]:
    """What is installed from a lock: all that the project depends on, without the project and groups such as `dev`."""
    try:
        listed = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", [])
        packages = [one for one in listed if isinstance(one["name"], str)]
        roots = [one for one in packages if "." in (one["source"].get("virtual"), one["source"].get("editable"))]
        for one in _reached(packages, roots) if roots else packages:
            source = one["source"]
            address = f"git+{source['git']}" if "git" in source else source.get("url") or source.get("path", "")
            if one not in roots:
                yield Component(normal_name(one["name"]), str(one.get("version", "")), str(address))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{lock} is not a lock file of uv: {error}", help="write it again: uv lock") from None


def _reached(packages: list[dict[str, Any]], roots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The packages that others need, those first; of one that has several versions, all that may be meant."""
    found: list[dict[str, Any]] = []
    left = [(root, "") for root in roots]
    seen = set()
    while left:
        one, extra = left.pop()
        key = (one["name"], one.get("version"), extra)
        if key in seen:
            continue
        seen.add(key)
        found += [one] if one not in found else []
        needed = one.get("optional-dependencies", {}).get(extra, []) if extra else one.get("dependencies", [])
        for need in needed:
            meant = [other for other in packages if other["name"] == need["name"]]
            meant = [other for other in meant if need.get("version", other.get("version")) == other.get("version")]
            left += [(other, name) for other in meant for name in ("", *need.get("extra", ()))]
    return found
