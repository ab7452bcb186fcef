"""How a run's progress is shown: a bar on a terminal, plain lines elsewhere, or not at all."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from typing import IO, Any, Self, cast

from mempalace_toolkit.cli.output.boundary import tell


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, text: str, total: int | None = None) -> None:
        """A new stage."""

    def advance(self, steps: int = 1) -> None:
        """Steps done."""


class Lines(Quiet):
    """A line a stage, and one now and then on the way: for cron, systemd and pipes."""

    EVERY_SECONDS = 30.0

    def __init__(self) -> None:
        self._text, self._total, self._done, self._told, self._begun = "", None, 0, 0.0, 0.0

    _total: int | None

    def stage(self, text: str, total: int | None = None) -> None:
        """A new stage."""
        self._text, self._total, self._done = text, total, 0
        self._begun = self._told = time.monotonic()
        tell(text + (f": {total}" if total else ""))

    def advance(self, steps: int = 1) -> None:
        """Steps done."""
        self._done += steps
        if time.monotonic() - self._told >= self.EVERY_SECONDS:
            self._told = time.monotonic()
            tell(f"{self._text}: {self._done}" + (self._left() if self._total else ""))

    def _left(self) -> str:
        total = self._total or 0
        seconds = (self._told - self._begun) / max(1, self._done) * max(0, total - self._done)
        return f" of {total}, about {seconds:.0f} s left"


class Bar(Quiet):
    """A moving bar on a terminal's stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed
        from rich.progress import TimeRemainingColumn as Remaining
        from rich.theme import Theme

        plain = {f"progress.{name}": "default" for name in ("elapsed", "remaining", "download")}

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            Elapsed(),
            Remaining(),
            console=Console(stderr=True, theme=Theme(plain)),  # yellow on white is not to be read
            transient=True,
        )
        self._task = None

    _task: int | None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, text: str, total: int | None = None) -> None:
        """A new stage."""
        if self._task is not None:
            self._progress.remove_task(self._task)  # type: ignore[arg-type]
        self._task = self._progress.add_task(text, total=total)

    def advance(self, steps: int = 1) -> None:
        """Steps done."""
        if self._task is not None:
            self._progress.advance(self._task, steps)  # type: ignore[arg-type]


class _Echo(io.RawIOBase):
    """Writes to a log and to stderr."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        sys.stderr.write(bytes(chunk).decode("utf-8", "replace"))
        sys.stderr.flush()
        return self._log.write(chunk)


def echoed(log: IO[bytes]) -> IO[bytes]:
    """The log with everything that goes into it shown on stderr as well."""
    return cast(IO[bytes], _Echo(log))


class JsonLines(Lines):
    """A JSON object a line on stderr, for programs: stage, done, total, seconds_left."""

    EVERY_SECONDS = 2.0

    def stage(self, text: str, total: int | None = None) -> None:
        """A new stage."""
        self._text, self._total, self._done = text, total, 0
        self._begun = self._told = time.monotonic()
        self._tell()

    def advance(self, steps: int = 1) -> None:
        """Steps done."""
        self._done += steps
        if time.monotonic() - self._told >= self.EVERY_SECONDS:
            self._told = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        left = None
        if self._total and self._done:
            spent = self._told - self._begun
            left = round(spent / self._done * max(0, self._total - self._done), 1)
        line = {"stage": self._text, "done": self._done, "total": self._total}
        tell(json.dumps({**line, "seconds_left": left}, ensure_ascii=False))


def progress_for(quiet: bool, *, as_lines: bool = False) -> Quiet:
    """The way of showing progress that fits where stderr goes."""
    if as_lines:
        return JsonLines()
    if quiet:
        return Quiet()
    return Bar() if sys.stderr.isatty() and _can_redraw() else Lines()


def _can_redraw() -> bool:
    """Whether the terminal can draw over a line; Emacs and screen readers say `dumb`."""
    return os.environ.get("TERM", "dumb").lower() not in ("", "dumb", "unknown")
