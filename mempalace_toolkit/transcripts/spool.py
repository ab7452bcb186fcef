"""The spool: the folder of pages that MemPalace mines, one subfolder a label and wing.

Pages are private talk: folders 0700, files 0600. A page is written beside and renamed, so
that a reader sees the old one or the new one. `flush` is the barrier before anything is
recorded as written: one for a whole batch, where an fsync a page would cost minutes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from mempalace_toolkit.files.private import UNFINISHED, write_undone, write_whole
from mempalace_toolkit.transcripts.render import Page


def wing_folder(spool: Path, label: str, wing: str) -> Path:
    """Where the pages of `wing` lie that carry `label`."""
    return spool / label / wing


def write_page(folder: Path, page: Page, mtime_ms: int) -> int:
    """Put `page` into `folder`, atomically, with that modification time.

    Returns the time in milliseconds that the file system kept: some have no room for all.
    Raises WriteUndoneError where the disk refuses; the page's old state is then in place.
    """
    file = folder / page.name
    try:
        status = write_whole(
            file, page.content, 0o600, mtime_ns=mtime_ms * 1_000_000, durable=False
        )
    except OSError as error:
        raise write_undone(file, error) from error
    return status.st_mtime_ns // 1_000_000


def touch_page(path: Path, mtime_ms: int) -> int:
    """Give a page another modification time, as an empty file where it is missing.

    Returns the time in milliseconds that the file system kept.
    """
    try:
        path.touch(mode=0o600)
        os.utime(path, ns=(mtime_ms * 1_000_000, mtime_ms * 1_000_000))
        return path.stat().st_mtime_ns // 1_000_000
    except OSError as error:
        raise write_undone(path, error) from error


def flush(spool: Path) -> None:
    """Wait until all that was written below `spool` is on its disk."""
    try:
        descriptor = os.open(spool, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        if not (sys.platform == "linux" and ctypes.CDLL(None).syncfs(descriptor) == 0):
            os.sync()
    finally:
        os.close(descriptor)


def page_files(folder: Path) -> dict[str, tuple[int, int]]:
    """The pages that lie in `folder`: size in bytes and time in milliseconds, by name."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name: (status.st_size, status.st_mtime_ns // 1_000_000)
                for entry in entries
                if entry.name.endswith(".jsonl")
                for status in (entry.stat(follow_symlinks=False),)
            }
    except FileNotFoundError:
        return {}


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left half-written. The caller holds the palace's lock."""
    for leftover in folder.glob(f".*{UNFINISHED}"):
        leftover.unlink(missing_ok=True)


def write_ignore_list(folder: Path, names: Iterable[str]) -> None:
    """Name pages for `mempalace sync` to drop; none removes the list.

    MemPalace prunes what a `.gitignore` names and what a file's absence shows only where
    another mined file of the folder still answers: a list works for the last page too.
    """
    lines = [f"/{name}\n" for name in sorted(names)]
    target = folder / ".gitignore"
    if not lines:
        target.unlink(missing_ok=True)
        return
    try:
        write_whole(target, "".join(lines), 0o600)
    except OSError as error:
        raise write_undone(target, error) from error
