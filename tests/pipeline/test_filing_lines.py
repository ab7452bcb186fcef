"""The lines that a run's table has for its wings."""

from __future__ import annotations

from pathlib import Path

from mempalace_toolkit.intake.session_plan import Action
from mempalace_toolkit.mining.command import JobResult, MempalaceJob
from mempalace_toolkit.pipeline.filing import _wing_lines
from mempalace_toolkit.report.values import SessionLine, WingLine


def session(wing: str, action: Action) -> SessionLine:
    return SessionLine("opencode", f"{wing}-{action}", wing, "", 2, 0, action, "", 0, 0)


def result(wing: str, label: str = "opencode", code: int = 0) -> JobResult:
    return JobResult(MempalaceJob("mine", Path("spool", label, wing), wing, label), code)


def test_each_wing_has_its_own_sessions_pages_and_drawers() -> None:
    actions: tuple[Action, ...] = ("new", "grown", "rewritten", "unchanged", "skipped")
    sessions = [session("shop", action) for action in actions] + [session("lab", "new")]
    pages = {"opencode/shop": 4, "opencode-subagent/shop": 2, "opencode/lab": 1, "pi/other": 9}
    results = [
        result("shop"),
        result("lab"),
        result("shop", "opencode-subagent", 5),
        result("shop"),
    ]
    lines = _wing_lines(results, pages, {"shop": 31, "other": 5}, sessions)
    assert lines == [
        WingLine("lab", 1, 1, 0, "filed"),
        WingLine("shop", 3, 6, 31, "failed with exit status 5"),
    ]


def test_drawers_that_cannot_be_counted_are_unknown() -> None:
    assert _wing_lines([result("shop")], {"opencode/shop": 1}, None, []) == [
        WingLine("shop", 0, 1, None, "filed")
    ]
