"""Gives an index that was set aside back to its collection, under an id of its own.

It takes the place of the present index as a rebuilt one does (`replacement.py`), so that
nothing is exchanged under a client that has the present one open.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path

from mempalace_toolkit.chroma.records import CollectionRecord, read_records
from mempalace_toolkit.chroma.watermarks import replace_segment, undo_replacing
from mempalace_toolkit.errors import MempalaceError, PalaceBusyError
from mempalace_toolkit.files.exchange import sync_path
from mempalace_toolkit.files.private import write_undone
from mempalace_toolkit.index.quarantine.folders import quarantined_path, restore
from mempalace_toolkit.index.repair.replacement import NOTE, note_replacing, rename_aside
from mempalace_toolkit.palace.location import PalaceLocation


def restore_index(palace: PalaceLocation, name: str) -> Path:
    """Give the collection a quarantined index; the path that it has then.

    The index that the collection has now is set aside in its place, so that nothing is lost
    and a second call undoes the first. Where the collection has no index folder, or no
    collection has the segment, the folder gets its former name back. Raises UsageError for a
    name that is not there, PalaceBusyError, WriteUndoneError. The caller holds the palace.
    """
    folder, segment = quarantined_path(palace.path, name)
    record = _record(palace, segment)
    if record is None or not (palace.path / segment).is_dir():
        return restore(palace.path, folder.name)
    try:
        return _replace(palace, record, folder)
    except OSError as error:
        raise write_undone(Path(error.filename or palace.path), error) from error


def _record(palace: PalaceLocation, segment: str) -> CollectionRecord | None:
    try:
        records = read_records(palace).collections
    except PalaceBusyError:
        raise
    except MempalaceError:
        return None  # the database does not tell which folders it uses
    return next((one for one in records if one.vector_segment == segment), None)


def _replace(palace: PalaceLocation, record: CollectionRecord, folder: Path) -> Path:
    old = palace.path / record.vector_segment
    fresh = palace.path / str(uuid.uuid4())
    # The index that leaves is called as the one that comes was, but for the new id.
    aside = fresh.with_name(f"{fresh.name}{folder.name.removeprefix(old.name)}")
    with ExitStack() as undo:
        note_replacing(folder, old.name, aside.name, folder.name)
        undo.callback((folder / NOTE).unlink, missing_ok=True)
        folder.rename(fresh)
        undo.callback(fresh.rename, folder)
        sync_path(palace.path)
        change = replace_segment(palace, record, fresh.name, record.vector_watermark)
        undo.callback(undo_replacing, palace, change)
        for before, after in rename_aside(palace.path, old.name, fresh.name):
            undo.callback(after.rename, before)
        old.rename(aside)
        undo.pop_all()
    (fresh / NOTE).unlink(missing_ok=True)
    sync_path(palace.path)
    return fresh
