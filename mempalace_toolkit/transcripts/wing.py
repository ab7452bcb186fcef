"""Which wing a session belongs to: the project it worked in, named as MemPalace names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath, PureWindowsPath

UNPLACED = "no_project"
"""The wing of sessions whose directory has no name: `/`, or none recorded."""

LONGEST = 100
"""Characters; MemPalace allows 128, and a folder name 255 bytes."""

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_NOT_ALLOWED = re.compile(r"[^\w .'-]")


def normalise_wing(name: str) -> str:
    """`name` by the rule of MemPalace's own miner, so that code and talk share a wing.

    Lower case, spaces and hyphens as underscores (`normalize_wing_name`, MemPalace 3.11);
    characters that its names may not hold become underscores too.
    """
    plain = _NOT_ALLOWED.sub("_", name.lower().replace(" ", "_").replace("-", "_"))
    plain = plain.replace("..", "_")[:LONGEST].strip("_ .'")
    while len(plain.encode()) > 240:
        plain = plain[:-1]
    return plain or UNPLACED


def mapped_wing(directory: str, wings: Mapping[str, str]) -> str | None:
    """The wing that `wings`, paths to names, gives `directory`: the longest path wins."""
    for path in sorted(wings, key=len, reverse=True):
        inside = path.rstrip("\\") + "\\" if _WINDOWS.match(path) else path.rstrip("/") + "/"
        if directory == path or directory.startswith(inside):
            return normalise_wing(wings[path])
    return None


def standing_folder(directory: str, repository: str) -> str:
    """The folder that tells the project: `directory`, or `repository` where it is gone."""
    if not repository or repository == directory or not directory.startswith("/"):
        return directory
    try:
        return directory if Path(directory).exists() else repository
    except (OSError, ValueError):
        return directory


@lru_cache(maxsize=4096)
def project_wing(directory: str) -> str:
    """The wing for talk that took place in `directory`, by the project it belongs to.

    That is the git repository (a worktree and a subdirectory count to it), else the
    directory itself.
    """
    if _WINDOWS.match(directory):  # mined on another system than it was written on
        return normalise_wing(PureWindowsPath(directory).name)
    if not directory.startswith("/"):
        return normalise_wing(PurePath(directory).name)
    return normalise_wing(_repository_name(directory) or PurePath(directory).name)


def _repository_name(directory: str) -> str | None:
    """The name of the main working tree's folder, or of a bare repository; None outside."""
    folder = directory
    try:
        while (name := _named_by(folder)) is None and folder != "/":
            folder = folder.rstrip("/").rpartition("/")[0] or "/"
    except (OSError, ValueError):
        return None
    return name


@lru_cache(maxsize=4096)
def _named_by(directory: str) -> str | None:
    """The name that a folder's own `.git` gives; None where it has none."""
    folder = Path(directory)
    marker = folder / ".git"
    if marker.is_dir():
        return folder.name
    return _linked_name(folder, marker) if marker.is_file() else None


def _linked_name(folder: Path, marker: Path) -> str:
    """A `.git` file: a worktree names its repository, a submodule stands for itself."""
    with marker.open("rb") as file:
        line = file.read(4096).decode("utf-8", "replace").strip()
    target = Path(line.removeprefix("gitdir:").strip())
    if target.parent.name != "worktrees":
        return folder.name
    repository = (folder / target).resolve().parent.parent
    if repository.name == ".git":
        return repository.parent.name
    return repository.name.removesuffix(".git")
