"""Where a command ends: one line for an expected failure, its exit code, JSON when asked."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mempalace_toolkit.cli.context.interruption import Terminated, notes_of, obey_sigterm
from mempalace_toolkit.errors import (
    SCHEMA_VERSION,
    ToolkitError,
    WriteUndoneError,
    error_status,
)
from mempalace_toolkit.files.private import disk_full, is_full

READER_GONE = 128 + 13
"""The exit status, as a shell tells it, where nobody reads the answer any more: SIGPIPE."""


def run_app(command: str, app: Callable[[], object]) -> None:
    """Parse the command line and do what it asks; help and version meet a full disk, too."""
    _open_missing()
    try:
        app()
    except SystemExit as end:
        sys.exit(_flushed(command, end.code))
    except OSError as error:
        if not is_full(error):
            raise
        sys.exit(_tell_failure(command, False, 0, _undone(error)))


def _flushed(command: str, code: str | int | None) -> str | int | None:
    """The exit status, once all that was printed has arrived; another where it cannot."""
    if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # typer met a reader that was gone
        return READER_GONE
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        return READER_GONE
    except OSError as error:
        return _tell_failure(command, False, 0, _undone(error))
    return code


def end_with(command: str, as_json: bool, verbose: int, work: Callable[[], int]) -> int:
    """Run a command's work and turn what it raises into an exit status.

    An expected failure is one line and its remedy. A bug keeps its traceback and exits 1.
    """
    _make_printable(as_json)
    obey_sigterm()
    try:
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ToolkitError as error:
        return _tell_failure(command, as_json, verbose, error)
    except KeyboardInterrupt as interruption:
        ended = "ended by SIGTERM" if isinstance(interruption, Terminated) else "interrupted"
        told = "; ".join(notes_of(interruption)) or "the next run finishes what was begun"
        tell(f"{command}: {ended}; {told}")
        return exit_of_interruption(interruption)
    except BrokenPipeError:
        _give_up_stdout()
        return READER_GONE
    except Exception as error:
        if not is_full(error):
            raise
        return _tell_failure(command, as_json, verbose, _undone(error))


def _tell_failure(command: str, as_json: bool, verbose: int, error: ToolkitError) -> int:
    if verbose > 1:
        traceback.print_exc()
    if as_json:
        try:
            print_json(failure(command, error))
        except OSError:  # nowhere to answer; the line below and the status say it
            _give_up_stdout()
    tell(f"{command}: {error.message}")
    if error.hint:
        tell(f"  {error.hint}")
    return error.exit_code


def _undone(error: Exception) -> WriteUndoneError:
    """The expected failure for a write that found no room, be it to a file or to stdout."""
    place = Path(getattr(error, "filename", None) or "the file that was being written")
    try:
        sys.stdout.flush()
    except OSError:
        place = Path("standard output")
        _give_up_stdout()
    return disk_full(place, str(error))


def _give_up_stdout() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_missing() -> None:
    """Give a process that was started without an output one that fails as a full disk does."""
    if sys.stdout is None:
        sys.stdout = open("/dev/full", "w")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


def _make_printable(as_json: bool) -> None:
    """Let no character end a command: JSON is UTF-8 everywhere, text what the terminal has."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8" if as_json else None, errors="replace")


def exit_of_interruption(interruption: KeyboardInterrupt) -> int:
    """The exit status as a shell tells it: 128 and the signal's number."""
    ended_by = signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT
    return 128 + ended_by


def failure(command: str, error: ToolkitError) -> dict[str, object]:
    """The JSON answer of a command that got nowhere."""
    return {
        "version": SCHEMA_VERSION,
        "command": command,
        "status": error_status(error),
        "error": error.as_json(),
    }


def agreed(question: str) -> bool | None:
    """Whether a person at the terminal agrees; None where there is nobody to ask."""
    import typer

    if sys.stdin is None or not sys.stdin.isatty():
        return None
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # the terminal's end of input
        tell("")
        return False


def print_json(answer: dict[str, object]) -> None:
    """One object on stdout, readable by people too."""
    text = json.dumps(answer, ensure_ascii=False, indent=2)
    print(text, flush=True)


def tell(line: str) -> None:
    """A line of the story, on stderr."""
    shown = "".join(c if c.isprintable() else " " for c in line)
    print(shown, file=sys.stderr, flush=True)
