"""A short measurement of how fast this machine embeds, where no run has shown it yet.

Embedding is mostly multiplication of matrices. It is measured without the model, which a first
run has yet to fetch, and on one core: threads that wait for each other on a busy machine would
tell of the load of this moment.
"""

from __future__ import annotations

import os
import sys
import time

_WARM_SECONDS = 0.02
_PROBE_SECONDS = 0.08
_SIZE = 64
_OPERATIONS = 2 * _SIZE**3
_EMBEDDING = 2.4e9
"""Operations that take as long as embedding a drawer, which all cores share. Measured: 38 ms of
processor time where the probe shows 62e9 a second."""
_FILING = 0.95e9
"""The same for the rest of filing one, which a single core does: 15 ms."""


def probed_seconds_a_drawer() -> float:
    """About how long filing one drawer takes, beside all else that runs."""
    import numpy as np

    left = np.full((_SIZE, _SIZE), 0.5, np.float32)
    right = np.full((_SIZE, _SIZE), 0.5, np.float32)
    for seconds in (_WARM_SECONDS, _PROBE_SECONDS):
        done, begun = 0, time.monotonic()
        while (spent := time.monotonic() - begun) < seconds:
            np.matmul(left, right)
            done += 1
    a_second = done * _OPERATIONS / spent
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return (_EMBEDDING / cores + _FILING) / a_second
