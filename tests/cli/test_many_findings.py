"""A check of a palace with many findings: the first ones, and how many more there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from mempalace_toolkit.cli.output.index_text import MOST_FINDINGS, show_index
from mempalace_toolkit.index.check.report import IndexReport
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.palace.location import PalaceLocation


@pytest.mark.parametrize(("more", "told"), [(0, []), (1, ["and 1 more"]), (7, ["and 7 more"])])
def test_the_first_findings_are_shown_and_the_others_counted(
    more: int, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    count = MOST_FINDINGS + more
    findings = tuple(Finding("labels_differ", f"number {n}", "drawers") for n in range(count))
    palace = PalaceLocation(Path("palace"), "chroma", "minilm")
    show_index(IndexReport("damaged", "it is torn", findings), palace)
    head, *lines = capsys.readouterr().out.splitlines()
    assert "damaged" in head
    assert len(lines) == MOST_FINDINGS + len(told)
    shown = [f"  number {n} (labels_differ in drawers)" for n in range(MOST_FINDINGS)]
    assert lines[:MOST_FINDINGS] == shown
    assert [line.split(";")[0].strip() for line in lines[MOST_FINDINGS:]] == told
