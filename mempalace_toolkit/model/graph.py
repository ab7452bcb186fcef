"""Writes all-MiniLM-L6-v2 as an ONNX file: the encoder's graph, and the weights that it names.

The graph is `encoder.onnx` beside this module, made once (tests/model/skeleton.py). A protocol
buffer may be cut into pieces, which a reader merges: the weights are written behind it, one by
one, in the few fields of ONNX that they take. So neither the onnx package nor memory for all of
them is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.model.weights import Weights

SKELETON = Path(__file__).with_name("encoder.onnx")
LAYERS = 6
HIDDEN = 384

_INTERMEDIATE = 1536
_POSITIONS = 512
_VOCABULARY = 30522
_FLOAT = 1

# Fields of onnx.proto by their numbers: a model's graph, its initializers, and of each of those
# its dimensions, the type of its values, its name and its values.
_GRAPH, _INITIALIZER = 7, 5
_DIMENSION, _TYPE, _NAME, _VALUES = 1, 2, 8, 9


def write_graph(weights: Weights, path: Path) -> None:
    """Write the model to path. Raises ModelError if a tensor is missing or misshapen."""
    initializers = list(_initializers(weights))
    with path.open("wb") as file:
        file.write(SKELETON.read_bytes())
        for name, values in initializers:
            _write_initializer(file, name, values)


def _initializers(weights: Weights) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """What the graph multiplies and adds, by the names that it has there."""
    for kind, size in (("word", _VOCABULARY), ("token_type", 2), ("position", _POSITIONS)):
        name = f"embeddings.{kind}_embeddings.weight"
        yield name, weights.named(name, size, HIDDEN)
    yield from _norm(weights, "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            yield from _dense(weights, f"{layer}.attention.self.{part}", HIDDEN, HIDDEN)
        yield from _dense(weights, f"{layer}.attention.output.dense", HIDDEN, HIDDEN)
        yield from _norm(weights, f"{layer}.attention.output.LayerNorm")
        yield from _dense(weights, f"{layer}.intermediate.dense", HIDDEN, _INTERMEDIATE)
        yield from _dense(weights, f"{layer}.output.dense", _INTERMEDIATE, HIDDEN)
        yield from _norm(weights, f"{layer}.output.LayerNorm")


def _dense(
    weights: Weights, scope: str, size_in: int, size_out: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The transposed weight, and the bias."""
    yield f"{scope}.kernel", weights.named(f"{scope}.weight", size_out, size_in).T
    yield f"{scope}.bias", weights.named(f"{scope}.bias", size_out)


def _norm(weights: Weights, scope: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name in (f"{scope}.weight", f"{scope}.bias"):
        yield name, weights.named(name, HIDDEN)


def _write_initializer(file: BinaryIO, name: str, values: NDArray[np.float32]) -> None:
    content = np.ascontiguousarray(values, "<f4").tobytes()
    tensor = b"".join(
        (
            *(_number(_DIMENSION << 3) + _number(size) for size in values.shape),
            _number(_TYPE << 3) + _number(_FLOAT),
            _head(_NAME, len(name.encode())) + name.encode(),
            _head(_VALUES, len(content)),
        )
    )
    head = _head(_INITIALIZER, len(tensor) + len(content))
    file.write(_head(_GRAPH, len(head) + len(tensor) + len(content)) + head + tensor)
    file.write(content)


def _head(field: int, size: int) -> bytes:
    """What stands before a field's content of so many bytes."""
    return _number(field << 3 | 2) + _number(size)


def _number(value: int) -> bytes:
    """A number as protocol buffers have it: seven bits a byte, the lowest first."""
    pieces = []
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*pieces, value))
