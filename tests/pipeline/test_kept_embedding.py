"""What a repair has embedded is there for the next one, where the first was killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model.encode import DIMENSION
from mempalace_toolkit.pipeline.kept_embedding import KeptEmbedding

TEXTS = [f"text {number}" for number in range(300)]


class Counting:
    """Gives every text a vector of its own, remembers what it was asked, and fails when told."""

    def __init__(self, fails_at: int = 1_000) -> None:
        self.asked: list[str] = []
        self._fails_at = fails_at

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(self.asked) >= self._fails_at:
            raise ModelError("killed", "run again")
        self.asked += texts
        numbers = [int(text.partition(" ")[2]) for text in texts]
        rows = np.random.default_rng(7).random((len(TEXTS), DIMENSION), np.float32)
        return rows[numbers]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (folder / name).write_text("one version")
    return folder


def embed_all(embed: KeptEmbedding) -> NDArray[np.float32]:
    return np.concatenate([embed(TEXTS[at : at + 100]) for at in range(0, len(TEXTS), 100)])


def test_a_repair_that_was_killed_embeds_nothing_again(tmp_path: Path, model: Path) -> None:
    first, second = Counting(fails_at=200), Counting()
    with pytest.raises(ModelError):
        embed_all(KeptEmbedding(first, tmp_path / "vectors", model))
    rows = embed_all(KeptEmbedding(second, tmp_path / "vectors", model))
    assert second.asked == TEXTS[200:]
    assert np.array_equal(rows, Counting()(TEXTS))


def test_another_model_takes_nothing_from_it(tmp_path: Path, model: Path) -> None:
    embed_all(KeptEmbedding(Counting(), tmp_path / "vectors", model))
    (model / "model.onnx").write_text("another version")
    other = Counting()
    embed_all(KeptEmbedding(other, tmp_path / "vectors", model))
    assert other.asked == TEXTS


def test_a_sample_is_embedded_anew_and_leaves_nothing(tmp_path: Path, model: Path) -> None:
    for _ in range(2):
        counting = Counting()
        KeptEmbedding(counting, tmp_path / "vectors", model)(TEXTS[:16])
        assert counting.asked == TEXTS[:16]
    assert not (tmp_path / "vectors").exists()


def test_where_nothing_can_be_kept_all_is_embedded(tmp_path: Path, model: Path) -> None:
    (tmp_path / "vectors").write_text("a file where the folder would be")
    for _ in range(2):
        counting = Counting()
        embed_all(KeptEmbedding(counting, tmp_path / "vectors", model))
        assert counting.asked == TEXTS
