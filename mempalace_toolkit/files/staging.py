"""Puts a finished folder where the old one is, at once or not at all, one process at a time.

Everything lies beside the target, on its filesystem: the lock, which the kernel releases with
its holder, and the staging folders, of which any that the lock's holder finds is a dead run's.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from mempalace_toolkit.errors import ModelError
from mempalace_toolkit.files.exchange import sync_path, sync_tree
from mempalace_toolkit.files.locking import try_lock, wait_while_blocked

_LOCK = ".mempalace-toolkit.lock"
_STAGING = ".mempalace-toolkit-staging-"


@contextmanager
def held(parent: Path, wait: float, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock. Raises ModelError if another process keeps it for `wait` seconds,
    OSError if the folder cannot be written to."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / _LOCK).open("a") as lock:
        blocked = wait_while_blocked(
            time.monotonic() + wait,
            lambda: None if try_lock(lock.fileno()) else "another process",
            lambda: progress("Another process is making the model; waiting for it."),
        )
        if blocked:
            raise ModelError(
                f"another process has been making the model for {wait:g} s",
                f"Wait for it, or end the process that holds {parent / _LOCK}.",
            )
        yield


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A private folder beside the target, removed at the end, with those that dead runs left."""
    for left in parent.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(mkdtemp(prefix=_STAGING, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swap(new: Path, target: Path, aside: Path) -> None:
    """Move new to target, what was there to aside. An OSError leaves target as it was."""
    sync_tree(new)
    old = target.exists() or target.is_symlink()
    if old:
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        if old:
            aside.rename(target)
        raise
    sync_path(target.parent)
