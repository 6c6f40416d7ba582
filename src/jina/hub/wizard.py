"""`jina hub new`: asks for what the command line did not say, then writes the package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from jina.errors import ConfigError, UsageError, nearest
from jina.hub.dockerfiles import TEMPLATES
from jina.hub.package import Package, check_name

Ask = Callable[[str, str], str]


class Prompt:
    """Reads answers, one line each; an empty line takes the default."""

    def __init__(self, source: TextIO | None = None, out: TextIO | None = None) -> None:
        self.source = source or sys.stdin
        self.out = out or sys.stderr

    def say(self, text: str = "") -> None:
        """Print a line for the person."""
        self.out.write(text + "\n")

    def ask(self, question: str, default: str = "", check: Callable[[str], str] = str) -> str:
        """One answer; asked again while `check` refuses it, where the input is a terminal."""
        while True:
            self.out.write(f"{question}{f' [{default}]' if default else ''}: ")
            self.out.flush()
            line = self.source.readline()
            if not line:
                raise UsageError(
                    f"no answer to {question!r}: the input ended",
                    help="give every answer as an option: jina hub new --name MyExecutor --path ./MyExecutor",
                )
            try:
                return check(line.strip() or default)
            except ConfigError as error:
                if not self.source.isatty():
                    raise
                self.say(str(error))

    def yes(self, question: str) -> bool:
        """True for y or yes."""
        return self.ask(f"{question} (y/n)", "n").lower() in {"y", "yes"}


def check_template(name: str) -> str:
    """The name of a Dockerfile template, or empty for `none`; raises `ConfigError`."""
    if name in {"", "none"}:
        return ""
    if name not in TEMPLATES:
        near = nearest(name, TEMPLATES)
        raise ConfigError(
            f"dockerfile: no template {name!r}{f', did you mean {near!r}?' if near else ''}",
            help=f"choose one of {', '.join(TEMPLATES)}, none",
        )
    return name


def new_package(
    *,
    name: str | None = None,
    path: str | None = None,
    advanced: bool | None = None,
    description: str | None = None,
    keywords: str | None = None,
    url: str | None = None,
    dockerfile: str | None = None,
    prompt: Prompt | None = None,
) -> Package:
    """Ask for what is None and write the package.

    `advanced` None asks whether to go on to the advanced part, unless one of its answers was given.
    """
    prompt = prompt or Prompt()
    asked_name = name is None
    name = check_name(name) if name is not None else prompt.ask("Name of the Executor", "MyExecutor", check_name)
    if path is None:
        path = prompt.ask("Folder to write it to", f"./{name}") if asked_name else f"./{name}"
    given = any(value is not None for value in (description, keywords, url, dockerfile))
    if advanced is None:
        advanced = (
            asked_name
            and not given
            and prompt.yes("That is enough. Go on to the advanced configuration (Dockerfile, description)?")
        )
    if advanced:
        dockerfile = dockerfile if dockerfile is not None else _ask_template(prompt)
        description = description if description is not None else prompt.ask("Description, one line")
        keywords = keywords if keywords is not None else prompt.ask("Keywords, separated by commas")
        url = url if url is not None else prompt.ask("URL of its home page")
    package = Package(
        name=name,
        path=Path(path).expanduser(),
        description=description or "",
        keywords=tuple(word.strip() for word in (keywords or "").split(",") if word.strip()),
        url=url or "",
        dockerfile=check_template(dockerfile or ""),
    )
    package.write()
    return package


def _ask_template(prompt: Prompt) -> str:
    width = max(map(len, TEMPLATES))
    for template, about in TEMPLATES.items():
        prompt.say(f"  {template:<{width}}  {about.explanation}")
    prompt.say(f"  {'none':<{width}}  no Dockerfile")
    return prompt.ask("Dockerfile", "cpu", check_template)
