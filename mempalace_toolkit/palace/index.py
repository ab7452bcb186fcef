"""Whether the palace's vector index is sound: the seam between mining and its proof.

Until the check exists the answer is "not checked", which is neither sound nor damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mempalace_toolkit.palace.location import PalaceLocation

IndexStatus = Literal["not_checked", "no_index"]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What is known of the index at one moment; `detail` is a line for a person."""

    status: IndexStatus
    detail: str

    def as_json(self) -> dict[str, object]:
        """The object under `index` in a run's JSON."""
        return {"status": self.status, "detail": self.detail}


def check_index(palace: PalaceLocation) -> IndexReport:
    """Look at the palace's index without writing anything."""
    if not palace.has_hnsw_index:
        return IndexReport("no_index", f"no HNSW index with the {palace.backend} backend")
    if not palace.database.exists():
        return IndexReport("no_index", "the palace is empty")
    return IndexReport("not_checked", "this version does not check the index yet")
