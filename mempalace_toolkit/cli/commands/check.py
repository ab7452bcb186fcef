"""`mempalace-toolkit check`: proves that the palace's index is sound."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from mempalace_toolkit.cli.commands.index_look import Deep, look_at_index
from mempalace_toolkit.cli.context.palace_options import (
    NAME,
    AsJson,
    Palace,
    index_request,
)
from mempalace_toolkit.cli.output.boundary import end_with, print_answer
from mempalace_toolkit.cli.output.index_text import show_index
from mempalace_toolkit.errors import (
    DamageLeftError,
    ExitCode,
)

if TYPE_CHECKING:
    from mempalace_toolkit.index.check.report import IndexReport
    from mempalace_toolkit.pipeline import PalaceRequest


def check(
    palace: Palace = None,
    deep: Deep = False,
    as_json: AsJson = False,
) -> None:
    """Prove that the palace's index is sound. Reads only. Exits 65 on damage."""

    def work() -> int:
        request = index_request(palace, f"{NAME} check")
        begun = time.monotonic()
        report = look_at_index(request, deep, False, as_json)
        seconds = time.monotonic() - begun
        error = _damage(report)
        if as_json:
            own = {"seconds": {"check": round(seconds, 3)}, "index": report.as_json()}
            print_answer(request.command, "ok", own, error=error)
        else:
            show_index(report, request.palace)
            if report.counted and not error:
                print(f"  {_compared(request, deep)}. {seconds:.1f} s.")
            if error:
                print(f"What can be done: {NAME} repair{' --deep' if deep else ''} --dry-run")
        return error.exit_code if error else ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} check", as_json, 0, work))


def _damage(report: IndexReport) -> DamageLeftError | None:
    if report.status != "damaged":
        return None
    return DamageLeftError(
        f"the palace's index is damaged: {report.detail}",
        f"{NAME} repair --dry-run shows what can be done",
    )


def _compared(request: PalaceRequest, deep: bool) -> str:
    """How far the vectors were compared with the texts of their drawers."""
    from mempalace_toolkit.pipeline.index_health import sample_check

    if deep:
        return "Every vector was compared with the text of its drawer"
    if sample_check(request):
        return "A sample of the vectors was compared with their texts; --deep compares all"
    return "No vector was compared with its text, because the embedding model is not here"
