"""What is no backup, or is one no more, is refused."""

import io
import json
import tarfile

import pytest

from jina.errors import UsageError
from jina.replication import backups

MANIFEST = {
    "format": 1, "group": "g", "index": 7, "term": 2, "members": {"0-a": "Voter"}, "generation": "", "replicas": 1,
    "made": "2024-01-01T00:00:00Z", "jina": "4", "size": 3, "sha256": "",
}  # fmt: skip
SUM = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of `abc`


def archive(path, files):
    with tarfile.open(path, "w") as out:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return str(path)


def with_manifest(path, state, **changes):
    return archive(path, {"manifest.json": json.dumps({**MANIFEST, **changes}).encode(), "state.tar": state})


def test_a_whole_one_is_unpacked_and_leaves_nothing(tmp_path):
    source = with_manifest(tmp_path / "x.backup", b"abc", sha256=SUM)
    assert backups.read(source).index == 7
    folder = tmp_path / "folder"
    folder.mkdir()
    with backups.unpacked(source, str(folder)) as state, open(state, "rb") as file:
        assert file.read() == b"abc"
    assert not list(folder.iterdir())


def test_a_damaged_one_is_refused_and_leaves_nothing(tmp_path):
    source = with_manifest(tmp_path / "x.backup", b"xyz", sha256=SUM)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UsageError, match="the checksum of the state differs"), backups.unpacked(source, str(folder)):
        pass
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", *({"a": b"x"}, {"manifest.json": b"{"}, {"manifest.json": b"{}"})],
    ids=["empty", "text", "without manifest", "garbled", "lacking"],
)
def test_what_is_none_is_refused(content, tmp_path):
    path = tmp_path / "x.backup"
    source = archive(path, content) if isinstance(content, dict) else str(path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UsageError, match="no backup that can be read"):
        backups.read(source)


def test_a_later_format_is_named(tmp_path):
    with pytest.raises(UsageError, match="has format 2; this is 1"):
        backups.read(with_manifest(tmp_path / "x.backup", b"abc", format=2))


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "x.backup").write_bytes(b"precious")
    with pytest.raises(UsageError, match="there already"):
        backups.take("nowhere", str(tmp_path / "x.backup"))
    assert (tmp_path / "x.backup").read_bytes() == b"precious"
