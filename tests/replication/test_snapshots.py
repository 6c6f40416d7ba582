"""Snapshots are folders whose every byte is vouched for."""

import json
import os

import pytest

from jina import Executor
from jina.errors import ExecutorDefinitionError, InternalError
from jina.replication import snapshots


class IntoFolder(Executor):
    def snapshot(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "state.txt"), "w") as file:
            file.write("content")

    def restore(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "state.txt")) as file:
            self.text = file.read()


class IntoFile(Executor):
    def snapshot(self, snapshot_file: str):
        with open(snapshot_file, "w") as file:
            file.write("content")

    def restore(self, snapshot_file: str):
        with open(snapshot_file) as file:
            self.text = file.read()


class WithoutSnapshots(Executor):
    pass


def taken(folder, executor):
    executor.snapshot(snapshots.prepare(str(folder), executor))
    snapshots.seal(str(folder), 7, b"window")


@pytest.mark.parametrize("kind", [IntoFolder, IntoFile])
def test_both_forms(kind, tmp_path):
    taken(tmp_path, kind())
    state, index, window = snapshots.check(str(tmp_path))
    restored = kind()
    restored.restore(state)
    assert (restored.text, index, window) == ("content", 7, b"window")


def test_who_can():
    assert snapshots.can_snapshot(IntoFile())
    assert not snapshots.can_snapshot(WithoutSnapshots())


@pytest.mark.parametrize("name", ["state/state.txt", "window"])
def test_damage_is_named(name, tmp_path):
    taken(tmp_path, IntoFolder())
    path = tmp_path / name
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(InternalError, match=f"{name} of the snapshot is damaged"):
        snapshots.check(str(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    taken(tmp_path, IntoFolder())
    (tmp_path / "state" / "state.txt").unlink()
    with pytest.raises(InternalError, match=r"lacks state/state\.txt"):
        snapshots.check(str(tmp_path))


@pytest.mark.parametrize("name", ["/etc/passwd", "../other", "state/../../other", "state//x", "."])
def test_a_manifest_names_only_what_is_inside(tmp_path, name):
    taken(tmp_path, IntoFolder())
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_bytes())
    content["files"][name] = "0"
    path.write_text(json.dumps(content))
    with pytest.raises(InternalError, match="outside of its folder"):
        snapshots.check(str(tmp_path))


def test_links_have_no_place(tmp_path):
    executor = IntoFolder()
    state = snapshots.prepare(str(tmp_path), executor)
    os.symlink("/etc/passwd", os.path.join(state, "link"))
    with pytest.raises(InternalError, match="neither a file nor a folder"):
        snapshots.seal(str(tmp_path), 1, b"")


def test_each_incarnation_has_a_workspace_of_its_own(tmp_path):
    first = snapshots.fresh_workspace(str(tmp_path))
    open(os.path.join(first, "old"), "w").close()
    second = snapshots.fresh_workspace(str(tmp_path))
    assert os.listdir(second) == []
    assert not os.path.exists(os.path.join(first, "old"))


class WithoutRestore(Executor):
    def snapshot(self, snapshot_dir):
        """Nothing could ever read what this writes."""


class IntoFileFromFolder(IntoFile):
    def restore(self, snapshot_dir):
        raise AssertionError


class IntoFileFromPath(IntoFile):
    def restore(self, path):
        super().restore(path)


class FromSnapshotsOfBefore(Executor):
    def restore(self, snapshot_dir):
        """Its log is kept from now on."""


def test_snapshots_of_another_form_than_restore_reads_are_refused():
    with pytest.raises(ExecutorDefinitionError, match="takes the path of a file, and restore"):
        snapshots.can_snapshot(IntoFileFromFolder())


def test_no_snapshot_is_taken_that_nothing_would_read():
    assert not snapshots.can_snapshot(WithoutRestore())
    (result,) = snapshots.never_taken(WithoutRestore())
    assert result.startswith("WithoutRestore (")
    assert list(snapshots.never_taken(IntoFile())) == list(snapshots.never_taken(WithoutSnapshots())) == []


def test_what_restores_need_not_say_in_which_form():
    assert snapshots.can_snapshot(IntoFileFromPath())
    assert not snapshots.can_snapshot(FromSnapshotsOfBefore())


def test_a_snapshot_is_not_passed_over_by_who_cannot_restore():
    snapshots.require_restore(FromSnapshotsOfBefore())
    with pytest.raises(ExecutorDefinitionError, match=r"WithoutSnapshots .* has no restore"):
        snapshots.require_restore(WithoutSnapshots())
