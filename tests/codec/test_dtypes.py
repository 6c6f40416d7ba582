"""Names of dtypes come from the network: whatever they are, a tensor is refused, and nothing else happens."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.codec import pb
from jina.codec.plain_json import docs_to_json
from jina.codec.tensors import BadTensor, read_tensor
from jina.errors import BadRequest

NAMES = [
    ",f8",
    ",",
    "f8,",
    "",
    "i8,(2,)f4",
    "(1,f8",
    "f8,(__import__('os'),)f8",
    "O",
    "V3",
    "1f",
    "8)",
    "\x00,",
    "{'names':1}",
]
DATES = ["<M8[ns]", ">m8[25s]", "M8[D]", "m8[ms/10]"]


def tensor(name):
    return pb.NdArrayProto(dense=pb.DenseNdArrayProto(buffer=b"12345678", shape=[1], dtype=name))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(BadTensor):
        read_tensor(tensor(name))
    with pytest.raises(BadRequest):
        docs_to_json(docs_of(name))


@pytest.mark.parametrize("name", ["f8", "<f8", "|S8", ">U2", "float64", "uint64", "complex64", *DATES])
def test_a_name_of_one_is_read(name):
    assert read_tensor(tensor(name)).dtype == np.dtype(name)


def docs_of(name):
    return pb.DocListProto(docs=[pb.DocProto(data={"x": pb.NodeProto(ndarray=tensor(name))})])


@given(st.text(st.sampled_from(",()f8i4<>'{}:[]UOSVM 1\x00"), max_size=8))
def test_any_name_is_refused_or_read(name):
    with contextlib.suppress(BadTensor):
        read_tensor(tensor(name))
    with contextlib.suppress(BadRequest):
        docs_to_json(docs_of(name))
