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

from mempalace_toolkit.files.private import write_undone
from mempalace_toolkit.transcripts.render import Page

_TEMPORARY = ".writing-"


def wing_folder(spool: Path, label: str, wing: str) -> Path:
    """Where the pages of `wing` lie that carry `label`."""
    return spool / label / wing


def write_page(folder: Path, page: Page, mtime_ms: int) -> int:
    """Put `page` into `folder`, atomically, with that modification time.

    Returns the time in milliseconds that the file system kept: some have no room for all.
    Raises WriteUndoneError where the disk refuses; the page's old state is then in place.
    """
    temporary = f"{folder}/{_TEMPORARY}{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, page.content)
            os.utime(descriptor, ns=(mtime_ms * 1_000_000, mtime_ms * 1_000_000))
            kept = os.fstat(descriptor).st_mtime_ns // 1_000_000
        finally:
            os.close(descriptor)
        os.replace(temporary, f"{folder}/{page.name}")  # noqa: PTH105
        return kept
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise write_undone(folder / page.name, error) from error


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


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
    for leftover in folder.glob(f"{_TEMPORARY}*"):
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
    temporary = folder / f"{_TEMPORARY}{os.getpid()}"
    try:
        temporary.write_text("".join(lines), encoding="utf-8")
        temporary.chmod(0o600)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_undone(target, error) from error
