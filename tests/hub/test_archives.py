"""Archives: the same bytes for the same entries, and nothing outside the folder, whatever an archive holds."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from jina.errors import ConfigError
from jina.hub.archives import pack, unpack
from jina.hub.oci import Damaged

ARCHIVES = int(os.environ.get("JINA_FUZZ_ARCHIVES", "300"))
SEED = int(os.environ.get("JINA_FUZZ_SEED", "7"))
ENTRIES = [("b/run.sh", b"#!/bin/sh\n", True), ("a.txt", "grüße".encode(), False), ("ü/" + "x" * 120, b"", False)]


def packed(entries, **options) -> bytes:
    target = io.BytesIO()
    pack(entries, target, **options)
    return target.getvalue()


def archive(*members: tuple[str, bytes, int, str]) -> bytes:
    """A .tar.gz of (name, type, size, link), with content of that size, as an attacker writes it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", format=tarfile.PAX_FORMAT) as made:
        for name, kind, size, link in members:
            about = tarfile.TarInfo(name)
            about.type, about.size, about.linkname = kind, size, link
            made.addfile(about, io.BytesIO(bytes(size)) if size else None)
    return target.getvalue()


def unpacked(data: bytes, folder: Path, most_bytes: int = 1 << 20, most_files: int = 100) -> list[str]:
    return unpack(io.BytesIO(data), folder, most_bytes=most_bytes, most_files=most_files)


class TestPack:
    def test_there_and_back(self, tmp_path):
        (tmp_path / "from.txt").write_text("of a file")
        data = packed([*ENTRIES, ("file.txt", tmp_path / "from.txt", False), ("empty", tmp_path, False)])
        names = unpacked(data, tmp_path / "to")
        assert names == ["a.txt", "b/run.sh", "empty", "file.txt", "ü/" + "x" * 120]
        assert (tmp_path / "to/a.txt").read_text() == "grüße"
        assert (tmp_path / "to/file.txt").read_text() == "of a file"
        assert (tmp_path / "to/empty").is_dir()
        assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "to").iterdir() if path.is_file()} == {
            "a.txt": 0o644, "file.txt": 0o644,
        }  # fmt: skip
        assert (tmp_path / "to/b/run.sh").stat().st_mode & 0o777 == 0o755

    def test_neither_order_nor_times_nor_owners_are_in_it(self, tmp_path):
        for name, when in (("one", 1), ("two", 2_000_000_000)):
            (tmp_path / name).write_bytes(b"content" * 1000)
            os.utime(tmp_path / name, (when, when))
        first = packed([("x", tmp_path / "one", False), *ENTRIES])
        second = packed([*ENTRIES[::-1], ("x", tmp_path / "two", False)])
        assert first == second
        with tarfile.open(fileobj=io.BytesIO(first)) as made:
            assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in made} == {(0, 0, "", "", 0)}

    def test_the_tar_in_it_is_the_same_on_every_machine(self):
        """A digest that holds for every Python and every zlib."""
        target = io.BytesIO()
        content = pack(ENTRIES, target, owner=10001)
        assert content == "sha256:" + hashlib.sha256(gzip.decompress(target.getvalue())).hexdigest()
        assert content == "sha256:23bde157524aedf76ffe3393333f45d95497b0618478371de0d583e5fa2e73c6"
        assert target.getvalue()[:10] == bytes.fromhex("1f8b08000000000000ff")

    def test_the_size_of_the_pieces_it_is_written_in_does_not_matter(self, tmp_path):
        noise = random.Random(SEED).randbytes(3_000_000)
        (tmp_path / "big").write_bytes(noise)
        assert packed([("big", noise, False)]) == packed([("big", tmp_path / "big", False)])

    def test_a_name_twice_is_refused(self):
        with pytest.raises(ConfigError, match="'a' twice"):
            packed([("a", b"", False), ("a", b"", False)])


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
REFUSED = {
    "absolute": ([("/etc/passwd", FILE, 1, "")], "not a relative path"),
    "up": ([("../x", FILE, 1, "")], "leads out of the folder"),
    "up within": ([("a/../../x", FILE, 1, "")], "leads out of the folder"),
    "backslash": ([("..\\x", FILE, 1, "")], "not a relative path"),
    "drive": ([("C:x", FILE, 1, "")], "not a relative path"),
    "newline": ([("a\nb", FILE, 1, "")], "control characters"),
    "deep": ([("a/" * 70 + "b", FILE, 1, "")], "more than 64 folders deep"),
    "long": ([("a" * 300, FILE, 1, "")], "more than 255 bytes"),
    "very long": ([("a/" * 3000, FOLDER, 0, "")], "more than 4096 bytes"),
    "nothing": ([(".", FILE, 1, "")], "names no file"),
    "twice": ([("a", FILE, 1, ""), ("a", FILE, 1, "")], "twice"),
    "case": ([("read.me", FILE, 1, ""), ("README.md", FILE, 1, ""), ("readme.MD", FILE, 1, "")], "one name on other"),
    "case of a folder": ([("A/x", FILE, 1, ""), ("a/y", FILE, 1, "")], "one name on other"),
    "composition": ([("\u00e9", FILE, 1, ""), ("e\u0301", FILE, 1, "")], "one name on other"),
    "file as folder": ([("a", FILE, 1, ""), ("a/b", FILE, 1, "")], "as a file and as a folder"),
    "link as folder": ([("a", LINK, 0, "/tmp"), ("a/b", FILE, 1, "")], "as a link and as a folder"),
    "absolute link": ([("a", LINK, 0, "/etc")], "leads to '/etc'"),
    "link up": ([("a/b", LINK, 0, "../../x")], "not within it"),
    "link through a link": (
        [("a/b/l", LINK, 0, "../.."), ("m", LINK, 0, "a/b/l/../.."), ("a/b/f", FILE, 1, "")],
        "not within it",
    ),
    "link to nothing": ([("a", LINK, 0, "b")], "not within it"),
    "circle": ([("a", LINK, 0, "b"), ("b", LINK, 0, "a")], "not within it"),
    "hard link": ([("a", FILE, 1, ""), ("b", HARD, 0, "a")], "neither a file"),
    "device": ([("a", tarfile.CHRTYPE, 0, "")], "neither a file"),
    "pipe": ([("a", tarfile.FIFOTYPE, 0, "")], "neither a file"),
    "large": ([("a", FILE, 600_000, ""), ("b", FILE, 600_000, "")], "more than 1048576 bytes"),
    "many": ([(f"d{n}/f", FILE, 0, "") for n in range(60)], "more than 100 files"),
}


class TestUnpack:
    @pytest.mark.parametrize("name", REFUSED)
    def test_what_is_refused_leaves_nothing(self, name, tmp_path):
        members, message = REFUSED[name]
        with pytest.raises(Damaged, match=message):
            unpacked(archive(*members), tmp_path / "in/to")
        assert list(tmp_path.rglob("*")) == [tmp_path / "in"]

    def test_links_within_the_folder_are_kept(self, tmp_path):
        unpacked(archive(("a/l", LINK, 0, "../b/f"), ("b/f", FILE, 3, ""), ("c", LINK, 0, "b")), tmp_path / "to")
        assert (tmp_path / "to/a/l").read_bytes() == bytes(3)
        assert (tmp_path / "to/c/f").is_file()

    def test_a_bomb_is_seen_before_it_is_unpacked(self, tmp_path):
        """1 GiB of zeros behind the end of the archive, which is 1 MiB of gzip."""
        target = io.BytesIO()
        with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=9) as file:
            file.write(gzip.decompress(packed(ENTRIES)))
            for _ in range(64):
                file.write(bytes(1 << 20))
        with pytest.raises(Damaged, match="decompresses to more than"):
            unpacked(target.getvalue(), tmp_path / "to")

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_headers_are_short(self, kind, tmp_path):
        with pytest.raises(Damaged, match="a header of"):
            unpacked(archive(("a", kind, 900_000, "")), tmp_path / "to")
        many = archive(*[("a", kind, 1, "")] * 3000)
        with pytest.raises(Damaged):
            unpacked(many, tmp_path / "to", most_files=10_000)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda tar: tar[:512], "ends within a file"),
            (lambda tar: tar[:1024], "no end"),
            (lambda tar: tar[:1024] + b"x" * 512 + tar[1024:], None),
            (lambda tar: tar[:1024] + b"x" * 512 + tar, "damaged header"),
            (lambda tar: b"", "cannot be read"),
            (lambda tar: b"x" * 1024, "cannot be read"),
        ],
    )
    def test_an_end_that_is_none_is_refused(self, change, message, tmp_path):
        tar = gzip.decompress(packed([("a", b"content", False)]))
        if message is None:  # a block of garbage and then only zeros: nothing is lost
            assert unpacked(gzip.compress(change(tar)), tmp_path / "to") == ["a"]
            return
        with pytest.raises(Damaged, match=message):
            unpacked(gzip.compress(change(tar)), tmp_path / "to")

    def test_a_folder_that_is_there_is_left_alone(self, tmp_path):
        (tmp_path / "to").mkdir()
        (tmp_path / "to/mine").write_text("precious")
        with pytest.raises(OSError, match="to"):
            unpacked(packed(ENTRIES), tmp_path / "to")
        assert [path.name for path in tmp_path.rglob("*")] == ["to", "mine"]

    def test_garbage_is_refused_or_unpacked_within_the_folder(self, tmp_path):
        """Archives with changed bytes: of the tar, whose checksums are often mended, and of the gzip around it."""
        rng = random.Random(SEED)
        archives = [packed(ENTRIES), *(archive(*members) for members, _ in REFUSED.values())]
        seeds = [seed for seed in map(_shortest, archives) if len(seed) < 10_000]
        outcomes = {"refused": 0, "unpacked": 0}
        for number in range(ARCHIVES):
            tar = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(tar))
                tar[at : at + 1] = rng.choice([b"/", b".", b"\0", b"2", b"x", b"g", b"\xff", rng.randbytes(1)])
                if rng.random() < 0.8:
                    _mend(tar, at // 512 * 512)
            data = bytearray(gzip.compress(bytes(tar), 1))
            if rng.random() < 0.2:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            target = tmp_path / "in" / str(number)
            try:
                unpacked(bytes(data), target)
                outcomes["unpacked"] += 1
            except Damaged:
                outcomes["refused"] += 1
            for path in target.rglob("*"):
                assert path.resolve().is_relative_to(target), path
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
        assert len(list((tmp_path / "in").iterdir())) == outcomes["unpacked"]
        assert min(outcomes.values()) > ARCHIVES / 50, outcomes


def _shortest(data: bytes) -> bytes:
    """The tar of a .tar.gz with no more zeros at its end than it needs."""
    tar = gzip.decompress(data).rstrip(b"\0")
    return tar + bytes(-len(tar) % 512 + 1024)


def _mend(tar: bytearray, start: int) -> None:
    header = tar[start : start + 512]
    if len(header) == 512:
        tar[start + 148 : start + 156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
