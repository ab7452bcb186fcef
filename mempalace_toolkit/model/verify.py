"""Compares the vectors a model gives for fixed sentences with stored ones.

The stored vectors were computed in float64 by a plain numpy BERT from the published weights
(no code shared with graph.py); sentence-transformers on torch agrees with them within 2e-7.
The sentences are embedded the way chromadb does it: 256 tokens, mean of the tokens that count,
length one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOKENS = 256
TOLERANCE = 1e-5
REFERENCE = Path(__file__).with_name("reference_vectors.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """Sentences and their vectors, one row a sentence."""

    sentences: tuple[str, ...]
    vectors: NDArray[np.float64]


def read_reference(path: Path = REFERENCE) -> Reference:
    """The stored sentences and vectors."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    vectors = np.array([row["vector"] for row in rows], np.float64)
    return Reference(tuple(row["text"] for row in rows), vectors)


def embed(folder: Path, sentences: tuple[str, ...]) -> NDArray[np.float32]:
    """One vector a sentence. Raises whatever onnxruntime and tokenizers raise for bad files."""
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=TOKENS)
    tokenizer.enable_padding(length=TOKENS)  # with token 0, [PAD]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([_embed_one(session, tokenizer.encode(text)) for text in sentences])


def _embed_one(session: Any, encoded: Any) -> NDArray[np.float32]:
    tokens = np.array([encoded.ids], np.int64)
    counts = np.array([encoded.attention_mask], np.int64)
    inputs = {
        "input_ids": tokens,
        "attention_mask": counts,
        "token_type_ids": np.zeros_like(tokens),
    }
    states: NDArray[np.float32] = session.run(None, inputs)[0]
    mean = (states * counts[:, :, None]).sum(axis=1) / counts.sum()
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def difference(folder: Path, reference: Reference) -> float:
    """The largest absolute difference between any value and its stored one."""
    vectors = embed(folder, reference.sentences)
    if vectors.shape != reference.vectors.shape or not np.isfinite(vectors).all():
        return float("inf")
    return float(np.abs(vectors - reference.vectors).max())
