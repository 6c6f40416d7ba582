"""The GPUs that a machine shows."""

import shutil
import subprocess

import pytest

from jina import Deployment, Executor, requests
from jina.supervisor.gpus import MachineGpus, listed_in, visible_of

LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-6ae4d4f5-1111-2222-3333-444455556666)
  MIG 1g.10gb     Device  0: (UUID: MIG-aaaa)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-77e4d4f5-1111-2222-3333-444455556666)
"""


def indexes(gpus):
    return [gpu["index"] for gpu in gpus]


def test_what_nvidia_smi_lists():
    assert listed_in(LISTED) == [
        {"index": "0", "uuid": "GPU-6ae4d4f5-1111-2222-3333-444455556666"},
        {"index": "1", "uuid": "GPU-77e4d4f5-1111-2222-3333-444455556666"},
    ]
    assert listed_in("No devices were found\n") == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1,0", ["1", "0"]), ("1", ["1"]), ("", []), ("-1", []), ("0,9,1", ["0"]), ("GPU-77e4", ["1"]),
        ("MIG-aaaa", ["MIG-aaaa"]),
    ],
)  # fmt: skip
def test_the_variable_bounds_what_workers_get(visible, expected):
    assert indexes(visible_of(listed_in(LISTED), visible)) == expected


def test_what_the_environment_counts(monkeypatch):
    monkeypatch.setenv("CUDA_TOTAL_DEVICES", "3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert indexes(MachineGpus().gpus()) == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert indexes(MachineGpus().gpus()) == ["2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "RR0:2")
    assert indexes(MachineGpus().gpus()) == ["0", "1", "2"]
    assert MachineGpus().variable == "RR0:2"


def test_a_machine_without_the_command_has_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_TOTAL_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert list(MachineGpus().gpus()) == []


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="this machine has no nvidia-smi")
def test_the_gpus_of_this_machine(monkeypatch):
    monkeypatch.delenv("CUDA_TOTAL_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    counted = subprocess.run(
        ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    uuids = counted.stdout.split() if counted.returncode == 0 else []
    assert [gpu["uuid"] for gpu in MachineGpus().gpus()] == uuids


class TellsItsGpus(Executor):
    @requests
    def tell(self, docs, **kwargs):
        import os

        for doc in docs:
            doc.text = os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.mark.slow
def test_replicas_take_turns(monkeypatch):
    """Shards too; each of four answers."""
    from jina import Document, DocumentArray

    monkeypatch.setenv("CUDA_TOTAL_DEVICES", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "RR")
    with Deployment(uses=TellsItsGpus, shards=4, polling="ALL", no_reduce=True, quiet=True) as deployment:
        assert sorted(deployment.post("/", DocumentArray([Document()])).texts) == ["0", "0", "1", "2"]
    with Deployment(uses=TellsItsGpus, replicas=3, quiet=True) as deployment:
        documents = DocumentArray([Document() for _ in range(30)])
        assert set(deployment.post("/", documents, request_size=1).texts) == {"0", "1", "2"}


@pytest.mark.slow
def test_workers_see_their_own(monkeypatch):
    from jina import Document, DocumentArray

    monkeypatch.setenv("CUDA_TOTAL_DEVICES", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with Deployment(uses=TellsItsGpus, shards=2, polling="ALL", no_reduce=True, gpus=1, quiet=True) as deployment:
        assert deployment.post("/", DocumentArray([Document()])).texts == ["0", "1"]
