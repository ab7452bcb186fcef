"""The demonstration: two recorded sample stores, a throwaway palace, two questions."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path

from mempalace_toolkit.cli.context.environment import Surroundings
from mempalace_toolkit.cli.context.palace_request import palace_request
from mempalace_toolkit.cli.output.boundary import print_answer, tell
from mempalace_toolkit.cli.output.hits_text import hits_text
from mempalace_toolkit.cli.output.progress import progress_for
from mempalace_toolkit.config import Configuration
from mempalace_toolkit.errors import ExitCode, MempalaceError, UsageError
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.log import open_log
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.pipeline import PalaceRequest, RunRequest, run
from mempalace_toolkit.recall.search import Question, search_palace
from mempalace_toolkit.recall.sources import Hit, hits_of
from mempalace_toolkit.sessions import opencode, pi
from mempalace_toolkit.sessions.model import Agent, Store

NAME = "mempalace-toolkit demo"
HITS = 2

QUESTIONS = (
    ("Why did we choose Postgres over MongoDB?", "which a transaction gives you", "opencode"),
    ("What made the nightly price import slow?", "commits after each of the 900,000 rows", "pi"),
)
"""What is asked; the words of the answer, and in which agent's session it must be found."""

_SAMPLES: Sequence[tuple[Agent, str, Callable[[Sequence[Path]], Store]]] = (
    ("opencode", "opencode/opencode.db", opencode.open_store),
    ("pi", "pi/sessions", pi.open_store),
)


def run_demo(surroundings: Surroundings, keep: Path | None, as_json: bool) -> int:
    """Mine, ask, show; the exit status. Raises MempalaceError where a hit is wrong."""
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise UsageError(f"{keep} is not empty", "name a new folder with --keep")
        return _demonstrate(surroundings, keep.absolute(), as_json)
    with tempfile.TemporaryDirectory(prefix="mempalace-demo-") as folder:
        return _demonstrate(surroundings, Path(folder), as_json)


def _demonstrate(surroundings: Surroundings, folder: Path, as_json: bool) -> int:
    palace = PalaceLocation(folder / "palace", "chroma", "minilm")
    environment = {
        **surroundings.environment,
        "MEMPALACE_CONFIG_DIR": str(folder / "config"),
        "MEMPALACE_EMBEDDING_MODEL": "minilm",
        "MEMPALACE_BACKEND": "chroma",
    }
    surroundings = dataclasses.replace(surroundings, environment=environment, data=folder / "data")
    target = palace_request(surroundings, NAME, palace, Configuration())
    reports = [_mine(target, *sample) for sample in _SAMPLES]
    answers = []
    with Ledger.look(target.ledger) as ledger:
        for question, words, agent in QUESTIONS:
            drawers = search_palace(palace, Question(question, results=HITS), environment).drawers
            hits = hits_of(drawers, ledger, target.spool)
            right = any(agent == hit.agent and words in _one_line(hit) for hit in hits)
            shown = [hit.as_json() for hit in hits]
            answers.append({"question": question, "right": right, "hits": shown})
            if not as_json:
                width = shutil.get_terminal_size().columns
                print(f"\nQ: {question}\n\n{hits_text(hits, str(palace.path), width)}\n")
    wrong = [str(answer["question"]) for answer in answers if not answer["right"]]
    if as_json:
        error = MempalaceError(f"a wrong hit for: {'; '.join(wrong)}") if wrong else None
        own = {"runs": reports, "answers": answers}
        print_answer(NAME, "ok", own, palace=str(palace.path), error=error)
    if wrong:
        tell(f"{NAME}: a wrong hit for: {'; '.join(wrong)}")
        return ExitCode.MEMPALACE
    tell(f"{NAME}: {len(answers)} questions, {len(answers)} right hits")
    return ExitCode.OK


def _one_line(hit: Hit) -> str:
    return " ".join(hit.drawer.text.split())


def _mine(
    target: PalaceRequest,
    agent: Agent,
    place: str,
    open_store: Callable[[Sequence[Path]], Store],
) -> dict[str, object]:
    sample = resources.files("mempalace_toolkit") / "samples" / place
    _, log = open_log(target.data / "logs", f"{agent}.log")
    with (
        resources.as_file(sample) as path,
        closing(open_store([path])) as store,
        log,
        progress_for(quiet=False) as progress,
    ):
        report = run(store, RunRequest(target, agent), progress, log)
    if report.error:
        raise report.error
    if not report.filed:
        raise MempalaceError(f"nothing was filed of the {agent} sample", f"see {log.name}")
    return report.as_json(report.sessions)
