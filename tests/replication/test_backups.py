"""What is no backup, or is one no more, is refused."""

import io
import json
import tarfile

import pytest

from jina.cli.main import main
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
    with pytest.raises(UsageError, match="not a readable backup"):
        backups.read(source)


@pytest.mark.parametrize("count", ["1001", "99999999999"])
def test_more_replicas_than_a_group_has_are_refused(count, tmp_path, capsys):
    source = with_manifest(tmp_path / "x.backup", b"abc", sha256=SUM)
    assert main(["raft", "restore-backup", source, "--workspace", str(tmp_path / "files"), "--replicas", count]) == 2
    assert f"--replicas {count}: a group has 1000 replicas at most" in capsys.readouterr().err


def test_a_later_format_is_named(tmp_path):
    with pytest.raises(UsageError, match="has format 2; this is 1"):
        backups.read(with_manifest(tmp_path / "x.backup", b"abc", format=2))


OUTSIDE = ["/tmp/evil", "../evil", "..", ".", "a/b", "a/../../b", "a/0/1", "a\nb", "", "a/", "a/٣", "x" * 201]


@pytest.mark.parametrize("group", OUTSIDE)
def test_a_group_that_is_no_name_is_refused(group, tmp_path):
    with pytest.raises(UsageError, match="not the name of a group"):
        backups.read(with_manifest(tmp_path / "x.backup", b"abc", group=group))


@pytest.mark.parametrize("group", OUTSIDE)
def test_nothing_is_restored_outside_of_the_workspace(group, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = with_manifest(tmp_path / "x.backup", b"abc", sha256=SUM, group=group)
    good = with_manifest(tmp_path / "good.backup", b"abc", sha256=SUM)
    before = sorted(tmp_path.rglob("*"))
    for words in ([source], [good, group] if group else [source], [good, "--replica", "0", "--generation", "../x"]):
        assert main(["raft", "restore-backup", *words, "--workspace", "files"]) == 2
        assert " is not " in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("replicas", [0, -1, 10**9])
def test_as_many_replicas_as_no_group_has_are_refused(replicas, tmp_path):
    with pytest.raises(UsageError, match="it is of"):
        backups.read(with_manifest(tmp_path / "x.backup", b"abc", replicas=replicas))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("name", ["manifest.json", "state.tar"])
def test_links_and_devices_in_the_place_of_files_are_refused(kind, name, tmp_path):
    """A link to a file outside, and one to another member."""
    for target in ("/etc/passwd", "../../etc/passwd", "other"):
        path = tmp_path / "x.backup"
        result = {"manifest.json": json.dumps({**MANIFEST, "sha256": SUM}).encode(), "state.tar": b"abc"}
        with tarfile.open(path, "w") as out:
            for member, data in {"other": result[name], **result}.items():
                info = tarfile.TarInfo(member)
                if member == name:
                    info.type, info.linkname = kind, target
                    out.addfile(info)
                else:
                    info.size = len(data)
                    out.addfile(info, io.BytesIO(data))
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="not a plain file"), backups.unpacked(str(path), str(folder)):
            pass
        assert not list(folder.iterdir())


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "x.backup").write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        backups.take("nowhere", str(tmp_path / "x.backup"))
    assert (tmp_path / "x.backup").read_bytes() == b"precious"
