"""Tensors of torch, where it is installed."""

import docarray.proto
import numpy as np
import pytest
from docarray import BaseDoc
from tests.codec.documents import Embedded

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.json_text import loads

torch = pytest.importorskip("torch")

from docarray.typing import AnyTensor, TorchTensor  # noqa: E402 - TorchTensor needs torch


class Torch(BaseDoc):
    tensor: TorchTensor
    shaped: TorchTensor[2, 3] | None = None
    any_tensor: AnyTensor | None = None


def doc() -> Torch:
    return Torch(id="t", tensor=torch.ones(2, 2), shaped=torch.zeros(2, 3), any_tensor=torch.arange(3))


def test_proto_as_docarray():
    message = pb.DocProto()
    codec_for(Torch).encode_doc(doc(), message)
    assert docarray.proto.DocProto.FromString(message.SerializeToString()) == doc().to_protobuf()
    got = codec_for(Torch).decode_doc(message)
    for name in ("tensor", "shaped", "any_tensor"):
        assert isinstance(getattr(got, name), TorchTensor)
        assert torch.equal(getattr(got, name).unwrap(), getattr(doc(), name).unwrap())


def test_gradients_and_strides_do_not_matter():
    given = Torch(tensor=torch.arange(6.0, requires_grad=True).reshape(2, 3).T)
    message = pb.DocProto()
    codec_for(Torch).encode_doc(given, message)
    assert codec_for(Torch).decode_doc(message).tensor.tolist() == given.tensor.tolist()


def test_the_receiver_chooses_the_framework():
    message = pb.DocProto()
    codec_for(Torch).encode_doc(doc(), message)
    message.data["embedding"].CopyFrom(message.data["tensor"])
    assert isinstance(codec_for(Embedded).decode_doc(message).embedding, np.ndarray)
    array = pb.DocProto()
    codec_for(Embedded).encode_doc(Embedded(embedding=np.ones((2, 2), dtype=np.float32)), array)
    array.data["tensor"].CopyFrom(array.data["embedding"])
    assert isinstance(codec_for(Torch).decode_doc(array).tensor, torch.Tensor)


def test_json():
    shown = loads(codec_for(Torch).encode_json([doc()]))[0]
    assert shown["tensor"] == [[1.0, 1.0], [1.0, 1.0]]
    assert torch.equal(codec_for(Torch).decode_json([shown])[0].shaped.unwrap(), torch.zeros(2, 3, dtype=torch.float64))
