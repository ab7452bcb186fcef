"""Pages of a palace's database gone bad: each kind of page, zeroed and overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import numpy as np

from mempalace_toolkit.sqlite.pages import INDEX_LEAF, LEAF, PageFile
from tests.palaces.segment_editing import Victim

PAGE = 4096
Overwrite = Callable[[int], bytes]


def zeros(size: int) -> bytes:
    """As after a crash of the machine."""
    return bytes(size)


def noise(size: int) -> bytes:
    """As from a failing disk."""
    return np.random.default_rng(5).bytes(size)


def pages_of(victim: Victim, name: str) -> tuple[list[int], list[int]]:
    """The inner pages and the leaves of a table or an index."""
    with closing(sqlite3.connect(victim.database)) as database:
        query = "select rootpage from sqlite_master where name = ?"
        root = database.execute(query, [name]).fetchone()[0] if name != "sqlite_master" else 1
    file = PageFile(victim.database)
    pages = sorted(file.pages_of(root))
    leaves = [page for page in pages if file.page(page).kind in (LEAF, INDEX_LEAF)]
    file.close()
    return [page for page in pages if page not in leaves], leaves


def overwrite(victim: Victim, page: int, content: bytes, offset: int = 0) -> None:
    """Put bytes into a page."""
    with victim.database.open("r+b") as file:
        file.seek((page - 1) * PAGE + offset)
        file.write(content)


def leaf(name: str, share: float, content: Overwrite) -> Callable[[Victim], None]:
    """A damage of one leaf of a table or an index, so far along it."""

    def damage(victim: Victim) -> None:
        leaves = pages_of(victim, name)[1]
        overwrite(victim, leaves[int(share * (len(leaves) - 1))], content(PAGE))

    damage.__name__ = f"a leaf of {name}, {content.__name__}"
    return damage


def inner(name: str, content: Overwrite) -> Callable[[Victim], None]:
    """A damage of the first inner page, the root most often."""

    def damage(victim: Victim) -> None:
        overwrite(victim, pages_of(victim, name)[0][0], content(PAGE))

    damage.__name__ = f"an inner page of {name}, {content.__name__}"
    return damage


def all_of(name: str) -> Callable[[Victim], None]:
    """Every page of a table or an index is zeros."""

    def damage(victim: Victim) -> None:
        for pages in pages_of(victim, name):
            for page in pages:
                overwrite(victim, page, bytes(PAGE))

    damage.__name__ = f"all of {name}"
    return damage


def list_of_tables(victim: Victim) -> None:
    """The first page's own part of the list of tables; the header before it is as it was."""
    overwrite(victim, 1, bytes(PAGE - 100), 100)


def list_of_free_pages(victim: Victim) -> None:
    """It leads to a page that is in use."""
    overwrite(victim, 1, (3).to_bytes(4, "big") + (1).to_bytes(4, "big"), 32)


def end_cut_off(victim: Victim) -> None:
    """The last fourth is gone, as on a full disk."""
    with victim.database.open("r+b") as file:
        file.truncate(victim.database.stat().st_size // PAGE * 3 // 4 * PAGE)


def header_zeroed(victim: Victim) -> None:
    """The first page is zeros: it is no database any more."""
    overwrite(victim, 1, bytes(PAGE))


def everything_zeroed(victim: Victim) -> None:
    """Zeros from end to end."""
    victim.database.write_bytes(bytes(victim.database.stat().st_size))


def texts_lost(victim: Victim) -> None:
    """All that repeats the texts is gone with some of them: table, index, and words' index."""
    leaves = pages_of(victim, "embedding_metadata")[1]
    overwrite(victim, leaves[len(leaves) // 2], bytes(PAGE))
    all_of("embedding_metadata_string_value")(victim)
    all_of("embedding_fulltext_search_content")(victim)


def drawers_lost(victim: Victim) -> None:
    """Drawers are gone from the table and its index; the vectors' index still names them."""
    leaves = pages_of(victim, "embeddings")[1]
    overwrite(victim, leaves[1], bytes(PAGE))
    all_of("sqlite_autoindex_embeddings_1")(victim)
