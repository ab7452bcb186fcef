"""The ids that a write will have are those under which MemPalace's own tools file it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.gateway.journal.ids import ComingId, coming_ids

CLOCK = datetime(2026, 3, 1, 2, 30, 0, 7)
DRAWER, DIARY = "mempalace_add_drawer", "mempalace_diary_write"


def drawer(content: str, wing: str = "shop", room: str = "talk") -> dict[str, Any]:
    return {"wing": wing, "room": room, "content": content}


WRITES: list[tuple[str, dict[str, Any]]] = [
    (DRAWER, drawer("short")),
    (DRAWER, drawer(" spaces stay ", wing=" my wing ", room="a.b-c")),
    (DRAWER, drawer("漢字 🌍", wing="Größe")),
    (DRAWER, drawer("half \ud83c pair")),
    *[(DRAWER, drawer("x" * length)) for length in (799, 800, 801, 1600, 1601, 90_000)],
    (DRAWER, drawer("🌍" * 801)),
    (DIARY, {"agent_name": " My Agent ", "entry": "done", "topic": "t"}),
    (DIARY, {"agent_name": "claude", "entry": "half \ud83c pair", "wing": " shop "}),
    *[(DIARY, {"agent_name": "pi", "entry": "y" * length}) for length in (800, 801, 5000)],
    ("mempalace_checkpoint", {"items": [drawer("1"), drawer("z" * 900), drawer("1", room="b")]}),
    ("mempalace_checkpoint", {"items": [], "diary": {"content": "no agent"}}),
    (
        "mempalace_checkpoint",
        {"items": [drawer("a"), 7, {}], "diary": {"agent_name": "A b", "entry": "e" * 900}},
    ),
]  # fmt: skip


def test_ids_are_those_of_mempalace_s_own_tools(tmp_path: Path) -> None:
    found = tmp_path / "ids.json"
    said = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("mempalace_ids.py")), str(found)],
        input=json.dumps([[tool, arguments, CLOCK.isoformat()] for tool, arguments in WRITES]),
        env={**os.environ, "HOME": str(tmp_path), "MEMPALACE_CONFIG_DIR": str(tmp_path / "mp")},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    answers = json.loads(found.read_text())
    for (tool, arguments), (answer, ids) in zip(WRITES, answers, strict=True):
        coming = coming_ids(tool, arguments, CLOCK)
        assert [row for one in coming for row in one.rows] == ids, (tool, answer)
        parts = [*answer.get("added", []), answer.get("diary", answer)]
        told = [part.get("drawer_id") or part.get("entry_id") for part in parts]
        assert [one.id for one in coming] == [one for one in told if one]
        assert coming


def test_two_entries_of_different_times_have_different_ids() -> None:
    entry = {"agent_name": "pi", "entry": "same"}
    first, other = (coming_ids(DIARY, entry, CLOCK.replace(microsecond=n)) for n in (1, 2))
    assert first != other
    assert coming_ids(DIARY, entry, CLOCK.replace(microsecond=1)) == first


def test_the_chunk_size_of_mempalace_s_configuration_counts() -> None:
    [coming] = coming_ids(DRAWER, drawer("x" * 11), CLOCK, chunk_size=5)
    assert coming.rows == tuple(f"{coming.id}_chunk_{n:06d}" for n in range(3))


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("mempalace_delete_drawer", {"drawer_id": "d"}),
        (DRAWER, {"wing": 1, "room": "r", "content": "c"}),
        (DIARY, {"agent_name": "pi"}),
        ("mempalace_checkpoint", {"items": "none", "diary": 3}),
    ],
)
def test_what_files_nothing_has_no_id(tool: str, arguments: dict[str, Any]) -> None:
    assert coming_ids(tool, arguments, CLOCK) == ()


def test_an_item_twice_in_a_checkpoint_is_one_drawer() -> None:
    items = {"items": [drawer("one"), drawer("one")]}
    [coming] = coming_ids("mempalace_checkpoint", items, CLOCK)
    assert coming == ComingId(coming.id, (coming.id,))
