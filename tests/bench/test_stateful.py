"""That the benchmark of stateful Deployments measures all that it shows of ours."""

import importlib.util

import pytest
from bench.stateful import BOUNDS, SHOWN, stateful


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(importlib.util.find_spec("jina_raft") is None, reason="the consensus agent is not built")
def test_every_figure_is_there():
    section = stateful(1, 0.3, alone=True, large=1_000_000, writes=50)
    assert section.raw["errors"] == {"ours": {}}
    assert [row[0] for row in section.rows if row[1] is None] == []
    assert len(section.rows) == len(SHOWN)
    assert [check.what for check in section.checks] == list(BOUNDS)
