"""Pictures that the tests draw."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from jina.export.picture import EndpointPicture, GraphPicture, StepPicture

SEARCH = GraphPicture(
    name="search",
    addresses=("grpc://0.0.0.0:54321", "http://0.0.0.0:54322"),
    steps=(
        StepPicture(
            name="chunker",
            executor="Chunker",
            endpoints=(EndpointPicture("/index", "Page", "Chunks"), EndpointPicture("/search", "Page", "Chunks")),
        ),
        StepPicture(name="text", executor="TextEncoder", needs=("chunker",), replicas=3),
        StepPicture(
            name="image", executor="ImageEncoder", needs=("chunker",), shards=2, replicas=2, when="kind = 'image'"
        ),
        StepPicture(name="ocr", executor="", needs=("chunker",), external=True, addresses=("grpcs://ocr.example:443",)),
        StepPicture(name="audit", executor="AuditLog", needs=("chunker",), floating=True),
        StepPicture(name="join", needs=("text", "image", "ocr"), joins=True),
        StepPicture(
            name="index",
            executor="Index",
            needs=("join",),
            endpoints=(EndpointPicture("/chat", "Prompt", "Token", is_generator=True),),
        ),
    ),
    ends=("index",),
)

CHAIN = GraphPicture(
    name="chain",
    steps=tuple(
        StepPicture(name=f"step{i}", executor="Passing", needs=(f"step{i - 1}" if i else "gateway",)) for i in range(50)
    ),
    ends=("step49",),
)


def dense(steps: int, edges: int, seed: int = 1) -> GraphPicture:
    """A random graph in which each step needs others or the gateway, and the last one joins the loose ends."""
    rng = random.Random(seed)
    drawn: set[tuple[int, int]] = set()
    while len(drawn) < edges:
        first, second = sorted(rng.sample(range(steps - 1), 2))
        drawn.add((first, second))
    loose = sorted(set(range(steps - 1)) - {first for first, _ in drawn})
    drawn |= {(one, steps - 1) for one in loose}
    needs = {end: [f"step{start}" for start, one in sorted(drawn) if one == end] for end in range(steps)}
    return GraphPicture(
        name="dense",
        steps=tuple(
            StepPicture(name=f"step{i}", executor="Encoder", needs=tuple(needs[i]) or ("gateway",))
            for i in range(steps)
        ),
        ends=(f"step{steps - 1}",),
    )


@st.composite
def pictures(draw: st.DrawFn) -> GraphPicture:
    """Pictures of any shape, with texts of any kind."""
    count = draw(st.integers(0, 14))
    steps: list[StepPicture] = []
    for number in range(count):
        before = ["gateway", *(step.name for step in steps)]
        steps.append(
            StepPicture(
                name=f"step{number}",
                executor=draw(st.text(max_size=40)),
                needs=tuple(draw(st.lists(st.sampled_from(before), min_size=1, max_size=4, unique=True))),
                endpoints=tuple(
                    EndpointPicture(f"/{path}", "Doc", "Doc")
                    for path in draw(st.lists(st.text(max_size=20), max_size=10))
                ),
                replicas=draw(st.integers(1, 4)),
                shards=draw(st.integers(1, 3)),
                when=draw(st.sampled_from(["", "price > 3"])),
                floating=draw(st.booleans()),
                external=draw(st.booleans()),
            )
        )
    names = [step.name for step in steps] or ["gateway"]
    ends = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return GraphPicture(name=draw(st.text(max_size=10)), steps=tuple(steps), ends=tuple(ends))
