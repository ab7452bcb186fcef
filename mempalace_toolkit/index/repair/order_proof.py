"""Repair step: verifies on a sample which drawer each element of a map-less index belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import read_documents
from mempalace_toolkit.index.repair.work import Work
from mempalace_toolkit.index.salvage.alignment import FIRST_ROUND, Alignment, align
from mempalace_toolkit.index.salvage.row_order import InferredOrder
from mempalace_toolkit.index.salvage.salvage import take
from mempalace_toolkit.index.salvage.salvaged import Origin

_LATEST = 8


def prove_order(work: Work) -> None:
    """Embed single drawers again until the order of all is known; take what that proves.

    The drawers touched last are among them: the newest that is found where it belongs, and
    none before it that is not, tell up to which operation the index follows.
    """
    found, inferred = work.found, work.found.inferred
    wanting = len(found.inferable())
    if inferred is None or work.setting.embed is None or not wanting:
        return
    if wanting < min(FIRST_ROUND + _LATEST, len(inferred.targets)):
        return  # to embed them costs less than to prove whose the elements are
    # Those touched after the flush were only described, and say nothing of the index's moment.
    sequences = found.record.sequences[inferred.targets]
    sequences = np.where(sequences > (found.record.vector_watermark or 0), 0, sequences)
    latest = np.argsort(sequences)[-_LATEST:]

    def compare(drawers: Sequence[int], most: int) -> list[tuple[int, ...]]:
        return _compare(work, inferred, drawers, most)

    result = align(inferred.targets, inferred.most, set(latest.tolist()), compare)
    work.compared = len(result.compared)
    last_applied = _last_applied(inferred, result, sequences)
    wanted = np.isin(inferred.targets, found.missing()) & (result.offsets >= 0)
    wanted &= sequences <= last_applied
    drawers = inferred.targets[wanted]
    places = inferred.ranked[drawers + result.offsets[wanted]]
    agreed = inferred.agrees(drawers, places)
    drawers, places = drawers[agreed], places[agreed]
    take(found, drawers, places, (inferred.folder, inferred.elements), Origin.LIVE)


def _last_applied(inferred: InferredOrder, result: Alignment, sequences: NDArray[np.int64]) -> int:
    """The operation up to which the index is as the drawers are, -1 for none."""
    confirmed, contradicted = [-1], []
    for place in result.compared:
        offset = int(result.offsets[place])
        if place in result.confirmed:
            confirmed.append(int(sequences[place]))
        elif offset < 0 or inferred.usable(int(inferred.targets[place]) + offset):
            contradicted.append(int(sequences[place]) - 1)
    return min([max(confirmed), *contradicted])


def _compare(
    work: Work, inferred: InferredOrder, drawers: Sequence[int], most: int
) -> list[tuple[int, ...]]:
    rows = work.found.record.row_ids
    texts = read_documents(work.palace, (int(rows[place]) for place in drawers))
    told = [place for place in drawers if texts.get(int(rows[place]))]
    if not told or work.setting.embed is None:
        return [()] * len(drawers)
    vectors = work.setting.embed([texts[int(rows[place])] for place in told])
    if vectors.shape[1] != work.found.dimension:
        return [()] * len(drawers)
    seen = dict(zip(told, inferred.alike(told, vectors, most), strict=True))
    return [seen.get(place, ()) for place in drawers]
