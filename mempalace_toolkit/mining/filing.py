"""Filing folders of the spool into a palace, and knowing what the palace holds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mempalace_toolkit.chroma.contents import mined_pages, page_totals
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.command import JobResult, MempalaceJob, run_jobs
from mempalace_toolkit.mining.program import MempalaceCommand
from mempalace_toolkit.mining.watched_child import ChildSetting
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.transcripts import spool as files
from mempalace_toolkit.transcripts.render import GENERATION_MS, MOST_GENERATIONS

FILE_BACKENDS = ("sqlite_exact", "rust_exact")
"""Backends that keep everything in the palace folder: an empty one holds nothing."""


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
        return key_of(self.palace)


def key_of(palace: PalaceLocation) -> str:
    """The name of a palace in the ledger: the same folder with another backend is another."""
    return f"{palace.backend}:{palace.path}"


def look_at_palace(ledger: Ledger, palace: PalaceLocation, spool: Path) -> None:
    """Have the ledger know what the palace holds of the spool, wherever that has changed."""
    if not palace.has_hnsw_index:
        if palace.backend in FILE_BACKENDS and palace.is_empty():
            with ledger.writing():
                ledger.forget_palace(key_of(palace))
        return
    totals = page_totals(palace, spool)
    if ledger.totals(key_of(palace)) != totals:
        pages = mined_pages(palace, spool)
        with ledger.writing():
            ledger.record_mined(key_of(palace), pages, totals)


def mine_folders(
    filing: Filing, folders: Iterable[tuple[str, Sequence[str]]], heal: Callable[[], None]
) -> list[JobResult]:
    """Mine each folder's pages, those that are named or all, into its wing.

    After a crash: heal, then the rest, then once more it.
    """
    pending = [job_for(filing, folder, "mine", names) for folder, names in folders]
    crashed: list[MempalaceJob] = []
    done: list[JobResult] = []
    while pending:
        results = run_jobs(filing.command, pending, filing.setting)
        pending = [result.job for result in results if result.code is None]
        for result in results:
            if result.crashed:
                heal()
            if result.crashed and result.job not in crashed:
                crashed.append(result.job)
                pending.append(result.job)
            elif result.code is not None:
                done.append(result)
    if not filing.palace.has_hnsw_index:
        with filing.ledger.writing():
            for result in done:
                if result.code == 0:
                    filing.ledger.trust_mined(filing.palace_key, folder_of(result.job))
    return done


def show_orphans_again(filing: Filing) -> set[str]:
    """Give pages whose twin left the palace a new time; the folders to mine once more.

    MemPalace files a text once a wing: of two pages that say the same, one is a sentinel,
    and would stay one when the other is changed or retired.
    """
    folders = set()
    for page in filing.ledger.orphaned_sentinels(filing.palace_key):
        if page.generation >= MOST_GENERATIONS:
            continue
        mtime_ms = files.touch_page(filing.spool / page.path, page.mtime_ms + GENERATION_MS)
        with filing.ledger.writing():
            filing.ledger.record_page(
                replace(page, mtime_ms=mtime_ms, generation=page.generation + 1)
            )
        folders.add(page.folder)
    return folders


def job_for(
    filing: Filing, folder: str, action: Literal["mine", "sync"], pages: Sequence[str] = ()
) -> MempalaceJob:
    """The call of MemPalace that is about one folder of the spool."""
    label, _, wing = folder.partition("/")
    return MempalaceJob(action, filing.spool / folder, wing, label, tuple(pages))


def folder_of(job: MempalaceJob) -> str:
    """The spool folder that a call is about, by its name in the ledger."""
    return f"{job.label}/{job.wing}"
