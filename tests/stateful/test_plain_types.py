"""Plain types in stateful Executors: writes one by one and in batches, reads of every replica."""

import pytest

from tests.stateful.conftest import group
from tests.stateful.users import Line, PlainLedger

pytestmark = [pytest.mark.timeout(120)]
FRESH = {"headers": {"jina-consistency": "linearizable"}}


def test_plain_writes_are_applied_on_every_replica(tmp_path):
    with group(PlainLedger, tmp_path, replicas=3) as running:
        post = running.deployment.post
        assert post("/add", Line(text="a"), return_type=int) == 0
        assert post("/add_many", [Line(text="b"), Line(text="ab")], return_type=list[int]) == [1, 2]
        for _ in range(4):  # of different replicas
            assert post("/find", return_type=list[Line], **FRESH) == [Line(text=text) for text in ("a", "b", "ab")]
        assert post("/find", {"text": "b"}, return_type=list[Line], **FRESH) == [Line(text="b"), Line(text="ab")]
