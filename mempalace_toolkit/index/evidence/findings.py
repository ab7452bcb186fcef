"""What a check may find: every kind, what it means, and what repair would do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Remedy = Literal[
    "nothing", "sweep", "roll_back", "top_up", "rebuild_segment", "rebuild_palace", "refuse"
]
"""What repair does, from nothing to everything; the strongest that any finding asks for is the
grade of the plan. `refuse` is for what must not be touched by this version; a plan refuses, too,
where a damaged database does not give its drawers back. `sweep` is the plan's alone: it removes
what killed repairs left behind."""

_MANY = 4  # more than a fourth is sooner rebuilt than added


@dataclass(frozen=True, slots=True)
class FindingKind:
    """A kind of finding. `harmless` ones leave the palace sound. Those `in_tables` are mended
    row by row in a new database, of which the old one's pages can be read."""

    name: str
    meaning: str
    remedy: Remedy
    harmless: bool = False
    in_tables: bool = False


def _in_tables(name: str, meaning: str) -> FindingKind:
    return FindingKind(name, meaning, "rebuild_palace", in_tables=True)


KINDS: Mapping[str, FindingKind] = {
    kind.name: kind
    for kind in (
        FindingKind("sqlite_unreadable", "the palace database cannot be read", "rebuild_palace"),
        FindingKind("sqlite_damaged", "pages of the palace database are damaged", "rebuild_palace"),
        _in_tables("migrations_damaged", "chromadb's record of its tables is wrong"),
        _in_tables("schema_damaged", "tables, columns or indexes of chromadb's are gone"),
        _in_tables("tenant_missing", "a tenant or database that chromadb needs is gone"),
        _in_tables("collection_damaged", "a collection's settings cannot be read"),
        _in_tables("collection_lost", "a collection's own row is gone"),
        _in_tables("dimension_wrong", "a collection's dimension differs from that of its vectors"),
        _in_tables("segments_wrong", "a collection does not have one segment of each scope"),
        _in_tables("segment_id_invalid", "a segment's id is not a UUID: it is never followed"),
        _in_tables(
            "watermark_missing",
            "a segment's watermark (the last operation it has taken in) is missing",
        ),
        _in_tables("fulltext_damaged", "the full-text index is incomplete or damaged"),
        _in_tables("drawers_doubled", "drawers are twice in the database"),
        _in_tables("drawers_damaged", "rows of drawers cannot be read"),
        _in_tables("documents_missing", "drawers have lost their text"),
        _in_tables("metadata_missing", "drawers have lost metadata"),
        _in_tables("metadata_damaged", "metadata cannot be read"),
        _in_tables("metadata_orphaned", "there are metadata of drawers that are gone"),
        _in_tables("queue_damaged", "chromadb cannot read its queue"),
        FindingKind(
            "queue_vectors_lost", "vectors that the index lacks are gone", "rebuild_segment"
        ),
        FindingKind("hot_journal", "a killed writer left a transaction open", "roll_back"),
        FindingKind("unknown_format", "written by a chromadb that is not known here", "refuse"),
        FindingKind(
            "segment_missing", "the index folder is gone, drawers are not", "rebuild_segment"
        ),
        FindingKind("file_missing", "a file of the index is gone", "rebuild_segment"),
        FindingKind("pickle_missing", "the id map (ids to labels) is gone", "rebuild_segment"),
        FindingKind(
            "pickle_unreadable", "the id map (ids to labels) is damaged", "rebuild_segment"
        ),
        FindingKind("header_impossible", "the header contradicts itself", "rebuild_segment"),
        FindingKind("level0_short", "there is less data than the header counts", "rebuild_segment"),
        FindingKind(
            "torn_persist", "the index files are from different points in time", "rebuild_segment"
        ),
        FindingKind(
            "links_damaged", "the graph's links are cut or lead nowhere", "rebuild_segment"
        ),
        FindingKind("entry_point_invalid", "the graph's entry is not in it", "rebuild_segment"),
        FindingKind(
            "labels_differ", "labels of the data and of the id map differ", "rebuild_segment"
        ),
        FindingKind("labels_repeated", "a label occurs twice", "rebuild_segment"),
        FindingKind("vectors_not_finite", "vectors hold NaN or infinity", "rebuild_segment"),
        FindingKind("vectors_zero", "vectors are zero", "rebuild_segment"),
        FindingKind(
            "vectors_not_unit", "vectors of a cosine index are not of length 1", "rebuild_segment"
        ),
        FindingKind("ids_missing", "drawers are not in the index: no search finds them", "top_up"),
        FindingKind("ids_ghost", "the index holds ids that belong to no drawer", "rebuild_segment"),
        FindingKind(
            "watermark_ahead", "the index claims to be ahead of its queue", "rebuild_segment"
        ),
        FindingKind(
            "watermarks_disordered",
            "the index claims to be ahead of the drawers",
            "rebuild_segment",
        ),
        FindingKind(
            "sequence_reused",
            "the queue's sequence restarted: later writes get lost",
            "rebuild_segment",
        ),
        FindingKind(
            "queue_gap", "the queue lacks what the index has not taken in", "rebuild_segment"
        ),
        FindingKind(
            "sparse_bloat",
            "a file claims, or takes of the disk, far more than is in it",
            "rebuild_segment",
        ),
        FindingKind(
            "labels_swapped", "vectors do not belong to their drawers' texts", "rebuild_segment"
        ),
        FindingKind(
            "vectors_outdated",
            "vectors are of other texts than their drawers' present ones",
            "rebuild_segment",
        ),
        FindingKind("model_differs", "another embedding model filled the palace", "refuse"),
        FindingKind(
            "segment_stray", "an index folder that no collection uses", "nothing", harmless=True
        ),
        FindingKind(
            "segment_quarantined", "an index folder that was set aside", "nothing", harmless=True
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one place. `collection` and `segment` are empty where it has none.

    `numbers` says how much: counts, sizes, ids of rows. It never holds a drawer's text.
    `drawers` are the ids, each with its drawer's sequence number, that every drawer was compared
    with its text to find: their vectors are wrong, and all others right.
    """

    kind: str
    message: str
    collection: str = ""
    segment: str = ""
    numbers: Mapping[str, int | float | str] = field(default_factory=dict)
    drawers: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def remedy(self) -> Remedy:
        """What repair does about it. Vectors are added to an index that lacks few of them."""
        remedy = KINDS[self.kind].remedy
        if remedy == "top_up":
            missing, drawers = self.numbers.get("missing", 0), self.numbers.get("drawers", 0)
            return "top_up" if float(missing) * _MANY <= float(drawers) else "rebuild_segment"
        return remedy

    @property
    def in_tables(self) -> bool:
        """Whether it is in the rows of the database, of which the pages can be read."""
        return KINDS[self.kind].in_tables

    @property
    def harmless(self) -> bool:
        """Whether the palace is sound with it."""
        return KINDS[self.kind].harmless

    def concerns(self, collection: str, segment: str) -> bool:
        """Whether it is of this collection, or of all. Two databases may have collections of one
        name: the segment tells them apart."""
        if self.segment and self.collection:
            return self.segment == segment
        return self.collection in ("", collection)

    def as_json(self) -> dict[str, object]:
        """The object under `findings`."""
        return {
            "kind": self.kind,
            "message": self.message,
            "collection": self.collection,
            "segment": self.segment,
            "numbers": dict(self.numbers),
            "remedy": self.remedy,
            "harmless": self.harmless,
        }


def strongest(remedies: Iterable[Remedy]) -> Remedy:
    """The one that does what all of them do."""
    return max(remedies, key=get_args(Remedy).index, default="nothing")
