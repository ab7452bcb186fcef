"""Which session a found drawer belongs to, and the command that resumes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.recall.search import FoundDrawer

RESUME = {"opencode": ("opencode", "--session"), "pi": ("pi", "--session")}
"""How each agent is told to go on with a session of that id."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A found drawer and its session.

    `session`, `title` and `folder` are empty where the drawer was not filed by this toolkit, or
    the ledger does not know its page. `resume` is a shell command, empty likewise.
    """

    drawer: FoundDrawer
    agent: str = ""
    session: str = ""
    title: str = ""
    folder: str = ""
    resume: str = ""

    def as_json(self) -> dict[str, object]:
        """The object under `hits`; what is not known is null."""
        found = self.drawer
        return {
            "drawer": found.drawer,
            "text": found.text,
            "similarity": found.similarity,
            "wing": found.wing,
            "room": found.room,
            "said": found.said or None,
            "source": found.source or None,
            "agent": self.agent or None,
            "session": self.session or None,
            "title": self.title or None,
            "folder": self.folder or None,
            "resume": self.resume or None,
        }


def hits_of(drawers: Iterable[FoundDrawer], ledger: Ledger, spool: Path) -> list[Hit]:
    """Each drawer with what the ledger knows of its session."""
    return [_hit(drawer, ledger, spool) for drawer in drawers]


def _hit(drawer: FoundDrawer, ledger: Ledger, spool: Path) -> Hit:
    try:
        page = Path(drawer.source).relative_to(spool).as_posix()
    except ValueError:
        return Hit(drawer)
    known = ledger.session_behind(page)
    if known is None:
        return Hit(drawer, agent=page.partition("/")[0])
    return Hit(
        drawer,
        agent=known.label,
        session=known.id,
        title=known.title,
        folder=known.directory,
        resume=resume_command(known.agent, known.id, known.directory),
    )


def resume_command(agent: str, session: str, folder: str) -> str:
    """The shell command that goes on with a session where it was held; empty if unknown."""
    if agent not in RESUME:
        return ""
    command = shlex.join([*RESUME[agent], session])
    return f"cd {shlex.quote(folder)} && {command}" if folder else command
