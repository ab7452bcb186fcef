"""A safetensors file is read as it is written down, and anything else is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.model.weights import read_weights

GOOD: dict[str, Any] = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def _file(path: Path, header: object, data: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_tensors_are_read_by_name_shape_and_place(tmp_path: Path) -> None:
    values = np.arange(8, dtype="<f4")
    header = {
        "__metadata__": {"format": "pt"},
        "number": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "table": {"dtype": "F32", "shape": [2, 3], "data_offsets": [8, 32]},
    }
    weights = read_weights(_file(tmp_path / "w", header, values.tobytes()))
    assert set(weights.arrays) == {"table"}
    assert weights.named("table", 2, 3).tolist() == [[2, 3, 4], [5, 6, 7]]
    with pytest.raises(ModelError, match="expected"):
        weights.named("table", 3, 2)
    with pytest.raises(ModelError, match="found none"):
        weights.named("chair", 2, 3)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": 1},
        {"a": {}},
        {"a": GOOD | {"shape": [2, 4]}},
        {"a": GOOD | {"shape": "23"}},
        {"a": GOOD | {"data_offsets": [0, 28], "shape": [7]}},
        {"a": GOOD | {"data_offsets": [-24, 0]}},
        {"a": GOOD | {"data_offsets": [-8, -4], "shape": [1]}},
        {"a": GOOD | {"data_offsets": [0]}},
    ],
)
def test_a_header_that_does_not_fit_the_data_is_refused(header: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="safetensors"):
        read_weights(_file(tmp_path / "w", header, bytes(24)))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="safetensors"):
        read_weights(tmp_path / "w")


@given(
    prefix=st.one_of(st.binary(max_size=8), st.integers(0, 40).map(lambda n: struct.pack("<Q", n))),
    rest=st.binary(max_size=60),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused_as_a_model_error(
    prefix: bytes, rest: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "w"
    path.write_bytes(prefix + rest)
    try:
        read_weights(path)
    except ModelError:
        return
