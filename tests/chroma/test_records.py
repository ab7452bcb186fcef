"""What the database says, read without a byte written to it or beside it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import (
    CollectionRecord,
    quick_check,
    read_documents,
    read_records,
)
from mempalace_toolkit.chroma.settings import IndexSettings
from mempalace_toolkit.errors import MempalaceError, PalaceBusyError
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces.fixtures import Copy
from tests.palaces.making import CLOSETS, DRAWERS, SHAPES, embed, truth


@pytest.fixture
def usual(palace: Copy) -> PalaceLocation:
    return palace("usual")


def drawers_of(palace: PalaceLocation) -> CollectionRecord:
    return next(c for c in read_records(palace).collections if c.name == DRAWERS)


def edit(palace: PalaceLocation, *statements: str) -> None:
    with sqlite3.connect(palace.database) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_every_drawer_of_every_collection_is_read(usual: PalaceLocation) -> None:
    before = tree_state(usual.path)
    records = read_records(usual)
    held = truth(SHAPES["usual"])
    assert {c.name: set(c.ids) for c in records.collections} == {
        name: set(drawers) for name, drawers in held.items()
    }
    assert (records.unknown, records.hot_journal) == ("", False)
    for record in records.collections:
        assert (record.space, record.dimension) == ("cosine", 384)
        assert record.settings.sync_threshold == 200
        assert np.all(np.diff(record.row_ids) > 0)
        assert record.metadata_watermark is not None
        assert record.sequences.max() <= record.metadata_watermark <= records.highest_queued
    assert tree_state(usual.path) == before


def test_the_queue_holds_the_vectors_that_were_given(usual: PalaceLocation) -> None:
    held = truth(SHAPES["usual"])[DRAWERS]
    newest = {e.id: e for e in drawers_of(usual).queue if e.vector is not None}
    operations = {e.operation for e in drawers_of(usual).queue}
    assert operations == {1, 2, 3}
    sequences = [e.sequence for e in drawers_of(usual).queue]
    assert sequences == sorted(set(sequences))
    compared = [identity for identity in newest if identity in held]
    assert compared
    for identity in compared:
        vector = np.frombuffer(newest[identity].vector or b"", "<f4")
        assert np.array_equal(vector, embed([held[identity].text], 384)[0])


def test_documents_are_read_by_row(usual: PalaceLocation) -> None:
    record = drawers_of(usual)
    held = truth(SHAPES["usual"])[DRAWERS]
    rows = [int(row) for row in record.row_ids[:5]]
    expected = dict(zip(rows, (held[i].text for i in record.ids[:5]), strict=True))
    assert read_documents(usual, [*rows, 10**12]) == expected


SCHEMA = '{"keys":{"#embedding":{"float_list":{"vector_index":{"config":%s}}}}}'
SETTINGS: list[tuple[str, str, tuple[str, int]]] = [
    ("schema_str", SCHEMA % '{"space":"ip","hnsw":{"sync_threshold":7}}', ("ip", 7)),
    ("schema_str", "not JSON", ("cosine", 200)),
    ("schema_str", "[]", ("cosine", 200)),
    ("schema_str", "[" * 100_000, ("cosine", 200)),
    ("schema_str", '{"keys": {}}', ("cosine", 200)),
    ("schema_str", SCHEMA % '{"space":"round"}', ("cosine", 200)),
    (
        "config_json_str",
        '{"vector_index":{"hnsw":{"space":"l2","sync_threshold":9}}}',
        ("l2", 9),
    ),
    ("config_json_str", '{"vector_index":{"hnsw":{"max_neighbors":32}}}', ("l2", 1000)),
    ("config_json_str", '{"vector_index":null}', ("cosine", 200)),
    ("config_json_str", '{"hnsw_configuration":{"space":"l2"}}', ("cosine", 200)),
]


@pytest.mark.parametrize(("column", "text", "expected"), SETTINGS)
def test_settings_are_read_as_each_chromadb_wrote_them(
    usual: PalaceLocation, column: str, text: str, expected: tuple[str, int]
) -> None:
    with sqlite3.connect(usual.database) as connection:
        connection.execute("update collections set schema_str = null, config_json_str = null")
        connection.execute(f"update collections set {column} = ?", [text])
    record = drawers_of(usual)
    assert (record.space, record.settings.sync_threshold) == expected


def test_without_any_settings_chromadbs_own_hold(usual: PalaceLocation) -> None:
    edit(
        usual,
        "update collections set schema_str = null, config_json_str = null",
        "delete from collection_metadata",
    )
    assert drawers_of(usual).settings == IndexSettings()
    assert (drawers_of(usual).space, drawers_of(usual).settings.sync_threshold) == ("l2", 1000)


def test_sequence_numbers_of_bytes_are_read(usual: PalaceLocation) -> None:
    plain = drawers_of(usual)
    with sqlite3.connect(usual.database) as connection:
        connection.create_function("big_endian", 1, lambda n: int(n).to_bytes(8, "big"))
        connection.execute("update embeddings set seq_id = big_endian(seq_id)")
        connection.execute("update max_seq_id set seq_id = big_endian(seq_id)")
    older = drawers_of(usual)
    assert np.array_equal(older.sequences, plain.sequences)
    assert older.vector_watermark == plain.vector_watermark


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("alter table max_seq_id rename to other", "max_seq_id"),
        ("alter table embeddings rename column embedding_id to name", "embedding_id"),
    ],
)
def test_a_schema_that_is_not_known_is_named(
    usual: PalaceLocation, statement: str, named: str
) -> None:
    edit(usual, "pragma legacy_alter_table = on", statement)
    records = read_records(usual)
    assert named in records.unknown and records.collections == ()


CIRCLE = "with recursive n(i) as (select 1 union all select i from n) select i from n"
BROKEN = [
    ["update max_seq_id set seq_id = 'x'"],
    ["update embeddings set seq_id = 'x'"],
    ["update embeddings set embedding_id = x'ff' where id = (select max(id) from embeddings)"],
    ["update embeddings_queue set vector = 'text'"],
    ["update embeddings_queue set id = cast(x'ff' as text)"],
    ["update embeddings set seq_id = 9223372036854775807 + 0.0"],
]


@pytest.mark.parametrize("statements", BROKEN, ids=lambda s: s[0][:40])
def test_values_of_the_wrong_kind_are_said_so(usual: PalaceLocation, statements: list[str]) -> None:
    edit(usual, *statements)
    with pytest.raises(MempalaceError, match="cannot be read") as caught:
        read_records(usual)
    assert caught.value.hint


def test_a_view_in_the_place_of_a_table_is_not_run(usual: PalaceLocation) -> None:
    edit(usual, "drop table embeddings", f"create view embeddings as {CIRCLE}")
    assert "embeddings" in read_records(usual).unknown


@pytest.fixture
def killed_writer(usual: PalaceLocation) -> PalaceLocation:
    """A database in which a writer was killed with half of its transaction in the file."""
    code = (
        "import os, signal, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('pragma cache_size = 1'); c.execute('begin')\n"
        "c.execute('delete from embeddings')\n"
        "c.execute('update embedding_metadata set string_value = string_value || 1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, usual.database], check=False)
    assert ended.returncode == -signal.SIGKILL
    return usual


def test_what_a_killed_writer_had_not_committed_is_not_read(
    killed_writer: PalaceLocation,
) -> None:
    before = tree_state(killed_writer.path)
    records = read_records(killed_writer)
    assert records.hot_journal
    drawers = next(c for c in records.collections if c.name == DRAWERS)
    assert set(drawers.ids) == set(truth(SHAPES["usual"])[DRAWERS])
    assert tree_state(killed_writer.path) == before


READ_AND_DIE = """
import os, signal, sys
from pathlib import Path
from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.palace.location import PalaceLocation
with open_database(PalaceLocation(Path(sys.argv[1]), "chroma", "minilm")):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_copy_that_a_killed_check_left_is_swept_by_the_next(
    killed_writer: PalaceLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-c", READ_AND_DIE, str(killed_writer.path)]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, check=False)
    (left,) = temporary.iterdir()
    assert left.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert read_records(killed_writer).hot_journal
    assert not list(temporary.iterdir())


@pytest.fixture
def writer(usual: PalaceLocation) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(usual.database, isolation_level=None)
    yield connection
    connection.close()


def test_a_writer_at_work_neither_disturbs_nor_is_disturbed(
    usual: PalaceLocation, writer: sqlite3.Connection
) -> None:
    writer.execute("begin immediate")
    writer.execute("delete from embeddings")
    records = read_records(usual)
    assert not records.hot_journal
    assert {c.name for c in records.collections if c.ids} == {DRAWERS, CLOSETS}
    writer.execute("commit")
    assert not any(c.ids for c in read_records(usual).collections)


def test_a_locked_database_is_busy(usual: PalaceLocation, writer: sqlite3.Connection) -> None:
    writer.execute("begin exclusive")
    with pytest.raises(PalaceBusyError):
        read_records(usual)


def test_a_log_that_is_not_merged_yet_is_read(usual: PalaceLocation, tmp_path: Path) -> None:
    logging = sqlite3.connect(usual.database, isolation_level=None)
    logging.execute("pragma journal_mode = wal")
    logging.execute("delete from embeddings")
    copy = PalaceLocation(tmp_path / "copy", "chroma", "minilm")
    shutil.copytree(usual.path, copy.path)
    logging.close()
    before = tree_state(copy.path)
    assert any(name.endswith("-wal") for name in before)
    assert not any(c.ids for c in read_records(copy).collections)
    assert tree_state(copy.path) == before


def test_a_page_that_no_query_of_ours_meets_is_found_by_the_quick_check(
    usual: PalaceLocation,
) -> None:
    assert quick_check(usual) == ""
    with sqlite3.connect(usual.database) as connection:
        query = "select rootpage from sqlite_master where name = 'embedding_metadata'"
        (page,) = connection.execute(query).fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    descriptor = os.open(usual.database, os.O_WRONLY)
    os.pwrite(descriptor, b"\xff" * 50, (page - 1) * size)
    os.close(descriptor)
    assert read_records(usual).collections
    assert quick_check(usual) != ""
