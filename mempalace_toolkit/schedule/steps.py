"""What an installation or a removal consists of: a plan to print, carried out whole or undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mempalace_toolkit.errors import DamageLeftError, ToolkitError, WriteUndoneError
from mempalace_toolkit.files.private import write_undone, write_whole
from mempalace_toolkit.schedule.programs import Account, call

_PAUSE, _TRIES = 0.5, 10
_STATUS = "see what is there now: mempalace-toolkit schedule status"


@dataclass(frozen=True, slots=True)
class _TakeBack:
    """What takes a step back. A `precaution` belongs to a step that failed: there may be nothing
    to take back, so its own failure says nothing."""

    what: str
    call: Callable[[], object]
    precaution: bool = False


_Undo = list[_TakeBack]


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put `content` where `path` is; None: remove the file."""

    path: Path
    content: bytes | None

    def __str__(self) -> str:
        return f"{'remove' if self.content is None else 'write'} {self.path}"


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder for its owner alone, and those above it."""

    path: Path

    def __str__(self) -> str:
        return f"make {self.path}"


@dataclass(frozen=True, slots=True)
class DropFolders:
    """Remove a folder if it is empty, then those above it, up to but without `above`."""

    path: Path
    above: Path

    def __str__(self) -> str:
        return f"remove {self.path} if it is empty"


@dataclass(frozen=True, slots=True)
class Run:
    """Call a program. `undo` takes it back; it is called again when it ends with `not_yet`."""

    command: tuple[str, ...]
    feed: bytes | None = None
    undo: Run | None = None
    not_yet: tuple[int, ...] = ()
    may_fail: bool = False

    def __str__(self) -> str:
        return "run " + " ".join(self.command)


Step = WriteFile | MakeFolder | DropFolders | Run


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order; none of them: nothing is to be done. `settle` is run after an undo."""

    scheduler: str
    job: str
    steps: tuple[Step, ...]
    settle: tuple[Run, ...] = ()

    def lines(self) -> list[str]:
        """The plan for a person."""
        return [str(step) for step in self.steps]


def apply(plan: Plan, account: Account) -> None:
    """Carry out all steps, or none: what was begun is undone where one fails.

    Raises WriteUndoneError then, or DamageLeftError where a step could not be taken back.
    """
    undo: _Undo = []
    try:
        for step in plan.steps:
            _take(step, account, undo)
    except BaseException as error:
        if undo:
            undo[:0] = [_TakeBack(str(run), partial(_run, run, account)) for run in plan.settle]
            left = [failed for one in reversed(undo) if (failed := _try(one))]
            if left:
                raise _left(error, left) from error
        raise


def _try(one: _TakeBack) -> str:
    """Take one step back; why that failed, or nothing."""
    try:
        one.call()
    except WriteUndoneError as error:
        failure = error.message
    except OSError as error:
        failure = str(error)
    else:
        return ""
    return "" if one.precaution else f"{one.what}: {failure}"


def _left(error: BaseException, left: list[str]) -> DamageLeftError:
    """The error for a work that failed, and for what could not be undone of it."""
    cause = error.message if isinstance(error, ToolkitError) else str(error) or "interrupted"
    return DamageLeftError(
        f"{cause}; what was begun could not be undone: {'; '.join(left)}", _STATUS
    )


def _take(step: Step, account: Account, undo: _Undo) -> None:
    """Carry out one step, and note what takes it back."""
    if isinstance(step, Run):
        taken_back = partial(_run, step.undo, account) if step.undo else None
        try:
            _run(step, account)
        except BaseException:
            if taken_back:  # a program that fails may have done half
                undo.append(_TakeBack(str(step.undo), taken_back, precaution=True))
            raise
        if taken_back:
            undo.append(_TakeBack(str(step.undo), taken_back))
        return
    if isinstance(step, DropFolders):
        _drop(step.path, step.above)
        return
    path = step.path
    try:
        if isinstance(step, MakeFolder):
            _make(path, 0o700, undo)
            return
        if step.content is not None:
            _make(path.parent, 0o755, undo)
        before = _content(path)
        _put(path, step.content)
        undo.append(_TakeBack(f"restore {path}", partial(_put, path, before)))
    except OSError as error:
        raise write_undone(path, error) from error


def _run(step: Run, account: Account) -> None:
    ended = call(step.command, account, step.feed)
    for _ in range(_TRIES):
        if ended.code not in step.not_yet:
            break
        time.sleep(_PAUSE)
        ended = call(step.command, account, step.feed)
    if ended.code == 0 or step.may_fail:
        return
    said = ended.err or ended.text.strip() or "no message"
    raise WriteUndoneError(
        f"`{' '.join(step.command)}` failed ({ended.code}): {said}",
        "what was begun was undone; run it by hand to see more, then try again",
    )


def _make(folder: Path, mode: int, undo: _Undo) -> None:
    for path in reversed([folder, *folder.parents]):
        if not path.is_dir():
            path.mkdir(mode=mode)
            undo.append(_TakeBack(f"remove {path}", partial(_drop, path, path.parent)))


def _drop(folder: Path, above: Path) -> None:
    for path in [folder, *folder.parents]:
        if path == above or not path.is_relative_to(above):
            return
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return


def _content(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _put(path: Path, content: bytes | None) -> None:
    """Write a file whole, or remove it."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    # launchd takes no file that others may write to, whatever the umask.
    write_whole(path, content, 0o644)
