"""Filing folders of the spool into a palace, and taking out of it what was undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.files import private_folder
from mempalace_toolkit.mining.ledger import Ledger, RecordedPage
from mempalace_toolkit.mining.mempalace import (
    ChildSetting,
    JobResult,
    MempalaceCommand,
    MempalaceJob,
    run_jobs,
)
from mempalace_toolkit.palace.drawers import mined_pages, page_totals
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.transcripts import spool
from mempalace_toolkit.transcripts.render import GENERATION_MS

MOST_GENERATIONS = 3
"""How often a page is shown to MemPalace again after it was taken for a duplicate."""


@dataclass(frozen=True, slots=True)
class Filing:
    """What the steps of filing share: the open ledger, the palace, the spool, the child."""

    ledger: Ledger
    palace: PalaceLocation
    spool: Path
    command: MempalaceCommand
    setting: ChildSetting

    @property
    def palace_key(self) -> str:
        """The palace's name in the ledger."""
        return str(self.palace.path)


def see_palace(ledger: Ledger, palace: PalaceLocation, folder: Path) -> bool:
    """Whether the palace still holds of the spool what the ledger remembers."""
    known = ledger.totals(str(palace.path))
    if not palace.has_hnsw_index:
        return True
    return known == page_totals(palace, folder)


def learn_palace(ledger: Ledger, palace: PalaceLocation, folder: Path) -> None:
    """Replace the ledger's memory of the palace by what the palace holds."""
    if not palace.has_hnsw_index:
        return
    pages, totals = mined_pages(palace, folder), page_totals(palace, folder)
    with ledger.writing():
        ledger.record_mined(str(palace.path), pages, totals)


def mine_folders(
    filing: Filing, folders: Iterable[str], heal: Callable[[], None]
) -> list[JobResult]:
    """Mine each folder into its wing; after a crash heal, then go on with the rest, once."""
    jobs = [_job(filing, folder, "mine") for folder in folders]
    results = run_jobs(filing.command, jobs, filing.setting)
    crashed = [result for result in results if result.crashed]
    if crashed:
        heal()
        left = [result.job for result in results if result.crashed or result.code is None]
        again = run_jobs(filing.command, left, filing.setting)
        results = [r for r in results if not r.crashed and r.code is not None] + again
    if not filing.palace.has_hnsw_index:
        with filing.ledger.writing():
            for result in results:
                if result.code == 0:
                    filing.ledger.trust_mined(filing.palace_key, folder_of(result.job))
    return results


def show_orphans_again(filing: Filing) -> set[str]:
    """Give pages whose twin left the palace a new time; the folders to mine once more.

    MemPalace files a text once a wing: of two pages that say the same, one is a sentinel,
    and would stay one when the other is changed or retired.
    """
    folders = set()
    for page in filing.ledger.orphaned_sentinels(filing.palace_key):
        if page.generation >= MOST_GENERATIONS:
            continue
        mtime_ms = page.mtime_ms + GENERATION_MS
        spool.touch_page(filing.spool / page.path, mtime_ms)
        with filing.ledger.writing():
            filing.ledger.record_page(_shown_again(page, mtime_ms))
        folders.add(page.folder)
    return folders


def drop_retired(filing: Filing) -> Mapping[str, str]:
    """Take retired pages out of palace and spool; a message for each folder that failed.

    `mempalace sync` prunes what the folder's ignore list names. Nothing is forgotten before
    the palace is seen to have lost it, so a run that is killed here is made up for by the next.
    """
    retired = filing.ledger.retired_pages()
    jobs = []
    for name, pages in retired.items():
        folder = filing.spool / name
        private_folder(folder)
        for page in pages:
            (filing.spool / page.path).touch(mode=0o600)
        spool.write_ignore_list(folder, [Path(page.path).name for page in pages])
        jobs.append(_job(filing, name, "sync"))
    if filing.palace.has_hnsw_index and not filing.palace.database.exists():
        results = [JobResult(job, 0) for job in jobs]
    else:
        results = run_jobs(filing.command, jobs, filing.setting)
    return _forget_dropped(filing, retired, results)


def _forget_dropped(
    filing: Filing, retired: Mapping[str, Sequence[RecordedPage]], results: list[JobResult]
) -> Mapping[str, str]:
    held = mined_pages(filing.palace, filing.spool) if retired else {}
    failures = {}
    for result in results:
        name = folder_of(result.job)
        if result.code != 0:
            failures[name] = f"mempalace sync {result.describe()}"
            continue
        pages = retired[name]
        kept = [page for page in pages if page.path in held and not held[page.path].sentinel]
        if kept:
            failures[name] = f"{len(kept)} undone page(s) stay in the palace: sync kept them"
        gone = [page.path for page in pages if page not in kept]
        for path in gone:
            (filing.spool / path).unlink(missing_ok=True)
        spool.write_ignore_list(filing.spool / name, [])
        with filing.ledger.writing():
            filing.ledger.forget_pages(gone)
    return failures


def _job(filing: Filing, folder: str, action: str) -> MempalaceJob:
    label, _, wing = folder.partition("/")
    return MempalaceJob("sync" if action == "sync" else "mine", filing.spool / folder, wing, label)


def folder_of(job: MempalaceJob) -> str:
    """The spool folder that a call is about, by its name in the ledger."""
    return f"{job.label}/{job.wing}"


def _shown_again(page: RecordedPage, mtime_ms: int) -> RecordedPage:
    return RecordedPage(
        page.path,
        page.agent,
        page.session,
        page.folder,
        page.number,
        page.digest,
        mtime_ms,
        page.generation + 1,
    )
