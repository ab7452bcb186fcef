"""The help pages: plain words, whole sentences, examples that work."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from mempalace_toolkit.cli.context.help_pages import PAGES
from tests.conftest import Sandbox

COMMANDS = sorted(PAGES)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_type_no_range_and_no_cut_sentence_stands_in_a_help_page(
    bare: Sandbox, command: str
) -> None:
    bare.environment["COLUMNS"] = "80"
    program, *words = command.split()
    answer = bare.run(program, *words, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: {command} [OPTIONS]")
    for noise in ("<list", "x>=", "[required]", "<str>", "[[", "{", "[default: 0]"):
        assert noise not in answer.out
    below = answer.out.splitlines()[1:]
    assert not [line for line in below if line.endswith(("...", "…"))]
    assert max(map(len, answer.out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_is_a_command_line_that_is_understood(bare: Sandbox, command: str) -> None:
    for example in PAGES[command].examples:
        program, *words = shlex.split(example)
        assert bare.run(program, *words, "--help").code == 0, example


def test_help_shows_the_page_of_a_command_that_is_named(bare: Sandbox) -> None:
    page = bare.run("mempalace-toolkit", "schedule", "install", "--help")
    assert bare.run("mempalace-toolkit", "help", "schedule", "install").out == page.out
    assert "Commands:" in bare.run("mempalace-toolkit", "help").out
    assert bare.run("mempalace-toolkit", "help", "nosuch").code == 2


def test_the_short_option_tells_the_version(bare: Sandbox) -> None:
    assert bare.run("mempalace-toolkit", "-V").out.startswith("mempalace-toolkit ")


def test_a_number_out_of_its_range_is_still_refused(bare: Sandbox) -> None:
    assert bare.run("mempalace-session", "--limit", "0").code == 2
    assert bare.run("mempalace-toolkit", "search", "-n", "101", "x").code == 2


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["mempalace-toolkit", "sch"], "schedule"),
        (["mempalace-session", "--inc"], "--include-subagents"),
        (["mempalace-pi-session", "--inc"], "--include-subagents"),
    ],
)
def test_bash_completes_commands_and_options(
    bare: Sandbox, words: list[str], completed: str
) -> None:
    function = f"_{words[0].replace('-', '_')}_completion"
    script = (
        'eval "$(mempalace-toolkit completion bash)"\n'
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD=1; {function} {words[0]}\n"
        'echo "${COMPREPLY[@]}"'
    )
    asked = ["bash", "-c", script]
    ended = subprocess.run(asked, env=bare.variables(), capture_output=True, text=True)
    assert ended.stdout.split() == [completed], ended


def test_a_shell_that_is_not_known_is_refused(bare: Sandbox) -> None:
    assert bare.run("mempalace-toolkit", "completion", "nosuch").code == 2
    assert bare.run("mempalace-toolkit", "completion", "zsh").out.startswith("#compdef")
