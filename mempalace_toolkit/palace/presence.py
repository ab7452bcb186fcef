"""Is there a palace in a folder: its database, nothing yet, or what is no palace at all."""

from __future__ import annotations

import re
from pathlib import Path

from mempalace_toolkit.errors import NoPalaceError
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.segment_names import UUID

_SEGMENT = re.compile(rf"{UUID}(\..+)?")
_BEFORE_THE_FIRST_DRAWER = re.compile(
    r"\..+|(knowledge_graph|logstream)\.sqlite3(-\w+)?|mempalace_embedder\.json|rooms|kg|wings"
)
"""Files that the toolkit and MemPalace 3.11 put into a palace that has no database yet."""


def require_palace(palace: PalaceLocation, chosen: bool) -> None:
    """Raise NoPalaceError where the folder cannot be a palace of chromadb's.

    A folder that nobody `chosen` on the command line may be missing: it is made by the first
    run. Index folders without a database are a palace that lost it, and for the checks to tell.
    """
    if not palace.has_hnsw_index:
        return
    folder = palace.path
    if folder.is_dir():
        names = [entry.name for entry in folder.iterdir()]
        if palace.database.name not in names and not any(map(_SEGMENT.fullmatch, names)):
            strange = [name for name in names if not _BEFORE_THE_FIRST_DRAWER.fullmatch(name)]
            if strange:
                raise _nothing(folder, f"it holds {_some(strange)}, and no {palace.database.name}")
    elif folder.exists() or folder.is_symlink():
        raise _nothing(folder, "it is a file, not a folder" if folder.exists() else "a dead link")
    elif chosen:
        raise _nothing(folder, "there is no such folder")


def _nothing(folder: Path, why: str) -> NoPalaceError:
    inside = folder / "palace"
    if (inside / "chroma.sqlite3").is_file():
        return NoPalaceError(
            f"no palace here: {folder}: {why}", f"there is one below it: --palace {inside}"
        )
    return NoPalaceError(
        f"no palace here: {folder}: {why}",
        "name the palace's folder with --palace; without it MemPalace's own palace is taken",
    )


def _some(names: list[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
