"""`mempalace-toolkit check` and `repair`: the palace's index, by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

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
    from mempalace_toolkit.index.workers.embedding import Embed
    from mempalace_toolkit.palace.location import PalaceLocation
    from mempalace_toolkit.pipeline import PalaceRequest

MOST_FINDINGS = 20
_FEW_DRAWERS = 200  # are compared before anybody asks how far it is

Deep = Annotated[
    bool, typer.Option("--deep", help="Embed every drawer's text again and compare its vector.")
]


def check(
    palace: Palace = None,
    deep: Deep = False,
    as_json: AsJson = False,
) -> None:
    """Prove that the palace's index is sound. Reads only. Exits 65 on damage."""

    def work() -> int:
        request = index_request(palace, f"{NAME} check")
        begun = time.monotonic()
        report = _check(request, deep, False, as_json)
        seconds = time.monotonic() - begun
        error = _damage(report)
        if as_json:
            own = {"seconds": {"check": round(seconds, 3)}, "index": report.as_json()}
            print_answer(request.command, "ok", own, error=error)
        else:
            _show(report, request.palace)
            if report.counted and not error:
                print(f"  {_compared(request, deep)}. {seconds:.1f} s.")
            if error:
                print(f"What can be done: {NAME} repair{' --deep' if deep else ''} --dry-run")
        return error.exit_code if error else ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} check", as_json, 0, work))


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

    report = _check(request, consent.deep, True, as_json)
    plan = plan_repair(request.palace, report.findings, report.fingerprint)
    if request.palace.embedding_model != "minilm":  # that one is fetched when it is needed
        plan = with_model(plan, _embedder(request))
    if not as_json:
        _show(report, request.palace)
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


def _damage(report: IndexReport) -> DamageLeftError | None:
    if report.status != "damaged":
        return None
    return DamageLeftError(
        f"the palace's index is damaged: {report.detail}",
        f"{NAME} repair --dry-run shows what can be done",
    )


def _check(request: PalaceRequest, deep: bool, thorough: bool, as_json: bool) -> IndexReport:
    """Check the index; a few drawers are compared with their texts where the model is there.

    A `deep` check compares all; a `thorough` one does where the few show that it must.
    """
    from dataclasses import replace

    from mempalace_toolkit.cli.output.progress import progress_for
    from mempalace_toolkit.index.check.deep import DeepCheck
    from mempalace_toolkit.index.check.report import check_index
    from mempalace_toolkit.pipeline.index_health import sample_check

    if deep:
        compare: DeepCheck | None = DeepCheck(_embedder(request), sample=None)
    else:
        compare = sample_check(request)
    if compare is None:
        return check_index(request.palace)
    with progress_for(as_json) as progress:
        told = 0

        def tell_progress(compared: int, drawers: int) -> None:
            nonlocal told
            if drawers < _FEW_DRAWERS:
                return
            if not compared:
                told = 0
                progress.stage("comparing vectors with their texts", drawers)
            progress.advance(compared - told)
            told = compared

        compare = replace(compare, thorough=thorough, progress=tell_progress)
        return check_index(request.palace, compare)


def _compared(request: PalaceRequest, deep: bool) -> str:
    """How far the vectors were compared with the texts of their drawers."""
    from mempalace_toolkit.pipeline.index_health import sample_check

    if deep:
        return "Every vector was compared with the text of its drawer"
    if sample_check(request):
        return "A sample of the vectors was compared with their texts; --deep compares all"
    return "No vector was compared with its text, because the embedding model is not here"


def _embedder(request: PalaceRequest) -> Embed:
    from mempalace_toolkit.cli.output.progress import Quiet
    from mempalace_toolkit.pipeline import repair_setting

    embed = repair_setting(request, Quiet()).embed
    assert embed is not None
    return embed


def _show(report: IndexReport, palace: PalaceLocation) -> None:
    print(f"{palace.path}: {report.status.replace('_', ' ')}: {report.detail}.")
    for finding in report.findings[:MOST_FINDINGS]:
        where = finding.collection or finding.segment
        print(f"  {finding.message} ({finding.kind}{f' in {where}' if where else ''})")
    if len(report.findings) > MOST_FINDINGS:
        print(f"  and {len(report.findings) - MOST_FINDINGS} more; --json lists them all")
