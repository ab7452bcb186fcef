"""The benchmark's figures as values, and as a table of at most 80 columns."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from benchmarks.recall.scores import Difference, Shares

WIDTH = 80


@dataclass(frozen=True, slots=True)
class PalaceFigures:
    """One palace: `same_drawers` are those whose text MemPalace alone has filed as well.

    `found` is by search and language, `all` first.
    Seconds are wall-clock and include starting the processes.
    """

    name: str
    files: int
    drawers: int
    same_drawers: int
    mine_seconds: float
    ask_seconds: float
    found: dict[str, dict[str, Shares]]


@dataclass(frozen=True, slots=True)
class Result:
    """Everything measured.

    `differences` compare the first palace with the last, by search and by what is found.
    `lost` are, by search, the questions whose passage the last found and the first did not.
    """

    machine: str
    sessions: int
    questions: int
    palaces: tuple[PalaceFigures, ...]
    differences: dict[str, dict[str, Difference]]
    lost: dict[str, list[str]]

    @property
    def worse(self) -> bool:
        """Whether anything is found less often than chance explains."""
        return any(each.worse for by in self.differences.values() for each in by.values())


def render_table(result: Result) -> str:
    """The figures for people."""
    lines = textwrap.wrap(f"Recall in the first five hits. {result.machine}", WIDTH)
    lines.append(f"{result.sessions} sessions, {result.questions} questions, no wing given")
    lines += [
        "",
        f"{'palace':<14}{'files':>7}{'drawers':>9}{'as alone':>10}{'mine s':>9}{'ask s':>9}",
    ]
    for palace in result.palaces:
        lines.append(
            f"{palace.name:<14}{palace.files:>7}{palace.drawers:>9}{palace.same_drawers:>10}"
            f"{palace.mine_seconds:>9.1f}{palace.ask_seconds:>9.1f}"
        )
    heads = f"{'session':>10}{'passage':>10}{'MRR ses.':>10}{'MRR pas.':>10}"
    lines += ["", f"{'palace':<14}{'search':<9}{'talk':>5}{'asked':>7}{heads}"]
    for palace in result.palaces:
        for search, groups in palace.found.items():
            for group, row in groups.items():
                lines.append(
                    f"{palace.name:<14}{search:<9}{group:>5}{row.questions:>7}{row.session:>10.3f}"
                    f"{row.passage:>10.3f}{row.session_mrr:>10.3f}{row.passage_mrr:>10.3f}"
                )
    lines += ["", f"{result.palaces[0].name} minus {result.palaces[-1].name}, 95 % interval:"]
    for search, differences in result.differences.items():
        lines += [_verdict(f"{search}, {what}", each) for what, each in differences.items()]
        lines += [f"  lost: {text}"[:WIDTH] for text in result.lost[search]]
    return "\n".join(lines)


def _verdict(what: str, difference: Difference) -> str:
    said = "WORSE" if difference.worse else "not worse"
    return (
        f"{what:<18}{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}) {said}"
    )
