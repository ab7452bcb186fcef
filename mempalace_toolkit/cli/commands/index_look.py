"""What `check` and `repair` share: a look at the index, with as much comparing as is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mempalace_toolkit.index.check.report import IndexReport
    from mempalace_toolkit.index.workers.embedding import Embed
    from mempalace_toolkit.pipeline import PalaceRequest

_FEW_DRAWERS = 200  # are compared before anybody asks how far it is

Deep = Annotated[
    bool, typer.Option("--deep", help="Embed every drawer's text again and compare its vector.")
]


def look_at_index(request: PalaceRequest, deep: bool, thorough: bool, as_json: bool) -> IndexReport:
    """Check the index; a few drawers are compared with their texts where the model is there.

    A `deep` check compares all; a `thorough` one does where the few show that it must.
    """
    from dataclasses import replace

    from mempalace_toolkit.cli.output.progress import progress_for
    from mempalace_toolkit.index.check.deep import DeepCheck
    from mempalace_toolkit.index.check.report import check_index
    from mempalace_toolkit.pipeline.index_health import sample_check

    if deep:
        compare: DeepCheck | None = DeepCheck(embedder_of(request), sample=None)
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


def embedder_of(request: PalaceRequest) -> Embed:
    from mempalace_toolkit.cli.output.progress import Quiet
    from mempalace_toolkit.pipeline import repair_setting

    embed = repair_setting(request, Quiet()).embed
    assert embed is not None
    return embed
