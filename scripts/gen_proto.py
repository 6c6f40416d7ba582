"""Generate what `jina.codec.pb` loads and what type checkers read, from `src/jina/codec/protos`.

Writes `jina.desc` (a FileDescriptorSet with all imports) and one `*_pb2.pyi` a proto file. Needs grpcio-tools.

    python scripts/gen_proto.py [FOLDER]

FOLDER is where the files go, by default `src/jina/codec`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

CODEC = Path(__file__).resolve().parent.parent / "src" / "jina" / "codec"
FILES = ("docarray.proto", "jina.proto", "envelope.proto")
TOOLS = (
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
    "externalscaler.proto",
    "inference.proto",
)
"""The protocols of tools, whose classes are made from their descriptors alone."""


def _protoc(*options: str, files: tuple[str, ...] = FILES) -> None:
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{CODEC / 'protos'}", f"-I{well_known}", *options, *files])
    if code:
        raise SystemExit(code)


def _descriptors(folder: Path) -> None:
    _protoc("--include_imports", f"--descriptor_set_out={folder / 'jina.desc'}", files=FILES + TOOLS)
    files = FileDescriptorSet.FromString((folder / "jina.desc").read_bytes())
    (folder / "jina.desc").write_bytes(files.SerializeToString(deterministic=True))


def _stubs(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _protoc(f"--pyi_out={scratch}")
        for stub in sorted(Path(scratch).glob("*.pyi")):
            (folder / stub.name).write_text(_typed(stub.read_text()))


def _typed(stub: str) -> str:
    """Our place of import, and what strict type checkers miss in protoc's output."""
    stub = re.sub(r"^import (\w+_pb2) as", r"from jina.codec import \1 as", stub, flags=re.MULTILINE)
    stub = stub.replace("_Mapping]", "_Mapping[str, object]]")
    if "    float: float" in stub:  # a field that hides the class of its own name
        stub = stub.replace("    float: float", "    float: _float").replace("_Optional[float]", "_Optional[_float]")
        stub = stub.replace("\nDESCRIPTOR:", "\n_float = float\n\nDESCRIPTOR:", 1)
    return stub


def main() -> None:
    """Write all files into the folder given as the only argument."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CODEC
    folder.mkdir(parents=True, exist_ok=True)
    _descriptors(folder)
    _stubs(folder)


if __name__ == "__main__":
    main()
