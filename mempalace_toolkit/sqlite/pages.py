"""Reads a SQLite file page by page, to get at rows that SQLite gives up on.

Nothing is trusted: a page that contradicts itself or its parent is a gap, and so is a cell.
The format is SQLite's own file format 3; only UTF-8 texts are known.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.longest_run import increasing
from mempalace_toolkit.sqlite.values import PageError, Value, parse_record, parse_varint
from mempalace_toolkit.sqlite.walk import Walk

LEAF, INTERIOR, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x05, 0x0A, 0x02
MAGIC = b"SQLite format 3\0"
_LOWEST, _HIGHEST = -(1 << 63) - 1, (1 << 63) - 1
_DEEPEST = 20
_UTF_8 = 1


@dataclass(frozen=True, slots=True)
class Page:
    """A b-tree page: its cells' offsets, and for interior ones the rightmost child."""

    data: bytes
    kind: int
    cells: tuple[int, ...]
    rightmost: int


def links(page: Page) -> list[int]:
    """The pages below this one; none below a leaf."""
    if page.kind in (LEAF, INDEX_LEAF):
        return []
    below = [struct.unpack_from(">I", page.data, cell)[0] for cell in page.cells]
    return [*below, page.rightmost]


class PageFile:
    """A SQLite file, open for reading. Raises PageError where it does not begin as one."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._descriptor = os.dup(file.fileno())
        try:
            self.size = os.fstat(self._descriptor).st_size
            head = os.pread(self._descriptor, 100, 0)
            if len(head) < 100 or not head.startswith(MAGIC):
                raise PageError("it does not begin as a SQLite file does")
            size = struct.unpack_from(">H", head, 16)[0]
            self.page_size = 65536 if size == 1 else size
            self.usable = self.page_size - head[20]
            if self.page_size < 512 or self.page_size & (self.page_size - 1) or self.usable < 480:
                raise PageError(f"its pages cannot be of {size} bytes")
            if struct.unpack_from(">I", head, 56)[0] != _UTF_8:
                raise PageError("its texts are not UTF-8")
        except BaseException:
            self.close()
            raise
        self.count = self.size // self.page_size
        self._free_head, self._free_count = struct.unpack_from(">II", head, 32)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def kind(self, number: int) -> int:
        """What kind of page it claims to be."""
        return self._bytes(number)[100 if number == 1 else 0]

    def free_pages(self) -> set[int] | None:
        """The pages on the list of free ones; None where that list is damaged."""
        free: set[int] = set()
        trunk = self._free_head
        while trunk:
            if not 1 < trunk <= self.count or trunk in free:
                return None
            free.add(trunk)
            data = self._bytes(trunk)
            trunk, leaves = struct.unpack_from(">II", data, 0)
            if leaves > self.usable // 4 - 2:
                return None
            free.update(struct.unpack_from(f">{leaves}I", data, 8))
        return free if len(free) == self._free_count and 0 not in free else None

    def page(self, number: int) -> Page:
        """A b-tree page. Raises PageError where it is none, or cut off."""
        if not 1 <= number <= self.count:
            raise PageError(f"there is no page {number}")
        data = self._bytes(number)
        start = 100 if number == 1 else 0
        kind = data[start]
        head = 12 if kind in (INTERIOR, INDEX_INTERIOR) else 8
        if kind not in (LEAF, INTERIOR, INDEX_LEAF, INDEX_INTERIOR):
            raise PageError(f"page {number} is not part of a table or an index")
        count, content = struct.unpack_from(">HH", data, start + 3)
        end = start + head + 2 * count
        if end > self.usable or (count and not end <= (content or 65536) <= self.usable):
            raise PageError(f"page {number} claims {count} cells")
        cells = struct.unpack_from(f">{count}H", data, start + head)
        least = 5 if head == 12 else 2
        if any(not end <= cell <= self.usable - least for cell in cells):
            raise PageError(f"page {number} has a cell outside itself")
        rightmost = struct.unpack_from(">I", data, start + 8)[0] if head == 12 else 0
        return Page(data, kind, cells, rightmost)

    def rows(self, root: int, walk: Walk) -> Iterator[tuple[int, list[Value]]]:
        """A table's rows by rowid, ascending; what cannot be read is noted in `walk`."""
        yield from self._rows(root, _LOWEST, _HIGHEST, walk, 0)

    def entries(self, root: int, walk: Walk) -> Iterator[list[Value]]:
        """An index's entries: the columns, then the rowid. In no promised order."""
        waiting = [(root, 0)]
        while waiting:
            number, depth = waiting.pop()
            try:
                page = self._next(number, walk, depth, (INDEX_LEAF, INDEX_INTERIOR))
            except PageError:
                walk.lose(_LOWEST, _HIGHEST)
                continue
            inner = page.kind == INDEX_INTERIOR
            for cell in page.cells:
                if inner:
                    waiting.append((struct.unpack_from(">I", page.data, cell)[0], depth + 1))
                try:
                    size, at = parse_varint(page.data, cell + (4 if inner else 0))
                    yield parse_record(self._payload(page.data, at, size, table=False))
                except (PageError, IndexError, struct.error, UnicodeDecodeError):
                    walk.lose(_LOWEST, _HIGHEST)
            if inner:
                waiting.append((page.rightmost, depth + 1))

    def pages_of(self, root: int) -> set[int]:
        """The pages of a table or an index, by the links alone."""
        found: set[int] = set()
        waiting = [root]
        while waiting:
            number = waiting.pop()
            if number in found:
                continue
            try:
                page = self.page(number)
            except PageError:
                continue
            found.add(number)
            waiting.extend(links(page))
        return found

    def _rows(
        self, number: int, low: int, high: int, walk: Walk, depth: int
    ) -> Iterator[tuple[int, list[Value]]]:
        try:
            page = self._next(number, walk, depth, (LEAF, INTERIOR))
            children = self._children(page, low, high) if page.kind == INTERIOR else []
            if depth and not page.cells and not children:
                raise PageError("an empty page below another")
        except (PageError, IndexError, struct.error):
            walk.lose(low, high)
            return
        for child, above, until in children:
            yield from self._rows(child, above, until, walk, depth + 1)
        if page.kind == LEAF:
            yield from self._leaf(page, low, high, walk)

    def _leaf(
        self, page: Page, low: int, high: int, walk: Walk
    ) -> Iterator[tuple[int, list[Value]]]:
        """A leaf's rows. One cell that does not fit puts what lies beside it in doubt, too."""
        rows = []
        for cell in page.cells:
            try:
                size, at = parse_varint(page.data, cell)
                rowid, at = parse_varint(page.data, at)
                if not low < rowid <= high:
                    raise PageError("a row out of order")
                payload = self._payload(page.data, at, size, table=True)
                rows.append((rowid, parse_record(payload)))
            except (PageError, IndexError, struct.error, UnicodeDecodeError):
                walk.lose(low, high)
        kept = increasing([rowid for rowid, _ in rows])
        if len(kept) < len(rows):
            walk.lose(low, high)
        for place in kept:
            yield rows[place]

    def _next(self, number: int, walk: Walk, depth: int, kinds: tuple[int, int]) -> Page:
        if number in walk.seen or depth > _DEEPEST:
            raise PageError(f"page {number} is in two places")
        page = self.page(number)
        if page.kind not in kinds:
            raise PageError(f"page {number} is of another kind")
        walk.seen.add(number)
        return page

    def _children(self, page: Page, low: int, high: int) -> list[tuple[int, int, int]]:
        """Each child with the rowids that it may hold: above, until."""
        children = []
        for cell in page.cells:
            child = struct.unpack_from(">I", page.data, cell)[0]
            key, _ = parse_varint(page.data, cell + 4)
            if not low < key <= high or not child >= 1:
                raise PageError("keys out of order")
            children.append((child, low, key))
            low = key
        return [*children, (page.rightmost, low, high)]

    def _payload(self, data: bytes, at: int, size: int, table: bool) -> bytes:
        """A cell's content, put together from the pages that it runs over to."""
        if not 0 <= size <= self.size:
            raise PageError("a row larger than the file")
        usable = self.usable
        least = (usable - 12) * 32 // 255 - 23
        most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
        local = size
        if size > most:
            local = least + (size - least) % (usable - 4)
            local = local if local <= most else least
        if at + local > usable:
            raise PageError("a row that leaves its page")
        parts = [data[at : at + local]]
        left = size - local
        following = struct.unpack_from(">I", data, at + local)[0] if left else 0
        while left:
            if not 1 < following <= self.count:
                raise PageError("a row continues on a page that does not exist")
            page = self._bytes(following)
            parts.append(page[4 : min(usable, 4 + left)])
            left -= len(parts[-1])
            following = struct.unpack_from(">I", page, 0)[0]
        return b"".join(parts)

    def _bytes(self, number: int) -> bytes:
        data = os.pread(self._descriptor, self.page_size, (number - 1) * self.page_size)
        if len(data) < self.page_size:
            raise PageError(f"there is no page {number}")
        return data
