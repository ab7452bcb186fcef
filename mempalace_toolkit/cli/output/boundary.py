"""Where a command ends: one line for an expected failure, its exit code, JSON when asked."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from mempalace_toolkit.cli.context.interruption import Terminated, notes_of, obey_sigterm
from mempalace_toolkit.cli.context.known import known, remember
from mempalace_toolkit.cli.output.next_command import next_command
from mempalace_toolkit.errors import (
    BugError,
    InterruptedRunError,
    ToolkitError,
    UsageError,
    WriteUndoneError,
)
from mempalace_toolkit.files.private import disk_full, is_full
from mempalace_toolkit.report.envelope import command_named, envelope

READER_GONE = 128 + 13
"""The exit status, as a shell tells it, where nobody reads the answer any more: SIGPIPE."""


def run_app(command: str, app: Callable[..., object]) -> None:
    """Parse the command line and do what it asks; help and version meet a full disk, too."""
    _open_missing()
    if _asked_for_json(command):
        sys.exit(_flushed(command, _run_for_json(command, app)))
    try:
        app(prog_name=command)
    except SystemExit as end:
        sys.exit(_flushed(command, end.code))
    except OSError as error:
        if not is_full(error):
            raise
        sys.exit(_tell_failure(command, False, 0, _undone(error)))


def _asked_for_json(program: str) -> bool:
    """Whether `--json` stands anywhere among the options; it is put where any command takes it."""
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    if "--json" not in words[:end]:
        return False
    options = [word for word in words[:end] if word != "--json"]
    place = len(command_named(program, options).split()) - 1 if options else 0
    sys.argv[1:] = [*options[:place], "--json", *options[place:], *words[end:]]
    return True


def _run_for_json(program: str, app: Callable[..., object]) -> int:
    """Run the command line; whatever the parser has to say becomes the one JSON object, too."""
    _make_printable(True)
    obey_sigterm()
    words = sys.argv[1:]
    command = command_named(program, words)
    options = words[: words.index("--")] if "--" in words else words
    shown = bool({"--help", "-h", "--version", "-V"} & set(options))
    if shown and command == program:  # no command takes it here
        sys.argv.remove("--json")
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text) if shown else contextlib.nullcontext():
            code = app(standalone_mode=False)
    except SystemExit as end:
        code = end.code
    except OSError as error:
        if not is_full(error):
            raise
        return _tell_failure(command, True, 0, _undone(error))
    except Exception as error:
        if not hasattr(error, "format_message"):
            traceback.print_exc()
            return _tell_failure(command, True, 0, _bug(error))
        return _tell_failure(command, True, 0, _misused(command, error.format_message()))
    status = code if isinstance(code, int) else 0
    if status == 128 + signal.SIGINT and not known("answered"):  # before the work began
        _print_failure(command, InterruptedRunError("interrupted", "run it again", status))
    if shown and not known("answered"):
        print_answer(f"{program} --help", "ok", {"text": text.getvalue().strip()})
    return status


def _misused(command: str, message: str) -> UsageError:
    if "--json" in message:
        words = [word for word in sys.argv[1:] if not word.startswith("-")]
        message = f"no such command: {words[0]}" if words else "a command is missing"
    text = message.strip().rstrip(".")
    return UsageError(text[:1].lower() + text[1:], f"{command} --help shows what it takes")


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
        status = exit_of_interruption(interruption)
        if as_json:
            _print_failure(command, InterruptedRunError(ended, told, status))
        tell(f"{command}: {ended}; {told}")
        return status
    except BrokenPipeError:
        _give_up_stdout()
        return READER_GONE
    except Exception as error:
        if is_full(error):
            return _tell_failure(command, as_json, verbose, _undone(error))
        traceback.print_exc()
        return _tell_failure(command, as_json, 0, _bug(error))


def _tell_failure(command: str, as_json: bool, verbose: int, error: ToolkitError) -> int:
    if verbose > 1:
        traceback.print_exc()
    if as_json:
        _print_failure(command, error)
    tell(f"{command}: {error.message}")
    if error.hint:
        tell(f"  {error.hint}")
    return error.exit_code


def _print_failure(command: str, error: ToolkitError) -> None:
    try:
        print_answer(command, "failed", {}, error=error)
    except OSError:  # nowhere to answer; the line on stderr and the exit status say it
        _give_up_stdout()


def _bug(error: Exception) -> BugError:
    return BugError(
        f"this is a bug in the toolkit: {type(error).__name__}: {error}",
        "please report it with the traceback above",
    )


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


def print_answer(
    command: str,
    status: str,
    own: Mapping[str, object],
    *,
    palace: str | None = None,
    dry_run: bool | None = None,
    error: ToolkitError | None = None,
    log: str | None = None,
) -> None:
    """One JSON object on stdout, readable by people too, with the keys that all answers have."""
    arguments = sys.argv[1:]
    answer = envelope(
        command,
        status,
        own,
        palace=palace or known("palace"),
        dry_run="--dry-run" in arguments if dry_run is None else dry_run,
        error=error,
        log=log or known("log"),
        next_command=next_command(command, status, arguments, error, own),
    )
    remember(answered="yes")
    print(json.dumps(answer, ensure_ascii=False, indent=2), flush=True)


def tell(line: str) -> None:
    """A line of the story, on stderr."""
    shown = "".join(c if c.isprintable() else " " for c in line)
    print(shown, file=sys.stderr, flush=True)
