"""Manifests, configurations, signatures, archives and answers of registries made worse, seeded (JINA_FUZZ_SEED).

Each case is accepted, or refused with one of our errors; either way within bounds of time and memory, and with nothing
written but the target, the cache and the store. The quick tier tries some hundreds; the slow one JINA_FUZZ_PACKAGES,
10,000 unless it says otherwise.
"""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import resource
import shutil
import stat
import struct
import sys
import tarfile
import tempfile
import time
import uuid
from pathlib import Path
from unittest import mock

import pytest
from tests.fuzz.mutations import SEED, worse, worse_json
from tests.hub.conftest import CONFIG
from tests.hub.registries import odd
from tests.hub.test_packages import EXECUTOR, write
from tests.hub.test_signatures import make_key

from jina.cli.hub import _endpoint_lines, _inspected
from jina.errors import JinaError
from jina.hub import packages
from jina.hub.archives import pack, unpack
from jina.hub.images import Base, Place, read_archive, write_archive
from jina.hub.oci import (
    IMAGE_CONFIG,
    IMAGE_INDEX,
    IMAGE_LAYER,
    IMAGE_MANIFEST,
    MANIFESTS,
    TAG_NAME,
    Descriptor,
    LayoutStore,
    Manifest,
    canonical,
    copy_manifest,
    digest_of,
)
from jina.hub.packages import (
    ARTIFACT,
    EXECUTABLE,
    FILE,
    REQUIREMENTS,
    SOURCE,
    TITLE,
    Package,
    manifest_of,
    metadata_of,
    pull,
    push,
)
from jina.hub.registry import Access, RegistryStore
from jina.hub.signatures import KIND, SIGNATURE, sign, verify

MARK = f"jina-fuzz-{uuid.uuid4().hex[:12]}"
"""In every name that leads out: it must be found nowhere afterwards."""
OUT = [
    f"../{MARK}", f"../../{MARK}", f"/tmp/{MARK}", f"a/../../{MARK}", f"../outside/{MARK}", f"..\\{MARK}", f"C:{MARK}",
]  # fmt: skip
NAMES = [
    "a", "A", "a/b", "config.yml", "CONFIG.YML", "executor.py", "executor.py/x", "l", "l/x", ".", "..", "", "/", "é",
    "e\u0301", "x" * 120, "x" * 300, "d/" * 30 + "f", "d/" * 80, "a\nb", "\x1b[2J", "a\0b", *OUT,
]  # fmt: skip
LINKS = ["a", "../a", "l", ".", "..", "a/..", "x/../x/../a", "", "/etc/passwd", "/dev/zero", *OUT]
TYPES = [
    tarfile.REGTYPE, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
    tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE,
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"V", b"M", b"\xff",
]  # fmt: skip
SIZES = [0, 1, 511, 512, 513, 2000, 1 << 20, 1 << 33, (1 << 63) - 1]
PAX = [
    "path", "linkpath", "size", "mtime", "uid", "hdrcharset", "GNU.sparse.map", "GNU.sparse.major", "GNU.sparse.minor",
    "GNU.sparse.size", "GNU.sparse.realsize", "GNU.sparse.name", "GNU.sparse.numblocks", "", "é", "comment",
]  # fmt: skip
MOST_BYTES, MOST_FILES = 4 << 20, 500
BOMB = gzip.compress(bytes(32 << 20), 1)


# --- archives -----------------------------------------------------------------------------------------------------


def some_archive(chance: random.Random) -> bytes:
    """An archive in some compression, each of them with a mistake or two now and then."""
    tar = b"".join(_member(chance) for _ in range(chance.randrange(1, 6)))
    if chance.random() < 0.1:
        target = io.BytesIO()
        pack([("config.yml", CONFIG.encode(), False), ("executor.py", EXECUTOR.encode(), False)], target)
        tar = gzip.decompress(target.getvalue()).rstrip(b"\0")
        tar += bytes(-len(tar) % 512)
    tar += chance.choice([bytes(1024)] * 6 + [b"", bytes(512), bytes(1024) + b"x" * 512, bytes(100_000)])
    if chance.random() < 0.15:
        tar = worse(tar, chance)
    return _compressed(tar, chance)


def _member(chance: random.Random) -> bytes:
    """A header, perhaps with others before it that say more, and content."""
    name, link, kind = chance.choice(NAMES), chance.choice(LINKS), chance.choice(TYPES)
    content = chance.randbytes(chance.choice([0, 3, 512, 700]))
    before = b""
    if chance.random() < 0.25:
        records = [
            _record(chance.choice(PAX), str(chance.choice([*NAMES, *LINKS, *SIZES, -1, "1,2,3", "x"])), chance)
            for _ in range(chance.randrange(1, 4))
        ]
        text = b"".join(records)
        before = _header("pax", chance.choice([tarfile.XHDTYPE, tarfile.XGLTYPE]), len(text), "", chance) + _blocks(
            text
        )
    elif chance.random() < 0.15:
        text = chance.choice([*NAMES, *LINKS]).encode(errors="replace") + b"\0"
        kind_of = chance.choice([tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
        before = _header("././@LongLink", kind_of, len(text), "", chance) + _blocks(text)
    size = len(content) if chance.random() < 0.85 else chance.choice(SIZES)
    return before + _header(name, kind, size, link, chance) + _blocks(content)


def _header(name: str, kind: bytes, size: int, link: str, chance: random.Random) -> bytes:
    octal = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    if chance.random() < 0.03:
        octal = chance.choice([b"\xff" * 12, b"-0000000001\0", b"not a size\0\0", b"\x80" + b"\xff" * 11, bytes(12)])
    mode = chance.choice([b"0000644\0", b"0000755\0", b"0004777\0", b"garbage\0", b"\xff" * 8])
    magic = chance.choice([b"ustar\x0000"] * 5 + [b"ustar  \0", bytes(8), b"garbage!"])
    prefix = chance.choice([b""] * 9 + [b"..", f"/tmp/{MARK}".encode(), b"p" * 155, b"\xff\xfe"])
    raw = bytearray(
        name.encode()[:100].ljust(100, b"\0") + mode + b"0000000\0" * 2 + octal + b"00000000000\0" + b" " * 8 + kind
        + link.encode()[:100].ljust(100, b"\0") + magic + bytes(64) + bytes(16) + prefix.ljust(155, b"\0") + bytes(12)
    )  # fmt: skip
    if chance.random() < 0.05:
        raw[chance.randrange(512)] ^= 1 << chance.randrange(8)
    if chance.random() < 0.97:
        raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + 8 * 32 + sum(raw[156:]))
    return bytes(raw)


def _record(key: str, text: str, chance: random.Random) -> bytes:
    body = f" {key}={text}\n".encode()
    size = len(body) + len(str(len(body) + len(str(len(body)))))
    said = size if chance.random() < 0.9 else chance.choice([0, 1, 5, 10**6, 10**30])
    return str(said).encode() + body


def _blocks(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def _compressed(tar: bytes, chance: random.Random) -> bytes:
    way = chance.random()
    if way < 0.7:
        data = gzip.compress(tar, 1)
    elif way < 0.8:  # several members, and one that holds nothing
        half = chance.randrange(len(tar) + 1)
        data = gzip.compress(tar[:half], 1) + gzip.compress(b"", 1) + gzip.compress(tar[half:], 1)
    elif way < 0.84:  # with a name, a comment and an extra field
        plain = gzip.compress(tar, 1)
        extra = chance.randbytes(chance.choice([0, 10, 60_000]))
        flags = struct.pack("<H", len(extra)) + extra + f"../{MARK}".encode() + b"\0comment\0"
        data = plain[:3] + b"\x1c" + plain[4:10] + flags + plain[10:]
    elif way < 0.88:
        data = _zstd(tar)
    else:
        data = chance.choice([bytes, bz2.compress, lzma.compress, lambda _: b"", lambda _: BOMB])(tar)
    return worse(data, chance) if chance.random() < 0.1 else data


def _zstd(data: bytes) -> bytes:
    """A frame of RFC 8878 whose blocks are not compressed."""
    blocks = [data[at : at + 65536] for at in range(0, len(data), 65536)] or [b""]
    heads = [
        ((len(block) << 3) | (number == len(blocks) - 1)).to_bytes(3, "little") for number, block in enumerate(blocks)
    ]
    return b"\x28\xb5\x2f\xfd\x80\x58" + struct.pack("<I", len(data)) + b"".join(
        head + block for head, block in zip(heads, blocks, strict=True)
    )  # fmt: skip


# --- JSON ---------------------------------------------------------------------------------------------------------


def mutated(value, chance: random.Random, digests) -> bytes:
    """JSON text with one to three parts that mean something else; sometimes any part, sometimes any bytes."""
    if chance.random() < 0.2:
        return worse_json(value, chance)
    value = json.loads(json.dumps(value))
    for _ in range(chance.randrange(1, 4)):
        places = list(_places(value))
        if not places:
            break
        holder, key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.extend([holder[key]] * chance.choice([1, 3, 1200]))
            case 2 if isinstance(holder, dict):
                holder[chance.choice(["annotations", "platform", "subject", "layers", "manifests", "size"])] = holder[
                    key
                ]
            case _:
                holder[key] = chance.choice(_meant(key, digests))
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "replace")


def _places(value):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def _meant(key, digests):
    """Values that have a meaning at that place, beside those that have none."""
    return {
        "digest": [*digests, "sha256:" + "0" * 64, "sha512:" + "0" * 128, "sha256:../../" + MARK, "SHA256:" + "A" * 64],
        "size": [0, 1, 5, -1, 1 << 40, 1 << 62, 1e3, "7", True, 10**30],
        "mediaType": [*MANIFESTS, SOURCE, FILE, REQUIREMENTS, IMAGE_LAYER, IMAGE_CONFIG, "", "x" * 300],
        "artifactType": [ARTIFACT, KIND, "", 7],
        TITLE: NAMES,
        EXECUTABLE: ["true", "false", True, ""],
        TAG_NAME: ["latest", "", f"../{MARK}", "\x1b[2J", "\ud800"],
        SIGNATURE: ["", "é", "AAAA", "A" * 88, "=" * 10],
        "diff_ids": [[], None, 7, ["x"]],
        "Env": [["PATH"], ["PYTHON_VERSION=3.\u0663"], ["PYTHON_VERSION=3.11"], None, 7, [7]],
    }.get(key, [None, 7, -1, 1.5, True, "", "x" * 5000, "\ud800", [], {}, [[]], {"a": {}}, *NAMES[:3]])


# --- what is done with it -----------------------------------------------------------------------------------------


class World:
    """A folder in which a store, a cache and a target may be written, and others that must stay as they are."""

    def __init__(self, root: Path) -> None:
        self.root, self.work, self.outside = root, root / "work", root / "outside"
        self.work.mkdir()
        write(self.outside, {"secret": "s", "executor.py": "mine"})
        (root / "tmp").mkdir()
        self.key, self.public = make_key(root, "ada")
        self.template = self._template()
        self.seen = self._others()
        self.accepted = self.refused = 0
        self.slowest = 0.0

    def _template(self) -> dict[str, bytes]:
        """The files of a repository with a package, its bill of materials, a signature, and an image."""
        files = {"config.yml": CONFIG, "executor.py": EXECUTOR, "requirements.txt": "a\n", "big": bytes(1000)}
        store = LayoutStore(self.root / "made")
        endpoint = {
            "path": "/",
            "method": "f",
            "input": {"name": "A"},
            "output": {"name": "B"},
            "parameters": {"name": "C"},
        }
        with mock.patch.object(packages, "LARGE", 1000):
            pushed = push(Package.read(write(self.root / "upper", files)), store, "a", ["latest"], endpoints=[endpoint])
        sign(store, "a", "host/a", pushed, self.key)
        self.digest = pushed.digest
        layer = io.BytesIO()
        content = pack([("usr/bin/python3.11", b"", True)], layer)
        about = {
            "os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/usr/bin"], "Labels": {"a": "b"}},
            "rootfs": {"type": "layers", "diff_ids": [content]}, "history": [{"created_by": "x"}],
        }  # fmt: skip
        config = canonical(about)
        blobs = (Descriptor.of(IMAGE_CONFIG, config), Descriptor.of(IMAGE_LAYER, layer.getvalue()))
        for blob, data in zip(blobs, (config, layer.getvalue()), strict=True):
            store.write_blob("a", blob, io.BytesIO(data))
        self.image = Manifest(blobs[0], blobs[1:])
        store.write_manifest("a", self.image.to_bytes(), ["image"])
        write_archive(store, "a", "image", self.root / "image.tar", "x:y")
        found = {path.relative_to(store.root / "a").as_posix(): path.read_bytes()
                 for path in (store.root / "a").rglob("*") if path.is_file()}  # fmt: skip
        shutil.rmtree(store.root)
        return found

    def _others(self) -> dict[str, tuple[int, int, int]]:
        """All but the folder of work: names, kinds, sizes, times."""
        found = {}
        for folder, inner, files in os.walk(self.root):
            if Path(folder) == self.root:
                inner.remove("work")
            for name in (*inner, *files):
                about = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (about.st_mode, about.st_size, about.st_mtime_ns)
        return found

    @property
    def digests(self) -> list[str]:
        return [f"sha256:{name.rpartition('/')[2]}" for name in self.template if name.startswith("blobs/")]

    def json_of(self, digest: str):
        return json.loads(self.template[f"blobs/sha256/{digest[7:]}"])

    def store(self, chance: random.Random) -> LayoutStore:
        """A registry in a folder with one thing in it that is worse."""
        files = dict(self.template)

        def put(data: bytes) -> str:
            files[f"blobs/sha256/{digest_of(data)[7:]}"] = data
            return digest_of(data)

        index = json.loads(files["index.json"])
        entry = chance.choice(index["manifests"])
        manifest = self.json_of(entry["digest"])
        match chance.randrange(5):
            case 0:
                files["index.json"] = mutated(index, chance, self.digests)
            case 1:
                part = chance.choice([manifest["config"], *manifest["layers"]])
                old = files[f"blobs/sha256/{part['digest'][7:]}"]
                data = mutated(json.loads(old), chance, self.digests) if old[:1] == b"{" else some_archive(chance)
                part.update(digest=put(data), size=len(data))
                data = canonical(manifest)
                entry.update(digest=put(data), size=len(data))
                files["index.json"] = canonical(index)
            case 2:
                data = chance.choice([canonical(manifest), *(files[name] for name in sorted(files) if "/" in name)])
                entry["digest"] = put(worse(data[:5000], chance))
                files["index.json"] = canonical(index)
            case _:
                data = mutated(manifest, chance, self.digests)
                entry.update(digest=put(data), size=len(data))
                files["index.json"] = canonical(index)
        for name, data in files.items():
            file = self.work / "registry/a" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return LayoutStore(self.work / "registry")

    def attempt(self, action) -> None:
        """Do it: it works, or is refused with one of our errors."""
        try:
            action()
        except JinaError as error:
            said = str(error)
        else:
            self.accepted += 1
            return
        self.refused += 1
        assert 0 < len(said) < 20_000, said[:500]

    def check(self, what: str) -> None:
        """Nothing is where it should not be; then the folder of work is emptied."""
        assert self._others() == self.seen, what
        for folder, inner, files in os.walk(self.work):
            for name in (*inner, *files):
                path = Path(folder, name)
                mode = path.lstat().st_mode
                assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode), f"{what}: {path}"
                assert not name.startswith(".part-"), f"{what}: {path}"
                if stat.S_ISLNK(mode):
                    assert path.resolve().is_relative_to(self.work), f"{what}: {path}"
        shutil.rmtree(self.work)
        self.work.mkdir()

    def inspect(self, store, wanted: str = "latest") -> None:
        """All that commands do with a package, but to write it."""
        entry, manifest = manifest_of(store, "a", wanted)
        metadata = metadata_of(store, "a", manifest)
        lines = [*_inspected("a", entry, manifest, metadata), *_endpoint_lines(metadata.get("endpoints") or [])]
        lines += [json.dumps(one.to_json(), ensure_ascii=False) for one in store.referrers("a", entry.digest)]
        "\n".join([*lines, *store.tags("a"), *store.repositories()]).encode()
        json.loads(manifest.to_bytes())

    def fetch(self, store, target: Path) -> None:
        _, manifest = manifest_of(store, "a", "latest")
        pull(store, "a", manifest, target, blobs=self.work / "blobs")


def of_archives(world: World, chance: random.Random) -> None:
    data, target = some_archive(chance), world.work / "target"
    world.attempt(lambda: unpack(io.BytesIO(data), target, most_bytes=MOST_BYTES, most_files=MOST_FILES))
    if target.exists():
        sizes = [path.lstat().st_size for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
        assert sum(sizes) <= MOST_BYTES
        assert len(sizes) <= MOST_FILES


def of_folders(world: World, chance: random.Random) -> None:
    store = world.store(chance)
    world.attempt(lambda: world.inspect(store))
    world.attempt(lambda: world.fetch(store, world.work / "cache/target"))
    world.attempt(lambda: verify(store, "a", world.digest, [world.public]))
    world.attempt(lambda: copy_manifest(store, LayoutStore(world.work / "other"), "a", "a", "latest"))
    world.attempt(lambda: Base.read(Place(store, "a", "image"), "linux/amd64").python())
    world.attempt(lambda: write_archive(store, "a", "image", world.work / "image.tar", "x"))
    world.attempt(lambda: store.write_manifest("a", world.image.to_bytes(), ["v2"]))


def of_docker_archives(world: World, chance: random.Random) -> None:
    listed, target = [], io.BytesIO()
    with tarfile.open(world.root / "image.tar") as made, tarfile.open(fileobj=target, mode="w") as tar:
        for member in made:
            data = made.extractfile(member).read()
            if member.name == "manifest.json":
                listed = json.loads(data)
                data = mutated(listed, chance, [*made.getnames(), *OUT])
            elif chance.random() < 0.1:
                data = some_archive(chance)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert listed
    content = target.getvalue()
    (world.work / "image.tar").write_bytes(worse(content, chance) if chance.random() < 0.2 else content)
    store = LayoutStore(world.work / "scratch")
    world.attempt(lambda: read_archive(world.work / "image.tar", store, "a"))
    world.attempt(lambda: Base.read(Place(store, "a", "latest"), "linux/amd64").python())


class Answers:
    """A registry over HTTP that holds a template, one thing of it worse, and says odd things about it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(0)
        self.store: LayoutStore | None = None

    def __call__(self, method, path, headers, body):
        chance = self.chance
        said = {"Content-Type": chance.choice([IMAGE_MANIFEST] * 8 + [IMAGE_INDEX, "text/html", "\x1b[2J", ""])}
        if chance.random() < 0.08:
            said |= chance.choice(
                [
                    {"Docker-Content-Digest": chance.choice([*self.world.digests, "sha256:x", "\x1b[2J"])},
                    {"WWW-Authenticate": chance.choice(["Basic", "Bearer", 'Bearer realm="', 'Bearer realm="/t"', ""])},
                    {
                        "Location": chance.choice(
                            ["http://[", "//", "file:///etc/passwd", "/v2/", "https://127.0.0.1:1/"]
                        )
                    },
                    {"Link": chance.choice(["<", '<http://[>; rel="next"', '</v2/>; rel="next"'])},
                    {"Retry-After": chance.choice(["9" * 400, "-1", "x"])},
                    {"X-Break": str(chance.randrange(300))},
                ]
            )
        status = chance.choice([200] * 40 + [204, 206, 302, 307, 401, 403, 404, 416, 429, 500, 503, 599])
        try:
            kind, wanted = path.partition("?")[0].split("/")[-2:]
            if kind == "manifests":
                data = self.store.manifest("a", wanted)[1]
            elif kind == "blobs":
                with self.store.read_blob("a", Descriptor("", wanted, 1 << 30)) as source:
                    data = source._source.read()
            else:
                data = mutated({"tags": ["a", "\x1b"], "repositories": ["a"]}, chance, [])
        except (JinaError, ValueError, AttributeError):
            return 404, said, b""
        return status, said, data


def of_registries(world: World, chance: random.Random, answers: Answers, host: str) -> None:
    answers.chance, answers.store = random.Random(chance.random()), world.store(chance)
    store = RegistryStore(host, Access(frozenset({host}), patience=0.05), lambda _: None)
    world.attempt(lambda: world.inspect(store))
    world.attempt(lambda: world.fetch(store, world.work / "cache/target"))


def run(count: int, root: Path) -> World:
    world = World(root)
    answers = Answers(world)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with odd(answers) as server:
        for number in range(count):
            chance = random.Random(f"{SEED} {number}")
            way = chance.random()
            began = time.process_time()
            if way < 0.6:
                of_archives(world, chance)
            elif way < 0.85:
                of_folders(world, chance)
            elif way < 0.92:
                of_docker_archives(world, chance)
            else:
                of_registries(world, chance, answers, server.host)
            took = time.process_time() - began
            world.slowest = max(world.slowest, took)
            assert took < 10, f"case {number} of seed {SEED} took {took:.1f} s of CPU"
            world.check(f"case {number} of seed {SEED}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most) >> 10
    counts = f"{world.accepted} accepted, {world.refused} refused"
    sys.stderr.write(f"{count} cases, {counts}, slowest {world.slowest:.2f} s of CPU, {grown} MiB more memory\n")
    assert grown < 400, f"{grown} MiB more memory than before"
    return world


@pytest.fixture
def root(monkeypatch):
    """A folder in memory, where there is one; temporary files are made there too."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="jina-tests-", dir=memory if os.access(memory, os.W_OK) else None))
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    yield folder
    shutil.rmtree(folder)


def nothing_leaked() -> None:
    """No name that leads out of a folder was written anywhere that it may lead to."""
    for folder in (Path("/tmp"), Path("/dev/shm"), Path("/"), Path.home(), Path.cwd(), Path.cwd().parent):
        with contextlib.suppress(PermissionError):
            assert not [name for name in os.listdir(folder) if MARK in name], folder


@pytest.mark.slow
def test_some(root):
    world = run(int(os.environ.get("JINA_FUZZ_SOME", "300")), root)
    nothing_leaked()
    assert world.accepted > 50
    assert world.refused > 150


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many(root):
    run(int(os.environ.get("JINA_FUZZ_PACKAGES", "10000")), root)
    nothing_leaked()
