"""The rebuild of one collection's index as a list of named steps, each with its undoing.

A process killed before, in or after any of them leaves the old index or the new one, and at
worst a folder that the next repair removes or takes vectors from:

- until `exchange` the palace is as it was, but for a hidden scratch folder, and perhaps the
  new index under a quarantined name;
- after `exchange` the old index has that name, and the watermark is too low for the new one:
  chromadb replays operations that are in it already;
- `watermark` is one transaction.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mempalace_toolkit.errors import DamageLeftError, ModelError, WriteUndoneError
from mempalace_toolkit.palace.check import check_palace
from mempalace_toolkit.palace.embedding import Embed
from mempalace_toolkit.palace.exchange import exchange, sync_folder
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.plan import CollectionPlan
from mempalace_toolkit.palace.prove import prove_collection
from mempalace_toolkit.palace.quarantine import UNSAFE_KINDS, aside_name
from mempalace_toolkit.palace.rebuild import build_index, scratch_folder
from mempalace_toolkit.palace.records import read_documents
from mempalace_toolkit.palace.salvage import Salvage
from mempalace_toolkit.palace.watermark_writing import advance_watermark, undo_watermark

ALIKE = 0.999
_EMBED_BATCH = 256


@dataclass(frozen=True, slots=True)
class RepairSetting:
    """What a repair works with.

    `stamp` is the moment as YYYYMMDD-HHMMSS, for the names of what is kept. Without `embed`
    nothing is embedded: the sample is not compared, and drawers without a vector make the
    repair fail. `before_step` is told each step's name, for progress and for tests.
    """

    home: Path
    environment: Mapping[str, str]
    stamp: str
    embed: Embed | None
    sample: int = 16
    threads: int = 2
    before_step: Callable[[str], None] = lambda _: None


@dataclass(slots=True)
class Work:
    """One collection on its way: what was found, and what the steps have made of it so far."""

    palace: PalaceLocation
    plan: CollectionPlan
    found: Salvage
    setting: RepairSetting
    undo: ExitStack = field(default_factory=ExitStack)
    built: Path | None = None
    kept: Path | None = None
    embedded: int = 0
    sampled: int = 0
    unsampled: str = ""

    @property
    def live(self) -> Path:
        """The segment's own folder."""
        return self.palace.path / self.plan.segment


def find_room(work: Work) -> None:
    """Raise WriteUndoneError unless the disk has room for what will be written."""
    free = shutil.disk_usage(work.palace.path).free
    if free < work.plan.bytes_needed:
        needed = work.plan.bytes_needed >> 20
        raise WriteUndoneError(
            f"{work.palace.path}: repair needs {needed:,} MiB of disk, {free >> 20:,} are free",
            "free some space, then run again: nothing was changed",
        )


def embed_missing(work: Work) -> None:
    """Embed the drawers whose vector is nowhere. Raises ModelError without a model."""
    missing = work.found.missing()
    if not len(missing):
        return
    if work.setting.embed is None:
        raise ModelError(
            f"{len(missing):,} drawers of {work.plan.collection} must be embedded again, and "
            "their model is not known here",
            "mempalace repair --mode from-sqlite --yes",
        )
    rows = work.found.record.row_ids
    for start in range(0, len(missing), _EMBED_BATCH):
        batch = missing[start : start + _EMBED_BATCH].tolist()
        texts = read_documents(work.palace, (int(rows[place]) for place in batch))
        vectors = work.setting.embed([texts.get(int(rows[place]), "") for place in batch])
        _require_dimension(work, vectors.shape[1])
        work.found.embedded.update(zip(batch, vectors, strict=True))
        work.embedded += len(batch)


def _require_dimension(work: Work, dimension: int) -> None:
    if dimension != work.found.dimension:
        raise ModelError(
            f"{work.plan.collection} holds vectors of {work.found.dimension} numbers, the model "
            f"gives {dimension}",
            "name the palace's own embedding model in MemPalace's configuration",
        )


def compare_sample(work: Work) -> None:
    """Embed a few drawers again and compare. Raises DamageLeftError where they differ.

    Those that a folder gave are sampled, the ones touched last first of all: a copy that is
    older than it seems lacks them.
    """
    found = work.found
    salvaged = np.flatnonzero(found.folder >= 0)
    work.unsampled = "" if len(salvaged) else "no vector was taken from an index"
    if work.setting.embed is None:
        work.unsampled = "the palace's embedding model is not known here"
    if work.unsampled or not work.setting.sample or work.setting.embed is None:
        return
    half = work.setting.sample // 2
    latest = salvaged[np.argsort(found.record.sequences[salvaged])][-half:]
    spread = salvaged[:: max(1, len(salvaged) // max(1, half))][:half]
    chosen = np.union1d(latest, spread)
    texts = read_documents(work.palace, (int(row) for row in found.record.row_ids[chosen]))
    told = [place for place in chosen.tolist() if texts.get(int(found.record.row_ids[place]))]
    if not told:
        work.unsampled = "the drawers have no text"
        return
    again = work.setting.embed([texts[int(found.record.row_ids[place])] for place in told])
    _require_dimension(work, again.shape[1])
    held = found.vectors(np.array(told)).astype(np.float64)
    lengths = np.linalg.norm(held, axis=1) * np.linalg.norm(again, axis=1)
    alike = np.sum(held * again, axis=1) / np.where(lengths > 0, lengths, 1)
    wrong = int(np.count_nonzero(~(alike > ALIKE)))
    work.sampled = len(told)
    if wrong:
        raise DamageLeftError(
            f"{wrong} of {len(told)} vectors salvaged for {work.plan.collection} are not of "
            "their drawers' texts: nothing was changed",
            "mempalace repair --mode from-sqlite --yes",
        )


def build(work: Work) -> None:
    """Build the new index in the scratch folder."""
    if not len(work.found.record.ids):
        return
    scratch = scratch_folder(work.palace.path, work.found.record.id)
    work.undo.callback(shutil.rmtree, scratch, ignore_errors=True)
    setting = work.setting
    work.built = build_index(work.palace, work.found, setting.environment, setting.threads)


def try_built(work: Work) -> None:
    """Have a child query the new index where it was built. Raises DamageLeftError."""
    if work.built is None:
        return
    scratch = PalaceLocation(work.built.parent, "chroma", work.palace.embedding_model)
    proof = prove_collection(scratch, work.found, work.setting.environment, "rebuilt")
    if not proof.holds:
        raise DamageLeftError(
            f"the rebuilt index does not answer: {proof.line()}",
            "run again; the old index is in place",
        )


def place(work: Work) -> None:
    """Give the new index the name that the old one will have."""
    reason = "corrupt" if UNSAFE_KINDS & set(work.plan.kinds) else "drift"
    aside = aside_name(work.live, reason, work.setting.stamp)  # type: ignore[arg-type]
    if work.live.exists():
        work.kept = aside
    if work.built is not None and work.kept is not None:
        work.built.rename(work.kept)
        work.undo.callback(work.kept.rename, work.built)


def swap(work: Work) -> None:
    """Exchange the new index and the old one."""
    if work.built is not None and work.kept is not None:
        exchange(work.kept, work.live)
        work.undo.callback(exchange, work.kept, work.live)
    elif work.built is not None:
        work.built.rename(work.live)
        work.undo.callback(work.live.rename, work.built)
    elif work.kept is not None:
        work.live.rename(work.kept)
        work.undo.callback(work.kept.rename, work.live)
    sync_folder(work.palace.path)


def watermark(work: Work) -> None:
    """Tell chromadb which operations the new index contains."""
    record = work.found.record
    reached = record.metadata_watermark
    if reached is None and len(record.sequences):
        reached = int(record.sequences.max())
    change = advance_watermark(work.palace, record, reached if len(record.ids) else None)
    work.undo.callback(undo_watermark, work.palace, change)


def check_again(work: Work) -> None:
    """Raise DamageLeftError where a check still finds damage in this collection."""
    left = [
        finding
        for finding in check_palace(work.palace)
        if not finding.harmless and finding.collection == work.plan.collection
    ]
    if left:
        raise DamageLeftError(
            f"{work.plan.collection} is still damaged after its rebuild ({left[0].message}): "
            "undone, the old index is in place",
            "mempalace repair --mode from-sqlite --yes",
        )


def clean(work: Work) -> None:
    """Remove the scratch folder; what was done stays."""
    work.undo.pop_all()
    shutil.rmtree(scratch_folder(work.palace.path, work.found.record.id), ignore_errors=True)


Step = tuple[str, Callable[[Work], None]]

STEPS: tuple[Step, ...] = (
    ("room", find_room),
    ("embed", embed_missing),
    ("sample", compare_sample),
    ("build", build),
    ("try", try_built),
    ("place", place),
    ("exchange", swap),
    ("watermark", watermark),
    ("check", check_again),
    ("clean", clean),
)
