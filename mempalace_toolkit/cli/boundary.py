"""Where a command ends: one line for an expected failure, its exit code, JSON when asked."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable

from mempalace_toolkit.cli.interruption import Terminated, obey_sigterm
from mempalace_toolkit.errors import SCHEMA_VERSION, ExitCode, ToolkitError, error_status


def end_with(command: str, as_json: bool, verbose: int, work: Callable[[], int]) -> int:
    """Run a command's work and turn what it raises into an exit status.

    An expected failure is one line and its remedy. A bug keeps its traceback and exits 1.
    """
    _make_printable(as_json)
    obey_sigterm()
    try:
        return work()
    except ToolkitError as error:
        if verbose > 1:
            traceback.print_exc()
        if as_json:
            print_json(failure(command, error))
        tell(f"{command}: {error.message}")
        if error.hint:
            tell(f"  {error.hint}")
        return error.exit_code
    except KeyboardInterrupt as interruption:
        ended = "ended by SIGTERM" if isinstance(interruption, Terminated) else "interrupted"
        tell(f"{command}: {ended}; what was begun is made up for by the next run")
        return exit_of_interruption(interruption)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


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


def print_json(answer: dict[str, object]) -> None:
    """One object on stdout, readable by people too."""
    text = json.dumps(answer, ensure_ascii=False, indent=2)
    print(text, flush=True)


def tell(line: str) -> None:
    """A line of the story, on stderr."""
    shown = "".join(c if c.isprintable() else " " for c in line)
    print(shown, file=sys.stderr, flush=True)
