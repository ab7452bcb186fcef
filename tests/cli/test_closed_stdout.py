"""A reader that goes away, and a place for the answer that is full or closed, are no bugs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import FIXTURES, Sandbox

COMMANDS = [
    ("mempalace-session", "--dry-run"),
    ("mempalace-session", "--dry-run", "--json"),
    ("mempalace-session", "--help"),
    ("mempalace-session", "--version"),
    ("mempalace-pi-session",),
    ("mempalace-toolkit", "--help"),
    ("mempalace-toolkit", "check", "--json"),
    ("mempalace-toolkit", "schedule", "status"),
]


@pytest.fixture
def home(bare: Sandbox) -> Sandbox:
    bare.opencode.mkdir(parents=True)
    source = FIXTURES / "opencode/1.18.33/basic/opencode.db"
    (bare.opencode / "opencode.db").write_bytes(source.read_bytes())
    return bare


def ended(home: Sandbox, asked: Sequence[str], stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*asked] if asked[0] == "sh" else home.command(*asked),
        env=home.variables(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("asked", COMMANDS, ids=" ".join)
def test_a_full_place_for_the_answer_is_74(home: Sandbox, asked: Sequence[str]) -> None:
    with Path("/dev/full").open("w") as full:
        end = ended(home, asked, full.fileno())
    assert end.returncode == 74, end
    assert "standard output" in end.stderr
    assert "Traceback" not in end.stderr
    assert "Exception" not in end.stderr


@pytest.mark.parametrize("asked", COMMANDS, ids=" ".join)
def test_a_reader_that_is_gone_is_141(home: Sandbox, asked: Sequence[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    end = ended(home, asked, writing)
    os.close(writing)
    assert end.returncode == 141, end
    assert "Traceback" not in end.stderr
    assert "Exception" not in end.stderr


@pytest.mark.parametrize("asked", COMMANDS, ids=" ".join)
def test_a_closed_stdout_is_74(home: Sandbox, asked: Sequence[str]) -> None:
    end = ended(home, ("sh", "-c", 'exec "$0" "$@" >&-', *home.command(*asked)), -1)
    assert end.returncode == 74, end
    assert "Traceback" not in end.stderr


@pytest.mark.parametrize("option", ["--session", "--wing", "--since"])
def test_an_option_that_names_nothing_is_a_usage_error(home: Sandbox, option: str) -> None:
    answer = home.session("--dry-run", option, "")
    assert answer.code == 2, answer
    assert option in answer.err
