"""The built model gives the stored vectors, chromadb's class gives them too, others do not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model import worker
from mempalace_toolkit.model.encode import encode
from mempalace_toolkit.model.graph import SKELETON, write_graph
from mempalace_toolkit.model.verify import TOLERANCE, difference, read_reference
from mempalace_toolkit.model.weights import Weights, read_weights
from mempalace_toolkit.model.wheel import WEIGHTS
from tests.model.skeleton import skeleton


def test_the_built_model_gives_the_stored_vectors(built: Path) -> None:
    assert difference(built, read_reference()) < 1e-6


def test_the_stored_sentences_are_varied_and_their_vectors_of_length_one(built: Path) -> None:
    reference = read_reference()
    np.testing.assert_allclose(np.linalg.norm(reference.vectors, axis=1), 1, atol=1e-6)
    tokenizer = Tokenizer.from_file(str(built / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lengths = [len(tokenizer.encode(text).ids) for text in reference.sentences]
    assert min(lengths) == 2 and max(lengths) > 256
    assert any(not text.isascii() for text in reference.sentences)


def test_the_part_beyond_256_tokens_does_not_count_and_the_part_before_does(built: Path) -> None:
    words = "palace " * 254
    same, longer, other = encode(built, (words, words + "extra", "drawer " + words))
    assert np.array_equal(same, longer)
    assert not np.allclose(same, other, atol=TOLERANCE)


def test_chromadb_run_on_the_built_model_gives_the_stored_vectors(built: Path) -> None:
    program = (
        "import json, sys\n"
        "from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2\n"
        "vectors = ONNXMiniLM_L6_V2()(json.load(sys.stdin))\n"
        "print(json.dumps([vector.tolist() for vector in vectors]))\n"
    )
    reference = read_reference()
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(reference.sentences),
        env=os.environ | {"HOME": str(built.parents[4])},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    vectors = np.array(json.loads(done.stdout))
    assert np.abs(vectors - reference.vectors).max() < TOLERANCE


def test_the_graph_without_weights_is_the_one_that_its_maker_makes() -> None:
    shipped = onnx.load_from_string(SKELETON.read_bytes())
    assert shipped == onnx.load_from_string(skeleton())
    assert {one.name for one in shipped.graph.initializer} >= {"heads.shape", "scale", "zero"}
    assert not any(one.name.endswith(("weight", "kernel")) for one in shipped.graph.initializer)


def test_the_graph_is_valid_onnx(built: Path) -> None:
    onnx.checker.check_model(onnx.load(str(built / "model.onnx")), full_check=True)


@pytest.mark.parametrize(
    "name",
    [
        "embeddings.LayerNorm.weight",
        "embeddings.position_embeddings.weight",
        "encoder.layer.0.attention.self.key.weight",
        "encoder.layer.5.intermediate.dense.bias",
    ],
)
def test_one_changed_weight_is_noticed(
    name: str, weights: Path, built: Path, tmp_path: Path
) -> None:
    whole = read_weights(weights / WEIGHTS)
    changed = whole.arrays[name].copy()
    changed.flat[1] += 0.5
    folder = _copy(built, tmp_path)
    write_graph(Weights(whole.path, whole.arrays | {name: changed}), folder / "model.onnx")
    with pytest.raises(ModelError, match="other vectors"):
        worker.verify(folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "absent", "tokenizer", "no model"])
def test_a_damaged_model_is_refused_with_one_line(damage: str, built: Path, tmp_path: Path) -> None:
    folder = _copy(built, tmp_path)
    model = folder / "model.onnx"
    if damage == "cut":
        os.truncate(model, 40_000_000)
    elif damage == "empty":
        os.truncate(model, 0)
    elif damage == "noise":
        model.write_bytes(b"\xff\x00" * 10_000)
    elif damage == "absent":
        model.unlink()
    elif damage == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    else:
        onnx.save(onnx.ModelProto(), str(model))
    with pytest.raises(ModelError) as raised:
        worker.verify(folder)
    assert str(folder) in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("change", ["missing", "misshapen"])
def test_weights_that_do_not_fit_the_graph_are_refused(
    change: str, weights: Path, tmp_path: Path
) -> None:
    whole = read_weights(weights / WEIGHTS)
    arrays = dict(whole.arrays)
    name = "encoder.layer.3.output.dense.weight"
    array = arrays.pop(name)
    if change == "misshapen":
        arrays[name] = array.T
    with pytest.raises(ModelError, match=name):
        write_graph(Weights(whole.path, arrays), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def _copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "onnx"))
