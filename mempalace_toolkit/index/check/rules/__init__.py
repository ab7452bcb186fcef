"""Every check by name, in the order in which they are run: a new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from mempalace_toolkit.index.check.rules.folder import check_folder
from mempalace_toolkit.index.check.rules.graph import (
    check_entry_point,
    check_level0_links,
    check_upper_links,
)
from mempalace_toolkit.index.check.rules.ids import check_ids
from mempalace_toolkit.index.check.rules.labels import check_labels
from mempalace_toolkit.index.check.rules.outdated import check_outdated
from mempalace_toolkit.index.check.rules.queue import check_queue
from mempalace_toolkit.index.check.rules.vectors import check_vectors
from mempalace_toolkit.index.check.rules.watermarks import check_watermarks
from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding

CHECKS: Mapping[str, Callable[[Evidence], Iterator[Finding]]] = {
    "folder": check_folder,
    "entry point": check_entry_point,
    "upper links": check_upper_links,
    "level 0 links": check_level0_links,
    "labels": check_labels,
    "vectors": check_vectors,
    "ids": check_ids,
    "outdated": check_outdated,
    "queue": check_queue,
    "watermarks": check_watermarks,
}
