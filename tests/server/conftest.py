"""The libraries that speak HTTP/2, each in turn."""

import pytest

from jina.net import http2_h2, http2_library, http2_ngh2

ENGINES = {"ngh2": http2_ngh2.Connection, "h2": http2_h2.Connection}


@pytest.fixture(params=list(ENGINES))
def engine(request, monkeypatch):
    """What the servers of a test speak HTTP/2 with."""
    monkeypatch.setattr(http2_library, "_kind", lambda: ENGINES[request.param])
    return request.param
