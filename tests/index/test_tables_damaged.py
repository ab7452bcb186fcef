"""A palace whose rows are lost or wrong: what is found, what is planned, what clients see after."""

from __future__ import annotations

from pathlib import Path

import pytest

from mempalace_toolkit.index.check.check import check_palace
from tests.conftest import tree_state
from tests.index.test_damages_repaired import assert_alive, assert_as_before
from tests.palaces.damages_tables import WHOLE, WITH_LOSS
from tests.palaces.opening import Seen
from tests.palaces.repairing import agreed_plan, location, repair
from tests.palaces.segment_editing import Victim


@pytest.mark.parametrize("kind", WHOLE)
def test_rows_that_can_be_told_are_given_back_and_no_client_sees_a_difference(
    victim: Victim, seen_before: dict[str, Seen], tmp_path: Path, kind: str
) -> None:
    WHOLE[kind](victim)
    before = tree_state(victim.palace)
    findings = check_palace(location(victim))
    assert kind.partition(":")[0] in {finding.kind for finding in findings}
    plan = agreed_plan(location(victim), findings)
    assert (plan.grade, plan.loses) == ("rebuild_palace", "")
    assert tree_state(victim.palace) == before
    repair(location(victim), findings, tmp_path)
    assert_as_before(victim, seen_before)
    assert_alive(victim)


@pytest.mark.parametrize("kind", WITH_LOSS)
def test_what_nobody_can_tell_is_counted_before_anything_is_written(
    victim: Victim, kind: str
) -> None:
    WITH_LOSS[kind](victim)
    before = tree_state(victim.palace)
    findings = check_palace(location(victim))
    assert kind in {finding.kind for finding in findings}
    plan = agreed_plan(location(victim), findings)
    assert plan.grade == "rebuild_palace"
    assert plan.loses
    assert tree_state(victim.palace) == before
