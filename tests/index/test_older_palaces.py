"""Palaces that chromadb 0.6.3, 1.0.20 and 1.5.4 really wrote: checked, and repaired."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import read_records
from mempalace_toolkit.chroma.segment.elements import read_header
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces.making import SHAPES, embed, truth
from tests.palaces.opening import Chroma
from tests.palaces.repairing import Model, repair

RECORDED = Path(__file__).parents[1] / "fixtures" / "palaces"
VERSIONS = ("0.6.3", "1.0.20", "1.5.4")
OLDER = SHAPES["older"]


def unpacked(version: str, tmp_path: Path) -> PalaceLocation:
    """A copy of the palace that this version wrote."""
    folder = tmp_path / version / "palace"
    with tarfile.open(RECORDED / f"{version}.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return PalaceLocation(folder, "chroma", "minilm")


@pytest.fixture(params=VERSIONS)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> PalaceLocation:
    """A copy of each version's palace in turn."""
    return unpacked(request.param, tmp_path)


def test_an_older_palace_is_sound_and_stays_as_it_is(older: PalaceLocation) -> None:
    before = tree_state(older.path)
    assert check_palace(older) == ()
    assert tree_state(older.path) == before


@pytest.mark.parametrize(
    ("name", "content", "embeds"),
    [
        ("header.bin", bytes(100), False),
        ("link_lists.bin", b"", False),
        ("index_metadata.pickle", b"", False),
        ("data_level0.bin", b"", True),
    ],
)
def test_an_older_palace_is_repaired_to_what_was_written(
    older: PalaceLocation,
    chroma: Chroma,
    tmp_path: Path,
    name: str,
    content: bytes,
    embeds: bool,
) -> None:
    for header in older.path.glob("*/header.bin"):
        (header.parent / name).write_bytes(content)
    assert any(not finding.harmless for finding in check_palace(older))
    result = repair(older, check_palace(older), tmp_path, Model(OLDER.dimension))
    # Before 1.0 the labels of a batch were given in no order, so only the map tells whose they are.
    ordered = older.path.parent.name != "0.6.3" or name != "index_metadata.pickle"
    assert (sum(one.embedded for one in result.collections) > 0) is (embeds or not ordered)
    assert all(finding.harmless for finding in check_palace(older))
    seen = chroma.ask(older.path)
    for collection, drawers in truth(OLDER).items():
        texts = {one.id: one.text for one in drawers.values()}
        assert seen[collection].texts == texts
        assert len(texts.keys() - seen[collection].reached) <= 1
        wanted = embed(list(texts.values()), OLDER.dimension)
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
        for one, vector in zip(texts, wanted, strict=True):
            got = seen[collection].vectors[one]
            assert np.abs(got / np.linalg.norm(got) - vector).max() < 1e-6


def test_a_graph_that_a_configuration_wants_wide_is_built_as_wide_again(tmp_path: Path) -> None:
    palace = unpacked("1.0.20", tmp_path)
    with sqlite3.connect(palace.database) as connection:
        rows = connection.execute("select id, config_json_str from collections").fetchall()
        for identity, text in rows:
            configuration = json.loads(text)
            configuration["vector_index"]["hnsw"] |= {"max_neighbors": 32, "ef_construction": 200}
            connection.execute(
                "update collections set config_json_str = ? where id = ?",
                [json.dumps(configuration), identity],
            )
    connection.close()
    for file in palace.path.glob("*/header.bin"):
        file.write_bytes(bytes(100))
    repair(palace, check_palace(palace), tmp_path, Model(OLDER.dimension))
    for record in read_records(palace).collections:
        header = read_header(palace.path / record.vector_segment, OLDER.dimension)
        assert (header.m, header.ef_construction) == (32, 200)
