"""Do the elements carry the labels that the map of ids says, each once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding


def check_labels(evidence: Evidence) -> Iterator[Finding]:
    """Labels of the live elements are those of the map; a torn persist shows here first."""
    files = evidence.files
    if files is None or files.header is None or files.elements is None or evidence.never_flushed:
        return
    labels = files.elements.labels
    given = np.sort(labels[labels > 0], kind="stable")
    again = np.flatnonzero(given[1:] == given[:-1])
    repeated = len(np.unique(given[again]))
    if repeated:
        yield evidence.finding(
            "labels_repeated", f"{repeated} labels are used by several elements", labels=repeated
        )
    if files.id_map is None:
        return
    live = labels[~files.elements.deleted & (labels > 0)]
    mapped = np.fromiter(files.id_map.ids, np.uint64, len(files.id_map.ids))
    unmapped, lost = _only_in(live, mapped), _only_in(mapped, live)
    unset = int(np.count_nonzero(labels == 0))
    numbers = {
        "unmapped": len(unmapped),
        "lost": len(lost),
        "unset": unset,
        "elements": files.header.count,
        "labels_given": files.id_map.total,
    }
    newer = len(unmapped) > 0 and int(unmapped.min()) > files.id_map.total
    trailing = unset > 0 and unset < len(labels) and not labels[len(labels) - unset :].any()
    if newer or trailing or files.header.count != files.id_map.total:
        yield evidence.finding(
            "torn_persist",
            f"{files.header.count} elements in the header, {len(labels) - unset} in the data,"
            f" {files.id_map.total} in the map",
            **numbers,
        )
    if len(unmapped) or len(lost) or unset:
        yield evidence.finding(
            "labels_differ",
            f"{len(lost)} labels of the id map belong to no element,"
            f" {len(unmapped) + unset} elements are not in the id map",
            **numbers,
        )


def _only_in(labels: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The labels that are not among the others, each once; both are nearly in order."""
    labels, others = np.sort(labels, kind="stable"), np.sort(others, kind="stable")
    if np.array_equal(labels, others):
        return labels[:0]
    return np.setdiff1d(labels, others)
