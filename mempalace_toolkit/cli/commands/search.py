"""`mempalace-toolkit search`: ask the palace, and see in which session each answer was said."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit.cli.context.known import remember
from mempalace_toolkit.cli.context.numbers import whole_number
from mempalace_toolkit.cli.context.palace_options import NAME, AsJson, Palace
from mempalace_toolkit.cli.output.boundary import end_with, print_answer
from mempalace_toolkit.cli.output.hits_text import hits_text
from mempalace_toolkit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mempalace_toolkit.recall.search import Found
    from mempalace_toolkit.recall.sources import Hit


def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What to look for.")],
    wing: Annotated[
        str | None, typer.Option(metavar="NAME", help="Search only this wing (project).")
    ] = None,
    results: Annotated[
        int,
        typer.Option(
            "--results",
            "-n",
            metavar="N",
            parser=whole_number(1, 100),
            help="Show at most N hits (default: 5).",
            show_default=False,
        ),
    ] = 5,
    palace: Palace = None,
    as_json: AsJson = False,
) -> None:
    """Search what was said in past sessions.

    Each hit names its session, and the command that resumes it.
    """

    def work() -> int:
        question = " ".join(words).strip()
        if not question:
            raise UsageError("the question is empty", f'{NAME} search "why did we pick Postgres"')
        place, found, hits = _find(question, wing, results, palace)
        if as_json:
            own = {
                "question": question,
                "reader": found.reader,
                "reader_reason": found.reason or None,
                "hits": [hit.as_json() for hit in hits],
            }
            print_answer(f"{NAME} search", "ok" if hits else "noop", own, palace=place)
        else:
            print(hits_text(hits, place, shutil.get_terminal_size().columns))
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} search", as_json, 0, work))


def _find(
    question: str, wing: str | None, results: int, palace: Palace
) -> tuple[str, Found, list[Hit]]:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.ledger.records import Ledger
    from mempalace_toolkit.palace.presence import require_palace
    from mempalace_toolkit.recall.search import Question, search_palace
    from mempalace_toolkit.recall.sources import hits_of

    here = Surroundings.of_process()
    place = here.palace(palace, here.configuration())
    remember(palace=str(place.path))
    require_palace(place, chosen=palace is not None)
    found = search_palace(place, Question(question, wing, results), here.environment)
    with Ledger.look(here.ledger) as ledger:
        hits = hits_of(found.drawers, ledger, here.spool)
    return str(place.path), found, hits
