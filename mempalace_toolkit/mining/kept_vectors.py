"""Vectors of texts that are not filed yet, kept in files by the digest of the text.

A record is the text's SHA-256, 384 little-endian f32, and eight bytes of a digest over both, so
that a torn record, or one of zeros after a power cut, is none. Records are only ever appended;
every writer has a file of its own, so that a torn end spoils nothing that follows. The folder is
named after the model and the versions that made the vectors: others find none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.files.private import private_folder, write_undone
from mempalace_toolkit.model.encode import DIMENSION

_VECTOR = 4 * DIMENSION
_RECORD = np.dtype([("digest", "V32"), ("vector", f"V{_VECTOR}"), ("check", "V8")])
_SUFFIX = ".vectors"


def digest_of(text: str) -> bytes:
    """The name of a text's vector."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class VectorWriter:
    """Appends vectors to a file of its own. Raises WriteUndoneError where the disk is full."""

    def __init__(self, folder: Path) -> None:
        self._file = private_folder(folder) / f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._descriptor = os.open(self._file, flags, 0o600)
        except OSError as error:
            raise write_undone(self._file, error) from error

    def add(self, digests: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        """Append a record for each digest and its row."""
        records = b"".join(map(_record, digests, rows.astype("<f4")))
        try:
            while records:
                records = records[os.write(self._descriptor, records) :]
        except OSError as error:
            raise write_undone(self._file, error) from error

    def close(self) -> None:
        """No more is added."""
        os.close(self._descriptor)


class KeptVectors:
    """What a folder holds, found by digest; the vectors stay on the disk until they are asked for.

    Sixteen bytes of memory a record.
    """

    def __init__(self, folder: Path) -> None:
        self._files = [
            np.memmap(file, _RECORD, "r", shape=(count,))
            for file in sorted(folder.glob(f"*{_SUFFIX}"))
            if (count := file.stat().st_size // _RECORD.itemsize)
        ]
        heads = [_heads(file) for file in self._files]
        ends = np.cumsum([0, *map(len, heads)])
        self._starts = ends[:-1]
        every = np.concatenate(heads) if heads else np.zeros(0, np.uint64)
        self._order = np.argsort(every, kind="stable")
        self._heads = every[self._order]

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, digest: bytes) -> NDArray[np.float32] | None:
        """The vector of the text with that digest, None where no whole record has it."""
        head = np.frombuffer(digest[:8], "<u8")[0]
        place = int(np.searchsorted(self._heads, head))
        while place < len(self._heads) and self._heads[place] == head:
            row = int(self._order[place])
            file = int(np.searchsorted(self._starts, row, side="right")) - 1
            record = self._files[file][row - int(self._starts[file])].tobytes()
            if record[:32] == digest and record == _record(digest, record[32 : 32 + _VECTOR]):
                return np.frombuffer(record, "<f4", DIMENSION, 32).astype(np.float32)
            place += 1
        return None


def folder_for(vectors: Path, user: str, palace_key: str) -> Path:
    """The folder below `vectors` of one user of them, an agent say, and one palace."""
    return vectors / hashlib.sha256(f"{user}|{palace_key}".encode()).hexdigest()[:16]


def forget(folder: Path) -> None:
    """Remove all vectors below a folder."""
    shutil.rmtree(folder, ignore_errors=True)


def forget_unused(folder: Path, before: float) -> None:
    """Remove each folder in `folder` in which nothing was written since then (Unix seconds)."""
    with suppress(OSError):
        for one in folder.iterdir():
            written = [file.stat().st_mtime for file in (one, *one.rglob("*"))]
            if max(written) < before:
                forget(one)


def _record(digest: bytes, vector: NDArray[np.float32] | bytes) -> bytes:
    content = digest + bytes(vector)
    return content + hashlib.sha256(content).digest()[:8]


def _heads(file: np.memmap) -> NDArray[np.uint64]:
    """The first eight bytes of each digest, read in pieces that do not fill the memory."""
    pieces = [
        np.frombuffer(file[start : start + 4096]["digest"].tobytes(), "<u8")[::4]
        for start in range(0, len(file), 4096)
    ]
    return np.concatenate(pieces)
