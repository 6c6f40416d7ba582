"""Attacks on what is no server: archives of backups, YAML, command lines; and on the agents of a stateful Deployment."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import struct
import tarfile
import tempfile
from pathlib import Path

from tests.attacks.rows import Answer, as_json, one_of, raw_http, request, row
from tests.attacks.world import MIB
from tests.fuzz.mutations import worse, worse_json

REFUSED = one_of("exit 1", "exit 2")


def run(words):
    """A command line in this process: its exit code and what it said. Only one at a time."""
    from jina.cli.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
    text = said.getvalue()
    return Answer("crash" if "Traceback" in text else f"exit {code}", text)


async def command(world, data):
    """Run a command whose files are made first; whatever it does outside of its folder is a crash."""
    words, files = data
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place, "outer", "inner")
        inside.mkdir(parents=True)
        for name, content in files.items():
            (inside / name).write_bytes(content)
        try:
            answer = await asyncio.to_thread(run, [word.replace("INNER", str(inside)) for word in words])
        except Exception as error:
            return Answer("crash", repr(error))
        left = {path.name for folder in (place, os.path.join(place, "outer")) for path in Path(folder).iterdir()}
        if left != {"outer", "inner"}:
            return Answer("outside", str(left))
        return answer


# --- backups -------------------------------------------------------------------------------------------------

MANIFEST = {"format": 1, "group": "ledger", "index": 7, "term": 2, "members": {"0-a": "Voter"}, "generation": "", "replicas": 1,
            "made": "2024-01-01T00:00:00Z", "jina": "4"}  # fmt: skip
OUTSIDE = [
    "/tmp/evil",
    "../evil",
    "..",
    ".",
    "a/b",
    "a/../../b",
    "a/0/1",
    "a\nb",
    "",
    "a/",
    "~",
    "x" * 300,
    "a\x00b",
    "\u202e",
    "-rf",
]
NOT_TEXT = [None, 1, [], {}, True, 1.5]


def archive_of(chance, manifest, state):
    """The files in an archive; sometimes as links or devices, under other names, or twice."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (("manifest.json", manifest), ("state.tar", state)):
            member = tarfile.TarInfo(
                name if chance.random() < 0.9 else chance.choice(["../" + name, "/" + name, "./" + name, name + "\x00"])
            )
            member.size = len(content)
            if chance.random() < 0.1:
                member.type = chance.choice(
                    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
                )
                member.linkname = chance.choice(["/etc/passwd", "../../secret", name])
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


@row("archives of backups", 0.03, command, service="local", crowd=1)
def archives(chance, number):
    state = chance.choice([b"abc", b"", b"\x00" * 2000])
    manifest = {**MANIFEST, "size": len(state), "sha256": hashlib.sha256(state).hexdigest()}
    for _ in range(chance.randint(1, 2)):
        field = chance.choice([*manifest, "group", "group"])
        manifest[field] = chance.choice(
            OUTSIDE if field == "group" else [*NOT_TEXT, -1, 2**70, "x" * 2000, "..", {"../x": "Voter"}]
        )
    if chance.random() < 0.1:
        manifest.pop(chance.choice([*manifest]))
    content = archive_of(chance, chance.choice([json.dumps(manifest).encode()] * 8 + [b"{", b"[]", b"[" * 9000]), state)
    if chance.random() < 0.2:
        content = worse(content, chance)
    words = [
        "raft",
        "restore-backup",
        "INNER/x.backup",
        *([chance.choice(OUTSIDE)] if chance.random() < 0.2 else []),
        "--workspace",
        "INNER/files",
    ]
    words += chance.choice(
        [
            [],
            ["--replicas", chance.choice(["0", "-1", "x", "99999999999"])],
            ["--replica", chance.choice(["0", "x", "-1"])],
        ]
    )
    return (words, {"x.backup": content}), one_of("exit 0", "exit 1", "exit 2")


# --- YAML ----------------------------------------------------------------------------------------------------


def yaml_of(chance):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join([f'*{chr(97 + at)}'] * 9)}]\n"
        for at in range(chance.choice([4, 9, 20]))
    )
    head = "jtype: Flow\nwith: {protocol: http}\nexecutors:\n  - {name: a, uses: Taker}\n"
    return chance.choice([
        bomb, head + bomb, "&a [*a]", "a: &a {b: *a}", "[" * chance.choice([50, 3000, 100_000]), "{a: " * 5000, "- " * 20_000,
        "!!python/object/apply:os.system ['touch ../evil']", "!!python/name:os.system", "jtype: !!python/object:os.system {}", "!Flow {with: {}}",
        "%YAML 9.9\n---\na", "a: b: c", "\t", "\x00", "\ufeff" + head, "---\n---\n", head.replace("Flow", "Deployment"), head.replace("http", "gopher"),
        head.replace("name: a", "name: ../../etc"), head.replace("name: a", f"name: {'x' * 5000}"), head.replace("name: a", "name: [1]"),
        head.replace("Taker}", "Taker, needs: nobody}"), head.replace("Taker}", "Taker, replicas: -1}"), head.replace("Taker}", "Taker, nonsense: 1}"),
        head + head, head.replace("executors", "executers"), head + "version: 99\n", "jtype: " + "x" * 5000, "jtype: [Flow]", "1", "null", "''", "? {a: b}\n: c",
        "executors: " + "x" * 100_000, head.replace("{protocol: http}", "{protocol: http, port: 99999999}"), "<<: *x", "a: 1" + "0" * 5000, "2001-99-99", "!!binary x",
        head.replace("{protocol: http}", "{protocol: http, port: [1, 2]}"), "!!int x", "!!set [1]", "!!omap 1", "a: !!float x",
    ]).encode("utf-8", "surrogatepass")  # fmt: skip


A_FLOW = {
    "jtype": "Flow", "with": {"protocol": ["http", "grpc"], "port": [50001, 50002], "name": "f", "env": {"A": "b"}, "timeout_send": 3},
    "gateway": {"cors": True}, "version": "1",
    "executors": [{"name": "a", "uses": "Taker", "replicas": 2, "py_modules": ["x.py"], "uses_with": {"k": 1}},
                  {"name": "b", "uses": {"jtype": "Taker", "with": {"k": 1}, "metas": {"name": "m"}}, "needs": ["a", "gateway"], "when": {"k": {"$eq": 1}}},
                  {"name": "c", "shards": 2, "polling": {"/a": "ALL"}, "needs": "b"}],
}  # fmt: skip


@row("YAML of Flows", 0.03, command, service="local", crowd=1)
def yaml_files(chance, number):
    content = yaml_of(chance)
    if chance.random() < 0.4:
        content = worse_json(A_FLOW, chance)  # JSON is YAML
    elif chance.random() < 0.3:
        content = worse(content[:5000], chance)
    return (["export", "flowchart", "INNER/flow.yml", "INNER/out.mmd"], {"flow.yml": content}), one_of(
        "exit 0", "exit 1", "exit 2"
    )


# --- command lines -------------------------------------------------------------------------------------------

WHOLE = ["port", "replicas", "shards", "max-message-size", "max-documents", "max-depth", "max-inflight", "max-unread"]
SERVING = ["executor", "deployment", "flow", "gateway"]


@row("command lines", 0.03, command, service="local", crowd=1)
def command_lines(chance, number):
    odd = ["x", "-1", "1e9", "nan", "99999999999999999999", "", "[1", "{", "1.5", "\u0661", "0x1g", " "]
    words = chance.choice([
        [chance.choice(SERVING[:2]), f"--{chance.choice(WHOLE[:6])}", chance.choice(["x", "-1", "nan", "", "1.5", "{"])],
        [chance.choice(SERVING), '--' + chance.choice(['nonsense', 'prot', 'x' * 5000, '']), '1'],
        [chance.choice(["executer", "", "-", "--", "-x", "flow\n", "../x", "x" * 5000]), "x"],
        ["flow", "--uses", chance.choice(["INNER/none.yml", "", "INNER", "/dev/null", "x" * 5000])],
        ["executor", "--uses", "NoSuchClass", "--rate-limit", chance.choice(odd), "--port", "x"],
        ["executor", "--uses", "NoSuchClass", "--api-keys", chance.choice(["", ":", "a:", ":b", "a:b:c,", "=", ","]), "--max-depth", "x"],
        ["ping", chance.choice(["x://", "grpc://", "http://[::1", "grpc://x:99999", "", "http://:0", "executor grpc:///"]), "--timeout", "200"],
        ["client", "--host", chance.choice(["x://y", "[::1", "", "a b"]), "--port", chance.choice(["x", "-1", "99999"]), "--text", "x"],
        ["client", "--parameters", chance.choice(["{", "[1]", "1", "nul", "[" * 5000]), "--port", "1"],
        ["raft", chance.choice(["", "x", "status", "remove"]), "--peer", chance.choice(odd)],
        ["logs", chance.choice(["INNER/none", "/dev/null", "x" * 5000]), "--lines", chance.choice(odd)],
        ["export", chance.choice(["x", "flowchart"]), chance.choice(["INNER/none"]), "INNER/x.svg"],
        ["hub", "new", "--name", chance.choice(["../x", "1x", "a b", "", "x y z"]), "--path", "INNER"],
        ["new", chance.choice(["INNER", "/dev/null/x", "INNER/" + "x" * 300])],
        ["check", chance.choice(["INNER/none", "x" * 5000])],
        ["help", "nonsense"], ["completion", "tcsh"],
    ])  # fmt: skip
    return (words, {}), REFUSED


# --- agents --------------------------------------------------------------------------------------------------


async def to_agent(world, data):
    """Say something to an agent as one that has no key; it may say nothing but its own half of the proof, and must end it."""
    which, purpose, generation, content = data
    peers = await asyncio.to_thread(world.peers)
    address, result = peers[which % len(peers)]
    parts = [world.group, *([result] if generation else [])]
    mark = hashlib.sha256("\0".join(parts).encode()).digest()[:16]
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    heard = b""
    try:
        writer.write(content.replace(b"MARK", mark) if purpose is None else purpose + mark + content)
        await writer.drain()
        while part := await reader.read(1 << 16):
            heard += part
            if len(heard) > 4096:
                break
            writer.write(part)  # what it says is said back
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return Answer("closed" if len(heard) < 100 else "answered", repr(heard[:300]))


def frame(kind, body, length=None):
    return struct.pack("<IBQ", (9 + len(body)) if length is None else length, kind, 1) + body


def still_writes(world):
    """Complaints where the group takes no writes any more, or has taken one without the key."""
    world.wrote = getattr(world, "wrote", 0) + 1
    answer = asyncio.run(raw_http(world, request("/add", as_json([{"label": "written"}]))))
    if answer.status != "200":
        return [f"a write was answered {answer.status} {answer.text[:300]}"]
    count = json.loads(answer.text)["data"][0]["count"]
    return [] if count == world.wrote else [f"{count} writes are in the log instead of {world.wrote}"]


@row("connections to agents without the key", 0.04, to_agent, service="stateful", check=still_writes, grows=128 * MIB)
def strangers(chance, number):
    body = chance.choice([b"", chance.randbytes(40), b"x" * 2000, b"{}", b"\x80" * 64])
    length = chance.choice([None, None, 0, 1, 2**31, 2**32 - 1, 1 << 30, 5])
    sent = b"".join(frame(chance.randrange(256), body, length) for _ in range(chance.choice([1, 3])))
    proof = chance.randbytes(32) + chance.choice([b"", chance.randbytes(32), b"\x00" * 32, chance.randbytes(31)])
    purpose = chance.choice([b"P", b"S", b"R", b"A", bytes([chance.randrange(256)]), None])
    if purpose is None:
        content = chance.choice([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + b"x" * 512, chance.randbytes(17), b"PMAR",
                                 b"", b"PMARK" + sent, b"\x00" * 100])  # fmt: skip
    else:
        content = chance.choice([sent, proof + sent, proof, proof[:9], worse(proof + sent, chance)])
    return (chance.randrange(3), purpose, chance.random() < 0.7, content), one_of("closed")


@row("requests to stateful Executors", 0.04, raw_http, service="stateful", check=still_writes)
def stateful_requests(chance, number):
    fields = {
        "jina-consistency": ["nonsense", "", "LINEARIZABLE", "session", "linearizable", "eventual", "é"],
        "jina-index": [
            "x",
            "keeper=",
            "keeper=x",
            "keeper=-1",
            "keeper=99999999999999999999999",
            "nobody=5",
            "keeper/shard-9=1",
            "=,=",
            "a=1," * 900,
        ],
        "jina-session": ["x", "", ":", "a:b", "a:99999999999999999999999", "a:-1", "x" * 5000, "a:1:2:3", "\u0661"],
        "x-request-id": ["", "same", "x" * 5000, "é"],
        "x-request-timeout": ["1", "x", "nan"],
    }
    names = chance.sample([*fields], chance.randint(1, 3))
    lines = [f"{name}: {chance.choice(fields[name])}" for name in names]
    # A read for an index that is not reached yet waits for it, and its client says for how long.
    lines += [] if "x-request-timeout" in names else ["x-request-timeout: 2"]
    path = chance.choice(["/typed", "/wishes", "/add"])
    body = as_json([{"label": []}]) if path == "/add" else as_json([{"text": "x", "label": "x"}])
    want = one_of("400", "422", "409") if path == "/add" else one_of("200", "400", "422", "503", "504")
    return request(path, body, *lines), want
