"""A database that chromadb was killed in the middle of creating is no damage."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mempalace_toolkit.chroma.contents import count_drawers, filed_since, mined_pages, page_totals
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.check.report import check_index
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS, drawer
from tests.palaces.opening import Chroma

MIGRATIONS = 18
"""What chromadb 1.5.9 has; a newer one makes the first test say so."""


def migrations_of(palace: Path) -> list[tuple[str, int, str, str, str]]:
    with closing(sqlite3.connect(palace / "chroma.sqlite3")) as database:
        query = "select dir, version, filename, sql, hash from migrations order by rowid"
        return list(database.execute(query))


@pytest.fixture
def begin(made: Callable[[str], Path], tmp_path: Path) -> Callable[[int], PalaceLocation]:
    """A palace in whose database only the first so many migrations were done."""

    def make(count: int) -> PalaceLocation:
        folder = tmp_path / "begun"
        folder.mkdir()
        with closing(sqlite3.connect(made("empty") / "chroma.sqlite3")) as whole:
            tables = [
                whole.execute("select sql from sqlite_master where name = ?", [name]).fetchone()[0]
                for name in ("migrations", "acquire_write")
            ]
        database = sqlite3.connect(folder / "chroma.sqlite3")
        with closing(database), database:
            for table in tables:
                database.execute(table)
            for one in migrations_of(made("empty"))[:count]:
                database.executescript(one[3])
                database.execute("insert into migrations values (?, ?, ?, ?, ?)", one)
        return PalaceLocation(folder, "chroma", "minilm")

    return make


def test_all_migrations_of_this_chromadb_are_tried(made: Callable[[str], Path]) -> None:
    assert len(migrations_of(made("empty"))) == MIGRATIONS


@pytest.mark.parametrize("count", range(MIGRATIONS))
def test_a_database_with_the_first_migrations_is_sound_empty_and_completed_by_chromadb(
    begin: Callable[[int], PalaceLocation], chroma: Chroma, count: int
) -> None:
    begun = begin(count)
    before = tree_state(begun.path)
    assert check_palace(begun) == ()
    assert check_index(begun).status != "damaged"
    assert count_drawers(begun).drawers == 0
    assert filed_since(begun, 0) == {}
    assert page_totals(begun, begun.path / "spool").pages == 0
    assert mined_pages(begun, begun.path / "spool") == {}
    assert tree_state(begun.path) == before
    more = {"collection": DRAWERS, "numbers": [1, 2], "version": 0, "dimension": 384}
    assert chroma.answer("make", begun.path, shape="empty") == 0
    assert chroma.answer("upsert", begun.path, **more) == [drawer(DRAWERS, n).id for n in (1, 2)]
    assert check_palace(begun) == ()
    assert count_drawers(begun).drawers == 2


def kinds(palace: PalaceLocation) -> set[str]:
    return {finding.kind for finding in check_palace(palace)}


def test_a_database_without_tables_is_one_that_was_begun(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").touch()
    assert check_palace(PalaceLocation(tmp_path, "chroma", "minilm")) == ()


@pytest.mark.parametrize(
    ("case", "statement"),
    [
        ("a collection", "insert into collections (id, name, database_id) values ('c', 'n', 'd')"),
        ("a drawer", "insert into embeddings (segment_id, embedding_id, seq_id) values (1, 2, 3)"),
        ("a table of something else", "create table notes (text)"),
        ("a table and no migration that made it", "delete from migrations where dir = 'metadb'"),
    ],
)
def test_a_database_is_not_just_begun_with(
    begin: Callable[[int], PalaceLocation], case: str, statement: str
) -> None:
    begun = begin(MIGRATIONS - 2)
    with closing(sqlite3.connect(begun.database)) as database, database:
        database.execute(statement)
    found = kinds(begun)
    assert found and found <= {"unknown_format", "migrations_damaged", "schema_damaged"}, case


def test_a_database_is_not_just_begun_beside_the_folder_of_an_index(
    begin: Callable[[int], PalaceLocation], palace: Copy
) -> None:
    begun, whole = begin(MIGRATIONS - 2), palace("usual")
    folder = next(one for one in whole.path.iterdir() if one.is_dir())
    shutil.copytree(folder, begun.path / folder.name)
    assert kinds(begun) == {"unknown_format"}
