"""Compares what a client sees of a palace after a repair with what it saw before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.making import embed
from tests.palaces.opening import Chroma, Seen


def assert_right(chroma: Chroma, palace: PalaceLocation, seen: Mapping[str, Seen]) -> None:
    """Every text is there and found, and has the vector that the test model gives it."""
    after = chroma.ask(palace.path)
    for name, before in seen.items():
        assert after[name].texts == before.texts
        assert after[name].reached == set(before.texts)
        for one, text in before.texts.items():
            meant = embed([text], 384)[0]
            held = after[name].vectors[one]
            assert held @ meant > 0.999 * np.linalg.norm(held) * np.linalg.norm(meant), one
