"""Where opencode keeps its sessions, and which of those places exist."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.opencode.copies import is_database

_DATABASES = "opencode*.db"
_STORAGE = "storage"
_EXPECTED = (
    "give --store an opencode database (opencode.db), a storage/ folder, "
    "or the data folder that holds them"
)


def searched(data_home: Path, opencode_db: str | None) -> tuple[Path, ...]:
    """The places `locate` looks at; one of them is a pattern (`opencode*.db`)."""
    folder = data_home / "opencode"
    named = _named_database(folder, opencode_db)
    return (*((named,) if named else ()), folder / _DATABASES, folder / _STORAGE)


def locate(data_home: Path, opencode_db: str | None) -> tuple[Path, ...]:
    """The candidate stores that exist, databases first.

    OPENCODE_DB adds a database and hides none: opencode itself then works in that one only,
    but what it said in the others before is still there.
    """
    folder = data_home / "opencode"
    named = _named_database(folder, opencode_db)
    found = [named] if named and _exists(named) else []
    try:
        return _distinct([*found, *_stores_in(folder)])
    except PermissionError:  # not "nothing there": opening it will say why
        return _distinct([*found, folder])


def expand(path: Path) -> tuple[Path, ...]:
    """The databases and storage folders that a path given by the user stands for."""
    try:
        if not path.exists():
            raise StoreUnreadableError(f"{path}: no such file or folder", _EXPECTED)
        if not path.is_dir() or path.name == _STORAGE or (path / "session").is_dir():
            return (path,)
        inside = _stores_in(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreUnreadableError(f"{path}: cannot be read ({reason})", _EXPECTED) from error
    if not inside:
        raise StoreUnreadableError(f"{path}: a folder without an opencode store in it", _EXPECTED)
    return inside


def _stores_in(folder: Path) -> tuple[Path, ...]:
    try:
        names = sorted(path for path in folder.iterdir() if is_database(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    storage = folder / _STORAGE
    return _distinct([*names, *([storage] if storage.is_dir() else [])])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # behind a folder that may not be entered, or no path at all
        return False


def _named_database(folder: Path, opencode_db: str | None) -> Path | None:
    if not opencode_db or opencode_db == ":memory:":
        return None
    return folder / opencode_db  # an absolute path replaces the folder


def _distinct(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple({path.resolve(): path for path in reversed(list(paths))}.values())[::-1]
