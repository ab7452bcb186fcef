"""What a run without a terminal says of its progress."""

from __future__ import annotations

import re

import pytest

from mempalace_toolkit.cli.output.progress import Lines


def test_a_stage_with_a_total_says_how_far_it_is_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lines, "EVERY_SECONDS", 0.0)
    lines = Lines()
    lines.stage("embedding drawers", 413)
    lines.advance(0)
    lines.advance(120)
    lines.advance(293)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "embedding drawers: 413"
    assert told[1].startswith("embedding drawers: 0 of 413, about ")
    assert re.fullmatch(r"embedding drawers: 120 of 413, about \d+ s left", told[2])
    assert told[3] == "embedding drawers: 413 of 413, about 0 s left"


def test_a_stage_without_a_total_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lines, "EVERY_SECONDS", 0.0)
    lines = Lines()
    lines.stage("reading sessions")
    lines.advance(7)
    assert capsys.readouterr().err.splitlines() == ["reading sessions", "reading sessions: 7"]
