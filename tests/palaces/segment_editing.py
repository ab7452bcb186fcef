"""A copied palace's index as bytes to change: what the damages are made with."""

from __future__ import annotations

import io
import pickle
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.palaces.making import DRAWERS
from tests.palaces.opening import Chroma

_HEADER = struct.Struct("<iQQQQQQiiQQQdQ")
_NAMES = ("version", "offset", "max", "count", "size", "label", "vector", "level", "entry")


@dataclass(frozen=True, slots=True)
class Victim:
    """A palace to damage, a copy of it at an earlier moment, and what can write to it."""

    palace: Path
    older: Path
    chroma: Chroma

    @property
    def database(self) -> Path:
        """The palace's database."""
        return self.palace / "chroma.sqlite3"

    @property
    def segment(self) -> Path:
        """The folder of the drawers' index."""
        return segment_folder(self.palace)

    @property
    def older_segment(self) -> Path:
        """The same in the earlier palace."""
        return segment_folder(self.older)


def segment_folder(palace: Path, collection: str = DRAWERS) -> Path:
    """The index folder of a collection."""
    database = sqlite3.connect(palace / "chroma.sqlite3")
    row = database.execute(
        "select s.id from segments s join collections c on c.id = s.collection"
        " where c.name = ? and s.scope = 'VECTOR'",
        [collection],
    ).fetchone()
    database.close()
    return palace / str(row[0])


def header(folder: Path) -> dict[str, int]:
    """The first fields of header.bin."""
    return dict(zip(_NAMES, _HEADER.unpack((folder / "header.bin").read_bytes()), strict=False))


def elements(folder: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """data_level0.bin to write to, a row of bytes an element."""
    known = header(folder)
    data = np.memmap(folder / "data_level0.bin", np.uint8, "r+")
    return data[: known["count"] * known["size"]].reshape(known["count"], known["size"])


def set_header(folder: Path, **changes: int) -> None:
    """Overwrite fields of header.bin."""
    fields = list(_HEADER.unpack((folder / "header.bin").read_bytes()))
    for name, value in changes.items():
        fields[_NAMES.index(name)] = value
    (folder / "header.bin").write_bytes(_HEADER.pack(*fields))


def vector_rows(folder: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vectors, to write to."""
    known = header(folder)
    return elements(folder)[:, known["vector"] : known["label"]].view(np.float32)


def label_column(folder: Path) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The labels, to write to."""
    return elements(folder)[:, header(folder)["label"] :].view(np.uint64)[:, 0]


def live_rows(folder: Path) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The numbers of the elements that are not deleted."""
    return np.flatnonzero(elements(folder)[:, 2] & 1 == 0)


def load_map(folder: Path) -> dict[str, Any]:
    """The pickle of a sound index."""
    return dict(pickle.loads((folder / "index_metadata.pickle").read_bytes()))


def save_map(folder: Path, content: object) -> None:
    """Write a pickle as chromadb does: without memo."""
    (folder / "index_metadata.pickle").write_bytes(pickled(content))


def pickled(content: object) -> bytes:
    """A pickle with the few opcodes that chromadb's own has."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=3)
    pickler.fast = True
    pickler.dump(content)
    return buffer.getvalue()


def cut(file: Path, share: float) -> None:
    """Leave the given share of a file."""
    with file.open("r+b") as opened:
        opened.truncate(int(file.stat().st_size * share))


def zero(file: Path) -> None:
    """Overwrite a file with zeros."""
    file.write_bytes(bytes(file.stat().st_size))
