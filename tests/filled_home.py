"""A home whose palace the job filled: a flushed index of real vectors, a tail in the queue."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from tests.conftest import Sandbox
from tests.test_whole_job import BASIC, put_opencode, say

EXCHANGES = 140
THRESHOLD = 120  # after so many operations chromadb writes the index to the disk; else 1,000


def fill(sandbox: Sandbox) -> None:
    """Run the job twice: MemPalace makes the palace, then it takes what crosses the threshold."""
    source = Path(__file__).parent / "fixtures/opencode/1.18.33/basic/opencode.db"
    store = put_opencode(sandbox, source)
    assert sandbox.session().code == 0
    _lower_threshold(sandbox.palace / "chroma.sqlite3")
    for number in range(EXCHANGES):
        weight = number * 7919 % 10007
        say(store, BASIC, number, f"How heavy is heron {number}?", f"It weighs {weight} grams.")
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    assert (segment(sandbox.palace) / "index_metadata.pickle").exists()


def _lower_threshold(database: Path) -> None:
    """chromadb keeps the threshold with which a collection was made, in two places."""
    with sqlite3.connect(database) as connection:
        changed = connection.execute(
            "update collections set schema_str ="
            f" replace(schema_str, '\"sync_threshold\":1000', '\"sync_threshold\":{THRESHOLD}')"
        )
        assert changed.rowcount
        connection.execute(
            f"update collection_metadata set int_value = {THRESHOLD}"
            " where key = 'hnsw:sync_threshold'"
        )
    connection.close()


def segment(palace: Path) -> Path:
    """The folder of the drawers' index."""
    connection = sqlite3.connect(palace / "chroma.sqlite3")
    (name,) = connection.execute(
        "select s.id from segments s join collections c on c.id = s.collection"
        " where s.scope = 'VECTOR' and c.name = 'mempalace_drawers'"
    ).fetchone()
    connection.close()
    return palace / str(name)


def renew(home: Path) -> Sandbox:
    """The filled home as it was, at its own place: its path is part of the palace."""
    shutil.rmtree(home)
    shutil.copytree(home.with_name("pristine"), home, symlinks=True)
    return Sandbox(home)
