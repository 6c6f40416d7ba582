"""The programs of a Kubernetes cluster, and images of them, built by module name from a Go module proxy.

They are built once for each machine and kept outside of the tree, in `~/.cache/jina-cluster-binaries` (or where
`JINA_CLUSTER_BINARIES` says): a clean build takes 16 minutes of two cores. Versions are those of `kubernetes/*/go.mod`.

python -m tests.cluster.binaries [--look]     builds what is missing; or only says so, and fails then
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

MODULES = Path(__file__).with_name("kubernetes")
VERSION = re.findall(r"^require k8s.io/kubernetes v(\S+)$", (MODULES / "kubernetes/go.mod").read_text(), re.MULTILINE)[
    0
]
FOLDER = Path(
    os.environ.get("JINA_CLUSTER_BINARIES") or f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/jina-cluster-binaries"
)
PACKAGES = {
    "pause": ("pause", "."),
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "coredns": ("coredns", "."),
    **{
        name: ("kubernetes", f"k8s.io/kubernetes/cmd/{name}")
        for name in (
            "kubectl", "kubelet", "kube-scheduler", "kube-proxy", "kube-controller-manager", "kube-apiserver",
        )
    },
}  # fmt: skip
"""Program -> folder of its go.mod, package."""
NEEDED_GO = (1, 26)
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def words_of_kubectl(*words: object) -> list[str]:
    """Words of its command line: it reads what follows -f as CSV, so that paths may be in need of quotes."""
    quoted = lambda path: '"' + str(path).replace('"', '""') + '"'  # noqa: E731
    return [quoted(word) if isinstance(word, Path) else str(word) for word in words]


class Unbuildable(Exception):
    """What this machine lacks, in one line."""


def missing() -> list[str]:
    """The programs that are not there, or there in another version."""
    return [name for name in PACKAGES if not _is_current(name)]


def _is_current(name: str) -> bool:
    program = FOLDER / name
    if not os.access(program, os.X_OK):
        return False
    if PACKAGES[name][0] != "kubernetes" or name == "kubectl":
        return True
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.split() == ["Kubernetes", f"v{VERSION}"]


def build() -> None:
    """Build what is missing; raises `Unbuildable`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may build them at this time
        wanted = missing()
        if not wanted:
            return
        go = _go()
        sys.stderr.write(f"cluster: {', '.join(wanted)}: built once into {FOLDER}\n")
        for name in wanted:
            began = time.monotonic()
            _build(go, name)
            sys.stderr.write(f"cluster: {name} after {time.monotonic() - began:.0f} s\n")
        # A gigabyte of modules, and more of what the compiler keeps: it is of no use once all are there.
        shutil.rmtree(FOLDER / "go", ignore_errors=True)


def _go() -> str:
    """A Go that is new enough: the machine's, or that of this environment."""
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    go = shutil.which("go", path=path)
    if go is None:
        raise Unbuildable(f"no go of version {'.'.join(map(str, NEEDED_GO))} or later to build {missing()[0]} with")
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=False)
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < NEEDED_GO:
        raise Unbuildable(
            f"{go} is {done.stdout.strip() or 'broken'}: it takes {'.'.join(map(str, NEEDED_GO))} or later"
        )
    return go


def _build(go: str, name: str) -> None:
    folder, package = PACKAGES[name]
    major, minor, _ = VERSION.split(".")
    told = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = [
        f"-X {place}.{key}={value}"
        for place in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for key, value in told.items()
    ]
    settings = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOMODCACHE": str(FOLDER / "go/mod"),
        "GOCACHE": str(FOLDER / "go/build"),
        "XDG_CONFIG_HOME": str(FOLDER / "go/config"),  # where Go counts what it does
    }
    command = [
        "nice",
        go,
        "build",
        "-trimpath",
        "-ldflags",
        " ".join(["-s", "-w", *flags]),
        "-o",
        FOLDER / f"{name}.part",
    ]
    done = subprocess.run(
        [*command, package], cwd=MODULES / folder, env={**os.environ, **settings}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unbuildable(
            f"{name} cannot be built: {(done.stderr.strip().splitlines() or ['go says nothing'])[-1][:300]}"
        )
    (FOLDER / f"{name}.part").rename(FOLDER / name)


def write_archive(path: Path, name: str, program: Path) -> None:
    """An archive for `ctr images import` of an image with nothing but a program that stands on its own."""
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        tar.add(program, program.name, filter=_plain)
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": MACHINES[os.uname().machine],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "config": {"Entrypoint": [f"/{program.name}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        for member, data in (("config.json", config), ("manifest.json", json.dumps(manifest).encode())):
            about = tarfile.TarInfo(member)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
        tar.add(layer, "layer.tar")
    layer.unlink()


def _plain(about: tarfile.TarInfo) -> tarfile.TarInfo:
    about.uid = about.gid = about.mtime = 0
    about.uname = about.gname = ""
    about.mode = 0o755
    return about


if __name__ == "__main__":
    try:
        if "--look" in sys.argv and (lacking := missing()):
            raise Unbuildable(f"{', '.join(lacking)} not in {FOLDER}: `make test-cluster` builds what is missing")
        build()
    except Unbuildable as error:
        sys.exit(f"cluster: {error}")
