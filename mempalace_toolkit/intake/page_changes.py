"""Which pages a session's plan writes, and which it retires."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from mempalace_toolkit.intake.session_plan import SessionPlan
from mempalace_toolkit.ledger.records import RecordedPage, RecordedSession
from mempalace_toolkit.transcripts.render import (
    Cut,
    Page,
    PageHeader,
    page_name,
    render_page,
)


@dataclass(frozen=True, slots=True)
class PageChanges:
    """Pages to write, each with its record, and paths of pages to retire."""

    write: tuple[tuple[Page, RecordedPage], ...] = ()
    retire: tuple[str, ...] = ()


def plan_pages(plan: SessionPlan) -> PageChanges:
    """Which pages of the session are to be written, and which the palace must lose."""
    record = plan.record
    header = PageHeader(record.id, record.directory, record.label)
    write = []
    for path, number, cut in cuts_to_write(plan):
        page = render_page(header, number, cut)
        write.append((page, _recorded_page(page, path, record)))
    stay = {path for path, _, _ in _placed(plan)}
    gone = (p.path for p in plan.pages if p.path not in plan.sealed and p.path not in stay)
    return PageChanges(tuple(write), tuple(dict.fromkeys(gone)))


def cuts_to_write(plan: SessionPlan) -> Iterator[tuple[str, int, Cut]]:
    """Path, number and content of each page that is new, changed or lost."""
    before = {page.path: page for page in plan.pages if page.path not in plan.sealed}
    for path, number, cut in _placed(plan):
        old = before.get(path)
        if old is None or old.digest != cut.digest or path in plan.lost:
            yield path, number, cut


def _placed(plan: SessionPlan) -> Iterator[tuple[str, int, Cut]]:
    """Each page's path and number; those of sealed pages are taken."""
    record = plan.record
    if record.skipped:
        return
    folder = f"{record.label}/{record.wing}"
    cuts = iter(plan.cuts)
    cut = next(cuts, None)
    for number in count(1):
        if cut is None:
            return
        path = f"{folder}/{page_name(record.label, record.id, number)}"
        if path not in plan.sealed:
            yield path, number, cut
            cut = next(cuts, None)


def _recorded_page(page: Page, path: str, record: RecordedSession) -> RecordedPage:
    return RecordedPage(
        path=path,
        agent=record.agent,
        session=record.id,
        folder=path.rpartition("/")[0],
        number=page.number,
        digest=page.digest,
        mtime_ms=page.mtime_ms,
    )
