"""What can be recovered of a damaged database: drawers kept, drawers lost, counted beforehand."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mempalace_toolkit.chroma.records import QueueEntry
from mempalace_toolkit.chroma.segment.files import read_segment
from mempalace_toolkit.index.evidence.evidence import replay
from mempalace_toolkit.index.recovery.tables import Recovery
from mempalace_toolkit.index.recovery.transfer import Account, transfer
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME
from mempalace_toolkit.sqlite.pages import PageFile
from mempalace_toolkit.sqlite.values import PageError

SLACK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """What a new database will hold of the damaged one.

    `lost` drawers are known by the index or the queue and cannot be read any more; `partial`
    ones lack some of their metadata. `uncertain`: there may be lost ones, or metadata lost, that
    nothing names. `settings_lost`: a collection's own metadata are gone.
    `queue_lost`: operations that were not in the index yet are gone; their drawers are not.
    `mends` are the findings for which rows are mended, where the pages can be read; `losses` what
    is lost then, each a phrase.
    """

    damage: str
    drawers: int
    lost: int
    partial: int
    uncertain: bool
    settings_lost: bool
    queue_lost: bool
    bytes_needed: int
    mends: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether no drawer and no part of one is lost."""
        lost = self.lost or self.partial or self.uncertain or self.settings_lost
        return not (lost or self.losses)

    def line(self) -> str:
        """One line for a person."""
        if self.mends:
            kept = f"{self.drawers:,} drawers kept"
            lost = f"lost: {', '.join(self.losses)}" if self.losses else "nothing lost"
            return f"write the database anew ({kept}, {lost}), then the indexes that need it"
        told = [f"{self.drawers:,} drawers recovered"]
        told += [f"{self.lost:,} lost"] if self.lost else []
        told += [f"{self.partial:,} without some of their metadata"] if self.partial else []
        told += ["perhaps more lost that nothing names"] if self.uncertain else []
        told += ["settings of collections lost"] if self.settings_lost else []
        told += [] if self.loss() else ["nothing lost"]
        return f"rebuild the database ({', '.join(told)}), then the indexes that need it"

    def loss(self) -> str:
        """What is lost, for a person; empty where all is whole."""
        if self.losses:
            return ", ".join(self.losses)
        told = [f"{self.lost:,} drawers"] if self.lost else []
        told += [f"metadata of {self.partial:,} drawers"] if self.partial else []
        told += ["perhaps more that nothing names"] if self.uncertain else []
        told += ["settings of collections"] if self.settings_lost else []
        return ", ".join(told)

    def as_json(self) -> dict[str, object]:
        """The object under `database`."""
        return {**asdict(self), "whole": self.whole}


def plan_database(palace: PalaceLocation, damage: str) -> DatabasePlan | str:
    """What a rebuild would keep; or why there is nothing to rebuild from. Reads only."""
    try:
        file = PageFile(palace.database)
    except (OSError, PageError) as error:
        return str(error)
    try:
        account = transfer(Recovery(file), lambda table, rowid, row: None)
    except (OSError, PageError) as error:
        return str(error)
    finally:
        file.close()
    drawers, lost, named = 0, 0, True
    for segment in account.segments:
        if segment[2] == "VECTOR":
            kept, gone = _drawers(palace, account, str(segment[0]), str(segment[3]))
            drawers += kept
            lost += gone or 0
            named &= gone is not None
    if not drawers and (lost or not named):
        return "not one drawer in it can be read"
    return DatabasePlan(
        damage=damage,
        drawers=drawers,
        lost=lost,
        partial=len(account.partial),
        uncertain=account.contradicted
        or account.metadata_uncertain
        or (account.uncertain and (account.queue_lost or not named)),
        settings_lost=account.settings_lost,
        queue_lost=account.queue_lost,
        bytes_needed=2 * palace.database.stat().st_size + index_bytes(palace) + SLACK_BYTES,
    )


def _drawers(
    palace: PalaceLocation, account: Account, vector: str, collection: str
) -> tuple[int, int | None]:
    """Drawers of a collection that are kept, and those lost; None where nothing tells those.

    Where the database does not tell, the index does, which has the drawers' ids.
    """
    metadata = [str(row[0]) for row in account.segments if row[3] == collection]
    drawers = {
        drawer for segment in metadata for drawer in account.drawers.get(segment, {}).values()
    }
    kept = sum(len(account.kept(segment)) for segment in metadata)
    lost = len(drawers) - kept
    if not account.uncertain:
        return kept, lost
    queue = tuple(
        QueueEntry(sequence, operation, drawer, None)
        for sequence, operation, topic, drawer in account.queue
        if topic.endswith(f"/{collection}")
    )
    known: set[str] = set()
    if vector in account.watermarks:
        folder = palace.path / vector
        files = read_segment(folder, None) if SEGMENT_NAME.fullmatch(vector) else None
        if files is None or files.id_map is None:
            return kept, None
        known = set(files.id_map.labels)
    known = replay(known, queue, account.watermarks.get(vector))
    mark = max((account.watermarks.get(one, 0) for one in metadata if one != vector), default=0)
    return kept, lost + len(known - replay(drawers, queue, mark))


def index_bytes(palace: PalaceLocation) -> int:
    """What the copies take of the indexes that a child opens; sparse files count what they hold."""
    folders = [one for one in palace.path.iterdir() if SEGMENT_NAME.fullmatch(one.name)]
    return sum(file.lstat().st_blocks * 512 for folder in folders for file in folder.glob("*"))
