"""What of a damaged chromadb database can still be read, table by table.

A table is read along its tree. Where that is broken, first the pages are taken that hang
nowhere else and hold rows of this table, then what the indexes over it repeat. What no index
repeats and no page holds is lost, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mempalace_toolkit.chroma.tables import INDEXES, SHAPES, WIDTH, Row
from mempalace_toolkit.sqlite.pages import INTERIOR, LEAF, PageFile, links
from mempalace_toolkit.sqlite.values import PageError
from mempalace_toolkit.sqlite.walk import Gaps, Walk

_EVERYTHING = (-(1 << 63) - 1, (1 << 63) - 1)
_MASTER = "sqlite_master"


@dataclass(slots=True)
class Loss:
    """What is lost of a table. `rows` are known by their index and not complete, by rowid;
    `uncertain` where more may be, which no index tells; `contradicted` where the table and its
    index are both readable and name different rows."""

    rows: dict[int, Row] = field(default_factory=dict)
    uncertain: bool = False
    contradicted: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is lost, or may be."""
        return bool(self.rows) or self.uncertain


class Recovery:
    """A damaged database's rows."""

    def __init__(self, file: PageFile) -> None:
        self.file = file
        self.losses: dict[str, Loss] = {}
        self.roots: dict[str, int] = {}
        self._orphans: dict[str, list[int]] | None = None
        self._root_lost = False
        walk = Walk()
        rows = [row for _, row in self.file.rows(1, walk)]
        if walk.gaps:
            self._root_lost = True
            for top in self._tops_of(self._loose_pages({1} | walk.seen)):
                found = [row for _, row in self.file.rows(top, Walk())]
                if found and SHAPES[_MASTER](found[0]):
                    rows += found
        for kind, name, _, root, _ in (row for row in rows if SHAPES[_MASTER](row)):
            if kind in ("table", "index") and isinstance(root, int) and root:
                self.roots[str(name)] = root

    def rows(self, table: str) -> Iterator[tuple[int, Row]]:
        """The table's rows, each once; afterwards `losses` says what is missing of it.

        Rows from an index have None where it does not repeat a column.
        """
        loss = self.losses[table] = Loss()
        taken: set[int] = set()
        index, columns = next(iter(INDEXES.get(table, {"": ()}).items()))
        names = 0
        for rowid, row in self._all_rows(table, loss, taken):
            names ^= hash((rowid, *(row[column] for column in columns)))
            yield rowid, row
        if index not in self.roots or loss.any:
            return
        walk = Walk()
        for *values, last in self.file.entries(self.roots[index], walk):
            names ^= hash((last, *values))
        if not names or walk.gaps:
            return
        # Cells that a page does not speak of leave no gap; what names them is the index.
        for rowid, row in self._from_indexes(table, Gaps([_EVERYTHING]), taken):
            names ^= hash((rowid, *(row[column] for column in columns)))
            yield rowid, row
        loss.contradicted = bool(names) and not loss.any

    def _all_rows(self, table: str, loss: Loss, taken: set[int]) -> Iterator[tuple[int, Row]]:
        fits = SHAPES.get(table, _any_row)
        walk = Walk()
        if table in self.roots:
            for rowid, row in self.file.rows(self.roots[table], walk):
                if fits(row):
                    taken.add(rowid)
                    yield rowid, row
                else:
                    walk.lose(rowid - 1, rowid)
        elif self._root_lost:
            walk.gaps.append(_EVERYTHING)
        if not walk.gaps:
            return
        gaps = Gaps(walk.gaps)
        whole = self._root_lost and table not in self.roots
        for top in self.orphans().get(table, ()):
            below = Walk()
            for rowid, row in self.file.rows(top, below):
                if rowid not in taken and rowid in gaps and fits(row):
                    taken.add(rowid)
                    yield rowid, row
            whole &= not below.gaps
        yield from self._from_indexes(table, gaps, taken)
        loss.uncertain &= not (whole and taken)

    def _from_indexes(self, table: str, gaps: Gaps, taken: set[int]) -> Iterator[tuple[int, Row]]:
        """Rows put together from the indexes, and the table's loss."""
        loss = self.losses[table]
        parts: dict[int, Row] = {}
        certain = bool(INDEXES.get(table))
        named: set[int] = set()
        for number, (index, columns) in enumerate(INDEXES.get(table, {}).items()):
            entries = Walk()
            if index not in self.roots:
                certain = certain and number > 0
                continue
            for *values, rowid in self.file.entries(self.roots[index], entries):
                if not isinstance(rowid, int) or len(values) != len(columns):
                    continue
                if rowid in taken or rowid not in gaps:
                    continue
                row = parts.setdefault(rowid, [None] * WIDTH[table])
                for column, value in zip(columns, values, strict=True):
                    row[column] = value
                if number == 0:
                    named.add(rowid)
            certain = certain and (number > 0 or not entries.gaps)
        loss.uncertain = not certain
        for rowid in sorted(parts):
            row = parts[rowid]
            if rowid in named and _is_whole(table, row):
                yield rowid, row
            else:
                loss.rows[rowid] = row

    def orphans(self) -> dict[str, list[int]]:
        """The topmost pages that hang on no tree, by the table whose rows they hold.

        There are none where the list of free pages is damaged: those hold what was deleted.
        """
        if self._orphans is None:
            seen = {1}.union(*(self.file.pages_of(root) for root in (1, *self.roots.values())))
            self._orphans = {}
            for top in self._tops_of(self._loose_pages(seen)):
                table = self._table_of(top)
                if table:
                    self._orphans.setdefault(table, []).append(top)
        return self._orphans

    def _loose_pages(self, seen: set[int]) -> set[int]:
        free = self.file.free_pages()
        if free is None:
            return set()
        loose = set(range(2, self.file.count + 1)) - seen - free
        return {number for number in loose if self.file.kind(number) in (LEAF, INTERIOR)}

    def _tops_of(self, loose: set[int]) -> list[int]:
        below: set[int] = set()
        sound = set()
        for number in loose:
            try:
                page = self.file.page(number)
            except PageError:
                continue
            sound.add(number)
            below.update(links(page))
        return sorted(sound - below)

    def _table_of(self, top: int) -> str:
        for _, row in self.file.rows(top, Walk()):
            return next((table for table, fits in SHAPES.items() if fits(row)), "")
        return ""


def _any_row(_row: Row) -> bool:
    return True


def _is_whole(table: str, row: Row) -> bool:
    """Whether the indexes repeat all of a row that matters.

    A drawer's row lacks its operation's number and its time only, a collection's its settings,
    which its metadata repeat.
    """
    if table == "embedding_metadata":
        return SHAPES[table](row) and any(value is not None for value in row[2:])
    if table == "embeddings":
        return isinstance(row[1], str) and isinstance(row[2], str)
    return table in ("tenants", "databases", "collections") and SHAPES[table](row)
