"""The ledger: all or nothing, never in the way, and started afresh when it is broken."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from mempalace_toolkit.chroma.contents import MinedPage, PageTotals
from mempalace_toolkit.errors import PalaceBusyError, WriteUndoneError
from mempalace_toolkit.ledger.records import Ledger, RecordedPage, RecordedSession

SESSION = RecordedSession(
    "opencode", "s1", "opencode", "shop", "T", "/d", "key", 4, "dg", 9, True, 0, None, "", 1, 0
)
PAGE = RecordedPage("opencode/shop/p1", "opencode", "s1", "opencode/shop", 1, "dg", 1000)
TWIN = dataclasses.replace(PAGE, path="opencode/shop/p2", session="s2")
PALACE = "/palace"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


def fill(file: Path, *pages: RecordedPage) -> None:
    with Ledger.open(file, "broken") as ledger, ledger.writing():
        ledger.record_session(SESSION)
        for page in pages:
            ledger.record_page(page)


def mined(**pages: MinedPage) -> dict[str, MinedPage]:
    return {f"opencode/shop/{name}": page for name, page in pages.items()}


def test_what_was_recorded_is_read_back_as_it_was(file: Path) -> None:
    fill(file, PAGE)
    for ledger in (Ledger.open(file, "broken"), Ledger.look(file)):
        with ledger:
            assert ledger.sessions("opencode") == {"s1": SESSION}
            assert ledger.pages("opencode", "s1") == [PAGE]
            assert ledger.sessions("pi") == {}


def test_an_interrupted_recording_leaves_the_old_state(file: Path) -> None:
    fill(file, PAGE)
    with Ledger.open(file, "broken") as ledger:
        with pytest.raises(KeyboardInterrupt), ledger.writing():
            ledger.record_session(dataclasses.replace(SESSION, turns=99))
            raise KeyboardInterrupt
        assert ledger.sessions("opencode")["s1"].turns == 4


def test_a_look_writes_nothing_and_forgets_what_is_recorded_in_it(file: Path) -> None:
    with Ledger.look(file) as ledger:
        assert ledger.sessions("opencode") == {}
    assert not file.parent.exists()
    fill(file, PAGE)
    before = file.read_bytes()
    with Ledger.look(file) as ledger, ledger.writing():
        ledger.record_mined(PALACE, mined(p1=MinedPage(1.0, 3, True, False)), PageTotals(1, 3, 9))
        assert ledger.folders_to_mine(PALACE) == {}
    assert file.read_bytes() == before
    with Ledger.look(file) as ledger:
        assert ledger.folders_to_mine(PALACE) == {"opencode/shop": 1}


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\0" * 2000])
def test_a_broken_ledger_is_put_aside_and_kept(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with Ledger.look(file) as ledger:
        assert ledger.sessions("opencode") == {}
    fill(file, PAGE)
    assert file.with_name("ledger.sqlite3.broken").read_bytes() == content
    with Ledger.look(file) as ledger:
        assert ledger.sessions("opencode") == {"s1": SESSION}


def test_a_ledger_of_another_version_is_put_aside(file: Path) -> None:
    fill(file, PAGE)
    with sqlite3.connect(file) as database:
        database.execute("pragma user_version = 99")
    with Ledger.open(file, "old") as ledger:
        assert ledger.sessions("opencode") == {}
    assert file.with_name("ledger.sqlite3.old").exists()


def test_a_ledger_of_the_version_before_is_brought_up_and_keeps_what_it_holds(file: Path) -> None:
    fill(file, PAGE)
    with sqlite3.connect(file) as database:
        for column in ("reader", "kept"):
            database.execute(f"alter table sessions drop column {column}")
        database.execute("pragma user_version = 2")
    database.close()
    before = file.read_bytes()
    older = dataclasses.replace(SESSION, reader=0)
    with Ledger.look(file) as ledger:
        assert ledger.sessions("opencode") == {"s1": older}
    assert file.read_bytes() == before
    with Ledger.open(file, "old") as ledger:
        assert ledger.sessions("opencode") == {"s1": older}
        assert ledger.pages("opencode", "s1") == [PAGE]
    assert [path.name for path in file.parent.iterdir()] == ["ledger.sqlite3"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(WriteUndoneError, match="data"):
        Ledger.open(tmp_path / "data" / "ledger.sqlite3", "broken")


@pytest.mark.parametrize(
    ("held", "to_mine"),
    [
        ({}, {"opencode/shop": 1}),
        ({"p1": MinedPage(1.0, 3, True, False)}, {}),
        ({"p1": MinedPage(1.0, 3, True, True)}, {}),
        ({"p1": MinedPage(1.002, 3, True, False)}, {"opencode/shop": 1}),
        ({"p1": MinedPage(1.0, 2, False, False)}, {"opencode/shop": 1}),
        ({"p1": MinedPage(None, 3, True, False)}, {"opencode/shop": 1}),
        ({"p9": MinedPage(1.0, 3, True, False)}, {"opencode/shop": 1}),
    ],
)
def test_a_page_is_mined_only_where_the_palace_holds_all_of_it_as_it_is(
    file: Path, held: dict[str, MinedPage], to_mine: dict[str, int]
) -> None:
    fill(file, PAGE)
    with Ledger.open(file, "broken") as ledger:
        with ledger.writing():
            ledger.record_mined(PALACE, mined(**held), PageTotals())
        assert ledger.folders_to_mine(PALACE) == to_mine
        assert ledger.unmined_sessions("opencode", PALACE) == ({"s1"} if to_mine else set())
        assert ledger.folders_to_mine("/another palace") == {"opencode/shop": 1}


@pytest.mark.parametrize(
    ("first", "second", "orphans"),
    [
        (False, True, []),
        (True, True, ["opencode/shop/p1", "opencode/shop/p2"]),
        (False, False, []),
    ],
)
def test_a_sentinel_whose_twin_has_no_drawers_is_an_orphan(
    file: Path, first: bool, second: bool, orphans: list[str]
) -> None:
    fill(file, PAGE, TWIN)
    with Ledger.open(file, "broken") as ledger:
        held = mined(p1=MinedPage(1.0, 1, True, first), p2=MinedPage(1.0, 1, True, second))
        with ledger.writing():
            ledger.record_mined(PALACE, held, PageTotals(2, 2, 2))
        assert [page.path for page in ledger.orphaned_sentinels(PALACE)] == orphans


def test_a_retired_page_is_forgotten_when_every_palace_has_lost_it(file: Path) -> None:
    fill(file, PAGE)
    held = mined(p1=MinedPage(1.0, 3, True, False))
    with Ledger.open(file, "broken") as ledger:
        with ledger.writing():
            ledger.record_mined("first", held, PageTotals())
            ledger.record_mined("second", held, PageTotals())
            ledger.retire_page(PAGE.path)
        assert ledger.pages("opencode", "s1") == []
        assert ledger.folders_to_mine("first") == {}
        assert [page.path for page in ledger.retired_pages("first")["opencode/shop"]] == [PAGE.path]
        assert ledger.retired_pages("third") == {}
        with ledger.writing():
            ledger.forget_pages("first", [PAGE.path])
        assert ledger.retired_pages("first") == {}
        assert ledger.retired_pages("second")
        with ledger.writing():
            ledger.forget_pages("second", [PAGE.path])
        assert ledger.retired_pages("second") == {}


def test_a_page_that_no_palace_ever_had_is_retired_at_once(file: Path) -> None:
    fill(file, PAGE)
    with Ledger.open(file, "broken") as ledger, ledger.writing():
        ledger.retire_page(PAGE.path)
        assert ledger.retired_pages(PALACE)
        ledger.forget_pages(PALACE, [PAGE.path])
        assert ledger.retired_pages(PALACE) == {}


def test_twins_are_looked_for_in_the_whole_wing(file: Path) -> None:
    other = dataclasses.replace(TWIN, path="pi/shop/p2", folder="pi/shop", agent="pi")
    away = dataclasses.replace(TWIN, path="pi/else/p3", folder="pi/else", agent="pi")
    fill(file, PAGE, other, away)
    with Ledger.open(file, "broken") as ledger:
        held = mined(p1=MinedPage(1.0, 1, True, True))
        held["pi/else/p3"] = MinedPage(1.0, 3, True, False)
        with ledger.writing():
            ledger.record_mined(PALACE, held, PageTotals())
        assert [page.path for page in ledger.orphaned_sentinels(PALACE)] == [PAGE.path]
        held["pi/shop/p2"] = MinedPage(1.0, 3, True, False)
        with ledger.writing():
            ledger.record_mined(PALACE, held, PageTotals())
        assert ledger.orphaned_sentinels(PALACE) == []


def test_a_locked_ledger_is_busy_and_stays_where_it_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(file, PAGE)
    monkeypatch.setattr("mempalace_toolkit.ledger.file.PATIENCE_SECONDS", 0.1)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("begin exclusive")
    with pytest.raises(PalaceBusyError):
        Ledger.open(file, "broken")
    holder.close()
    assert [path.name for path in file.parent.iterdir()] == ["ledger.sqlite3"]
    with Ledger.open(file, "broken") as ledger:
        assert ledger.sessions("opencode") == {"s1": SESSION}
