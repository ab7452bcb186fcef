"""Do the graph's links and its entry point stay inside the graph: chromadb dies where not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mempalace_toolkit.chroma.segment.bounded_read import release
from mempalace_toolkit.chroma.segment.files import Elements
from mempalace_toolkit.chroma.segment.link_lists import LinksError, wrong_blocks
from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding

_ROWS = 4096


def check_entry_point(evidence: Evidence) -> Iterator[Finding]:
    """The element where every search starts is there, and on the highest level."""
    header = evidence.files.header if evidence.files else None
    if header is None or evidence.never_flushed or header.count == 0:
        return
    numbers = {"entry_point": header.entry_point, "max_level": header.max_level}
    if not 0 <= header.entry_point < header.count:
        yield evidence.finding(
            "entry_point_invalid",
            f"the entry point {header.entry_point} is none of {header.count} elements",
            **numbers,
        )
        return
    upper = evidence.upper_levels
    if upper is None or isinstance(upper, LinksError):
        return
    level = int(upper.levels[header.entry_point])
    if level != header.max_level or int(upper.levels.max()) != header.max_level:
        yield evidence.finding(
            "entry_point_invalid",
            f"the entry point lies on level {level} of {header.max_level}",
            **numbers,
        )


def check_upper_links(evidence: Evidence) -> Iterator[Finding]:
    """`link_lists.bin` can be walked to its end, and leads to elements on the same level."""
    if evidence.files is None or evidence.files.header is None or evidence.never_flushed:
        return
    words, upper = evidence.files.upper_links, evidence.upper_levels
    if words is None or upper is None:
        return
    if isinstance(upper, LinksError):
        yield evidence.finding("links_damaged", f"link_lists.bin: {upper}")
        return
    wrong = wrong_blocks(words, upper, evidence.files.header.max_links)
    if wrong:
        yield evidence.finding(
            "links_damaged", f"{wrong} link lists of upper levels lead nowhere", lists=wrong
        )


def check_level0_links(evidence: Evidence) -> Iterator[Finding]:
    """Every element has neighbours, and all of them exist."""
    files = evidence.files
    if files is None or files.header is None or files.elements is None or evidence.never_flushed:
        return
    wrong, alone = _count_wrong_links(files.elements, files.header.count)
    if wrong:
        yield evidence.finding(
            "links_damaged", f"the links of {wrong} elements lead nowhere", elements=wrong
        )
    if alone:
        yield evidence.finding("links_damaged", f"{alone} elements have no links", elements=alone)


def _count_wrong_links(elements: Elements, count: int) -> tuple[int, int]:
    """Elements with a link out of the graph, and elements without any."""
    wrong = alone = 0
    width = elements.links.shape[1]
    columns = np.arange(width, dtype=np.uint16)
    for at in range(0, len(elements.labels), _ROWS):
        counts = elements.link_counts[at : at + _ROWS]
        used = columns < counts[:, None]
        outside = (elements.links[at : at + _ROWS] >= count) & used
        wrong += int(np.count_nonzero(outside.any(1) | (counts > width)))
        alone += int(np.count_nonzero(counts == 0))
        release(elements.links)
    return wrong, alone if count > 1 else 0
