"""An index takes the place of another one under an id of its own.

The new index gets a folder of a new id, one transaction of the database names that id in the
place of the old one, and the old folder is set aside. So nothing is ever exchanged under a
client that has the old index open: what it still writes goes into the old folder, whose name
leads nowhere. chromadb 1.5.9 asks the database for the id at every call, so that such a client
opens the new index at its next one.

A note in the new folder says which one it replaces until the old one is set aside. A process
killed before the transaction leaves a folder that nothing uses, one killed after it the old
folder under its old name: `finish_replacements` makes up for both.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.files.exchange import sync_folder
from mempalace_toolkit.index.evidence.folders import QUARANTINED_NAME, SEGMENT_NAME
from mempalace_toolkit.index.quarantine.folders import list_quarantined
from mempalace_toolkit.index.quarantine.note import note_replaced
from mempalace_toolkit.palace.location import PalaceLocation

NOTE = ".mempalace-toolkit-replaces.json"
_NOTE_BYTES = 1 << 16


def note_replacing(folder: Path, old: str, aside: str) -> None:
    """Note in the new index's folder which segment it replaces, and what that is to be called."""
    text = json.dumps({"version": 1, "old": old, "aside": aside})
    (folder / NOTE).write_text(text, encoding="utf-8")


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
        old, aside = _read(folder)
        if folder.name in used:
            _set_aside(palace.path, folder.name, old, aside)
            (folder / NOTE).unlink()
        elif old in used:
            shutil.rmtree(folder)
    sync_folder(palace.path)


def _set_aside(palace: Path, fresh: str, old: str, aside: str) -> None:
    folder, target = palace / old, palace / aside
    if SEGMENT_NAME.fullmatch(old) and folder.is_dir() and not target.exists():
        match = QUARANTINED_NAME.fullmatch(aside)
        if match and match[1] == fresh:
            folder.rename(target)
    if SEGMENT_NAME.fullmatch(old):
        rename_aside(palace, old, fresh)


def _read(folder: Path) -> tuple[str, str]:
    """The old segment and the name it is to have, empty where the note does not tell."""
    try:
        with (folder / NOTE).open("rb") as file:
            note = json.loads(file.read(_NOTE_BYTES))
        return str(note["old"]), str(note["aside"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "", ""
