"""Takes over what is left of a damaged database, row by row, and keeps account of the drawers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mempalace_toolkit.chroma.tables import DOCUMENT, Row, configuration
from mempalace_toolkit.index.recovery.tables import Recovery
from mempalace_toolkit.sqlite.values import PageError, Value

Put = Callable[[str, int | None, Row], None]
"""Takes a row of a table with its rowid; None for a new one."""

_PLAIN = ("tenants", "databases", "segments", "collection_metadata", "segment_metadata",
          "embedding_metadata_array")  # fmt: skip
_NEEDED = ("tenants", "databases", "segments")
_NEARLY_ALL = 0.99


@dataclass(slots=True)
class Account:
    """What was taken over.

    `segments` are rows of that table; `dimensions` those of the queue's vectors, by collection;
    `latest` the last operation, `drawers` the ids by rowid, each by metadata segment; `queue`
    the operations without vectors: sequence, operation, topic, id. `dropped` are rowids of
    drawers without their text, `partial` of those that lack metadata; `uncertain` where the
    database does not tell how many drawers are lost, `metadata_uncertain` the same of these;
    `contradicted` where what it tells contradicts itself.
    """

    segments: list[Row] = field(default_factory=list)
    watermarks: dict[str, int] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)
    drawers: dict[str, dict[int, str]] = field(default_factory=dict)
    queue: list[tuple[int, int, str, str]] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    partial: set[int] = field(default_factory=set)
    uncertain: bool = False
    metadata_uncertain: bool = False
    contradicted: bool = False
    settings_lost: bool = False
    queue_lost: bool = False

    def kept(self, segment: str) -> set[str]:
        """The ids of the drawers that were taken over with their text."""
        drawers = self.drawers.get(segment, {})
        return {drawer for rowid, drawer in drawers.items() if rowid not in self.dropped}


def transfer(recovery: Recovery, put: Put) -> Account:
    """Hand on every row that can be read. Rows of `dropped` drawers were handed on, too.

    Raises PageError where the collections themselves are lost.
    """
    account = Account()
    _queue(recovery, put, account)
    settings: dict[str, dict[str, Value]] = {}
    for table in _PLAIN:
        for rowid, row in recovery.rows(table):
            put(table, rowid, row)
            if table == "segments":
                account.segments.append(row)
            if table == "collection_metadata":
                value = next((one for one in row[2:] if one is not None), None)
                settings.setdefault(str(row[0]), {})[str(row[1])] = value
        if table in _NEEDED and recovery.losses[table].any:
            raise PageError(f"rows of its table {table} are lost")
    account.settings_lost = recovery.losses["collection_metadata"].any
    _collections(recovery, put, account, settings)
    for rowid, row in recovery.rows("max_seq_id"):
        put("max_seq_id", rowid, [row[0], _number(row[1])])
        account.watermarks[str(row[0])] = _number(row[1])
    _drawers(recovery, put, account)
    _lost_watermarks(recovery, put, account)
    _metadata(recovery, put, account)
    account.contradicted = any(loss.contradicted for loss in recovery.losses.values())
    return account


def _queue(recovery: Recovery, put: Put, account: Account) -> None:
    for rowid, row in recovery.rows("embeddings_queue"):
        put("embeddings_queue", rowid, row)
        account.queue.append((rowid, _number(row[2]), str(row[3]), str(row[4])))
        if isinstance(row[5], bytes):
            account.dimensions[_collection_of(str(row[3]))] = len(row[5]) // 4
    account.queue.sort()
    account.queue_lost = recovery.losses["embeddings_queue"].any


def _collections(
    recovery: Recovery, put: Put, account: Account, settings: dict[str, dict[str, Value]]
) -> None:
    """A collection that only indexes name has its dimension from the queue's vectors, and its
    settings from its metadata, where they stand too."""
    for rowid, row in recovery.rows("collections"):
        if len(row) == 6 and row[4] is None and row[5] is None:
            told, dimension = settings.get(str(row[0]), {}), account.dimensions.get(str(row[0]))
            if "hnsw:space" not in told or dimension is None:
                raise PageError("the settings of a collection are lost")
            row = [*row[:2], dimension, row[3], configuration(told), None]
        put("collections", rowid, row)
        scopes = {one[2] for one in account.segments if one[3] == row[0]}
        if not {"VECTOR", "METADATA"} <= scopes:
            raise PageError("rows of its table segments are lost")
    if recovery.losses["collections"].any or not account.segments:
        raise PageError("rows of its table collections are lost")


def _lost_watermarks(recovery: Recovery, put: Put, account: Account) -> None:
    """Those that are lost are taken as low as they can have been: what lies above is replayed.

    The queue keeps a collection's operations from its lower watermark on.
    """
    loss = recovery.losses["max_seq_id"]
    if loss.uncertain:
        raise PageError("rows of its table max_seq_id are lost")
    for rowid, row in loss.rows.items():
        segment = str(row[0])
        collection = next((one[3] for one in account.segments if one[0] == segment), None)
        held = [
            queued for queued, _, topic, _ in account.queue if _collection_of(topic) == collection
        ]
        if collection is None:
            continue
        if not held or account.queue_lost:
            raise PageError("watermarks are lost, and the queue cannot tell them")
        mark = max(held[0], account.latest.get(segment, 0))
        account.watermarks[segment] = mark
        put("max_seq_id", rowid, [segment, mark])


def _collection_of(topic: str) -> str:
    return topic.rpartition("/")[2]


def _drawers(recovery: Recovery, put: Put, account: Account) -> None:
    """Drawers that only the index names get the number of the operation that touched them last.

    That is the last one in the queue, or else none above the lowest watermark, which the queue
    would still hold.
    """
    last = {drawer: sequence for sequence, _, _, drawer in account.queue}
    marks = account.watermarks.values()
    lowest = (max if account.queue_lost else min)(marks, default=0)
    moment: Row = [None]
    for rowid, row in recovery.rows("embeddings"):
        moment = row[4:] if row[4] is not None else moment
        if row[3] is None:
            row = [*row[:3], last.get(str(row[2]), lowest), moment[0] or "1970-01-01 00:00:00"]
        put("embeddings", rowid, row)
        sequence = _number(row[3])
        account.latest[str(row[1])] = max(sequence, account.latest.get(str(row[1]), 0))
        account.drawers.setdefault(str(row[1]), {})[rowid] = str(row[2])
    account.uncertain |= recovery.losses["embeddings"].any


def _metadata(recovery: Recovery, put: Put, account: Account) -> None:
    """Metadata, documents among them; a document that is lost may be in the words' index."""
    held: dict[int, set[str]] = {}
    names: dict[str, str] = {}
    for rowid, row in recovery.rows("embedding_metadata"):
        put("embedding_metadata", rowid, row)
        drawer, key = _number(row[0]), str(row[1])
        held.setdefault(drawer, set()).add(names.setdefault(key, key))
    loss = recovery.losses["embedding_metadata"]
    if not loss.any and not loss.contradicted:
        return
    # A damaged key takes a text away as a lost row does, and leaves no gap.
    account.metadata_uncertain = uncertain = loss.uncertain or loss.contradicted
    textless: set[int] = set()
    for row in loss.rows.values():
        if isinstance(row[0], int):
            (textless if row[1] == DOCUMENT else account.partial).add(_number(row[0]))
    for drawer, row in recovery.rows("embedding_fulltext_search_content"):
        if DOCUMENT not in held.get(drawer, set()) and len(row) == 2 and isinstance(row[1], str):
            held.setdefault(drawer, set()).add(DOCUMENT)
            put("embedding_metadata", None, [drawer, DOCUMENT, row[1], None, None, None])
    for drawers in account.drawers.values():
        counted = Counter(key for drawer in drawers for key in held.get(drawer, ()))
        usual = {key for key, count in counted.items() if count >= _NEARLY_ALL * len(drawers)}
        # One that never had a text is no loss: its collection has none, and other metadata, or
        # its index says so.
        with_text = uncertain and (counted[DOCUMENT] > 0 or not counted)
        for drawer in drawers:
            keys = held.get(drawer, set())
            if DOCUMENT not in keys and (with_text or drawer in textless):
                account.dropped.add(drawer)
            elif uncertain and not usual <= keys:
                account.partial.add(drawer)
    account.partial -= account.dropped


def _number(value: Value) -> int:
    """A number; chromadb before 0.5 wrote sequence numbers as big-endian bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value or 0)
