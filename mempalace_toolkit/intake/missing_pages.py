"""Pages that are not in the spool as they should be, and what stands in for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mempalace_toolkit.chroma.contents import MinedPage
from mempalace_toolkit.files.private import private_folder
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.transcripts import spool as files


@dataclass(frozen=True, slots=True)
class LostPages:
    """Pages that are not in the spool as they should be.

    `lost` are missing or changed: by path, the times that they should have. `hollow` are empty
    and stand in for pages whose session was gone: by path, whether a store has it again.
    """

    lost: Mapping[str, int]
    hollow: Mapping[str, bool]

    def __contains__(self, path: str) -> bool:
        return path in self.lost or path in self.hollow

    def any_to_write(self) -> bool:
        """Whether a run has something to make good."""
        return bool(self.lost) or any(self.hollow.values())


def lost_pages(ledger: Ledger, spool: Path, agent: str) -> LostPages:
    """Compare the spool with the ledger; a page is known by its time, which its content gives."""
    lost: dict[str, int] = {}
    hollow: dict[str, bool] = {}
    for folder, pages in groupby(ledger.page_states(agent), key=lambda page: page[0]):
        there = files.page_files(spool / folder)
        for _, name, mtime_ms, present in pages:
            size, kept = there.get(name, (0, -1))
            if kept != mtime_ms:
                lost[f"{folder}/{name}"] = mtime_ms
            elif size == 0:
                hollow[f"{folder}/{name}"] = present
    return LostPages(lost, hollow)


def give_times_back(
    ledger: Ledger, spool: Path, agent: str, listed: AbstractSet[str] | None
) -> None:
    """Give pages that no run writes anew the time that the palace knows, so that it keeps them.

    A page that is there keeps what it holds. Where it was lost and its session is not
    `listed` any more, an empty one takes its place; `listed` is None where nobody can say that.
    """
    for path, mtime_ms in lost_pages(ledger, spool, agent).lost.items():
        lost_for_good = listed is not None and ledger.session_of(path) not in listed
        if lost_for_good or (spool / path).exists():
            private_folder((spool / path).parent)
            files.touch_page(spool / path, mtime_ms)


def stand_in_for_mined(
    spool: Path, folder: str, held: Mapping[str, MinedPage], retired: AbstractSet[str]
) -> None:
    """Put an empty page wherever the palace knows one of `folder` that is not there.

    `mempalace sync` takes a file's absence for a wish to forget it.
    """
    for path, page in held.items():
        if path.startswith(f"{folder}/") and path not in retired and page.mtime is not None:
            file = spool / path
            if not file.exists():
                files.touch_page(file, round(page.mtime * 1000))


def clear_unrecorded(ledger: Ledger, spool: Path, palace: str, folders: Iterable[str]) -> None:
    """Remove pages that a killed run wrote and did not record, before they are mined.

    One that the palace holds as it is stays: it tells of a session that a lost ledger knew.
    """
    for folder in folders:
        recorded, mined = ledger.folder_names(folder), ledger.mined_in(palace, folder)
        for name, (_, mtime_ms) in files.page_files(spool / folder).items():
            if name not in recorded and mined.get(name) != mtime_ms:
                (spool / folder / name).unlink(missing_ok=True)
        files.remove_leftovers(spool / folder)
