"""A dry run that counts turns shows the same as one that reads all of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.pipeline import PalaceRequest, RunRequest, survey
from mempalace_toolkit.sessions import opencode, pi
from mempalace_toolkit.sessions.model import CountsTurns, Session, SessionRef, Store
from tests.sessions.opencode_writing import RECORDED, START, add_session, make_database
from tests.sessions.test_opencode_counting import STORES

PI = sorted(path.parent for path in (RECORDED.parent / "pi").glob("*/*/sessions"))


class Reading:
    """A store that cannot count."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.places = store.places
        self.signature = store.signature
        self.close = store.close

    @property
    def findings(self) -> object:
        return self._store.findings

    @property
    def failures(self) -> object:
        return self._store.failures

    def find_sessions(self) -> Iterator[SessionRef]:
        return self._store.find_sessions()

    def read_session(self, ref: SessionRef) -> Session:
        return self._store.read_session(ref)


def shown(place: Path, home: Path, *, counting: bool, selection: Selection) -> dict[str, object]:
    is_pi = place.name == "pi"
    request = RunRequest(
        PalaceRequest(
            command="test",
            palace=PalaceLocation(home / "palace", "chroma", "minilm"),
            data=home,
            home=home,
            model=ModelRequest(cache=home),
            environment={},
            now_ms=START + 10**10,
            stamp="20260101-000000",
        ),
        agent="pi" if is_pi else "opencode",
        selection=selection,
    )
    with (pi if is_pi else opencode).open_store([place]) as store:
        assert isinstance(store, CountsTurns)
        reading = Reading(store)  # type: ignore[arg-type]
        assert not isinstance(reading, CountsTurns)
        report = survey(store if counting else reading, request)  # type: ignore[arg-type]
        return replace(report, seconds={}, outlook=None).as_json(report.sessions)


@pytest.mark.parametrize("selection", [Selection(), Selection(include_subagents=True, limit=3)])
@pytest.mark.parametrize("case", STORES + PI, ids=lambda path: "-".join(path.parts[-2:]))
def test_a_recorded_store_is_shown_alike(case: Path, selection: Selection, tmp_path: Path) -> None:
    if case.name == "unknown":
        pytest.skip("cannot be read")
    place = Path(shutil.copytree(case, tmp_path / ("pi" if case in PI else "store")))
    counted = shown(place, tmp_path / "home", counting=True, selection=selection)
    assert counted == shown(place, tmp_path / "home", counting=False, selection=selection)


def test_what_does_not_qualify_is_shown_alike(tmp_path: Path) -> None:
    place = make_database(tmp_path / "opencode.db")
    add_session(place, "a", "one", "two")
    add_session(place, "b", at=START + 10)
    add_session(place, "c", "only a question", at=START + 20)
    add_session(place, "d", "one", "two", "three", at=START)  # begins as "a" does
    counted = shown(place, tmp_path, counting=True, selection=Selection())
    assert counted == shown(place, tmp_path, counting=False, selection=Selection())
    sessions = counted["sessions"]
    assert isinstance(sessions, list)
    assert {one["id"]: one["turns"] for one in sessions} == {"a": 2, "b": 0, "c": 1, "d": 1}
