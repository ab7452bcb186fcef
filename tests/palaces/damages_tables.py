"""Ways in which rows of a palace's database get lost or wrong, all pages of which are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.palaces.damages_records import editing
from tests.palaces.making import DRAWERS
from tests.palaces.segment_editing import Victim

_OF = f"(select id from collections where name = '{DRAWERS}')"


def _statements(*queries: str) -> Callable[[Victim], None]:
    def damage(victim: Victim) -> None:
        with editing(victim.database) as connection:
            for query in queries:
                connection.execute(query)

    return damage


# By the kind of finding that names it, and which of that kind; all vectors, texts and metadata
# can be had back.
WHOLE: Mapping[str, Callable[[Victim], None]] = {
    "fulltext_damaged": _statements("drop table embedding_fulltext_search"),
    "tenant_missing": _statements("delete from tenants"),
    "tenant_missing: a number for an id": _statements("update databases set id = '7'"),
    "migrations_damaged": _statements(
        "update migrations set filename = cast(filename as blob)",
    ),
    "drawers_damaged: of no segment": _statements(
        "update embeddings set segment_id = '' where id = (select max(id) from embeddings)"
    ),
    "metadata_damaged: keys as bytes": _statements(
        "update embedding_metadata set key = cast(key as blob) where id % 2"
    ),
    "collection_damaged": _statements(
        "update collections set config_json_str = '{oops', schema_str = '{oops'"
    ),
    "collection_damaged: values of another type": _statements(
        "update collection_metadata set int_value = cast(int_value as blob)"
    ),
    "dimension_wrong": _statements("update collections set dimension = null"),
    "dimension_wrong: another number": _statements("update collections set dimension = 7"),
    "metadata_damaged: beside a text": _statements(
        "update embedding_metadata set bool_value = 'junk' where key = 'chroma:document'"
    ),
    "segments_wrong": _statements(
        f"delete from segments where scope = 'VECTOR' and collection in {_OF}"
    ),
    "watermark_missing": _statements(
        "delete from max_seq_id where segment_id in"
        " (select id from segments where scope = 'METADATA')"
    ),
    "watermark_missing: as other bytes": _statements(
        "update max_seq_id set seq_id = cast(cast(seq_id as text) as blob)"
    ),
    "watermark_missing: below the drawers": _statements(
        "update max_seq_id set seq_id = 30 where segment_id in"
        " (select id from segments where scope = 'METADATA')"
    ),
    "segment_id_invalid": _statements(
        f"update segments set id = 'x' where scope = 'METADATA' and collection in {_OF}"
    ),
    "metadata_orphaned": _statements(
        "insert into embedding_metadata (id, key, string_value) values (99999999, 'wing', 'w')"
    ),
}

# What is lost of these nobody can tell.
WITH_LOSS: Mapping[str, Callable[[Victim], None]] = {
    "collection_lost": _statements(f"delete from collections where name = '{DRAWERS}'"),
    "documents_missing": _statements(
        "delete from embedding_metadata where key = 'chroma:document' and id % 20 = 0",
        "delete from embedding_fulltext_search where rowid % 20 = 0",
    ),
    "metadata_missing": _statements(
        "delete from embedding_metadata where key != 'chroma:document' and id % 20 = 0"
    ),
}
