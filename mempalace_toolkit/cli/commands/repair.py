"""`mempalace-toolkit repair`: mends the palace's index, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit.cli.commands.index_look import Deep, embedder_of, look_at_index
from mempalace_toolkit.cli.context.palace_options import (
    NAME,
    AsJson,
    DryRun,
    Palace,
    Wait,
    Yes,
    index_request,
)
from mempalace_toolkit.cli.output.boundary import agreed, end_with, print_answer, tell
from mempalace_toolkit.cli.output.index_text import show_index
from mempalace_toolkit.errors import (
    ConsentError,
    DamageLeftError,
    ExitCode,
    ToolkitError,
    error_status,
)

if TYPE_CHECKING:
    from mempalace_toolkit.cli.output.run_history import Outcome
    from mempalace_toolkit.index.check.report import IndexReport
    from mempalace_toolkit.index.repair.plan_values import RepairPlan
    from mempalace_toolkit.index.repair.result import RepairResult
    from mempalace_toolkit.pipeline import PalaceRequest


def repair(
    palace: Palace = None,
    dry_run: DryRun = False,
    deep: Deep = False,
    yes: Yes = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Also do what loses drawers or metadata that nothing tells any more.",
        ),
    ] = False,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Repair the palace's index from the vectors that it still holds."""

    def work() -> int:
        from mempalace_toolkit.cli.context.environment import Surroundings
        from mempalace_toolkit.cli.output.run_history import Outcome, with_history

        request = index_request(palace, f"{NAME} repair", wait)
        if dry_run:
            return _repair(request, Outcome(), Consent(True, yes, accept_loss, deep), as_json)
        return with_history(
            Surroundings.of_process(),
            request.command,
            lambda outcome: _repair(
                request, outcome, Consent(False, yes, accept_loss, deep), as_json
            ),
        )

    raise typer.Exit(end_with(f"{NAME} repair", as_json, 0, work))


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person agreed to beforehand: to see the plan only, to it, to what it loses;
    and whether every vector is compared first."""

    dry_run: bool
    yes: bool
    accept_loss: bool
    deep: bool


def _repair(request: PalaceRequest, outcome: Outcome, consent: Consent, as_json: bool) -> int:
    from mempalace_toolkit.index.repair.plan import plan_repair
    from mempalace_toolkit.index.repair.reembedding import with_model

    report = look_at_index(request, consent.deep, True, as_json)
    plan = plan_repair(request.palace, report.findings, report.fingerprint)
    if request.palace.embedding_model != "minilm":  # that one is fetched when it is needed
        plan = with_model(plan, embedder_of(request))
    if not as_json:
        show_index(report, request.palace)
        print("\n".join(f"  {line}" for line in plan.steps()))
    if plan.grade == "refuse":
        error = DamageLeftError(plan.refusal, plan.remedy)
        outcome.status, outcome.error = "damaged", error.kind
        return _end(request, as_json, report, plan, error=error)
    if plan.grade == "nothing" or consent.dry_run:
        return _end(request, as_json, report, plan)
    if refusal := _refused(request, consent, plan):
        outcome.status, outcome.error = error_status(refusal), refusal.kind
        return _end(request, as_json, report, plan, error=refusal)
    return _do(request, outcome, as_json, plan)


def _refused(request: PalaceRequest, consent: Consent, plan: RepairPlan) -> ToolkitError | None:
    """Why the plan is not carried out: nobody agreed to it, or to what it loses for good."""
    from mempalace_toolkit.index.repair.heal import loses_something

    deep = " --deep" if consent.deep else ""
    if plan.loses and not consent.accept_loss:
        question = f"This loses for good: {plan.loses}. Do it nevertheless?"
        if consent.yes or not agreed(question):
            return loses_something(request.palace, plan)
        return None
    if consent.yes:
        return None
    answer = agreed("Repair it?")
    command = f"{NAME} repair{deep}{' --accept-loss' if plan.loses else ''} --yes"
    if answer is None:
        return ConsentError(
            "the palace's index is damaged; nothing was changed, because a repair needs consent",
            f"add --yes to carry out this plan: {command}",
        )
    return None if answer else DamageLeftError("nothing was changed", f"{command} does not ask")


def _do(request: PalaceRequest, outcome: Outcome, as_json: bool, plan: RepairPlan) -> int:
    from mempalace_toolkit.cli.output.progress import progress_for
    from mempalace_toolkit.pipeline.maintenance import repair_now

    with progress_for(as_json) as progress:
        result, after = repair_now(request, progress, plan)
    if not as_json:
        for one in result.collections:
            print(f"  {one.proof.line()}; {one.embedded:,} embedded again, {one.seconds:.1f} s")
            if one.kept:
                print(f"  the old index stays as {one.kept.rpartition('/')[2]}")
        for line in result.restart_lines():
            print(f"  {line}")
        print("The index is sound." if result.sound else "The index is still damaged.")
    error = None
    outcome.status, outcome.repaired = "ok", True
    if not result.sound:
        outcome.status, outcome.error = "damaged", DamageLeftError.kind
        found = after.detail if after.status == "damaged" else "it does not answer for all drawers"
        error = DamageLeftError(
            f"the palace's index is still damaged: {found}", "restore the palace from a backup"
        )
    return _end(request, as_json, after, result.plan, result, error)


def _end(
    request: PalaceRequest,
    as_json: bool,
    report: IndexReport,
    plan: RepairPlan,
    result: RepairResult | None = None,
    error: ToolkitError | None = None,
) -> int:
    if as_json:
        own = {
            "plan": plan.as_json(),
            "repair": result.as_json() if result else None,
            "index": report.as_json(),
        }
        status = "noop" if plan.grade == "nothing" else "ok"
        print_answer(request.command, status, own, error=error)
    if error:
        tell(f"{NAME} repair: {error.message}")
        tell(f"  {error.hint}")
    return error.exit_code if error else ExitCode.OK
