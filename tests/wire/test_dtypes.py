"""Names of dtypes come from the network: whatever they are, a tensor is refused, and nothing else happens."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.errors import BadRequest
from jina.wire import pb
from jina.wire.plain_json import docs_to_json
from jina.wire.tensors import BadTensor, read_tensor

NAMES = [",f8", ",", "f8,", "", "i8,(2,)f4", "(1,f8", "f8,(__import__('os'),)f8", "O", "V3", "\x00,", "{'names':1}"]


def tensor(name):
    return pb.NdArrayProto(dense=pb.DenseNdArrayProto(buffer=b"12345678", shape=[1], dtype=name))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(BadTensor):
        read_tensor(tensor(name))


@given(st.text(st.sampled_from(",()f8i4<>'{}:[]UOSVM 1\x00"), max_size=8))
def test_any_name_is_refused_or_read(name):
    with contextlib.suppress(BadTensor):
        read_tensor(tensor(name))
    docs = pb.DocListProto(docs=[pb.DocProto(data={"x": pb.NodeProto(ndarray=tensor(name))})])
    with contextlib.suppress(BadRequest):
        docs_to_json(docs)
