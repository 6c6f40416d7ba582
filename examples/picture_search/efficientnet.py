"""EfficientNet-Lite0, trained on ImageNet: its weights from a file of PyTorch, its graph for ONNX Runtime.

The network is that of Tan and Le (2019) without squeeze-and-excitation and with ReLU6, as TensorFlow published it.
PyTorch is not needed: the file is a pickle of names and shapes, then raw numbers.
"""

from __future__ import annotations

import collections
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

EPSILON = 1e-3
"""What batch normalisation adds to the variance."""

STRIDED = {1, 3, 5, 11}
"""The blocks that halve width and height."""

TYPES = {"FloatStorage": np.dtype(np.float32), "LongStorage": np.dtype(np.int64)}


class _Names(pickle.Unpickler):
    """Reads the file's pickles and refuses whatever is not a tensor, so that no code can hide in them."""

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins for the four names that a file of tensors needs."""
        if module == "torch" and name in TYPES:
            return TYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *tensor: tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, identifier: Any) -> Any:
        """`(storage, type, key, device, size)` of the numbers that a tensor shows."""
        return identifier


def read_weights(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote before version 1.6, by name."""
    with file.open("rb") as stream:
        for _ in range(3):  # magic number, version, sizes of types
            _Names(stream).load()
        tensors = _Names(stream).load()
        types = {tensor[0][2]: tensor[0][1] for tensor in tensors.values()}
        numbers = {}
        for key in _Names(stream).load():
            count = int.from_bytes(stream.read(8), "little")
            numbers[key] = np.frombuffer(stream.read(count * types[key].itemsize), types[key])
    weights = {}
    for name, (storage, offset, shape, strides, *_) in tensors.items():
        of_type = types[storage[2]].itemsize
        view = np.lib.stride_tricks.as_strided(
            numbers[storage[2]][offset:], shape, [stride * of_type for stride in strides]
        )
        weights[name] = np.ascontiguousarray(view)
    return weights


@dataclass
class Network:
    """Builds the graph, layer after layer; normalisation is folded into the convolutions."""

    weights: dict[str, np.ndarray]
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=lambda: {"zero": np.float32(0), "six": np.float32(6)})

    def convolve(self, source: str, layer: str, norm: str, *, stride: int = 1, relu: bool = True) -> str:
        """Add a convolution with its normalisation, and ReLU6; gives the name of its output."""
        from onnx import helper

        w = self.weights
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + EPSILON)
        kernel = w[f"{layer}.weight"]
        self.constants[f"{layer}.w"] = kernel * scale[:, None, None, None]
        self.constants[f"{layer}.b"] = w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale
        group = kernel.shape[0] if layer.endswith("depthwise_conv") else 1
        options = {"strides": [stride, stride], "kernel_shape": kernel.shape[2:], "group": group}
        inputs = [source, f"{layer}.w", f"{layer}.b"]
        self.nodes.append(helper.make_node("Conv", inputs, [layer], auto_pad="SAME_UPPER", **options))
        if not relu:
            return layer
        self.nodes.append(helper.make_node("Clip", [layer, "zero", "six"], [f"{layer}.relu"]))
        return f"{layer}.relu"

    def block(self, source: str, number: int) -> str:
        """Add an inverted residual block; gives the name of its output."""
        from onnx import helper

        name = f"_blocks.{number}."
        stride = 2 if number in STRIDED else 1
        x = source
        if f"{name}_expand_conv.weight" in self.weights:
            x = self.convolve(x, f"{name}_expand_conv", f"{name}_bn0")
        x = self.convolve(x, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride)
        x = self.convolve(x, f"{name}_project_conv", f"{name}_bn2", relu=False)
        expand = self.weights.get(f"{name}_expand_conv.weight", self.weights[f"{name}_depthwise_conv.weight"])
        if stride == 2 or expand.shape[1] != self.weights[f"{name}_project_conv.weight"].shape[0]:
            return x
        self.nodes.append(helper.make_node("Add", [x, source], [f"{name}sum"]))
        return f"{name}sum"

    def model(self) -> bytes:
        """The whole network as ONNX: `pixels` (n, 3, size, size) float32 in, `features` (n, 1280) float32 out."""
        from onnx import TensorProto, helper, numpy_helper

        x = self.convolve("pixels", "_conv_stem", "_bn0", stride=2)
        for number in range(16):
            x = self.block(x, number)
        x = self.convolve(x, "_conv_head", "_bn1")
        self.nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
        self.nodes.append(helper.make_node("Flatten", ["pooled"], ["features"]))
        graph = helper.make_graph(
            self.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, "height", "width"])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1280])],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return model.SerializeToString()
