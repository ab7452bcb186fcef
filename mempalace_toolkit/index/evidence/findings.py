"""What a check may find: every kind, what it means, and what repair would do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Remedy = Literal[
    "none",
    "top_up",
    "rewrite_pickle",
    "rebuild_segment",
    "mend_database",
    "rebuild_palace",
    "refuse",
]
"""The grade of repair that a finding asks for, from nothing to everything; `refuse` is for what
must not be touched by this version."""


@dataclass(frozen=True, slots=True)
class FindingKind:
    """A kind of finding. `harmless` ones are told and leave the palace sound."""

    name: str
    meaning: str
    remedy: Remedy
    harmless: bool = False


KINDS: Mapping[str, FindingKind] = {
    kind.name: kind
    for kind in (
        FindingKind("sqlite_unreadable", "the palace database cannot be read", "rebuild_palace"),
        FindingKind("sqlite_damaged", "pages of the palace database are damaged", "rebuild_palace"),
        FindingKind(
            "migrations_damaged", "chromadb's record of its tables is wrong", "mend_database"
        ),
        FindingKind(
            "schema_damaged", "tables, columns or indexes of chromadb's are gone", "mend_database"
        ),
        FindingKind(
            "tenant_missing", "a tenant or database that chromadb needs is gone", "mend_database"
        ),
        FindingKind(
            "collection_damaged", "a collection's settings cannot be read", "mend_database"
        ),
        FindingKind("collection_lost", "a collection's own row is gone", "mend_database"),
        FindingKind(
            "dimension_wrong",
            "a collection's dimension differs from that of its vectors",
            "mend_database",
        ),
        FindingKind(
            "segments_wrong",
            "a collection does not have one segment of each scope",
            "mend_database",
        ),
        FindingKind(
            "segment_id_invalid",
            "a segment's id is not a UUID: it is never followed",
            "mend_database",
        ),
        FindingKind(
            "watermark_missing",
            "a segment's watermark (the last operation it has taken in) is missing",
            "mend_database",
        ),
        FindingKind(
            "fulltext_damaged", "the full-text index is incomplete or damaged", "mend_database"
        ),
        FindingKind("drawers_doubled", "drawers are twice in the database", "mend_database"),
        FindingKind("drawers_damaged", "rows of drawers cannot be read", "mend_database"),
        FindingKind("documents_missing", "drawers have lost their text", "mend_database"),
        FindingKind("metadata_missing", "drawers have lost metadata", "mend_database"),
        FindingKind("metadata_damaged", "metadata cannot be read", "mend_database"),
        FindingKind(
            "metadata_orphaned", "there are metadata of drawers that are gone", "mend_database"
        ),
        FindingKind("queue_damaged", "chromadb cannot read its queue", "mend_database"),
        FindingKind(
            "queue_vectors_lost", "vectors that the index lacks are gone", "rebuild_segment"
        ),
        FindingKind("hot_journal", "a killed writer left a transaction open", "none"),
        FindingKind("unknown_format", "written by a chromadb that is not known here", "refuse"),
        FindingKind(
            "segment_missing", "the index folder is gone, drawers are not", "rebuild_segment"
        ),
        FindingKind("file_missing", "a file of the index is gone", "rebuild_segment"),
        FindingKind("pickle_missing", "the id map (ids to labels) is gone", "rewrite_pickle"),
        FindingKind("pickle_unreadable", "the id map (ids to labels) is damaged", "rewrite_pickle"),
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
            "segment_stray", "an index folder that no collection uses", "none", harmless=True
        ),
        FindingKind(
            "segment_quarantined", "an index folder that was set aside", "none", harmless=True
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
        """What repair would do."""
        return KINDS[self.kind].remedy

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
