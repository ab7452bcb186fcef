"""Every way in which a palace's database gets damaged, and folders beside that belong to none."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.palaces.making import DRAWERS
from tests.palaces.segment_editing import Victim, load_map

_KILLED_WRITER = """
import os, sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("pragma cache_size = 5")
database.execute("begin immediate")
database.execute("update embedding_metadata set string_value = string_value || ' lost'")
database.execute("delete from embeddings where id % 2")
print("written", flush=True)
time.sleep(600)
"""


@contextmanager
def editing(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose changes are committed at the end."""
    connection = sqlite3.connect(database)
    with connection:
        yield connection
    connection.close()


def _segment_id(connection: sqlite3.Connection, scope: str) -> str:
    row = connection.execute(
        "select s.id from segments s join collections c on c.id = s.collection"
        " where c.name = ? and s.scope = ?",
        [DRAWERS, scope],
    ).fetchone()
    return str(row[0])


def rows_removed(victim: Victim) -> None:
    """Drawers are gone from the database and still in the index: ids without a document."""
    with editing(victim.database) as connection:
        segment = _segment_id(connection, "METADATA")
        rows = connection.execute(
            "select id from embeddings where segment_id = ? order by id limit 30 offset 10",
            [segment],
        ).fetchall()
        connection.executemany("delete from embedding_metadata where id = ?", rows)
        connection.executemany("delete from embedding_fulltext_search where rowid = ?", rows)
        connection.executemany("delete from embeddings where id = ?", rows)


def queue_emptied(victim: Victim) -> None:
    """The next write is numbered 1, below both watermarks, and would be accepted and lost."""
    with editing(victim.database) as connection:
        connection.execute("delete from embeddings_queue")


def queue_emptied_and_written(victim: Victim) -> None:
    """Such writes have been made."""
    with editing(victim.database) as connection:
        connection.execute("delete from embeddings_queue")
    victim.chroma.answer(
        "upsert",
        victim.palace,
        collection=DRAWERS,
        numbers=[*range(9000, 9030)],
        version=0,
        dimension=384,
    )


def _set_watermark(victim: Victim, scope: str, value: str) -> None:
    with editing(victim.database) as connection:
        segment = _segment_id(connection, scope)
        connection.execute(
            f"update max_seq_id set seq_id = {value} where segment_id = ?", [segment]
        )


def watermark_ahead_of_queue(victim: Victim) -> None:
    """Both watermarks of the drawers lie beyond anything that was ever queued."""
    _set_watermark(victim, "VECTOR", "seq_id + 100000")
    _set_watermark(victim, "METADATA", "seq_id + 100000")


def watermark_ahead_of_drawers(victim: Victim) -> None:
    """The index claims what the drawers do not have yet."""
    highest = "(select max(seq_id) from embeddings_queue)"
    _set_watermark(victim, "METADATA", f"{highest} - 40")
    _set_watermark(victim, "VECTOR", highest)


def writer_killed(victim: Victim) -> None:
    """A real SQLite writer, killed in a transaction so large that half of it is in the file."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _KILLED_WRITER, str(victim.database)], stdout=subprocess.PIPE
    )
    assert writer.stdout and writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.wait()
    writer.stdout.close()
    assert victim.database.with_name("chroma.sqlite3-journal").stat().st_size > 512


def database_is_garbage(victim: Victim) -> None:
    """Not SQLite at all."""
    victim.database.write_bytes(b"garbage" * 5000)


def database_cut(victim: Victim) -> None:
    """Half of its pages are gone."""
    with victim.database.open("r+b") as file:
        file.truncate(victim.database.stat().st_size // 8192 * 4096)


def database_emptied(victim: Victim) -> None:
    """0 bytes."""
    victim.database.write_bytes(b"")


def database_of_something_else(victim: Victim) -> None:
    """A sound SQLite file that is no palace."""
    victim.database.unlink()
    with editing(victim.database) as connection:
        connection.execute("create table notes (text)")


def pickle_of_older_chromadb(victim: Victim) -> None:
    """The object that chromadb before 1.0 wrote, with the watermark in it."""
    content = load_map(victim.segment)
    content["max_seq_id"] = 700
    head = b"\x80\x03cchromadb.segment.impl.vector.local_persistent_hnsw\nPersistentData\n)\x81"
    body = pickle.dumps(content, protocol=3)[2:-1]
    (victim.segment / "index_metadata.pickle").write_bytes(head + body + b"b.")


def stray_segment(victim: Victim) -> None:
    """An index folder that no collection uses."""
    shutil.copytree(victim.segment, victim.palace / "0a1b2c3d-0000-4000-8000-000000000000")


def earlier_quarantines(victim: Victim) -> None:
    """Folders that MemPalace set aside before, one of them empty."""
    name = victim.segment.name
    shutil.copytree(victim.older_segment, victim.palace / f"{name}.drift-20250101-101010")
    (victim.palace / f"{name}.corrupt-20250102-101010").mkdir()


def only_the_clock(victim: Victim) -> None:
    """Index files a day older than the database: flush lag looks the same, and nothing is wrong."""
    day = time.time() - 86400
    for file in victim.segment.iterdir():
        os.utime(file, (day, day))


def closets_written_after(victim: Victim) -> None:
    """Another collection went on alone, far beyond this one's watermarks."""
    victim.chroma.answer(
        "upsert",
        victim.palace,
        collection="mempalace_closets",
        numbers=[*range(5000, 5450)],
        version=0,
        dimension=384,
    )
