"""Bringing the spool and the ledger up to what the sessions say, batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mempalace_toolkit.files.private import private_folder
from mempalace_toolkit.intake.page_changes import plan_pages
from mempalace_toolkit.intake.session_plan import SessionPlan
from mempalace_toolkit.ledger.records import Ledger, RecordedPage, RecordedSession
from mempalace_toolkit.transcripts import spool as files

BATCH = 200
"""Sessions whose pages are flushed and recorded together."""

_Recording = tuple[RecordedSession, Sequence[RecordedPage], Sequence[str]]


class PageWriter:
    """Writes the pages of planned sessions, and records them once they are on the disk.

    A run that is killed before a batch is recorded leaves the old ledger: the next one plans
    the same and writes the same.
    """

    def __init__(self, ledger: Ledger, spool: Path) -> None:
        self._ledger = ledger
        self._spool = spool
        self._batch: list[_Recording] = []

    def write(self, plan: SessionPlan) -> None:
        """Do what is planned for one session. Raises WriteUndoneError."""
        if plan.known and not plan.cuts and not plan.lost:
            return
        for page in plan.pages:
            if page.path in plan.sealed & plan.lost:
                # With the time that the palace knows, MemPalace passes it by and keeps it.
                private_folder((self._spool / page.path).parent)
                files.touch_page(self._spool / page.path, page.mtime_ms)
        changes = plan_pages(plan)
        if plan.known and not changes.write and not changes.retire:
            return
        folder = files.wing_folder(self._spool, plan.record.label, plan.record.wing)
        if changes.write:
            private_folder(folder)
        written = [
            dataclasses.replace(record, mtime_ms=files.write_page(folder, page, record.mtime_ms))
            for page, record in changes.write
        ]
        self._batch.append((plan.record, [*plan.adopted, *written], changes.retire))
        if len(self._batch) >= BATCH:
            self.record()

    def record(self) -> None:
        """Write down what was done, after one flush for all of it."""
        if not self._batch:
            return
        files.flush(self._spool)
        with self._ledger.writing():
            for session, written, retired in self._batch:
                self._ledger.record_session(session)
                for page in written:
                    self._ledger.record_page(page)
                for path in retired:
                    self._ledger.retire_page(path)
        self._batch.clear()
