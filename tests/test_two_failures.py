"""Where filing fails and the index is damaged besides, both are told; the first is the error."""

from __future__ import annotations

from typing import Any

import pytest

from mempalace_toolkit import pipeline
from mempalace_toolkit.errors import DamageLeftError, PalaceBusyError


def test_a_busy_palace_is_told_also_where_its_index_is_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(*_: object) -> None:
        raise PalaceBusyError("held by PID 7")

    def damaged(*_: object, **__: object) -> None:
        raise DamageLeftError("the index is damaged")

    monkeypatch.setattr(pipeline, "file_pages", busy)
    monkeypatch.setattr(pipeline, "keep_sound", damaged)
    nothing: Any = None
    with pytest.raises(PalaceBusyError, match=r"held by PID 7.*the index is damaged"):
        pipeline.file_and_check(nothing, nothing, nothing, nothing, nothing, [])
