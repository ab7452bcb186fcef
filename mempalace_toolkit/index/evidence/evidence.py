"""What the checks look at: a collection's record, its segment's files, the folder around them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mempalace_toolkit.chroma.operations import Operation
from mempalace_toolkit.chroma.records import CollectionRecord, QueueEntry
from mempalace_toolkit.chroma.segment.files import SegmentFiles
from mempalace_toolkit.chroma.segment.link_lists import LinksError, UpperLevels, walk
from mempalace_toolkit.index.evidence.findings import Finding


@dataclass(frozen=True)
class Evidence:
    """One collection as it lies on the disk.

    `files` is None where the segment's folder is not there. `highest_queued` is that of the
    whole palace, as all collections share one sequence.
    """

    record: CollectionRecord
    files: SegmentFiles | None
    highest_queued: int

    def finding(self, kind: str, message: str, **numbers: int | float | str) -> Finding:
        """A finding in this collection and its segment."""
        return Finding(kind, message, self.record.name, self.record.vector_segment, numbers)

    @property
    def never_flushed(self) -> bool:
        """Whether chromadb would take nothing from the folder: it replays the queue instead.

        So it is until the first flush, which leaves the map of ids and then the watermark.
        """
        unread = self.files is None or any(p.kind == "pickle_missing" for p in self.files.problems)
        return self.record.vector_watermark is None and unread

    @cached_property
    def expected_ids(self) -> set[str]:
        """The drawers' ids once chromadb has applied what the queue still holds."""
        return replay(set(self.record.ids), self.record.queue, self.record.metadata_watermark)

    @cached_property
    def indexed_ids(self) -> set[str] | None:
        """The index's ids, likewise; None where the map is there and cannot be read."""
        files = self.files
        if files is None or files.id_map is None:
            gone = files is None or any(p.kind == "pickle_missing" for p in files.problems)
            start: set[str] = set()
            if not gone:
                return None
        else:
            start = set(files.id_map.labels)
        return replay(start, self.record.queue, self.record.vector_watermark)

    @cached_property
    def upper_levels(self) -> UpperLevels | LinksError | None:
        """The levels above 0, what is wrong with them, or None where there is no header."""
        files = self.files
        if files is None or files.header is None or files.upper_links is None:
            return None
        header = files.header
        try:
            return walk(files.upper_links, header.count, header.max_links, header.max_level)
        except LinksError as error:
            return error


def replay(ids: set[str], queue: tuple[QueueEntry, ...], watermark: int | None) -> set[str]:
    """The ids after chromadb has applied the operations above the watermark.

    An update of what is not there does nothing.
    """
    for entry in queue:
        if watermark is not None and entry.sequence <= watermark:
            continue
        if entry.operation == Operation.DELETE:
            ids.discard(entry.id)
        elif entry.operation != Operation.UPDATE:
            ids.add(entry.id)
    return ids
