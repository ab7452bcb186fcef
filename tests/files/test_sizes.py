"""One way to write a size."""

from __future__ import annotations

import pytest

from mempalace_toolkit.files.sizes import in_bytes


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "1 kB"),
        (999_400, "999 kB"),
        (1_000_000, "1.0 MB"),
        (12_440_000, "12.4 MB"),
        (40_000_000, "40 MB"),
        (999_400_000, "999 MB"),
        (1_234_000_000, "1.2 GB"),
        (2_500_000_000_000, "2,500.0 GB"),
    ],
)
def test_a_size_is_shown_in_the_unit_that_fits_it(size: int, shown: str) -> None:
    assert in_bytes(size) == shown
