import pytest

from jina.errors import nearest


@pytest.mark.parametrize(
    ("given", "known", "meant"),
    [
        ("prot", ["port", "protocol", "protocols_of_all"], "protocol"),
        ("replicass", ["replicas", "shards"], "replicas"),
        ("/sea", ["/search", "/see"], "/search"),
        ("po", ["polling", "port"], "port"),
        ("zzz", ["a"], None),
        ("upload_files", ["pod_role", "uses"], None),
        ("expose_endpoints", ["provider_endpoint", "port"], None),
        ("max_in_flight", ["max_inflight", "max_queue"], "max_inflight"),
    ],
)
def test_names_that_begin_so_are_nearer_than_those_that_look_alike(given, known, meant):
    assert nearest(given, known) == meant
