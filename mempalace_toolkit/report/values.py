"""What a run found and did: the values that the commands print as text or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mempalace_toolkit.errors import ExitCode, Status, ToolkitError, error_status
from mempalace_toolkit.recall.sources import resume_command

if TYPE_CHECKING:  # numpy and the index checks take longer to load than a short command runs
    from mempalace_toolkit.index.check.report import IndexReport
    from mempalace_toolkit.index.quarantine.folders import Quarantined
    from mempalace_toolkit.index.repair.result import RepairResult
    from mempalace_toolkit.intake.session_plan import Action, SessionPlan
    from mempalace_toolkit.report.outlook import Outlook
    from mempalace_toolkit.sessions.model import StoreFinding


ACTIONS = ("new", "grown", "rewritten", "withdrawn", "unchanged", "skipped")
"""What can become of a session, in the order in which it is told."""


class Observer(Protocol):
    """Who is told how a run goes on; the command line shows a bar or plain lines."""

    def stage(self, text: str, total: int | None = None) -> None:
        """A new stage begins; `total` is how many steps it has, where that is known."""

    def advance(self, steps: int = 1) -> None:
        """Some steps of the stage are done."""


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session in a report. `updated` is milliseconds since the epoch.

    `withdrawn` turns leave the palace, `kept` ones stay there though the store lost them.
    `resume` is the shell command that goes on with the session, empty where none is known.
    """

    agent: str
    id: str
    wing: str
    title: str
    turns: int
    updated: int
    action: Action
    reason: str
    withdrawn: int
    kept: int
    folder: str = ""
    resume: str = ""

    @classmethod
    def of(cls, plan: SessionPlan) -> SessionLine:
        """The line of a planned session."""
        known = plan.record
        return cls(
            agent=known.label,
            id=known.id,
            wing=known.wing,
            title=known.title,
            turns=known.turns,
            updated=known.updated,
            action=plan.action,
            reason=plan.reason,
            withdrawn=len(plan.withdrawn),
            kept=known.kept,
            folder=known.directory,
            resume=resume_command(known.agent, known.id, known.directory),
        )

    def as_json(self) -> dict[str, object]:
        """The object under `sessions`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class WingLine:
    """What was filed into one wing: sessions with something new, pages mined, drawers.

    `drawers` is None where the backend cannot be counted. `result` is `filed`, or how
    MemPalace's run over the wing ended otherwise.
    """

    wing: str
    sessions: int
    pages: int
    drawers: int | None
    result: str

    def as_json(self) -> dict[str, object]:
        """The object under `wings`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class RunReport:
    """Everything a run has to tell. `seconds` is the time spent a stage.

    `withdrawn` counts the pages from which talk is taken because it was undone.
    `pruned` are the folders that earlier repairs had replaced, and that are gone now.
    `outlook` is what a dry run tells of the run to come.
    """

    command: str
    palace: str
    stores: Sequence[str] = ()
    searched: Sequence[str] = ()
    sessions: list[SessionLine] = field(default_factory=list)
    wings: list[WingLine] = field(default_factory=list)
    withdrawn: int = 0
    findings: list[StoreFinding] = field(default_factory=list)
    drawers_before: int | None = None
    drawers_after: int | None = None
    index_before: IndexReport | None = None
    index_after: IndexReport | None = None
    repairs: list[RepairResult] = field(default_factory=list)
    pruned: list[Quarantined] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    log: str = ""
    error: ToolkitError | None = None
    outlook: Outlook | None = None

    def note(self, plan: SessionPlan) -> None:
        """Take in what becomes of one session."""
        self.sessions.append(SessionLine.of(plan))
        self.withdrawn += plan.withdrawn_pages

    @property
    def actions(self) -> Counter[str]:
        """How many sessions met which action."""
        return Counter(line.action for line in self.sessions)

    @property
    def exit_code(self) -> int:
        """The exit status that the run earns."""
        return self.error.exit_code if self.error else ExitCode.OK

    @property
    def status(self) -> Status:
        """The one word for the run."""
        if self.error:
            return error_status(self.error)
        changed = {"new", "grown", "rewritten", "withdrawn"} & set(self.actions)
        done = (changed, self.wings, self.withdrawn, self.repairs, self.pruned)
        return "ok" if any(done) else "noop"

    def as_json(self, listed: Sequence[SessionLine], most: int | None = None) -> dict[str, object]:
        """The keys of a run, with the `listed` sessions one by one, at most `most` lines a list."""
        actions = self.actions
        lists = {"sessions": listed, "wings": self.wings, "findings": self.findings}
        left_out = {name: len(lines) - len(lines[:most]) for name, lines in lists.items()}
        return {
            "stores": list(self.stores),
            "searched": list(self.searched),
            "counts": {action: actions[action] for action in ACTIONS},
            "sessions": [line.as_json() for line in listed[:most]],
            "wings": [line.as_json() for line in self.wings[:most]],
            "withdrawn": self.withdrawn,
            "drawers": {
                "before": self.drawers_before,
                "filed": self.filed,
                "after": self.drawers_after,
            },
            "index": {
                "before": self.index_before.as_json() if self.index_before else None,
                "after": self.index_after.as_json() if self.index_after else None,
            },
            "repairs": [repair.as_json() for repair in self.repairs],
            "pruned": [folder.as_json() for folder in self.pruned],
            "findings": [
                {name: getattr(finding, name) for name in finding.__slots__}
                for finding in self.findings[:most]
            ],
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            "outlook": self.outlook.as_json() if self.outlook else None,
            "left_out": left_out,
        }

    @property
    def filed(self) -> int | None:
        """Drawers filed in all wings, None where they cannot be counted."""
        counts = [line.drawers for line in self.wings]
        return None if None in counts else sum(count or 0 for count in counts)
