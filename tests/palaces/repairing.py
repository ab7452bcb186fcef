"""Repairs a test palace as the commands do, with the test palaces' own model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.index.evidence.findings import Finding, strongest
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.index.repair.plan_values import RepairPlan
from mempalace_toolkit.index.repair.result import RepairResult
from mempalace_toolkit.index.repair.work import RepairSetting
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.making import embed
from tests.palaces.segment_editing import Victim


class Model:
    """The test palaces' model, which counts what it embeds."""

    def __init__(self, dimension: int = 384) -> None:
        self.dimension = dimension
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return embed(list(texts), self.dimension)


def setting(home: Path, model: Model | None) -> RepairSetting:
    """What a repair works with, in the test's own home."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return RepairSetting(home, environment, "20250701-120000", model)


def location(victim: Victim) -> PalaceLocation:
    """Where the palace to damage is, as the commands know it."""
    return PalaceLocation(victim.palace, "chroma", "minilm")


def agreed_plan(palace: PalaceLocation, findings: Sequence[Finding]) -> RepairPlan:
    """What repair would do: what the findings say, unless the database gives nothing back."""
    plan = plan_repair(palace, findings)
    asked = strongest(finding.remedy for finding in findings)
    gives_nothing_back = plan.grade == "refuse" and asked == "rebuild_palace"
    assert plan.grade == asked or gives_nothing_back, (plan.grade, findings)
    return plan


def repair(
    palace: PalaceLocation, findings: Sequence[Finding], home: Path, model: Model | None = None
) -> RepairResult:
    """Plan and apply; the result says that the palace is sound, or the test fails."""
    result = repair_palace(palace, plan_repair(palace, findings), setting(home, model or Model()))
    assert result.sound, result.as_json()
    return result
