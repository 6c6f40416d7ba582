"""A picture as plain text, for terminals and logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jina.export.picture import GATEWAY, EndpointPicture, GraphPicture, StepPicture


def to_text(picture: GraphPicture) -> str:
    """What a Flow consists of: each Executor with what it needs, its endpoints and types, replicas and addresses."""
    where = " ".join(picture.addresses)
    lines = [picture.title, "", " ".join(filter(None, ("gateway", picture.gateway, where)))]
    for step in picture.steps:
        lines += ["", f"{step.name} ({step.executor})" if step.executor else step.name]
        lines += [f"  {label:<{_LABEL}}{words}".rstrip() for label, words in _facts(step)]
    lines += ["", f"reply: {_reply(picture)}"]
    return "\n".join(lines) + "\n"


_LABEL = len("endpoints") + 2


def _facts(step: StepPicture) -> Iterator[tuple[str, str]]:
    yield "needs", ", ".join(step.needs)
    if step.when:
        yield "when", step.when
    if step.copies:
        yield "copies", step.copies
    yield from _labelled("endpoints", _endpoint_lines(step.endpoints))
    yield from _labelled("addresses", step.addresses)
    notes = (("external", step.external), ("floating", step.floating), ("not merged", step.is_unmerged))
    if found := [word for word, holds in notes if holds]:
        yield "is", ", ".join(found)


def _labelled(label: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, line in enumerate(lines):
        yield ("" if index else label), line


def _endpoint_lines(endpoints: Sequence[EndpointPicture]) -> list[str]:
    widest = max((len(one.path) for one in endpoints), default=0)
    return [
        f"{one.path:<{widest}}  {one.types}{'  (stream)' if one.is_generator else ''}".rstrip() for one in endpoints
    ]


def _reply(picture: GraphPicture) -> str:
    if picture.ends in {(), (GATEWAY,)}:
        return "the documents of the request as they are"
    return f"what {' and '.join(picture.ends)} give{'s' if len(picture.ends) == 1 else ', merged'}"
