"""Whether a database has the tables, columns and indexes that chromadb made in it.

chromadb records each of its migrations with their text. Those texts, carried out in an empty
database in memory, say what must be there; they are believed only where their digest is known.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

MIGRATIONS: Mapping[str, tuple[str, ...]] = {
    "sysdb": (
        "38352d725ad1c16074fac420b22b4633",
        "2913cb6a503055a95f625448037e8912",
        "42d22d0574d31d419c2a0e7f625c93aa",
        "048867ce8fcdefe4023c7110e4433591",
        "b1367c826b8fba5f96f27befdc1d42d2",
        "4eea7468935bf25d4604a0fed2366116",
        "1c7e63bba346a42a18b6ab7f1c989bed",
        "0a0e7e93111a01789addf64961c6127c",
        "054355aef9e63702bf54ea29e61563f1",
        "5c3a5ac4b79df76799b4721827ed5e1d",
    ),
    "embeddings_queue": (
        "d3755dfd232be8e8301f4d7fcfb3a486",
        "8fbfe4ffb3e57f1d8bfdc58510a82e85",
    ),
    "metadb": (
        "2b4cf52c4bb2676e21d6860a4409f856",
        "12a570f7121b3a8ce750a2a7c36da20f",
        "f97ad6334aeaa8f419f01110b648b97a",
        "fb36603a45ee2cd0254cef3ef86585e8",
        "0e9de46758761b373ce682925edcc326",
        "e026f01ea92c1baa1493f4ad5ca7cfe7",
    ),
}
"""MD5 digests of the migrations of chromadb 1.5.9, in order; older ones made the first of them."""

TABLES = (
    "migrations",
    "tenants",
    "databases",
    "collections",
    "collection_metadata",
    "segments",
    "segment_metadata",
    "maintenance_log",
    "embeddings",
    "embedding_metadata",
    "embedding_metadata_array",
    "embeddings_queue",
    "embeddings_queue_config",
    "max_seq_id",
)
"""chromadb's tables, but for the full-text index, which has a look of its own."""

_ADDED_LATER = (
    ("sysdb", 10, "collections", "schema_str"),
    ("sysdb", 8, "maintenance_log", ""),
    ("sysdb", 7, "collections", "config_json_str"),
    ("sysdb", 6, "collection_metadata", "bool_value"),
    ("embeddings_queue", 2, "embeddings_queue_config", ""),
    ("metadb", 6, "embedding_metadata_array", ""),
    ("metadb", 2, "embedding_metadata", "bool_value"),
)
"""What a migration adds. chromadb cannot open a database that has it without the record."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's columns by name (type, whether it may be null, place in the key), and its indexes
    (whether unique, their columns, whether partial)."""

    columns: Mapping[str, tuple[str, int, int]]
    indexes: frozenset[tuple[int, tuple[str, ...], int]]


def schema_problems(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """What is not as chromadb made it: a kind of finding and a message for each."""
    kinds = dict(connection.execute("select name, type from sqlite_master where type != 'index'"))
    if kinds.get("migrations") != "table":
        yield "migrations_damaged", "the table migrations is gone: chromadb cannot open it"
        yield from _without_record(kinds)
        return
    try:
        recorded, problem = _recorded(connection)
    except sqlite3.Error as error:
        yield "migrations_damaged", f"the table migrations: {error}"
        return
    if problem:
        yield "migrations_damaged", problem
        yield from _without_record(kinds)
        return
    yield from _unrecorded(connection, kinds, {name: len(rows) for name, rows in recorded.items()})
    with closing(_reference(recorded)) as reference:
        for table in TABLES:
            if table == "migrations" or not _exists(reference, table):
                continue
            if kinds.get(table) != "table":
                there = "is a view" if kinds.get(table) == "view" else "is gone"
                yield "schema_damaged", f"the table {table} {there}"
            else:
                wrong = _difference(table_shape(connection, table), table_shape(reference, table))
                if wrong:
                    yield "schema_damaged", f"the table {table} {wrong}"
    query = "select name, tbl_name from sqlite_master where type = 'trigger'"
    for name, table in connection.execute(query):
        if table in TABLES:
            yield "schema_damaged", f"a trigger {name} that is not chromadb's acts on {table}"


def _without_record(kinds: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for table in TABLES[1:]:
        if kinds.get(table) != "table":
            yield "schema_damaged", f"the table {table} is gone"


def _recorded(connection: sqlite3.Connection) -> tuple[dict[str, list[str]], str]:
    """The texts of the migrations that are recorded, by directory; and what is wrong with them."""
    texts: dict[str, list[str]] = {name: [] for name in MIGRATIONS}
    typed = "typeof(dir) || typeof(version) || typeof(filename) || typeof(sql) || typeof(hash)"
    query = f"select dir from migrations where {typed} != 'textintegertexttexttext'"  # noqa: S608
    if connection.execute(query).fetchone():
        return texts, "the table migrations holds a value that chromadb cannot read"
    query = "select dir, version, sql, hash from migrations order by dir, version"
    for name, version, text, digest in connection.execute(query):
        if name not in texts:
            return (
                texts,
                f"the table migrations names {str(name)[:40]!r}, which chromadb does not know",
            )
        if version != len(texts[name]) + 1:
            return texts, f"the table migrations lacks number {len(texts[name]) + 1} of {name}"
        known = MIGRATIONS[name][version - 1] if version <= len(MIGRATIONS[name]) else digest
        own = hashlib.md5(str(text).encode(), usedforsecurity=False).hexdigest()
        if digest != known or own != known:
            return texts, f"number {version} of {name} in the table migrations is altered"
        texts[name].append(str(text))
    short = next((name for name, found in texts.items() if not found), "")
    return texts, f"the table migrations lacks all of {short}" if short else ""


def _unrecorded(
    connection: sqlite3.Connection, kinds: Mapping[str, str], reached: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    for name, version, table, column in _ADDED_LATER:
        if reached[name] >= version or table not in kinds:
            continue
        columns = {row[1] for row in connection.execute(f"pragma table_info({table})")}
        if not column or column in columns:
            what = f"{table}.{column}" if column else table
            message = f"{what} is there, and the table migrations does not say so"
            yield "migrations_damaged", message


def _reference(recorded: Mapping[str, list[str]]) -> sqlite3.Connection:
    """What the migrations make; only texts of known digest are carried out."""
    reference = sqlite3.connect(":memory:")
    for name, texts in recorded.items():
        for text in texts[: len(MIGRATIONS[name])]:
            reference.executescript(text)
    return reference


def _exists(connection: sqlite3.Connection, table: str) -> bool:
    query = "select 1 from sqlite_master where type = 'table' and name = ?"
    return connection.execute(query, [table]).fetchone() is not None


def table_shape(connection: sqlite3.Connection, table: str) -> Shape:
    """The table as it is."""
    columns = {
        str(name): (str(kind).upper(), int(required), int(key))
        for _, name, kind, required, _, key in connection.execute(f"pragma table_info({table})")
    }
    indexes = set()
    for _, name, unique, _, partial in connection.execute(f"pragma index_list({table})"):
        rows = connection.execute("select name from pragma_index_info(?)", [name])
        indexes.add((int(unique), tuple(str(column) for (column,) in rows), int(partial)))
    return Shape(columns, frozenset(indexes))


def _difference(is_so: Shape, should: Shape) -> str:
    """The first thing that is not as it should be; more columns that may be null do no harm."""
    for name, kind in should.columns.items():
        if name not in is_so.columns:
            return f"has no column {name}"
        if is_so.columns[name] != kind:
            return f"has a different kind of column {name}"
    if any(
        required and name not in should.columns for name, (_, required, _) in is_so.columns.items()
    ):
        return "has a column that chromadb does not fill"
    for unique, columns, _ in sorted(should.indexes - is_so.indexes):
        return f"has lost its {'unique ' if unique else ''}index of {', '.join(columns)}"
    if any(unique for unique, _, _ in is_so.indexes - should.indexes):
        return "has a unique index that is not chromadb's"
    return ""
