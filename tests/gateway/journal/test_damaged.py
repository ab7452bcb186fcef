"""A damaged journal is set aside by name, and its readable rows are taken over; never silently."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from mempalace_toolkit.errors import DamageLeftError, UnknownSchemaError, WriteUndoneError
from mempalace_toolkit.gateway.journal import salvage as salvage_module
from mempalace_toolkit.gateway.journal.stored import PAGE_SIZE
from mempalace_toolkit.gateway.journal.values import State
from tests.gateway.journal.journal_support import (
    FILE,
    asked,
    contents,
    filled,
    names,
    opened,
    put,
)

LOG = f"{FILE}-wal"
COUNT = 60
TEXT = "said " * 100  # about seven rows a page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gateway" / "journal"


def killed(folder: Path, count: int, text: str = TEXT) -> None:
    """A journal as a killed process leaves it: most of it in the log."""
    other = folder.with_name("living")
    with opened(other) as journal:
        for number in range(1, count + 1):
            put(journal.rows, asked(number, f"key {number}", text), number)
        folder.mkdir(mode=0o700)
        for name in (FILE, LOG):
            shutil.copy(other / name, folder / name)
    shutil.rmtree(other)


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(at)
        opened_file.write(content)


def digits(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def test_folder_and_files_are_for_their_owner_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        with opened(folder) as journal:
            put(journal.rows, asked(1))
            assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
            assert len(list(folder.iterdir())) == 3
            assert folder.stat().st_mode & 0o777 == 0o700
            assert folder.parent.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o755)
        (folder / FILE).chmod(0o644)
        with opened(folder) as journal:
            assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_a_journal_that_is_sound_is_not_set_aside(folder: Path) -> None:
    filled(folder, 3)
    with opened(folder) as journal:
        assert journal.salvaged is None
        assert contents(journal.rows) == digits(3)
    assert names(folder) == {"journal", "journal.lock"}


def test_a_journal_of_a_killed_process_is_sound(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    killed(folder, COUNT)
    assert (folder / LOG).stat().st_size > PAGE_SIZE * 10
    with opened(folder) as journal:
        assert journal.salvaged is None
        assert contents(journal.rows) == digits(COUNT)


@pytest.mark.parametrize("cut", [1, 23, 25, 3000, 4121])
def test_a_log_that_ends_within_a_transaction_is_sound(folder: Path, cut: int) -> None:
    folder.parent.mkdir(parents=True)
    killed(folder, COUNT)
    os.truncate(folder / LOG, (folder / LOG).stat().st_size - cut)
    with opened(folder) as journal:
        assert journal.salvaged is None
        assert contents(journal.rows) == digits(COUNT - 1)


@pytest.mark.parametrize("content", [b"", b"no journal " * 1000, b"SQLite format 3\0"])
def test_a_file_without_a_readable_row_is_set_aside_and_told(folder: Path, content: bytes) -> None:
    filled(folder, 3)
    (folder / FILE).write_bytes(content)
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert journal.salvaged.aside == folder.with_name("journal.damaged")
        assert (journal.salvaged.rows, journal.salvaged.queued) == (0, 0)
        assert journal.salvaged.damage
        put(journal.rows, asked(1))
    assert (folder.with_name("journal.damaged") / FILE).read_bytes() == content
    assert names(folder) == {"journal", "journal.damaged", "journal.lock"}


@pytest.mark.parametrize("damage", ["head", "schema", "root", "half", "tail of zeros"])
def test_rows_are_taken_over_where_no_tree_leads_to_them(folder: Path, damage: str) -> None:
    filled(folder, COUNT, TEXT)
    with closing(sqlite3.connect(folder / FILE)) as database:
        root = database.execute("select rootpage from sqlite_master where name = 'writes'")
        number = root.fetchone()[0]
    file = folder / FILE
    size = file.stat().st_size
    if damage == "half":
        os.truncate(file, size // PAGE_SIZE // 2 * PAGE_SIZE)
    elif damage == "tail of zeros":
        overwrite(file, size - 2 * PAGE_SIZE, bytes(2 * PAGE_SIZE))
    else:
        at = {"head": 0, "schema": 100, "root": (number - 1) * PAGE_SIZE}[damage]
        overwrite(file, at, b"\xa5" * (100 if damage == "head" else PAGE_SIZE - 100))
    before = file.read_bytes()
    with opened(folder) as journal:
        found = contents(journal.rows)
        assert journal.salvaged is not None
        assert journal.salvaged.rows == journal.salvaged.queued == len(found)
        assert found == sorted(found, key=int)
        if damage in ("head", "schema", "root"):
            assert found == digits(COUNT)
        else:
            assert 10 <= len(found) < COUNT
        assert put(journal.rows, asked(int(found[0]), f"key {found[0]}", TEXT)).repeated
        assert put(journal.rows, asked(99)).row.sequence > COUNT
    assert (folder.with_name("journal.damaged") / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("at", "content"), [(18, b"\x07"), (19, b"\x07"), (47, b"\x09"), (28, b"\xff\xff\xff\xff")]
)
def test_a_head_that_claims_another_format_is_damage(folder: Path, at: int, content: bytes) -> None:
    filled(folder, 3)
    overwrite(folder / FILE, at, content)
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert contents(journal.rows) == digits(3)


def test_a_schema_with_bytes_that_are_no_text_is_damage(folder: Path) -> None:
    filled(folder, 3)
    file = folder / FILE
    overwrite(file, file.read_bytes().index(b"CREATE TABLE writes") + 9, b"\xaa\xaa")
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert contents(journal.rows) == digits(3)


def test_finished_rows_and_attempts_are_taken_over_as_they_were(folder: Path) -> None:
    filled(folder, 20, TEXT)
    with opened(folder) as journal:
        with journal.rows.writing():
            journal.rows.done(1, "one")
            journal.rows.fail(2, "two")
            journal.rows.set_aside(3, "three")
            journal.rows.begin(4)
        rows = [journal.rows.row(number) for number in range(1, 21)]
    overwrite(folder / FILE, 0, bytes(100))
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert [journal.rows.row(number) for number in range(1, 21)] == rows
        assert put(journal.rows, asked(1, "key 1", TEXT)).row.result == "one"


@pytest.mark.parametrize("place", ["head", "first frame", "middle frame", "last frame", "salts"])
def test_a_damaged_place_in_the_log_does_not_cut_off_what_is_behind_it(
    folder: Path, place: str
) -> None:
    folder.parent.mkdir(parents=True)
    killed(folder, COUNT)
    frame = PAGE_SIZE + 24
    log = folder / LOG
    last = log.stat().st_size // frame - 1
    at = {
        "head": 20,
        "first frame": 32 + 24 + 50,
        "middle frame": 32 + last // 2 * frame + 24 + 2000,
        "last frame": 32 + last * frame + 24 + 10,
        "salts": 32 + last // 3 * frame + 9,
    }[place]
    overwrite(log, at, bytes([log.read_bytes()[at] ^ 0xFF]))
    before = log.read_bytes()
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert journal.salvaged.damage == "its write-ahead log is damaged"
        assert set(digits(COUNT)) - set(contents(journal.rows)) <= {str(COUNT)}
    assert (folder.with_name("journal.damaged") / LOG).read_bytes() == before


def test_a_row_in_a_damaged_page_is_taken_over_where_the_damage_is_beside_it(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    killed(folder, 2, "said")
    log = (folder / LOG).read_bytes()
    unused = log.rindex(b"2 said") - 400  # between a leaf's pointers and its rows
    assert log[unused - 500 : unused + 8] == bytes(508)
    overwrite(folder / LOG, unused, b"\xa5")
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert contents(journal.rows) == digits(2)


def test_a_damaged_log_takes_no_row_from_the_database_beside_it(tmp_path: Path) -> None:
    living = tmp_path / "living"
    filled(living, 25, TEXT)
    with opened(living) as journal:
        with journal.rows.writing():  # in one transaction the rows move between pages
            for number in range(1, 26, 2):
                journal.rows.set_aside(number, "x" * 3000)
        folder = tmp_path / "journal"
        for frame in range((living / LOG).stat().st_size // (PAGE_SIZE + 24)):
            folder.mkdir()
            for name in (FILE, LOG):
                shutil.copy(living / name, folder / name)
            overwrite(folder / LOG, 32 + frame * (PAGE_SIZE + 24) + 24, b"\xa5" * PAGE_SIZE)
            with opened(folder) as other:
                assert other.salvaged is not None
                assert other.salvaged.rows == 25
            shutil.rmtree(folder)


def test_a_log_without_its_database_is_not_thrown_away(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    killed(folder, COUNT)
    (folder / FILE).unlink()
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert contents(journal.rows) == digits(COUNT)


def test_a_row_with_a_changed_letter_is_set_aside_and_the_others_are_done(folder: Path) -> None:
    filled(folder, 3)
    file = folder / FILE
    overwrite(file, file.read_bytes().index(b"1 said"), b"1 paid")
    with opened(folder) as journal:
        with journal.rows.writing():
            row = journal.rows.next()
        assert row is not None
        assert row.sequence == 2
        state = journal.rows._db.execute("select state from writes where sequence = 1")
        assert state.fetchone()[0] == State.SET_ASIDE
        assert journal.rows.waiting.rows == 2


def test_a_row_with_a_damaged_state_is_still_to_be_done(folder: Path) -> None:
    filled(folder, 3)
    file = folder / FILE
    at = file.read_bytes().index(b"queued", file.read_bytes().index(b"2 said"))
    overwrite(file, at, b"paused")
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert contents(journal.rows) == digits(3)


def test_a_row_that_claims_to_be_larger_than_any_is_damage(tmp_path: Path) -> None:
    test_any_damage_leaves_all_rows_or_is_told(tmp_path / "journal", 474)


def test_damage_that_is_met_later_says_what_to_do(folder: Path) -> None:
    filled(folder, COUNT, TEXT)
    with opened(folder) as journal:
        size = (folder / FILE).stat().st_size
        overwrite(folder / FILE, 2 * PAGE_SIZE, b"\xa5" * (size - 2 * PAGE_SIZE))
        journal.rows._db.execute("pragma shrink_memory")
        with pytest.raises(DamageLeftError, match="damaged") as told, journal.rows.writing():
            for number in range(1, COUNT + 1):
                journal.rows.begin(number)
        assert "start the gateway again" in told.value.hint


def test_a_journal_of_a_later_version_is_left_where_it_is(folder: Path) -> None:
    filled(folder, 1)
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.execute("pragma user_version = 2")
    before = (folder / FILE).read_bytes()
    with pytest.raises(UnknownSchemaError, match="later version"), opened(folder):
        pass
    assert (folder / FILE).read_bytes() == before
    assert names(folder) == {"journal", "journal.lock"}


def test_a_second_damage_gets_a_name_of_its_own(folder: Path) -> None:
    for _ in range(2):
        filled(folder, 1)
        overwrite(folder / FILE, 0, bytes(16))
        with opened(folder) as journal:
            assert journal.salvaged is not None
    assert names(folder) == {"journal", "journal.damaged", "journal.damaged-2", "journal.lock"}


@pytest.mark.parametrize("step", ["_create", "_merged", "_take_over_all", "sync_tree", "exchange"])
def test_a_salvage_that_fails_leaves_the_damaged_journal_for_the_next(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(folder, COUNT, TEXT)
    overwrite(folder / FILE, 0, bytes(100))
    before = (folder / FILE).read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(salvage_module, step, fail)
        with pytest.raises(WriteUndoneError, match="No space"), opened(folder):
            pass
    assert (folder / FILE).read_bytes() == before
    with opened(folder) as journal:
        assert journal.salvaged is not None
        assert contents(journal.rows) == digits(COUNT)


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_leaves_all_rows_or_is_told(folder: Path, seed: int) -> None:
    random = Random(seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (killed if seed % 2 else filled)(folder, 20, TEXT)
    file = random.choice(sorted(path for path in folder.iterdir() if path.stat().st_size > 100))
    size = file.stat().st_size
    if random.random() < 0.3 and file.name == FILE:
        os.truncate(file, random.randrange(size))
    else:
        for _ in range(random.choice([1, 1, 4, 40])):
            length = random.choice([1, 8, 600])
            overwrite(file, random.randrange(max(1, size - length)), random.randbytes(length))
    try:
        with opened(folder) as journal:
            with journal.rows.writing():
                while row := journal.rows.next():
                    assert row.arguments == asked(row.sequence, None, TEXT).arguments
                    journal.rows.done(row.sequence, None)
            numbers = [journal.rows._db.execute("select count(*) from writes").fetchone()[0]]
            assert journal.salvaged is not None or numbers == [20]
    except UnknownSchemaError as error:
        assert "later version" in error.message
