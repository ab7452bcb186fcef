"""An index takes the place of another one under an id of its own.

The new index gets a folder of a new id, one transaction of the database names that id in the
place of the old one, and the old folder is set aside. So nothing is ever exchanged under a
client that has the old index open: what it still writes goes into the old folder, whose name
leads nowhere. chromadb 1.5.9 asks the database for the id at every call, so that such a client
opens the new index at its next one.

A note in the new folder says which one it replaces until the old one is set aside. A process
killed before the transaction leaves a folder that nothing uses, one killed after it the old
folder under its old name: `finish_replacements` makes up for both. A folder that was in
quarantine before gets the name back that it had there.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.files.exchange import sync_path, sync_tree
from mempalace_toolkit.index.quarantine.folders import list_quarantined
from mempalace_toolkit.index.quarantine.note import note_replaced
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.segment_names import QUARANTINED_NAME, SEGMENT_NAME

NOTE = ".mempalace-toolkit-replaces.json"
_NOTE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Replacing:
    """What a note says: the segment that is replaced, and what that is to be called; and
    `own`, the name that the new index's folder had, empty for one that was just built."""

    old: str = ""
    aside: str = ""
    own: str = ""


def note_replacing(folder: Path, old: str, aside: str, own: str = "") -> None:
    """Note in the new index's folder which segment it replaces; see `Replacing`.

    Raises OSError. What was written is on the disk then.
    """
    text = json.dumps({"version": 1, "old": old, "aside": aside, "own": own})
    (folder / NOTE).write_text(text, encoding="utf-8")
    sync_tree(folder)


def rename_aside(palace: Path, old: str, fresh: str) -> list[tuple[Path, Path]]:
    """Give the folders that were set aside as `old` ones the segment's new id; from and to."""
    renamed = []
    for one in list_quarantined(palace):
        if one.segment == old:
            target = palace / f"{fresh}{one.folder.name.removeprefix(old)}"
            if not target.exists():
                one.folder.rename(target)
                if one.kinds is not None:  # the note names the folder
                    note_replaced(target, one.kinds)
                renamed.append((one.folder, target))
    return renamed


def unfinished(palace: Path) -> list[Path]:
    """The index folders with a note that a replacement was under way."""
    with suppress(OSError):
        notes = sorted(palace.glob(f"*/{NOTE}"))
        return [one.parent for one in notes if SEGMENT_NAME.fullmatch(one.parent.name)]
    return []


def finish_replacements(palace: PalaceLocation) -> None:
    """Finish or take back the replacements that a killed repair had begun. Raises OSError.

    The caller holds the palace. Nothing is done where the database does not tell which
    folders it uses.
    """
    begun = unfinished(palace.path)
    if not begun:
        return
    try:
        with open_database(palace) as opened:
            used = {str(one) for (one,) in opened.connection.execute("select id from segments")}
    except MempalaceError:
        return
    for folder in begun:
        note = _read(folder)
        if folder.name in used:
            _set_aside(palace.path, folder.name, note)
            (folder / NOTE).unlink()
        elif QUARANTINED_NAME.fullmatch(note.own):
            if not (palace.path / note.own).exists():
                (folder / NOTE).unlink()
                folder.rename(palace.path / note.own)
        elif note.old in used:
            shutil.rmtree(folder)
    sync_path(palace.path)


def _set_aside(palace: Path, fresh: str, note: Replacing) -> None:
    if not SEGMENT_NAME.fullmatch(note.old):
        return
    folder, target = palace / note.old, palace / note.aside
    if folder.is_dir() and not target.exists():
        match = QUARANTINED_NAME.fullmatch(note.aside)
        if match and match[1] == fresh:
            folder.rename(target)
    rename_aside(palace, note.old, fresh)


def _read(folder: Path) -> Replacing:
    """What the note says; an empty one where it cannot be read."""
    try:
        with (folder / NOTE).open("rb") as file:
            note = json.loads(file.read(_NOTE_BYTES))
        return Replacing(str(note["old"]), str(note["aside"]), str(note.get("own", "")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Replacing()
