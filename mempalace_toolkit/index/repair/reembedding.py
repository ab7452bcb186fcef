"""What a repair embeds again: drawers whose vector is gone, and a sample to compare."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import read_documents
from mempalace_toolkit.errors import ModelError, OtherTextsError
from mempalace_toolkit.index.evidence.likeness import ALIKE
from mempalace_toolkit.index.repair.plan_values import RepairPlan
from mempalace_toolkit.index.repair.work import Sample, Work
from mempalace_toolkit.index.salvage.salvaged import Origin
from mempalace_toolkit.index.workers.embedding import Embed

EMBED_BATCH = 256


def with_model(plan: RepairPlan, embed: Embed) -> RepairPlan:
    """The plan, or its refusal where drawers must be embedded and the model cannot be had.

    Drawers of an index that lost their names count: the model proves whose the elements are.
    """
    needing = [one for one in plan.collections if one.to_embed or one.by_order]
    if not needing:
        return plan
    drawers = sum(one.to_embed + one.by_order for one in needing)
    try:
        embed(["the palace's model is asked for"])
    except ModelError as error:
        return RepairPlan(
            "refuse",
            refusal=f"{drawers:,} drawers must be embedded again or compared with their texts, and"
            f" the palace's embedding model cannot be used: {error.message}",
            remedy=error.hint,
            findings=plan.findings,
        )
    return plan


def embed_missing(work: Work) -> None:
    """Embed the drawers whose vector is nowhere. Raises ModelError without a model."""
    known = np.fromiter(work.found.embedded, np.int64, len(work.found.embedded))
    embed_drawers(work, np.setdiff1d(work.found.missing(), known))


def embed_drawers(work: Work, missing: NDArray[np.int64]) -> None:
    """Embed these drawers, by position. Raises ModelError without a model."""
    if not len(missing):
        return
    if work.setting.embed is None:
        raise ModelError(
            f"{len(missing):,} drawers of {work.plan.collection} must be embedded again, and "
            "their model is not known here",
            "mempalace-toolkit repair --deep --yes embeds again what is wrong",
        )
    rows = work.found.record.row_ids
    for start in range(0, len(missing), EMBED_BATCH):
        batch = missing[start : start + EMBED_BATCH].tolist()
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


def begin_sample(work: Work) -> None:
    """Begin to embed a few salvaged drawers again, while the next steps are done.

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
    thread = ThreadPoolExecutor(1)
    wanted = [texts[int(found.record.row_ids[place])] for place in told]
    again = thread.submit(work.setting.embed, wanted)
    thread.shutdown(wait=False)
    work.sample = Sample(told, again)


def compare_sample(work: Work) -> None:
    """Compare the sample with what was salvaged. Raises OtherTextsError where they differ."""
    if work.sample is None:
        return
    told = work.sample.places
    try:
        again = work.sample.vectors.result()
    except ModelError as error:  # every vector is proven without it
        work.unsampled = error.message
        return
    if again.shape[1] != work.found.dimension:
        work.unsampled = f"the model gives vectors of {again.shape[1]} numbers"
        return
    wrong = int(np.count_nonzero(~_alike(work, told, again)))
    work.sampled = len(told)
    if wrong:
        raise OtherTextsError(
            f"{wrong} of {len(told)} vectors salvaged for {work.plan.collection} are not of "
            "their drawers' texts: nothing was changed",
            "mempalace-toolkit repair --deep --yes embeds again what is wrong",
        )


def compare_all(work: Work) -> None:
    """Compare every vector that a folder gave with its drawer's text, and keep the right ones.

    The others are taken as the model gives them. It is what remains where a sample has shown
    that nothing tells which are wrong. Raises ModelError.
    """
    found, embed = work.found, work.setting.embed
    salvaged = np.flatnonzero(found.folder >= 0)
    for start in range(0, len(salvaged) if embed else 0, EMBED_BATCH):
        batch = salvaged[start : start + EMBED_BATCH]
        texts = read_documents(work.palace, (int(row) for row in found.record.row_ids[batch]))
        told = [place for place in batch.tolist() if texts.get(int(found.record.row_ids[place]))]
        if not told or embed is None:
            continue
        again = embed([texts[int(found.record.row_ids[place])] for place in told])
        _require_dimension(work, again.shape[1])
        alike = _alike(work, told, again)
        for place, vector in zip(np.array(told)[~alike].tolist(), again[~alike], strict=True):
            found.origin[place], found.folder[place] = Origin.NOWHERE, -1
            found.embedded[place] = vector
        work.embedded += int(np.count_nonzero(~alike))
        work.compared += len(told)


def _alike(work: Work, told: list[int], again: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the drawers' salvaged vectors point where the model's do."""
    held = work.found.vectors(np.array(told)).astype(np.float64)
    lengths = np.linalg.norm(held, axis=1) * np.linalg.norm(again, axis=1)
    alike = np.sum(held * again, axis=1) / np.where(lengths > 0, lengths, 1)
    result: NDArray[np.bool_] = alike > ALIKE
    return result
