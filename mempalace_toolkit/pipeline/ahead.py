"""Between the two halves of a run: new pages are embedded while the palace is free for others."""

from __future__ import annotations

from pathlib import Path

from mempalace_toolkit.chroma.contents import roll_back_journal
from mempalace_toolkit.ledger.records import Ledger
from mempalace_toolkit.mining.ahead import AheadSetting, embed_pages
from mempalace_toolkit.mining.filing import key_of, look_at_palace
from mempalace_toolkit.mining.kept_vectors import folder_for, forget, forget_unused
from mempalace_toolkit.model.ensure import ensure
from mempalace_toolkit.palace.toolkit_lock import palace_released
from mempalace_toolkit.pipeline.batches import Batch
from mempalace_toolkit.pipeline.request import Held, RunRequest, timed
from mempalace_toolkit.report.values import Observer, RunReport

UNUSED_SECONDS = 30 * 24 * 3600
"""After which vectors that were kept for later are not asked for any more."""

LEAST_BYTES = 48_000
"""Of pages: some sixty drawers. Fewer are embedded sooner than the child has started."""


def embed_ahead(
    ledger: Ledger,
    request: RunRequest,
    observer: Observer,
    report: RunReport,
    held: Held,
    batch: Batch,
    text: str = "embedding drawers",
) -> None:
    """Embed the pages that will be mined next, and hold the palace again.

    Raises PalaceBusyError, ModelError. The palace is free meanwhile: what another run does to
    it is seen when it is held again.
    """
    pages = _worthwhile(request, batch)
    if not pages:
        return
    with timed(report, "model"):
        ensure(request.target.model, observer.stage)
    target, palace = request.target, request.target.palace
    setting = AheadSetting(
        pages=pages,
        palace=palace.path,
        vectors=vectors_folder(request),
        environment=target.environment,
        log=held.log,
        stall_seconds=request.stall,
        on_total=lambda total: observer.stage(text, total),
        on_step=observer.advance,
    )
    with (
        timed(report, "embed"),
        palace_released(held.lock, palace.path, target.home, target.wait, target.command),
    ):
        embed_pages(setting)
    roll_back_journal(palace)
    look_at_palace(ledger, palace, target.spool)


def vectors_folder(request: RunRequest) -> Path:
    """Where a run of this agent keeps the vectors for this palace until they are filed."""
    return folder_for(request.target.vectors, request.agent, key_of(request.target.palace))


def forget_vectors(request: RunRequest) -> None:
    """Remove what was embedded ahead, and what was once kept for a palace that no run names."""
    forget(vectors_folder(request))
    forget_unused(request.target.vectors, request.target.now_ms / 1000 - UNUSED_SECONDS)


def _worthwhile(request: RunRequest, batch: Batch) -> list[Path]:
    """The pages to embed ahead: none where they are few, or where MemPalace is not our own."""
    palace = request.target.palace
    own = request.mempalace is None and palace.has_hnsw_index
    if not own or palace.embedding_model != "minilm":
        return []
    size = sum(page.size for page in batch)
    return [request.target.spool / page.path for page in batch] if size >= LEAST_BYTES else []
