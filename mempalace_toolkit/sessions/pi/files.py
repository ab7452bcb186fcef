"""Where pi's session files lie: the folders, the files in them, and the first lines of each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError, UnknownSchemaError
from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.pi.entries import NEWEST_VERSION, Header, header_of, parse_line

HEAD = 64 << 10  # bytes: the header and, nearly always, the first entry


@dataclass(frozen=True, slots=True)
class FileState:
    """A .jsonl file as stat saw it."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A pi session's file. `first` is its first entry's time: forks of one session share it."""

    state: FileState
    header: Header
    first: str


@dataclass(slots=True)
class Listing:
    """The .jsonl files of some places, and what could not be listed."""

    files: list[FileState]
    failures: list[StoreUnreadableError]


def shown(path: Path | str) -> str:
    """A path that can stand in one line of UTF-8, whatever bytes are in it."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else repr(text)[1:-1]


def cannot_read(path: Path, error: OSError) -> StoreUnreadableError:
    """The failure of one file or folder."""
    return StoreUnreadableError(
        f"cannot read {shown(path)}: {error.strerror or error}",
        "Check that it exists and that you may read it (ls -ld); other sessions are not concerned.",
    )


def check_place(place: Path) -> None:
    """Raise StoreUnreadableError where `place` is neither a session file nor a sessions folder.

    An empty folder, or one with only empty folders as pi names them, is a store without sessions.
    """
    hint = "Name a pi sessions folder, a folder that holds one as `sessions`, or a .jsonl file."
    try:
        mode = place.stat().st_mode
        if stat.S_ISREG(mode):
            return
        if not stat.S_ISDIR(mode):
            raise StoreUnreadableError(f"{shown(place)} is neither a file nor a folder", hint)
        names = [path.name for path in place.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise StoreUnreadableError(cannot_read(place, error).message, hint) from error
    except ValueError as error:  # a NUL in the name
        raise StoreUnreadableError(f"{shown(place)} cannot be a path: {error}", hint) from error
    if not names or "sessions" in names or any(name.startswith("--") for name in names):
        return
    listing = list_files([place])
    if not listing.files and not listing.failures:
        raise StoreUnreadableError(f"{shown(place)} holds no pi sessions", hint)


def list_files(places: Sequence[Path]) -> Listing:
    """Every .jsonl file once, by path; a file reached twice (links) under its own name."""
    listing = Listing([], [])
    known: set[tuple[int, int]] = set()
    found: list[tuple[bool, str]] = []
    for place in places:
        try:
            if stat.S_ISDIR(place.stat().st_mode):
                for folder in _folders(place, known, listing.failures):
                    found.extend(_entries(folder, ".jsonl", listing.failures))
            else:
                found.append((place.is_symlink(), str(place)))
        except OSError as error:
            listing.failures.append(cannot_read(place, error))
    files: dict[tuple[int, int], FileState] = {}
    for _, path in sorted(found):
        try:
            state = os.stat(path)  # noqa: PTH116 - a Path for each file is made once, below
        except OSError as error:
            listing.failures.append(cannot_read(Path(path), error))
            continue
        if stat.S_ISREG(state.st_mode):
            identity = (state.st_dev, state.st_ino)
            files.setdefault(identity, FileState(Path(path), state.st_size, state.st_mtime_ns))
    listing.files = sorted(files.values(), key=lambda file: str(file.path))
    return listing


def read_head(file: FileState) -> SessionFile | StoreFinding:
    """A file's header and first entry, or why it is no session.

    Raises UnknownSchemaError for a version that is not known, StoreUnreadableError where the
    file cannot be read.
    """
    try:
        with file.path.open("rb", buffering=0) as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise cannot_read(file.path, error) from error
    lines = head.lstrip(b"\r\n").split(b"\n", 2)
    if len(lines) < 2 and file.size <= HEAD:
        what = "its first line is not finished" if head else "it is empty"
        return finding("unfinished_file", file.path, f"no session yet: {what}")
    header = header_of(_value(lines[0]))
    if header is None:
        return finding("unknown_file", file.path, "not a pi session: the first line is no header")
    if not 1 <= header.version <= NEWEST_VERSION:
        version = header.version if header.version >= 0 else "not a number"
        raise UnknownSchemaError(
            f"{shown(file.path)} has pi session version {version}; "
            f"versions 1 to {NEWEST_VERSION} are known",
            "Update mempalace-toolkit; the file was left alone.",
        )
    entry = _value(lines[1]) if len(lines) == 3 else None
    first = entry.get("timestamp") if isinstance(entry, dict) else None
    return SessionFile(file, header, "" if first is None else str(first))


def finding(kind: str, path: Path, message: str, session: str = "") -> StoreFinding:
    """A finding about one file."""
    return StoreFinding(kind, message, shown(path), session)


def _value(line: bytes) -> object:
    try:
        return parse_line(line)[0]
    except ValueError:
        return None


def _folders(
    place: Path, known: set[tuple[int, int]], failures: list[StoreUnreadableError]
) -> Iterator[str]:
    """The folders that may hold session files, each once however it is reached.

    pi's are one level deep. Where there is a `sessions`, the place is an agent folder, whose
    other subfolders (extensions, say) are none of ours.
    """
    root = str(place)
    subfolders = [path for _, path in _entries(root, "", failures) if os.path.isdir(path)]  # noqa: PTH112
    inner = [path for path in subfolders if os.path.basename(path) == "sessions"]  # noqa: PTH119
    folders = [root, *(inner or subfolders)]
    for path in inner:
        folders += [sub for _, sub in _entries(path, "", failures) if os.path.isdir(sub)]  # noqa: PTH112
    for folder in folders:
        state = os.stat(folder)  # noqa: PTH116
        if (state.st_dev, state.st_ino) not in known:
            known.add((state.st_dev, state.st_ino))
            yield folder


def _entries(
    folder: str, ending: str, failures: list[StoreUnreadableError]
) -> list[tuple[bool, str]]:
    """(is a link, path) of what lies in a folder; none, and a failure, where it is locked."""
    try:
        with os.scandir(folder) as entries:
            return [(e.is_symlink(), e.path) for e in entries if e.name.endswith(ending)]
    except OSError as error:
        failure = cannot_read(Path(folder), error)
        if failure.message not in {known.message for known in failures}:
            failures.append(failure)
        return []
