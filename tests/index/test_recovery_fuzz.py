"""Any bytes in a palace's database: a plan is made or refused, and what it counts is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from mempalace_toolkit.chroma.tables import DOCUMENT, Row
from mempalace_toolkit.index.recovery.plan import DatabasePlan, plan_database
from mempalace_toolkit.index.recovery.tables import Recovery
from mempalace_toolkit.index.recovery.transfer import transfer
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.sqlite.pages import PageFile
from mempalace_toolkit.sqlite.values import PageError
from tests.palaces.making import SHAPES, truth

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("CHECK_FUZZ_SECONDS", "1"))
FUZZED = settings(
    max_examples=max(1, int(SECONDS * 40)),
    deadline=None,
    derandomize="CHECK_FUZZ_SECONDS" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
PAGE = 4096
PATCHES = some.lists(
    some.tuples(
        some.integers(0, 400),
        some.integers(0, PAGE - 1),
        some.one_of(some.binary(min_size=1, max_size=64), some.just(bytes(PAGE))),
    ),
    min_size=1,
    max_size=8,
)


class Whole(bytes):
    """A database that a failing example names, and does not print."""

    def __repr__(self) -> str:
        return f"a database of {len(self):,} bytes"


@pytest.fixture(scope="module")
def whole(made: Callable[[str], Path]) -> Whole:
    """A sound database of 85 drawers ever written, with deletes and a tail in the queue."""
    return Whole((made("fuzzed") / "chroma.sqlite3").read_bytes())


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """What its drawers say."""
    drawers = truth(SHAPES["fuzzed"]).values()
    return {one: drawer.text for held in drawers for one, drawer in held.items()}


def patched(content: bytes, patches: list[tuple[int, int, bytes]], cut: int) -> bytes:
    changed = bytearray(content)
    pages = len(content) // PAGE
    for page, offset, put in patches:
        start = page % pages * PAGE + offset
        changed[start : start + len(put)] = put
    return bytes(changed[: len(content) - cut * PAGE])


@FUZZED
@given(patches=PATCHES, cut=some.integers(0, 9))
def test_any_change_of_the_database_gives_a_plan_or_a_reason(
    whole: bytes,
    texts: dict[str, str],
    tmp_path: Path,
    patches: list[tuple[int, int, bytes]],
    cut: int,
) -> None:
    database = tmp_path / "chroma.sqlite3"
    database.write_bytes(patched(whole, patches, cut))
    palace = PalaceLocation(tmp_path, "chroma", "minilm")
    plan = plan_database(palace, "fuzzed")
    try:
        file = PageFile(database)
    except PageError:
        assert isinstance(plan, str)
        return
    handed: list[tuple[str, int | None, Row]] = []
    try:
        account = transfer(Recovery(file), lambda *row: handed.append(row))
    except PageError:
        assert isinstance(plan, str)
        return
    finally:
        file.close()
    if isinstance(plan, DatabasePlan):
        # A drawer whose segment's name is damaged is counted in no collection.
        segments = {str(row[0]) for row in account.segments}
        kept = {one for segment in account.drawers for one in account.kept(segment)}
        assert plan.drawers == sum(len(account.kept(one)) for one in segments)
        held = [row for table, _, row in handed if table == "embedding_metadata"]
        assert sum(row[1] == DOCUMENT for row in held) >= len(kept & texts.keys())


@FUZZED
@given(page=some.integers(1, 400), content=some.binary(min_size=16, max_size=PAGE))
def test_a_damage_of_one_page_never_loses_a_drawer_unsaid(
    whole: bytes, texts: dict[str, str], tmp_path: Path, page: int, content: bytes
) -> None:
    count = len(whole) // PAGE
    start = (1 + page % (count - 1)) * PAGE
    database = tmp_path / "chroma.sqlite3"
    database.write_bytes(whole[:start] + content.ljust(PAGE, b"\0") + whole[start + PAGE :])
    plan = plan_database(PalaceLocation(tmp_path, "chroma", "minilm"), "fuzzed")
    if isinstance(plan, DatabasePlan) and plan.whole:
        assert plan.drawers == len(texts)


@FUZZED
@given(content=some.binary(max_size=3 * PAGE))
def test_no_bytes_after_a_header_lead_anywhere(
    whole: bytes, tmp_path: Path, content: bytes
) -> None:
    database = tmp_path / "chroma.sqlite3"
    database.write_bytes(whole[:100] + content)
    assert isinstance(plan_database(PalaceLocation(tmp_path, "chroma", "minilm"), "x"), str)
