"""Vectors of other texts: index and database of two moments, and what a deep repair embeds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.index.check.check import DeepCheck, check_palace
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS, embed
from tests.palaces.opening import Chroma, Seen
from tests.palaces.repairing import Model, repair
from tests.palaces.seen_vectors import assert_right
from tests.palaces.segment_editing import (
    label_column,
    live_rows,
    load_map,
    segment_folder,
    vector_rows,
)

AGAIN = range(232, 452)  # drawers that are written again between the two moments
LEVEL0 = "data_level0.bin"


@dataclass(frozen=True)
class Moments:
    """One palace before and after its drawers were written again, and what clients see."""

    early: Path
    late: Path
    seen_early: dict[str, Seen]
    seen_late: dict[str, Seen]


@pytest.fixture(scope="module")
def moments(
    made: Callable[[str], Path], chroma: Chroma, tmp_path_factory: pytest.TempPathFactory
) -> Moments:
    folder = tmp_path_factory.mktemp("moments")
    early, late, asked = folder / "early", folder / "late", folder / "asked"
    subprocess.run(["cp", "-a", made("usual"), early], check=True)
    subprocess.run(["cp", "-a", early, late], check=True)
    chroma.answer("upsert", late, collection=DRAWERS, numbers=[*AGAIN], version=9, dimension=384)
    seen = []
    for palace in (early, late):
        subprocess.run(["cp", "-a", palace, asked], check=True)
        seen.append(chroma.ask(asked))
        shutil.rmtree(asked)
    return Moments(early, late, *seen)


def mixed(database: Path, index: Path, *names: str, into: Path) -> PalaceLocation:
    """The palace `database`, with these files of the other one's index, or with all of them."""
    subprocess.run(["cp", "-a", database, into], check=True)
    for file in segment_folder(index).iterdir():
        if not names or file.name in names:
            shutil.copy2(file, segment_folder(into) / file.name)
    return PalaceLocation(into, "chroma", "minilm")


def model_check(sample: int | None = 16, thorough: bool = True) -> DeepCheck:
    return DeepCheck(lambda texts: embed(list(texts), 384), sample, thorough)


def kinds(findings: tuple[Finding, ...]) -> set[str]:
    return {one.kind for one in findings if not one.harmless}


@pytest.mark.parametrize("names", [(), (LEVEL0,)], ids=["the whole index", "the data alone"])
def test_an_index_older_than_its_database_is_told_by_the_queue_and_healed(
    moments: Moments, chroma: Chroma, tmp_path: Path, names: tuple[str, ...]
) -> None:
    palace = mixed(moments.late, moments.early, *names, into=tmp_path / "palace")
    findings = check_palace(palace)
    assert "vectors_outdated" in kinds(findings)
    model = Model()
    result = repair(palace, findings, tmp_path, model)
    assert sum(one.embedded for one in result.collections) <= len(AGAIN)
    assert_right(chroma, palace, moments.seen_late)


@pytest.mark.parametrize("names", [(), (LEVEL0,)], ids=["the whole index", "the data alone"])
def test_an_index_newer_than_its_database_is_told_by_a_sample_and_healed(
    moments: Moments, chroma: Chroma, tmp_path: Path, names: tuple[str, ...]
) -> None:
    palace = mixed(moments.early, moments.late, *names, into=tmp_path / "palace")
    findings = check_palace(palace, model_check())
    assert "vectors_outdated" in kinds(findings)
    wrong = {one for finding in findings for one in finding.drawers}
    result = repair(palace, findings, tmp_path)
    assert sum(one.embedded for one in result.collections) <= len(wrong)
    assert_right(chroma, palace, moments.seen_early)


def test_both_moments_are_sound(moments: Moments) -> None:
    for palace in (moments.early, moments.late):
        place = PalaceLocation(palace, "chroma", "minilm")
        assert check_palace(place, model_check(None)) == ()


def test_a_sample_names_no_drawers_unless_all_were_compared(
    moments: Moments, tmp_path: Path
) -> None:
    palace = mixed(moments.early, moments.late, into=tmp_path / "palace")
    findings = check_palace(palace, model_check(16, False))
    assert "vectors_outdated" in kinds(findings)
    assert all(not one.drawers for one in findings)


def give_other_vectors(palace: Path, count: int, seed: int) -> set[str]:
    """Give so many elements vectors of texts that are no drawer's; the drawers' ids."""
    segment, random = segment_folder(palace), np.random.default_rng(seed)
    rows = random.choice(live_rows(segment), count, replace=False)
    other = embed([f"another text {seed} {row}" for row in rows], 384)
    vector_rows(segment)[rows] = other / np.linalg.norm(other, axis=1, keepdims=True)
    return {
        load_map(segment)["label_to_id"][label] for label in label_column(segment)[rows].tolist()
    }


@pytest.mark.parametrize(("count", "seed"), [(1, 1), (7, 2), (60, 3)])
def test_a_deep_repair_embeds_the_wrong_ones_and_no_others(
    palace: Copy, chroma: Chroma, tmp_path: Path, count: int, seed: int
) -> None:
    place = palace("unchurned")
    seen = chroma.ask(place.path)
    changed = give_other_vectors(place.path, count, seed)
    findings = check_palace(place, model_check(None))
    assert kinds(findings) == {"vectors_outdated"}
    assert {one for finding in findings for one in finding.drawers} == changed
    plan = plan_repair(place, findings)
    assert plan.to_embed <= count
    model = Model()
    result = repair(place, findings, tmp_path, model)
    assert sum(one.embedded for one in result.collections) == plan.to_embed
    assert_right(chroma, place, seen)
    assert kinds(check_palace(place, model_check(None))) == set()


def test_a_deep_repair_embeds_only_swapped_ones(
    palace: Copy, chroma: Chroma, tmp_path: Path
) -> None:
    place = palace("unchurned")
    seen = chroma.ask(place.path)
    segment = segment_folder(place.path)
    vector_rows(segment)[[3, 8, 40, 41]] = vector_rows(segment)[[8, 3, 41, 40]]
    findings = check_palace(place, model_check(None))
    assert kinds(findings) == {"labels_swapped"}
    result = repair(place, findings, tmp_path)
    assert [one.embedded for one in result.collections] == [4]
    assert_right(chroma, place, seen)


def test_a_drawer_written_again_since_the_comparison_keeps_its_new_vector(
    palace: Copy, chroma: Chroma, tmp_path: Path
) -> None:
    place = palace("unchurned")
    give_other_vectors(place.path, 20, 4)
    findings = check_palace(place, model_check(None))
    chroma.answer(
        "upsert", place.path, collection=DRAWERS, numbers=[*range(40)], version=3, dimension=384
    )
    seen = chroma.ask(place.path)
    repair(place, findings, tmp_path)
    assert_right(chroma, place, seen)
