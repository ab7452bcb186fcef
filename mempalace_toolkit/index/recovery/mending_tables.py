"""The small tables of a mended database, as rows to insert."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tables:
    """The small tables of the mended database, as rows to insert; `moved` are the segments whose
    drawers get another one; `losses` what nothing tells any more."""

    tenants: list[str] = field(default_factory=list)
    databases: list[tuple[str, str, str]] = field(default_factory=list)
    collections: dict[str, dict[str, object]] = field(default_factory=dict)
    settings: list[tuple[object, ...]] = field(default_factory=list)
    segments: dict[str, tuple[str, str]] = field(default_factory=dict)
    watermarks: dict[str, int] = field(default_factory=dict)
    queue_settings: list[str] = field(default_factory=list)
    moved: dict[object, str] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)

    def segment(self, collection: str, scope: str) -> str:
        """The collection's segment of that scope."""
        return next(one for one, of in self.segments.items() if of == (collection, scope))
