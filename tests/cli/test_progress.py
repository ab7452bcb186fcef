"""What a run without a terminal says of its progress."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from mempalace_toolkit.cli.output.progress import Lines


def test_a_stage_with_a_total_says_how_far_it_is_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lines, "EVERY_SECONDS", 0.0)
    lines = Lines()
    lines.stage("embedding drawers", 413)
    lines.advance(0)
    lines.advance(120)
    lines.advance(293)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "embedding drawers: 413"
    assert told[1].startswith("embedding drawers: 0 of 413, about ")
    assert re.fullmatch(r"embedding drawers: 120 of 413, about \d+ s left", told[2])
    assert told[3] == "embedding drawers: 413 of 413, about 0 s left"


def test_a_stage_without_a_total_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lines, "EVERY_SECONDS", 0.0)
    lines = Lines()
    lines.stage("reading sessions")
    lines.advance(7)
    assert capsys.readouterr().err.splitlines() == ["reading sessions", "reading sessions: 7"]


def on_a_terminal(program: str, columns: int = 100) -> str:
    """What a program writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert child.wait() == 0, shown.decode()
    return shown.decode()


def test_a_terminal_gets_a_bar_with_steps_that_is_taken_away_at_the_end() -> None:
    shown = on_a_terminal(
        "from mempalace_toolkit.cli.output.progress import Bar, progress_for\n"
        "with progress_for(False) as bar:\n"
        "    assert isinstance(bar, Bar)\n"
        "    bar.advance()\n"
        "    bar.stage('reading sessions')\n"
        "    bar.advance(2)\n"
        "    bar.stage('embedding drawers', 413)\n"
        "    bar.advance(120)\n"
        "    bar.advance(293)\n"
    )
    assert "embedding drawers" in shown
    assert "413/413" in shown
    assert shown.rstrip("\r\n").endswith("\x1b[2K")
    assert "\x1b[?25h" in shown  # the cursor is back


@pytest.mark.parametrize("terminal", ["dumb", ""])
def test_a_terminal_that_cannot_redraw_a_line_gets_plain_lines(terminal: str) -> None:
    """Emacs' shell and some screen readers are such terminals."""
    shown = on_a_terminal(
        "import os\n"
        f"os.environ['TERM'] = {terminal!r}\n"
        "from mempalace_toolkit.cli.output.progress import progress_for\n"
        "with progress_for(False) as lines:\n"
        "    lines.stage('embedding drawers', 413)\n"
    )
    assert shown == "embedding drawers: 413\r\n"


def test_quiet_shows_nothing_on_a_terminal_either() -> None:
    assert not on_a_terminal(
        "from mempalace_toolkit.cli.output.progress import progress_for\n"
        "with progress_for(True) as quiet:\n"
        "    quiet.stage('reading sessions', 3)\n"
        "    quiet.advance()\n"
    )
