"""Reads a safetensors file without torch: named float32 arrays, mapped, not loaded.

Layout: eight bytes of header length (little-endian), a JSON header that gives each tensor's
dtype, shape and byte range after the header, then the raw values.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import ModelError

_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 1 << 20
_HINT = "Run `mempalace-toolkit model ensure` again; the file is fetched anew."


@dataclass(frozen=True, slots=True)
class Weights:
    """The float32 tensors of one file by name; integer tensors are left out."""

    path: Path
    arrays: dict[str, NDArray[np.float32]]

    def named(self, name: str, *shape: int) -> NDArray[np.float32]:
        """The tensor of that name. Raises ModelError if it is missing or has another shape."""
        array = self.arrays.get(name)
        if array is None or array.shape != shape:
            found = "none" if array is None else str(array.shape)
            raise ModelError(f"{self.path}: tensor {name}: expected {shape}, found {found}", _HINT)
        return array


def read_weights(path: Path) -> Weights:
    """Map the file's float32 tensors. Raises ModelError for anything that is not safetensors."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            if length > min(_LARGEST_HEADER, size):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=_LENGTH.size + length)
        return Weights(path, _arrays(header, data))
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a readable safetensors file: {error}", _HINT) from error


def _arrays(
    header: dict[str, dict[str, object]], data: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        shape = tuple(int(n) for n in _numbers(entry["shape"]))
        start, end = _numbers(entry["data_offsets"])
        if not 0 <= start <= end <= len(data) or end - start != 4 * prod(shape):
            raise ValueError(f"tensor {name} lies outside the file")
        arrays[name] = data[start:end].view("<f4").reshape(shape)
    return arrays


def _numbers(value: object) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(n, int) for n in value):
        raise ValueError(f"{value!r} is not a list of integers")
    return value
