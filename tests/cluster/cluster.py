"""A real Kubernetes of a few nodes on this machine, for tests: no engine, no registry, nothing in the host's network.

The control plane has a network namespace of its own, and each node has one of network, mounts and processes: ending its
first process ends everything on it, as a power cut does. Nothing outlives the process that started a cluster.

python -m tests.cluster.cluster --nodes 3     holds a cluster until Ctrl+C, and says how to reach it; tests use it while
                                              JINA_CLUSTER has its folder
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import trustme
import yaml

from tests.cluster import binaries
from tests.processes import gone

KUBERNETES = Path(__file__).with_name("kubernetes")
PLUGINS = Path("/usr/lib/cni")  # where Debian has them
GROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
SHARES = 3072
"""Of the CPU, for a cluster as a whole; a single process beside it has 1024."""
PREFIX = "jina-cluster-"
NODES = "198.18.0"
CONTROL = f"{NODES}.1"
SERVICES = "198.18.255"
PODS = "198.19"
VOLUMES = 10
"""Of each node."""
READY_WITHIN = 240.0
T = TypeVar("T")


class Lacking(Exception):
    """What this machine lacks to run a cluster, in one line."""


class Cluster:
    """A running cluster. What runs in the control plane's network reaches pods and Services by address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "admin.kubeconfig"
        self._ends_with_us = ["setpriv", "--pdeathsig", "KILL"]
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    # --- use ----------------------------------------------------------------------------------------------

    @property
    def inside(self) -> list[str]:
        """What begins a command that is to run in the network of the control plane."""
        return [*self._joining("control"), "nsenter", f"--net=/proc/{self._pid('network')}/ns/net", "--"]

    @property
    def environment(self) -> dict[str, str]:
        """Variables of programs that ask the API server."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {**kept, "KUBECONFIG": str(self.kubeconfig)}

    def run(self, *words: object, stdin: str | None = None, limit: float = 120.0, check: bool = True) -> str:
        """What a command printed that ran inside; fails with the end of what it said."""
        command = [*self.inside, *map(str, words)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=limit, check=False, env=self.environment
        )
        assert done.returncode == 0 or not check, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def kubectl(self, *words: object, stdin: str | None = None, limit: float = 120.0, check: bool = True) -> str:
        """What kubectl printed."""
        given = binaries.words_of_kubectl(*words)
        return self.run(binaries.FOLDER / "kubectl", *given, stdin=stdin, limit=limit, check=check)

    def get(self, *words: object, namespace: str = "default") -> dict[str, Any]:
        """Objects as the API server has them: `get("pod", "a")`, or `get("pods", "-l", "app=a")` with `items`."""
        found: dict[str, Any] = json.loads(self.kubectl("-n", namespace, "get", *words, "-o", "json"))
        return found

    def apply(self, source: Path | str, *words: object) -> str:
        """Apply a file, all files of a folder, or the text of some."""
        if isinstance(source, Path):
            return self.kubectl("apply", "-R", "-f", source, *words)
        return self.kubectl("apply", "-f", "-", *words, stdin=source)

    def wait(self, condition: Callable[[], T], what: str, limit: float = READY_WITHIN) -> T:
        """The first result of `condition` that counts as true; what it asks for may not be there yet."""
        end, error = time.monotonic() + limit, ""
        while True:
            try:
                if found := condition():
                    return found
            except (AssertionError, OSError, ValueError) as failed:
                error = f": {failed}"
            assert time.monotonic() < end, f"not within {limit:g} s: {what}{error}"
            time.sleep(0.2)

    def forget(self, namespace: str) -> None:
        """Remove a namespace with all that is in it."""
        self.kubectl("delete", "namespace", namespace, "--wait=false")
        # What is not ready to end need not be waited for: nothing of it is looked at any more.
        self.kubectl("-n", namespace, "delete", "pods", "--all", "--force", "--grace-period=0", check=False)
        self.wait(
            lambda: not self.kubectl("get", "namespace", namespace, "--ignore-not-found"), f"the end of {namespace}"
        )

    def load(self, *archives: Path) -> None:
        """Put images into all nodes; their tags must not be `latest`, which the kubelet would want to pull."""
        nodes = [number for number in self.nodes if self.is_on(number)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda number: self._load(number, *archives), nodes))

    def _load(self, number: int, *archives: Path) -> None:
        for archive in archives:
            self.run("ctr", "-a", self._node(number) / "containerd.sock", "-n", "k8s.io", "images", "import", archive,
                     limit=300)  # fmt: skip

    # --- nodes --------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[int]:
        """Their numbers; their names are `node1` and so on."""
        return sorted(int(folder.name.removeprefix("node")) for folder in self.folder.glob("node*") if folder.is_dir())

    def is_on(self, number: int) -> bool:
        """Whether a node has power."""
        return (self.folder / f"node{number}.pid").exists()

    def boot(self, number: int) -> None:
        """Start a node; the pods that were there before it was cut off are started again by its kubelet."""
        name, place = f"node{number}", self._node(number)
        self._group(f"{self.folder.name}/{name}")
        environment = {
            **self.environment,
            "NODE": str(place),
            "NAME": name,
            "ADDRESS": f"{NODES}.{10 + number}",
            "PODS": f"{PODS}.0.0/16",
            "BINARIES": str(binaries.FOLDER),
        }
        spaces = ["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child=KILL", "--mount-proc"]
        command = [*self._ends_with_us, *self._joining(name), "unshare", *spaces, "bash", str(KUBERNETES / "node.sh")]
        with (place / "node.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._note(name, process)
        self._connect(number, process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n")
            process.stdin.close()
        self.wait(lambda: self.run("ctr", "-a", place / "containerd.sock", "version"), f"containerd of {name}", 120)

    def cut_power(self, number: int) -> None:
        """End everything on a node at once; what was sent there gets no answer of any kind."""
        self.run("ip", "link", "set", f"n{number}", "down", check=False)
        self._kill(f"node{number}")
        self.run("ip", "link", "del", f"n{number}", check=False)
        (self._node(number) / "containerd.sock").unlink(missing_ok=True)
        self._ungroup(f"{self.folder.name}/node{number}")

    def pull_cable(self, number: int, *, out: bool = True) -> None:
        """Cut a node off the others, and connect it again."""
        self.run("ip", "link", "set", f"n{number}", "down" if out else "up")

    def _node(self, number: int) -> Path:
        return self.folder / f"node{number}"

    def _connect(self, number: int, process: subprocess.Popen[bytes]) -> None:
        """A cable from the node to the switch, and the ways to the pods of all nodes."""
        _await_namespace(process)
        name, into = f"n{number}", ["nsenter", f"--net=/proc/{process.pid}/ns/net", "--"]
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", process.pid)
        self.run("ip", "link", "set", name, "master", "switch", "up")
        self.run("ip", "route", "replace", f"{PODS}.{number}.0/24", "via", f"{NODES}.{10 + number}")
        steps = [
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{NODES}.{10 + number}/24", "dev", "eth0"],
            ["ip", "link", "set", "eth0", "up"],
            ["ip", "route", "add", "default", "via", CONTROL],
            ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0"],
            *(
                ["ip", "route", "add", f"{PODS}.{other}.0/24", "via", f"{NODES}.{10 + other}"]
                for other in self.nodes
                if other != number
            ),
        ]
        for step in steps:
            subprocess.run([*into, *step], check=True, capture_output=True, timeout=30)

    def _prepare(self, number: int) -> None:
        place = self._node(number)
        for folder in ("kubelet", "log", "containerd", "cni", *(f"volumes/{one}" for one in range(VOLUMES))):
            (place / folder).mkdir(parents=True)
        for name, value in _KERNEL.items():
            (place / "sysctl" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "sysctl" / name).write_text(f"{value}\n")
        (place / "cni/10-pods.conflist").write_text(json.dumps(_pod_network(number)))
        (place / "containerd.toml").write_text(_containerd(place))
        (place / "kubelet.yaml").write_text(yaml.dump(self._kubelet(number)))

    def _kubelet(self, number: int) -> dict[str, Any]:
        place = self._node(number)
        short_of = (
            "memory.available",
            "nodefs.available",
            "nodefs.inodesFree",
            "imagefs.available",
            "imagefs.inodesFree",
        )
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": f"{NODES}.{10 + number}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.folder / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.folder.name}/node{number}",
            "failCgroupV1": False,
            "failSwapOn": False,
            # What takes CAP_SYS_RESOURCE, which root may lack, does not end it.
            "featureGates": {"KubeletInUserNamespace": True},
            "clusterDNS": [f"{SERVICES}.10"],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{place}/containerd.sock",
            "enforceNodeAllocatable": [],
            "evictionHard": dict.fromkeys(short_of, "0%"),
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 8,
            "syncFrequency": "10s",
            "resolvConf": "",
            "healthzPort": 0,
            "volumePluginDir": str(place / "plugins"),
        }

    # --- start and end ------------------------------------------------------------------------------------

    def up(self, nodes: int) -> None:
        """Start the control plane and so many nodes, until they are ready."""
        self._identify(nodes)
        for number in range(1, nodes + 1):
            self._prepare(number)
        self._group(self.folder.name, shares=SHARES)
        self._group(f"{self.folder.name}/control", shares=SHARES)
        holder = self._start("network", "unshare", "--net", "sleep", "infinity")
        _await_namespace(holder)
        for step in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "link", "add", "switch", "type", "bridge"],
            ["ip", "address", "add", f"{CONTROL}/24", "dev", "switch"],
            ["ip", "link", "set", "switch", "up"],
            ["sysctl", "-qw", "net.ipv4.ip_forward=1"],
            # The first node translates the addresses of Services for who asks from outside.
            ["ip", "route", "add", f"{SERVICES}.0/24", "via", f"{NODES}.11"],
        ):
            self.run(*step)
        self._control_plane()
        images = self._images()
        for number in self.nodes:
            self.boot(number)
        self.load(*images)
        self.apply((KUBERNETES / "coredns.yaml").read_text().replace("@ADDRESS@", f"{SERVICES}.10"))
        self.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(self._storage())}))
        self.wait(
            lambda: (
                len(self.get("nodes")["items"]) == nodes
                and self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=5s")
            ),
            f"{nodes} ready nodes",
        )
        self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s", limit=150)

    def _control_plane(self) -> None:
        etcd, servers = "http://127.0.0.1:2379", self.folder
        self._serve("etcd", f"--data-dir={servers}/etcd", f"--listen-client-urls={etcd}",
                    f"--advertise-client-urls={etcd}", "--listen-peer-urls=http://127.0.0.1:2380",
                    "--unsafe-no-fsync")  # fmt: skip
        self._serve(
            "kube-apiserver", f"--etcd-servers={etcd}", f"--advertise-address={CONTROL}", "--secure-port=6443",
            "--tls-cert-file=apiserver.crt", "--tls-private-key-file=apiserver.key", "--client-ca-file=ca.crt",
            "--token-auth-file=tokens.csv", "--kubelet-client-certificate=kubelet-client.crt",
            "--kubelet-client-key=kubelet-client.key", "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
            "--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={SERVICES}.0/24", "--requestheader-client-ca-file=front.crt",
            "--requestheader-allowed-names=front", "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file=front-proxy.crt", "--proxy-client-key-file=front-proxy.key",
            "--enable-aggregator-routing", "--default-not-ready-toleration-seconds=5",
            "--default-unreachable-toleration-seconds=5",
        )  # fmt: skip
        self.wait(lambda: self.kubectl("get", "--raw", "/readyz"), "the API server")
        self._serve(
            "kube-controller-manager", "--kubeconfig=manager.kubeconfig", "--use-service-account-credentials",
            "--root-ca-file=ca.crt", "--service-account-private-key-file=sa.key", "--cluster-signing-cert-file=ca.crt",
            "--cluster-signing-key-file=ca.key", "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--cert-dir={servers}/manager", "--node-monitor-period=1s", "--node-monitor-grace-period=10s",
            "--horizontal-pod-autoscaler-sync-period=2s", "--horizontal-pod-autoscaler-downscale-stabilization=10s",
        )  # fmt: skip
        self._serve("kube-scheduler", "--kubeconfig=scheduler.kubeconfig", "--leader-elect=false",
                    "--bind-address=127.0.0.1", f"--cert-dir={servers}/scheduler")  # fmt: skip

    def _serve(self, program: str, *words: str) -> None:
        self._start(program, *self.inside, str(binaries.FOLDER / program), *words)

    def _identify(self, nodes: int) -> None:
        """Certificates, tokens, and for each user a file that says how to reach the API server."""
        authority, front = trustme.CA(organization_name="kubernetes"), trustme.CA(organization_name="front")
        write = lambda name, blob: (self.folder / name).write_bytes(blob.bytes())  # noqa: E731
        write("ca.crt", authority.cert_pem)
        write("ca.key", authority.private_key_pem)
        write("front.crt", front.cert_pem)
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        for name, made in {
            "apiserver": authority.issue_cert(*names, CONTROL, f"{SERVICES}.1", "127.0.0.1"),
            "kubelet-client": authority.issue_cert("apiserver", organization_name="system:masters", common_name="api"),
            "front-proxy": front.issue_cert("front", common_name="front"),
        }.items():
            write(f"{name}.crt", made.cert_chain_pems[0])
            write(f"{name}.key", made.private_key_pem)
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "sa.key", "2048"], check=True, capture_output=True)
        self._users({
            "admin.kubeconfig": ("admin", "system:masters"),
            "manager.kubeconfig": ("system:kube-controller-manager", ""),
            "scheduler.kubeconfig": ("system:kube-scheduler", ""),
            **{
                f"node{number}/{file}.kubeconfig": who
                for number in range(1, nodes + 1)
                for file, who in (("kubelet", (f"system:node:node{number}", "system:nodes")),
                                  ("proxy", ("system:kube-proxy", "")))
            },
        })  # fmt: skip

    def _users(self, users: Mapping[str, tuple[str, str]]) -> None:
        tokens: dict[tuple[str, str], str] = {}
        for file, who in users.items():
            token = tokens.setdefault(who, os.urandom(16).hex())
            place = self.folder / file
            place.parent.mkdir(exist_ok=True)
            cluster = {"server": f"https://{CONTROL}:6443", "certificate-authority": str(self.folder / "ca.crt")}
            place.write_text(yaml.dump({
                "apiVersion": "v1", "kind": "Config", "current-context": "test",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {"token": token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            }))  # fmt: skip
        lines = [",".join([token, user, user, *([group] if group else [])]) for (user, group), token in tokens.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _images(self) -> list[Path]:
        found = []
        for name in ("pause", "coredns"):
            found.append(self.folder / f"{name}.tar")
            binaries.write_archive(found[-1], f"docker.io/jina-test/{name}:1", binaries.FOLDER / name)
        return found

    def _storage(self) -> Iterator[dict[str, Any]]:
        """Volumes: folders of the nodes, bound to a claim when its pod has found a node."""
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        yield {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "local", "annotations": default},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        for number in self.nodes:
            here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [f"node{number}"]}
            for one in range(VOLUMES):
                yield {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": f"node{number}-{one}"},
                    "spec": {
                        "capacity": {"storage": "100Gi"},
                        "accessModes": ["ReadWriteOnce"],
                        "storageClassName": "local",
                        "persistentVolumeReclaimPolicy": "Retain",
                        "local": {"path": str(self._node(number) / f"volumes/{one}")},
                        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
                    },
                }

    def down(self) -> None:
        """End everything, and remove what it left."""
        for number in self.nodes:
            if self.is_on(number):
                with contextlib.suppress(AssertionError):
                    self.cut_power(number)
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd", "network"):
            self._kill(name)
        _clear(self.folder)

    # --- processes and control groups -----------------------------------------------------------------------

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        command = [*self._ends_with_us, *self._joining("control"), *words]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=self.environment,
            )  # fmt: skip
        self._note(name, process)
        return process

    def _note(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._started[name] = process
        (self.folder / f"{name}.pid").write_text(str(process.pid))

    def _pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())

    def _kill(self, name: str) -> None:
        file = self.folder / f"{name}.pid"
        if not file.exists():
            return
        pid = self._pid(name)
        file.unlink()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if (process := self._started.pop(name, None)) is not None:
            process.wait(60)
        else:
            self.wait(lambda: gone(pid), f"the end of {name}", 60)

    def _joining(self, group: str) -> list[str]:
        """What begins a command that gets its share of the CPU with the cluster, and not beside it."""
        files = " ".join(str(GROUPS / one / self.folder.name / group / "tasks") for one in ("cpu", "cpuacct"))
        return ["sh", "-c", f'for tasks in {files}; do echo 0 > "$tasks"; done; exec "$@"', "sh"]

    @staticmethod
    def _group(name: str, shares: int = 1024) -> None:
        """Make a control group."""
        for controller in CONTROLLERS:
            (GROUPS / controller / name).mkdir(parents=True, exist_ok=True)
        place = GROUPS / "cpuset"
        for part in name.split("/"):
            for file in ("cpuset.cpus", "cpuset.mems"):
                (place / part / file).write_text((place / file).read_text())
            place /= part
        (GROUPS / "cpu" / name / "cpu.shares").write_text(str(shares))

    def _ungroup(self, name: str) -> None:
        self.wait(lambda: _remove_groups(name), f"the end of what is in the control group {name}", 60)


_KERNEL = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
"""What the kubelet insists on."""


def _pod_network(number: int) -> dict[str, Any]:
    ranges = [[{"subnet": f"{PODS}.{number}.0/24"}]]
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    each = {"type": "ptp", "mtu": 1500, "ipMasq": False, "ipam": addresses}
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [each, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def _containerd(place: Path) -> str:
    return f"""\
version = 2
root = "{place}/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "{place}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/jina-test/pause:1"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{place}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _await_namespace(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        assert process.poll() is None, "unshare ended"
        assert time.monotonic() < end, "no network namespace"
        time.sleep(0.01)


def _remove_groups(name: str) -> bool:
    left = False
    for controller in (*CONTROLLERS, "unified"):  # where programs join the other hierarchy as well
        for group in [*sorted((GROUPS / controller / name).glob("**/"), reverse=True)]:
            try:
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # a process that was killed is in it still
                left = True
    return not left


def _clear(folder: Path) -> None:
    """Remove the folder and the groups of a cluster that has ended."""
    end = time.monotonic() + 60
    while not _remove_groups(folder.name):
        assert time.monotonic() < end, f"processes in the control group {folder.name}"
        time.sleep(0.1)
    shutil.rmtree(folder)


def check_machine() -> None:
    """Raise `Lacking` where no cluster can run."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Lacking("a cluster needs Linux and root")
    programs = ("containerd", "runc", "ctr", "iptables", "ip", "nsenter", "unshare", "setpriv", "openssl", "sysctl")
    absent = [name for name in programs if shutil.which(name) is None]
    if not (PLUGINS / "ptp").exists():
        absent.append(f"{PLUGINS}/ptp")
    if absent:
        raise Lacking(f"a cluster needs {', '.join(absent)}: `make test-cluster` installs them, as root on Debian")
    absent = [name for name in CONTROLLERS if not (GROUPS / name / "tasks").exists()]
    if absent:
        raise Lacking(f"a cluster needs the cgroup v1 controllers {', '.join(absent)}")
    if absent := binaries.missing():
        raise Lacking(f"no {', '.join(absent)} in {binaries.FOLDER}: `make test-cluster` builds them once")


@contextlib.contextmanager
def running(nodes: int) -> Iterator[Cluster]:
    """A cluster with so many nodes, or that of JINA_CLUSTER; raises `Lacking` where there can be none."""
    if given := os.environ.get("JINA_CLUSTER"):
        attached = Cluster(Path(given))
        attached._ends_with_us = []
        yield attached
        for process in attached._started.values():
            process.returncode = 0  # a node that was started again goes on: Popen is not to complain of it
        return
    check_machine()
    _clear_those_that_ended()
    Path("/var/lib/kubelet").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))  # sockets need a short path
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Cluster(folder)
        try:
            made.up(nodes)
            yield made
        finally:
            made.down()


def _clear_those_that_ended() -> None:
    """What clusters left whose process was killed; everything that they started ended with it."""
    for folder in Path("/tmp").glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=3)
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with running(given.nodes) as made:
            sys.stdout.write(f"export JINA_CLUSTER={made.folder} KUBECONFIG={made.kubeconfig}\n")
            sys.stdout.write(f"{shlex.join(made.inside)} {binaries.FOLDER}/kubectl get pods -A\n")
            sys.stdout.flush()
            signal.pause()
    except Lacking as error:
        sys.exit(f"cluster: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
