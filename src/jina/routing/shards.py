"""What the shards of a Deployment answered becomes one answer, on messages, without a document class.

Documents are merged as those of branches (see `routing.merge`), with two differences, because shards hold different
parts of one whole: what several shards add to a list is all kept, though it be equal, and lists of documents that
each shard gave ordered by their scores are ordered by them again (see `routing.ranking`).
"""

from __future__ import annotations

from collections.abc import Sequence

from jina.routing.merge import Manner, merge
from jina.routing.ranking import Ranking
from jina.wire.messages import Payload
from jina.wire.payloads import BytesPayload


def merge_shards(answers: Sequence[Payload], base: Payload) -> Payload:
    """The documents of all shards, that of the lowest number first, which all got those of `base`."""
    ranking = Ranking()
    merged = merge(answers, base, Manner(keeps_equal=True, lists=ranking.note))
    ranking.settle()
    return merged


def together(answers: Sequence[Payload]) -> Payload:
    """The documents of all shards one after the other; none is parsed."""
    # Serialised lists of documents are one after the other the list of all of them.
    return BytesPayload(b"".join(answer.to_bytes() for answer in answers))
