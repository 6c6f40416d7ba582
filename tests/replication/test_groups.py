"""Groups are found by the folders of a workspace."""

import json

import pytest

from jina.errors import UsageError
from jina.replication.admin import groups_of_workspace


def noted(workspace, group, replica):
    folder = workspace / "raft" / group / f"rep-{replica}"
    folder.mkdir(parents=True)
    (folder / "identity.json").write_text(json.dumps({"id": "x", "group": group, "replica": replica}))
    return folder


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (None, ["book/0", "book/1", "plain"]),
        ("book", ["book/0", "book/1"]),
        ("book/1", ["book/1"]),
        ("plain", ["plain"]),
        ("boo", []),
    ],
)
def test_a_deployment_is_named_or_one_of_its_shards(tmp_path, name, found):
    for group in ("book/0", "book/1", "plain"):
        for replica in range(2):
            noted(tmp_path, group, replica)
    text = groups_of_workspace(str(tmp_path), name)
    assert sorted(group.name for group in text) == found
    assert all(sorted(group.folders) == [0, 1] for group in text)


@pytest.mark.parametrize("name", ["..", "/tmp/x", "a/../b", "a/b/c"])
def test_an_identity_that_is_no_name_is_refused(tmp_path, name):
    folder = noted(tmp_path, "plain", 0)
    (folder / "identity.json").write_text(json.dumps({"id": "x", "group": name, "replica": 0}))
    with pytest.raises(UsageError, match="not the name of a group"):
        groups_of_workspace(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"group": 1, "replica": 2}'])
def test_a_folder_whose_identity_is_damaged_is_named(tmp_path, content):
    folder = noted(tmp_path, "plain", 0)
    (folder / "identity.json").write_text(content)
    with pytest.raises(UsageError, match=r"rep-0/identity\.json cannot be read"):
        groups_of_workspace(str(tmp_path))
