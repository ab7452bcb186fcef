"""Writes mempalace_toolkit/model/encoder.onnx: `python -m tests.model.skeleton`.

It is all-MiniLM-L6-v2's BERT encoder as an ONNX graph, without the weights that it names. Inputs
(int64, batch by tokens): input_ids, attention_mask, token_type_ids. Output (float32, batch by
tokens by 384): last_hidden_state. These are the names and the order in which chromadb feeds and
reads its own export.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mempalace_toolkit.model.graph import HIDDEN, LAYERS, SKELETON

HEADS = 12
EPSILON = 1e-12
OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the one that belongs to the opset; onnx's newest is refused by older runtimes


class _Graph:
    """One graph while it is being written, straight into its model."""

    def __init__(self) -> None:
        self.model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="mempalace-toolkit")
        self.model.opset_import.append(helper.make_opsetid("", OPSET))
        self.model.graph.name = "all-MiniLM-L6-v2"

    def node(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        made = helper.make_node(operator, inputs, [name], name, **attributes)
        self.model.graph.node.append(made)
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        tensor = self.model.graph.initializer.add()
        tensor.name = name
        tensor.data_type = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor.dims.extend(values.shape)
        tensor.raw_data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        return name

    def dense(self, scope: str, value: str) -> str:
        """value times the transposed weight, plus the bias."""
        product = self.node("MatMul", f"{scope}/MatMul", value, f"{scope}.kernel")
        return self.node("Add", f"{scope}/Add", f"{scope}.bias", product)

    def normalise(self, scope: str, value: str) -> str:
        names = (f"{scope}.weight", f"{scope}.bias")
        name = f"{scope}/LayerNormalization"
        return self.node("LayerNormalization", name, value, *names, axis=-1, epsilon=EPSILON)


def skeleton() -> bytes:
    """The model without its weights."""
    graph = _Graph()
    graph.constant("heads.shape", np.array([0, 0, HEADS, HIDDEN // HEADS], np.int64))
    graph.constant("joined.shape", np.array([0, 0, HIDDEN], np.int64))
    graph.constant("scale", np.array(np.sqrt(HIDDEN / HEADS), np.float32))
    axes = ["batch", "tokens"]
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        graph.model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, axes))
    value = _embed(graph)
    mask = _mask(graph)
    for number in range(LAYERS):
        value = _layer(graph, f"encoder.layer.{number}", value, mask)
    graph.node("Identity", "last_hidden_state", value)
    graph.model.graph.output.append(
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, HIDDEN])
    )
    content: bytes = graph.model.SerializeToString(deterministic=True)
    return content


def _embed(graph: _Graph) -> str:
    words = "embeddings.word_embeddings.weight"
    kinds = "embeddings.token_type_embeddings.weight"
    positions = "embeddings.position_embeddings.weight"
    graph.constant("zero", np.array([0], np.int64))
    length = graph.node("Shape", "tokens", "input_ids", start=1, end=2)
    # A Slice: onnxruntime takes Gather over Range for an embedding layer of another kind.
    place = graph.node("Slice", "positions", positions, "zero", length, "zero")
    word = graph.node("Gather", "words", words, "input_ids")
    kind = graph.node("Gather", "kinds", kinds, "token_type_ids")
    total = graph.node("Add", "words+kinds", word, kind)
    total = graph.node("Add", "words+kinds+positions", total, place)
    return graph.normalise("embeddings.LayerNorm", total)


def _mask(graph: _Graph) -> str:
    """0 for a token that counts, the lowest float for padding; added to the scores."""
    graph.constant("mask.axes", np.array([1, 2], np.int64))
    graph.constant("one", np.array(1, np.float32))
    graph.constant("lowest", np.array(np.finfo(np.float32).min, np.float32))
    wide = graph.node("Unsqueeze", "mask.wide", "attention_mask", "mask.axes")
    kept = graph.node("Cast", "mask.kept", wide, to=TensorProto.FLOAT)
    padding = graph.node("Sub", "mask.padding", "one", kept)
    return graph.node("Mul", "mask.added", padding, "lowest")


def _layer(graph: _Graph, scope: str, value: str, mask: str) -> str:
    attended = _attend(graph, f"{scope}.attention.self", value, mask)
    joined = graph.dense(f"{scope}.attention.output.dense", attended)
    joined = graph.node("Add", f"{scope}.attention.output/Add", joined, value)
    value = graph.normalise(f"{scope}.attention.output.LayerNorm", joined)
    wide = graph.dense(f"{scope}.intermediate.dense", value)
    wide = graph.node("Gelu", f"{scope}.intermediate/Gelu", wide)
    narrow = graph.dense(f"{scope}.output.dense", wide)
    narrow = graph.node("Add", f"{scope}.output/Add", narrow, value)
    return graph.normalise(f"{scope}.output.LayerNorm", narrow)


def _attend(graph: _Graph, scope: str, value: str, mask: str) -> str:
    parts = {}
    for part, order in {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}.items():
        flat = graph.dense(f"{scope}.{part}", value)
        split = graph.node("Reshape", f"{scope}.{part}/Reshape", flat, "heads.shape")
        parts[part] = graph.node("Transpose", f"{scope}.{part}/Transpose", split, perm=order)
    scores = graph.node("MatMul", f"{scope}/scores", parts["query"], parts["key"])
    scores = graph.node("Div", f"{scope}/scaled", scores, "scale")
    scores = graph.node("Add", f"{scope}/masked", scores, mask)
    shares = graph.node("Softmax", f"{scope}/shares", scores, axis=-1)
    mixed = graph.node("MatMul", f"{scope}/mixed", shares, parts["value"])
    mixed = graph.node("Transpose", f"{scope}/joined", mixed, perm=[0, 2, 1, 3])
    return graph.node("Reshape", f"{scope}/flat", mixed, "joined.shape")


if __name__ == "__main__":
    SKELETON.write_bytes(skeleton())
