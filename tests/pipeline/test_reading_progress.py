"""Reading tells its observer of every session."""

from __future__ import annotations

from pathlib import Path

from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.pipeline.reading import write_pages
from mempalace_toolkit.pipeline.request import PalaceRequest, RunRequest
from mempalace_toolkit.report.values import RunReport
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import START, add_session, make_database


class Counting:
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.steps = 0

    def stage(self, text: str, total: int | None = None) -> None:
        self.stages.append((text, total))

    def advance(self, steps: int = 1) -> None:
        self.steps += steps


def test_every_session_is_a_step(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    for number in range(3):
        add_session(path, f"ses_{number}", "a question", "an answer", at=START + number)
    request = RunRequest(
        PalaceRequest(
            command="test",
            palace=PalaceLocation(tmp_path / "palace", "chroma", "minilm"),
            data=tmp_path,
            home=tmp_path,
            model=ModelRequest(cache=tmp_path),
            environment={},
            now_ms=START + 10**10,
            stamp="20260101-000000",
        ),
        agent="opencode",
    )
    seen, report = Counting(), RunReport("test", "")
    with open_store([path]) as store, Ledger.open(request.target.ledger, "broken") as ledger:
        write_pages(store, ledger, request, seen, report)
    assert [one.action for one in report.sessions] == ["new"] * 3
    assert (seen.steps, seen.stages[0][0]) == (3, "reading sessions")
