"""What a project installs: requirement lines, Dockerfiles, and command lines of `jina` in them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Collection, Iterator
from importlib import metadata
from typing import Final

from jina.check.project import Edit, Finding, Severity, Source
from jina.errors import DISTRIBUTION, nearest

_NAME: Final = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)"
_REQUIREMENT: Final = re.compile(
    rf"{_NAME}[ \t]*(?P<extras>\[[^\]\r\n]*\])?[ \t]*"
    r"(?P<pins>\(?(?:[<>=!~]=?=?[ \t]*[\w.*+!-]+[ \t]*,?[ \t]*)*\)?)(?=[ \t]*(?:[;#\"'\r\n]|$|\\))"
)
_PIN: Final = re.compile(r"(===?|~=|<=|>=|!=|<|>)\s*([\w.*+!-]+)")
_PIP_WORD: Final = re.compile(
    rf"(?<=[\s\"'])[\"']?{_NAME}(?P<extras>\[[^\]\s]*\])?(?P<pins>(?:[<>=!~]=?=?[\w.*+!-]+,?)*)(?=[\s\"',\\]|$)"
)
_INSTALL: Final = re.compile(r"\b(?:pip3?|uv|poetry)\b[^\n]*?\b(?:install|add)\b(?P<words>(?:[^\n\\&;|]|\\\r?\n|\\.)*)")
_FROM: Final = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)?(?P<image>\S+)", re.MULTILINE | re.IGNORECASE)
_JINA_IMAGE: Final = re.compile(r"(?:[\w.-]+/)?jinaai/jina(?:[:@].*)?$")
_PYTHON_IMAGE: Final = re.compile(r"(?:[\w.-]+/)?python:(\d+)\.(\d+)")
_COMMAND: Final = re.compile(
    r"""
    (?:^|[\n;&|$]|\bRUN\b|\bCMD\b|\bENTRYPOINT\b)[ \t]*
    (?P<line>jina[ \t]+(?P<shell>[a-z][a-z0-9-]*(?:[ \t]+[a-z][a-z-]*)?))
    | \[[ \t]*"(?P<list>jina"[ \t]*,[ \t]*"(?P<word>[a-z][a-z0-9-]*)(?:"[ \t]*,[ \t]*"(?P<second>[a-z][a-z-]*))?)"
    """,
    re.VERBOSE,
)
_GONE: Final[dict[str, str]] = {
    "pod": "jina executor", "pea": "jina executor", "worker-runtime": "jina executor",
    "executor-native": "jina executor", "hello": "jina new", "auth": "nothing: there is no account",
    "cloud": "serve it with jina flow, on a machine of your own", "optimizer": "an optimizer of your own",
}  # fmt: skip
"""Command of Jina 3, or 2, -> what to write."""


def is_requirements(name: str) -> bool:
    """Whether a file of that name lists requirements, one a line."""
    return name.endswith((".txt", ".in")) and ("requirement" in name.lower() or name.startswith("constraints"))


def is_dockerfile(name: str) -> bool:
    """Whether a file of that name builds an image."""
    return "dockerfile" in name.lower() and not name.endswith((".py", ".md", ".dockerignore"))


def check_requirements(source: Source) -> Iterator[Finding]:
    """The lines of a requirements file."""
    begin = 0
    for text in source.text.splitlines(keepends=True):
        match = re.compile(r"[ \t]*").match(text)
        start = match.end() if match else 0
        if found := _REQUIREMENT.match(text, start):
            yield from _requirement(source, found, begin + start, begin + found.end())
        begin += len(text)


def check_metadata(source: Source) -> Iterator[Finding]:
    """The requirements in pyproject.toml, setup.cfg and setup.py."""
    texts: list[str] = []
    if source.name == "pyproject.toml":
        try:
            project = tomllib.loads(source.text).get("project", {})
        except (tomllib.TOMLDecodeError, RecursionError):
            return
        groups = [project.get("dependencies"), *(project.get("optional-dependencies") or {}).values()]
        texts = [text for group in groups if isinstance(group, list) for text in group if isinstance(text, str)]
    elif source.name == "setup.py":
        texts = _strings(source.text)
    for text in dict.fromkeys(texts):
        found = _REQUIREMENT.match(text)
        for quote in ('"', "'"):
            at = source.text.find(f"{quote}{text}{quote}")
            if found and at >= 0:
                yield from _requirement(source, found, at + 1, at + 1 + found.end())


def _strings(text: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lists = [node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple)]
    items = [item for node in lists for item in node.elts]
    return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]


def check_dockerfile(source: Source, commands: Collection[str]) -> Iterator[Finding]:
    """Base images, what is installed, and what is started."""
    for found in _FROM.finditer(source.text):
        image = found["image"].strip("\"'")
        version = _PYTHON_IMAGE.match(image)
        if _JINA_IMAGE.match(image):
            yield source.find(
                found.start("image"), "jina-requirement", "error", f"the image {image} has Jina 3",
                instead=f"FROM python:3.12-slim, and pip install {DISTRIBUTION}; `jina hub build` writes it",
            )  # fmt: skip
        elif version and (int(version[1]), int(version[2])) < _python():
            needed = ".".join(map(str, _python()))
            yield source.find(
                found.start("image"), "python-version", "error", f"{image} is older than Python {needed}",
                instead="FROM python:3.12-slim",
            )  # fmt: skip
    yield from check_commands(source, commands)


def check_commands(source: Source, commands: Collection[str]) -> Iterator[Finding]:
    """Command lines: what pip installs, and which commands of `jina` are run."""
    for line in _INSTALL.finditer(source.text):
        for found in _PIP_WORD.finditer(source.text, line.start("words"), line.end()):
            bare = source.text[found.start("name") - 1] not in "\"'"
            yield from _requirement(source, found, found.start("name"), found.end(), shell=bare)
    for found in _COMMAND.finditer(source.text):
        shell = found["shell"] or " ".join(filter(None, [found["word"], found["second"]]))
        name = " ".join(shell.split())
        first = name.split()[0]
        if name in commands or first in commands or any(known == first for known in ("help", "version")):
            continue
        instead = _GONE.get(name) or _GONE.get(first)
        if instead is None and found["line"] is not None:
            continue  # prose, such as `jina is installed`
        yield source.find(
            found.start("line" if found["line"] else "list"), "unknown-command", "error",
            f"there is no command `jina {name}`", instead=instead or str(nearest(name, commands) or ""),
        )  # fmt: skip


def _requirement(
    source: Source, found: re.Match[str], start: int, end: int, *, shell: bool = False
) -> Iterator[Finding]:
    """What is wrong with a requirement; where a shell reads it, `>` stands between quotes."""
    name = re.sub(r"[-_.]+", "-", found["name"]).lower()
    pins = _PIN.findall(found["pins"] or "")
    if name == "jina":
        text = source.text[start:end].rstrip()
        open_end = admits(pins, (4,))
        severity: Severity = "warning" if open_end else "error"
        yield source.find(
            start, "jina-requirement", severity, f"{text!r} installs Jina 3 from the package index",
            instead=_own(found["extras"]), edits=(Edit(start, start + len(text), _own(found["extras"])),),
        )  # fmt: skip
        return
    lower = _needed().get(name)
    if lower is not None and not admits(pins, lower):
        needed = f"{found['name']}{found['extras'] or ''}>={'.'.join(map(str, lower))}"
        text = source.text[start:end].rstrip()
        # A newer DocArray is what the imports are changed for; other libraries the program may use itself.
        written = f"'{needed}'" if shell else needed
        edits = (Edit(start, start + len(text), written),) if name == "docarray" else ()
        yield source.find(
            start, "other-requirement", "error", f"{text!r} excludes what jina needs", instead=needed, edits=edits
        )


def _own(extras: str | None) -> str:
    """Our requirement, with those of the extras that we have too."""
    names = [name.strip() for name in (extras or "").strip("[]").split(",")]
    kept = [name for name in names if name in _extras()]
    return f"{DISTRIBUTION}[{','.join(kept)}]" if kept else DISTRIBUTION


def admits(pins: Collection[tuple[str, str]], lower: tuple[int, ...]) -> bool:
    """Whether versions from `lower` on, or some of them, satisfy the pins; unreadable ones count as satisfied."""
    for sign, text in pins:
        numbers = [int(part) for part in re.findall(r"\d+", text.split("+")[0])] if text[:1].isdigit() else []
        if not numbers:
            continue
        if sign in {"==", "==="} and "*" not in text:
            if _compare(numbers, lower) < 0:
                return False
        elif sign in {"==", "~="}:
            above = numbers if sign == "==" else numbers[:-1] or numbers
            if _compare([*above[:-1], above[-1] + 1], lower) <= 0:
                return False
        elif (sign == "<" and _compare(numbers, lower) <= 0) or (sign == "<=" and _compare(numbers, lower) < 0):
            return False
    return True


def _compare(left: Collection[int], right: Collection[int]) -> int:
    length = max(len(left), len(right))
    one, other = ([*numbers, *[0] * (length - len(numbers))] for numbers in (left, right))
    return (one > other) - (one < other)


# --- what this software needs, as its own metadata says it --------------------------------------------------------


def _distribution() -> metadata.Distribution | None:
    for name in (DISTRIBUTION, "jina"):
        try:
            return metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _needed() -> dict[str, tuple[int, ...]]:
    """Distribution -> its lowest version."""
    found = _distribution()
    lowest: dict[str, tuple[int, ...]] = {}
    for line in (found.requires if found else None) or []:
        match = re.match(rf"{_NAME}[^;]*?>=\s*([\d.]+)", line)
        if match and "extra ==" not in line:
            lowest[re.sub(r"[-_.]+", "-", match["name"]).lower()] = tuple(map(int, match[2].strip(".").split(".")))
    return lowest


def _extras() -> list[str]:
    found = _distribution()
    return list((found.metadata.get_all("Provides-Extra") if found else None) or [])


def _python() -> tuple[int, int]:
    """The lowest version of Python."""
    found = _distribution()
    match = re.search(r">=\s*(\d+)\.(\d+)", str(found.metadata["Requires-Python"])) if found else None
    return (int(match[1]), int(match[2])) if match else (3, 11)
