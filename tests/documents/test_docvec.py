import subprocess
import sys

import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.computation.numpy_backend import NumpyCompBackend
from docarray.typing import NdArray

from jina.documents import ensure_docvec


class Row(BaseDoc):
    tensor: NdArray[3]
    name: str = ""


def rows() -> DocList:
    return DocList[Row]([Row(tensor=np.full(3, n, dtype=np.float32), name=str(n)) for n in range(2)])


def test_docvec_of_tensors_works_after_the_repair():
    ensure_docvec()
    vector = DocVec[Row](rows())
    assert vector.tensor.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert vector.tensor.dtype == np.float32
    assert rows().to_doc_vec()[1].name == "1"
    again = DocVec[Row].from_protobuf(vector.to_protobuf())
    assert again.tensor.tolist() == vector.tensor.tolist()


def test_the_repair_is_made_once_and_only_for_the_cpu():
    ensure_docvec()
    assert ensure_docvec() is False
    assert NumpyCompBackend.empty((2,), device="cpu").shape == (2,)
    assert NumpyCompBackend.empty((2,), dtype=np.int8, device=None).dtype == np.int8
    with pytest.raises(NotImplementedError):
        NumpyCompBackend.empty((2,), device="cuda")


def test_nothing_is_repaired_by_importing_documents():
    code = (
        "from jina.documents import Document, DocumentArray\n"
        "from docarray.computation.abstract_numpy_based_backend import AbstractNumpyBasedBackend as A\n"
        "from docarray.computation.numpy_backend import NumpyCompBackend as N\n"
        "print(N.empty.__func__ is A.empty.__func__)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"
