"""The check as a whole: where there is nothing to check, and what only its parts can show."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import QueueEntry
from mempalace_toolkit.index.check import rules as checks
from mempalace_toolkit.index.check.check import DeepCheck, check_palace
from mempalace_toolkit.index.evidence.evidence import replay
from mempalace_toolkit.index.evidence.findings import KINDS
from mempalace_toolkit.index.evidence.folders import segment_folders
from mempalace_toolkit.palace.location import PalaceLocation
from tests.conftest import tree_state
from tests.palaces.fixtures import Copy
from tests.palaces.making import DRAWERS, embed

SEGMENT = "0f0f0f0f-0000-4000-8000-000000000001"


def kinds(palace: PalaceLocation) -> list[str]:
    return [finding.kind for finding in check_palace(palace)]


def test_where_there_is_no_index_nothing_is_found_and_nothing_made(tmp_path: Path) -> None:
    folder = tmp_path / "palace"
    assert kinds(PalaceLocation(folder, "chroma", "minilm")) == []
    assert not folder.exists()
    folder.mkdir()
    assert kinds(PalaceLocation(folder, "chroma", "minilm")) == []
    (folder / "chroma.sqlite3").write_bytes(b"not of chromadb")
    assert kinds(PalaceLocation(folder, "qdrant", "minilm")) == []
    assert kinds(PalaceLocation(folder, "chroma", "minilm")) == ["sqlite_unreadable"]


def test_index_folders_without_a_database_are_damage(tmp_path: Path) -> None:
    (tmp_path / SEGMENT).mkdir()
    assert kinds(PalaceLocation(tmp_path, "chroma", "minilm")) == ["sqlite_unreadable"]


def test_a_segment_id_that_is_a_path_is_not_followed(palace: Copy, tmp_path: Path) -> None:
    place = palace("usual")
    with sqlite3.connect(place.database) as connection:
        connection.execute(
            "update max_seq_id set segment_id = '../..' where segment_id in (select s.id"
            " from segments s join collections c on c.id = s.collection"
            " where c.name = ? and s.scope = 'VECTOR')",
            [DRAWERS],
        )
        connection.execute(
            "update segments set id = '../..' where scope = 'VECTOR'"
            " and collection = (select id from collections where name = ?)",
            [DRAWERS],
        )
    assert set(kinds(place)) == {"segment_id_invalid"}


QUEUE = [(5, 2, "a"), (6, 3, "b"), (7, 1, "c"), (8, 0, "d"), (9, 3, "a"), (10, 2, "a")]


@pytest.mark.parametrize(
    ("watermark", "ids"),
    [(None, "ad"), (5, "ad"), (9, "ab"), (10, "b")],
    ids=["never flushed", "all but the first", "the last", "nothing"],
)
def test_the_queue_is_applied_above_the_watermark(watermark: int | None, ids: str) -> None:
    queue = tuple(QueueEntry(number, operation, key, None) for number, operation, key in QUEUE)
    assert replay({"b"}, queue, watermark) == set(ids)


def test_every_check_is_run_by_its_name_in_the_table() -> None:
    package = Path(checks.__file__).parent
    written = {
        line.split("(")[0].removeprefix("def ")
        for file in package.glob("*.py")
        for line in file.read_text("utf-8").splitlines()
        if line.startswith("def check_")
    }
    assert {check.__name__ for check in checks.CHECKS.values()} == written


def test_what_needs_no_repair_and_only_that_is_harmless() -> None:
    assert {k.name for k in KINDS.values() if k.harmless} == {
        "segment_stray",
        "segment_quarantined",
    }
    assert {k.name for k in KINDS.values() if k.remedy == "nothing"} == {
        k.name for k in KINDS.values() if k.harmless
    }


def test_the_check_loads_neither_chromadb_nor_mempalace(palace: Copy) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from mempalace_toolkit.index.check.check import check_palace\n"
        "from mempalace_toolkit.palace.location import PalaceLocation\n"
        "check_palace(PalaceLocation(Path(sys.argv[1]), 'chroma', 'minilm'))\n"
        "print({'chromadb', 'mempalace'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(palace("usual").path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"


def as_written(texts: Sequence[str]) -> NDArray[np.float32]:
    return embed(list(texts), 384)


def as_another_model(texts: Sequence[str]) -> NDArray[np.float32]:
    return embed([text[::-1] for text in texts], 384)


def as_a_smaller_model(texts: Sequence[str]) -> NDArray[np.float32]:
    return embed(list(texts), 8)


@pytest.mark.parametrize(
    ("model", "found"),
    [(as_written, set()), (as_another_model, {"vectors_outdated"}), (as_a_smaller_model, set())],
)
def test_a_sample_shows_whether_vectors_are_of_their_texts(
    palace: Copy, model: object, found: set[str]
) -> None:
    place = palace("usual")
    before = tree_state(place.path)
    findings = check_palace(place, DeepCheck(model))  # type: ignore[arg-type]
    assert {finding.kind for finding in findings} == found
    assert all(0 < int(finding.numbers["sample"]) <= 16 for finding in findings)
    assert tree_state(place.path) == before


def test_drawers_in_the_queue_alone_need_no_folder(palace: Copy) -> None:
    place = palace("never_flushed")
    for name in segment_folders(place.path):
        (place.path / name).rename(place.path.parent / name)
    assert kinds(place) == []


def test_findings_name_their_collection_and_hold_no_text(palace: Copy) -> None:
    place = palace("usual")
    for name in segment_folders(place.path):
        (place.path / name / "index_metadata.pickle").unlink()
    findings = check_palace(place)
    assert {f.collection for f in findings} >= {DRAWERS}
    for finding in findings:
        assert finding.as_json()["remedy"] == finding.remedy
        assert "> Why did" not in str(finding)
