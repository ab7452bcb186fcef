"""Taking out of a palace what was undone: pages that a session no longer has.

`mempalace sync` prunes what a folder's ignore list names. Nothing is forgotten before the
palace is seen to have lost it, so the next run finishes what a killed one began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.chroma.contents import MinedPage, mined_pages
from mempalace_toolkit.files.private import private_folder
from mempalace_toolkit.intake.missing_pages import stand_in_for_mined
from mempalace_toolkit.ledger.records import RecordedPage
from mempalace_toolkit.mining.command import JobResult, run_jobs
from mempalace_toolkit.mining.filing import Filing, folder_of, job_for
from mempalace_toolkit.sessions.model import Turn
from mempalace_toolkit.transcripts import spool as files
from mempalace_toolkit.transcripts.render import GENERATION_MS, PageHeader, cut_talk, render_page

Retired = Mapping[str, Sequence[RecordedPage]]


def drop_retired(filing: Filing) -> dict[str, str]:
    """Take retired pages out of palace and spool; a message for each folder where that failed."""
    retired = filing.ledger.retired_pages(filing.palace_key)
    if not retired:
        return {}
    failures = _sync(filing, retired)
    kept = _still_held(filing, retired)
    if kept:
        _replace_and_mine(filing, kept)
        failures.update(_sync(filing, kept))
        kept = _still_held(filing, kept)
        for folder, pages in kept.items():
            count = count_of(len(pages), "undone page")
            failures.setdefault(folder, f"{count} left in the palace: mempalace sync kept them")
    _forget(filing, retired, kept, failures)
    return failures


def _sync(filing: Filing, retired: Retired) -> dict[str, str]:
    held = mined_pages(filing.palace, filing.spool)
    if filing.palace.has_hnsw_index and not held:
        return {}
    for folder, pages in retired.items():
        private_folder(filing.spool / folder)
        for page in pages:
            (filing.spool / page.path).touch(mode=0o600)
        stand_in_for_mined(filing.spool, folder, held, {page.path for page in pages})
        files.write_ignore_list(filing.spool / folder, [Path(page.path).name for page in pages])
    try:
        results = run_jobs(
            filing.command, [job_for(filing, folder, "sync") for folder in retired], filing.setting
        )
    finally:
        for folder in retired:
            files.write_ignore_list(filing.spool / folder, [])
    return {folder_of(r.job): _told(r) for r in results if r.code != 0}


def _told(result: JobResult) -> str:
    return f"mempalace sync {result.describe()}"


def _still_held(filing: Filing, retired: Retired) -> dict[str, list[RecordedPage]]:
    """The retired pages that the palace still has drawers of."""
    held: Mapping[str, MinedPage] = mined_pages(filing.palace, filing.spool)
    kept = {
        folder: [page for page in pages if page.path in held and not held[page.path].sentinel]
        for folder, pages in retired.items()
    }
    return {folder: pages for folder, pages in kept.items() if pages}


def _replace_and_mine(filing: Filing, kept: Retired) -> None:
    """Have MemPalace file two words in the place of pages that its sync would not let go.

    It keeps drawers that were mined from another folder than the one that now has the name
    (another inode: a spool that was restored or moved). Mined anew, they are this folder's.
    """
    for folder, pages in kept.items():
        for page in pages:
            name = Path(page.path).name
            talk = [Turn("user", f"withdrawn: {name}", 0, ""), Turn("assistant", name, 0, "")]
            header = PageHeader(page.session, "", folder.partition("/")[0])
            (cut,) = cut_talk(talk)
            stub = render_page(header, page.number, cut)
            files.write_page(filing.spool / folder, stub, page.mtime_ms + GENERATION_MS)
    jobs = [job_for(filing, folder, "mine") for folder in kept]
    run_jobs(filing.command, jobs, filing.setting)


def _forget(filing: Filing, retired: Retired, kept: Retired, failures: Mapping[str, str]) -> None:
    """Drop from ledger and spool what the palace has lost."""
    for folder, pages in retired.items():
        if folder in failures and folder not in kept:
            continue
        still = {page.path for page in kept.get(folder, ())}
        gone = [page.path for page in pages if page.path not in still]
        for path in gone:  # also where another palace is still to lose it: it is not to be mined
            (filing.spool / path).unlink(missing_ok=True)
        with filing.ledger.writing():
            filing.ledger.forget_pages(filing.palace_key, gone)
