"""Reads a SQLite write-ahead log frame by frame, past the place where SQLite gives up on it.

Each frame is proved from the checksum that the frame before it carries: what lies beyond a damaged
frame can be read, where SQLite takes that frame for the end. The format is SQLite's own, WAL
format 3007000.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEAD = 32
_FRAME_HEAD = 24
_MAGIC = (0x377F0682, 0x377F0683)  # with checksums of little-endian words, of big-endian ones
_WORDS = 1 << 32


@dataclass(frozen=True, slots=True)
class Frame:
    """A page as a transaction left it. `commits`: its transaction is complete with it. `whole`:
    its checksum is right, reckoned from that of the frame before."""

    page: int
    commits: bool
    whole: bool
    content: bytes


def frames(wal: Path, page_size: int) -> Iterator[Frame]:
    """The frames of the log's present round, in their order; none where there is no log.

    Where the log's head is damaged, the round is that of the first frame. Raises OSError.
    """
    if not wal.exists():
        return
    with wal.open("rb") as file:
        head = file.read(_HEAD)
        magic, salts, proof = _head(head)
        order = ">" if magic == _MAGIC[1] else "<"
        while True:
            frame_head = file.read(_FRAME_HEAD)
            content = file.read(page_size)
            if len(content) < page_size:
                return
            page, commit = struct.unpack_from(">II", frame_head)
            salts = salts or frame_head[8:16]
            if frame_head[8:16] == salts:
                told = struct.unpack_from(">II", frame_head, 16)
                whole = told == _sum(frame_head[:8] + content, order, proof)
                yield Frame(page, commit > 0, whole, content)
                proof = told


def is_cut_short(wal: Path, page_size: int) -> bool:
    """Whether a transaction ends in or behind a damaged place: SQLite leaves it out silently.

    A process that is killed while it writes leaves a log without the end of its transaction.
    """
    damaged = False
    for frame in frames(wal, page_size):
        damaged = damaged or not frame.whole
        if damaged and frame.commits:
            return True
    return False


def _head(head: bytes) -> tuple[int, bytes | None, tuple[int, int]]:
    """Magic number, salts and checksum of the log's head; no salts where it is damaged."""
    if len(head) < _HEAD:
        return _MAGIC[0], None, (0, 0)
    magic: int = struct.unpack_from(">I", head)[0]
    told = struct.unpack_from(">II", head, 24)
    if magic not in _MAGIC or told != _sum(head[:24], ">" if magic == _MAGIC[1] else "<", (0, 0)):
        return _MAGIC[0], None, (0, 0)
    return magic, head[16:24], told


def _sum(data: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    """SQLite's running checksum: two sums over pairs of words."""
    first, second = before
    for one, other in struct.iter_unpack(f"{order}II", data):
        first = (first + one + second) % _WORDS
        second = (second + other + first) % _WORDS
    return first, second
