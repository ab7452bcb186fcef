"""How much a planned session adds: pages to write, and about how many drawers they become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mempalace_toolkit.intake.page_changes import cuts_to_write
from mempalace_toolkit.intake.session_plan import SessionPlan
from mempalace_toolkit.sessions.model import Turn, TurnCount
from mempalace_toolkit.transcripts.render import page_lengths, split_exchanges

DRAWER_CHARACTERS = 790
"""MemPalace cuts an exchange after the last blank before 800 characters."""

PAGE_BYTES_A_DRAWER = 900
"""For a page that lies in the spool already: its JSON counts, too."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Pages, about how many drawers, and about how many bytes of text they hold."""

    pages: int = 0
    drawers: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.pages + other.pages, self.drawers + other.drawers)


def amount_of(plan: SessionPlan) -> Amount:
    """What the session's changed pages come to."""
    if plan.counted is not None:
        return _of_counted(plan.counted) if plan.action == "new" else Amount()
    cuts = [cut for _, _, cut in cuts_to_write(plan)]
    return Amount(len(cuts), sum(drawers_of(cut.turns) for cut in cuts))


def _of_counted(count: TurnCount) -> Amount:
    """An exchange's last drawer is half full on the average."""
    exchanges = max(1, count.user)
    drawers = max(exchanges, round(count.characters / DRAWER_CHARACTERS + exchanges / 2))
    return Amount(len(page_lengths(exchanges)), drawers)


def amount_of_files(sizes: Iterable[int]) -> Amount:
    """What pages of these sizes in bytes come to, which the palace lacks."""
    counts = [max(1, round(size / PAGE_BYTES_A_DRAWER)) for size in sizes]
    return Amount(len(counts), sum(counts))


def drawers_of(turns: tuple[Turn, ...]) -> int:
    """About how many drawers MemPalace makes of these turns: one an exchange, more of long ones."""
    lengths = (sum(len(turn.text) + 1 for turn in one) for one in split_exchanges(turns))
    return sum(-(-length // DRAWER_CHARACTERS) for length in lengths)
