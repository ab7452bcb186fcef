"""No edit of a store other than an undo makes less of what a palace holds; an undo takes its own.

Real ledger and spool, the real plan. The palace is what MemPalace makes of a spool: a page
whose time is another than the known one is filed anew, a retired one is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mempalace_toolkit.chroma.contents import MinedPage, PageTotals
from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.filing import key_of
from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.pipeline import PalaceRequest, RunRequest, write_pages
from mempalace_toolkit.report.values import RunReport
from mempalace_toolkit.sessions.model import (
    READER_VERSIONS,
    Mark,
    Role,
    Session,
    SessionRef,
    StoreFinding,
    Turn,
)
from mempalace_toolkit.transcripts.page_talk import read_turns

START = 1_790_000_000_000
WHY = "undone by a revert"
Said = tuple[Role, int, str]


class Rows:
    """A store with one session: the rows that it has, and the marks of what was undone."""

    places: tuple[Path, ...] = ()
    findings: tuple[StoreFinding, ...] = ()
    failures: tuple[StoreUnreadableError, ...] = ()

    def __init__(self) -> None:
        self.rows: list[Said] = []
        self.undone: set[Mark] = set()
        self.listed = True
        self.readable = True

    def signature(self) -> str:
        return sha256(repr(vars(self)).encode()).hexdigest()

    def find_sessions(self) -> Iterator[SessionRef]:
        if self.listed:
            last = max((time for _, time, _ in self.rows), default=START)
            key = self.signature()
            yield SessionRef("opencode", "s", "", "/home/a/shop", START, last, key, "store")

    def read_session(self, ref: SessionRef) -> Session:
        if not self.readable:
            raise StoreUnreadableError("a page is damaged")
        turns = tuple(Turn(*_turned(one)) for one in self.live())
        return Session(ref, turns, withdrawn=dict.fromkeys(self.undone, WHY))

    def live(self) -> list[Said]:
        return [one for one in self.rows if one[:2] not in self.undone]

    def close(self) -> None:
        pass


def _turned(said: Said) -> tuple[Role, str, int, str]:
    return said[0], said[2], said[1], ""


class Silent:
    """An observer that tells nobody."""

    def stage(self, text: str, total: int | None = None) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass


class Memory(RuleBasedStateMachine):
    """Edits of a store, each followed by a run; `expected` is what must be remembered."""

    spool_is_damaged = False

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        root = Path(self.folder.name)
        self.store = Rows()
        self.said: list[Said] = []
        self.copies: list[list[Said]] = []
        self.expected: set[Said] = set()
        self.palace: dict[str, tuple[int, tuple[Turn, ...]]] = {}
        self.wing = "shop"
        self.reader = READER_VERSIONS["opencode"]
        self.root = root

    def teardown(self) -> None:
        self.folder.cleanup()

    # --- what happens to a store --------------------------------------------------------

    @rule(count=st.integers(1, 9))
    def say(self, count: int) -> None:
        for _ in range(count):
            time = START + 1000 * len(self.said)
            number = len(self.said)
            question: Said = ("user", time, f"question {number}")
            answer: Said = ("assistant", time + 1, f"answer {number}")
            self.said += [question, answer]
            self.store.rows += [question, answer]

    @rule(data=st.data())
    def rows_vanish(self, data: Any) -> None:
        keep = st.lists(st.booleans(), min_size=len(self.store.rows), max_size=len(self.store.rows))
        kept = data.draw(keep)
        self.store.rows = [one for one, stays in zip(self.store.rows, kept, strict=True) if stays]

    @rule(left=st.integers(0, 12))
    def the_file_is_cut_short(self, left: int) -> None:
        self.store.rows = self.store.rows[:left]

    @rule()
    def a_backup_is_made(self) -> None:
        self.copies.append(list(self.store.rows))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def a_backup_is_put_back(self, data: Any) -> None:
        self.store.rows = list(data.draw(st.sampled_from(self.copies)))

    @rule()
    def the_store_is_healed(self) -> None:
        undone = self.store.undone
        gone = [one for one in self.said if one[:2] not in undone or one in self.store.rows]
        self.store.rows = gone

    @precondition(lambda self: self.store.rows)
    @rule(data=st.data(), text=st.sampled_from(["ques", "other words", "question 1 and more"]))
    def a_text_becomes_another(self, data: Any, text: str) -> None:
        place = data.draw(st.integers(0, len(self.store.rows) - 1))
        role, time, _ = self.store.rows[place]
        self.store.rows[place] = (role, time, text)

    @rule()
    def the_session_goes_and_comes(self) -> None:
        self.store.listed = not self.store.listed

    @rule()
    def the_session_is_damaged_and_mended(self) -> None:
        self.store.readable = not self.store.readable

    # --- what is no damage --------------------------------------------------------------

    @rule(count=st.integers(1, 20))
    def the_last_turns_are_undone(self, count: int) -> None:
        self.store.undone |= {(role, time) for role, time, _ in self.store.rows[-count:]}

    @rule()
    def undone_rows_are_removed(self) -> None:
        self.store.rows = self.store.live()
        self.store.undone = set()

    @rule()
    def the_undo_is_taken_back(self) -> None:
        self.store.undone = set()

    @rule()
    def the_wing_becomes_another(self) -> None:
        self.wing = "shop" if self.wing == "mall" else "mall"

    @rule()
    def the_reader_is_mended(self) -> None:
        self.reader += 1

    # --- what must be so ----------------------------------------------------------------

    @invariant()
    def all_that_was_said_is_remembered(self) -> None:
        if not hasattr(self, "store"):
            return
        before = self._known_reader()
        mended = before != self.reader
        report = self._run()
        if self.store.listed and self.store.readable:
            self._expect(mended=mended)
        held = [(one.role, one.time, one.text) for _, page in self.palace.values() for one in page]
        if self.spool_is_damaged:
            assert self.expected <= set(held)
        else:
            assert sorted(held) == sorted(self.expected)
        told = sum(line.withdrawn for line in report.sessions)
        assert (told > 0) == (report.withdrawn > 0)
        palace = dict(self.palace)
        again = self._run()
        assert self.palace == palace
        assert {line.action for line in again.sessions} <= {"unchanged", "skipped"}
        assert again.withdrawn == 0

    def _known_reader(self) -> int:
        with Ledger.look(self.root / "ledger.sqlite3") as ledger:
            known = ledger.sessions("opencode").get("s")
        return known.reader if known else -1

    def _expect(self, *, mended: bool) -> None:
        live = set(self.store.live())
        texts = {one[:2]: "".join(one[2].split()) for one in live}
        for one in self.expected - live:
            other = texts.get(one[:2])
            same = other is not None and (mended or "".join(one[2].split()) in other)
            if same or one[:2] in self.store.undone:
                self.expected = self.expected - {one}
        kept = self.expected - live
        self.expected = self.expected | live
        if not kept and len({one[0] for one in self.expected}) < 2:
            self.expected = set()  # a session in which nobody asked, or nobody answered

    def _run(self) -> RunReport:
        request = RunRequest(
            PalaceRequest(
                command="test",
                palace=PalaceLocation(self.root / "palace", "chroma", "minilm"),
                data=self.root,
                home=self.root,
                model=ModelRequest(cache=self.root),
                environment={},
                now_ms=START + 10**10,
                stamp="20260101-000000",
            ),
            agent="opencode",
            selection=Selection(wing=self.wing),
        )
        report = RunReport("test", "")
        with (
            patch.dict(READER_VERSIONS, {"opencode": self.reader}),
            Ledger.open(request.target.ledger, "broken") as ledger,
        ):
            self._look(ledger, key_of(request.target.palace))
            write_pages(self.store, ledger, request, Silent(), report)
            self._mine(ledger, request)
        return report

    def _look(self, ledger: Ledger, key: str) -> None:
        """What a run sees of its palace before it reads: also where its ledger is a new one."""
        pages = {
            path: MinedPage(mtime / 10**9, 1, True, False)
            for path, (mtime, _) in self.palace.items()
        }
        with ledger.writing():
            ledger.record_mined(key, pages, PageTotals())

    def _mine(self, ledger: Ledger, request: RunRequest) -> None:
        key = key_of(request.target.palace)
        for pages in ledger.retired_pages(key).values():
            for page in pages:
                self.palace.pop(page.path, None)
                (request.target.spool / page.path).unlink(missing_ok=True)
            with ledger.writing():
                ledger.forget_pages(key, [page.path for page in pages])
        for file in request.target.spool.rglob("*.jsonl"):
            path = file.relative_to(request.target.spool).as_posix()
            mtime = file.stat().st_mtime_ns
            if self.palace.get(path, (0, ()))[0] != mtime:
                self.palace[path] = (mtime, read_turns(file.read_bytes()) or ())
            with ledger.writing():
                ledger.trust_mined(key, path.rpartition("/")[0])


class DamagedSpool(Memory):
    """The same, and pages of the spool are lost, emptied and changed."""

    spool_is_damaged = True

    def _pages(self) -> list[Path]:
        return sorted((self.root / "spool").rglob("*.jsonl"))

    @precondition(lambda self: self._pages())
    @rule(data=st.data(), how=st.sampled_from(["lost", "emptied", "changed"]))
    def a_page_is_damaged(self, data: Any, how: str) -> None:
        page = data.draw(st.sampled_from(self._pages()))
        if how == "lost":
            page.unlink()
        else:
            page.write_bytes(b"" if how == "emptied" else page.read_bytes()[:-40])

    @rule()
    def the_ledger_is_lost(self) -> None:
        (self.root / "ledger.sqlite3").unlink(missing_ok=True)

    @rule()
    def the_spool_is_lost(self) -> None:
        for page in self._pages():
            page.unlink()


Memory.TestCase.settings = settings(deadline=None, max_examples=25, stateful_step_count=12)
DamagedSpool.TestCase.settings = Memory.TestCase.settings
TestStore = Memory.TestCase
TestSpool = DamagedSpool.TestCase


@pytest.mark.parametrize("spool_too", [False, True])
def test_a_lost_ledger_is_no_leave_for_a_store_that_was_cut_short(*, spool_too: bool) -> None:
    memory = DamagedSpool()
    memory.begin()
    memory.say(9)
    memory.all_that_was_said_is_remembered()
    memory.the_file_is_cut_short(3)
    memory.the_ledger_is_lost()
    if spool_too:
        memory.the_spool_is_lost()
    memory.all_that_was_said_is_remembered()
    assert len(memory.expected) == 18
    memory.teardown()
