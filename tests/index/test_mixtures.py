"""Indexes of files of two moments: all heal, and only what was overwritten is embedded again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from tests.palaces.mixtures import MIXTURES, SCENES, Moments, mixed, overwritten, two_moments
from tests.palaces.opening import Chroma
from tests.palaces.repairing import Model, repair
from tests.palaces.seen_vectors import assert_right
from tests.palaces.segment_editing import segment_folder

H, D, K, L, M = (
    "header.bin",
    "data_level0.bin",
    "link_lists.bin",
    "length.bin",
    "index_metadata.pickle",
)
SAMPLE = [(H,), (D,), (M,), (H, M), (H, D, K)]
_KEPT: dict[str, Moments] = {}


@pytest.fixture
def moments(
    made: Callable[[str], Path],
    chroma: Chroma,
    tmp_path_factory: pytest.TempPathFactory,
    scene: str,
) -> Moments:
    if scene not in _KEPT:
        _KEPT[scene] = two_moments(tmp_path_factory.mktemp(scene), made, chroma, scene)
    return _KEPT[scene]


def heals(moments: Moments, chroma: Chroma, tmp_path: Path, older: tuple[str, ...]) -> None:
    palace = mixed(moments, older, tmp_path / "palace")
    lost = overwritten(palace, moments.seen, moments.early if D in older else moments.late)
    findings = check_palace(palace)
    assert any(not one.harmless for one in findings) or older == (L,)
    planned = plan_repair(palace, findings).to_embed
    result = repair(palace, findings, tmp_path, Model())
    assert sum(one.embedded for one in result.collections) == lost == planned
    assert_right(chroma, palace, moments.seen)
    assert all(one.harmless for one in check_palace(palace))


def name(older: tuple[str, ...]) -> str:
    return " ".join(one.partition(".")[0] for one in older)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("older", SAMPLE, ids=name)
def test_a_mixture_heals_and_embeds_only_what_was_overwritten(
    moments: Moments, chroma: Chroma, tmp_path: Path, older: tuple[str, ...]
) -> None:
    heals(moments, chroma, tmp_path, older)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("older", [one for one in MIXTURES if one not in SAMPLE], ids=name)
def test_every_mixture_heals_and_embeds_only_what_was_overwritten(
    moments: Moments, chroma: Chroma, tmp_path: Path, older: tuple[str, ...]
) -> None:
    heals(moments, chroma, tmp_path, older)


@pytest.mark.parametrize("scene", ["updates"])
def test_what_lies_beyond_a_right_header_is_no_element(
    moments: Moments, chroma: Chroma, tmp_path: Path
) -> None:
    """chromadb leaves slots free at the end, older versions with bytes of other elements."""
    palace = mixed(moments, (), tmp_path / "palace")
    file = segment_folder(palace.path) / D
    content = file.read_bytes()
    file.write_bytes(content + content[: len(content) // 4])
    (segment_folder(palace.path) / K).write_bytes(b"")
    result = repair(palace, check_palace(palace), tmp_path, Model())
    assert sum(one.embedded for one in result.collections) == 0
    assert_right(chroma, palace, moments.seen)
