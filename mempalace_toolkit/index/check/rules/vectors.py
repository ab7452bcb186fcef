"""Are the vectors numbers, and of the length that the space demands."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mempalace_toolkit.chroma.segment.bounded_read import release
from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding

_ROWS = 4096
_TOLERANCE = 1e-3
_NOT_FINITE, _ZERO, _NOT_UNIT = KINDS = ("vectors_not_finite", "vectors_zero", "vectors_not_unit")
_SAYS = {
    _NOT_FINITE: "vectors or their lengths are not numbers",
    _ZERO: "vectors are zero",
    _NOT_UNIT: "vectors are not of length 1",
}


def check_vectors(evidence: Evidence) -> Iterator[Finding]:
    """NaN and infinity in any space; lengths only for cosine, which stores unit vectors.

    A vector that was zero when it was written (its stored length says so) is no damage. In
    other spaces zero is a vector like any other, and `length.bin` holds no lengths.
    """
    files = evidence.files
    if files is None or files.header is None or files.elements is None or evidence.never_flushed:
        return
    cosine = evidence.record.space == "cosine"
    count = len(files.elements.vectors)
    wrong = dict.fromkeys(KINDS, 0)
    for at in range(0, count, _ROWS):
        release(files.elements.vectors)
        block = files.elements.vectors[at : at + _ROWS]
        squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        finite = np.isfinite(squares)
        if not cosine:
            wrong[_NOT_FINITE] += int(np.count_nonzero(~finite))
            continue
        zero = squares == 0
        bad = finite & ~zero & (np.abs(np.sqrt(squares) - 1) > _TOLERANCE)
        wrong[_NOT_UNIT] += int(np.count_nonzero(bad))
        if files.elements.lengths is not None:
            lengths = files.elements.lengths[at : at + _ROWS]
            zero &= lengths != 0
            finite &= np.isfinite(lengths)
        wrong[_NOT_FINITE] += int(np.count_nonzero(~finite))
        wrong[_ZERO] += int(np.count_nonzero(zero))
    for kind, number in wrong.items():
        if number:
            message = f"{number} of {count} {_SAYS[kind]}"
            yield evidence.finding(kind, message, vectors=number, elements=count)
