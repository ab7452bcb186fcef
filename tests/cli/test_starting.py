"""What a command loads before it has anything to do: nothing that takes long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"numpy", "chromadb", "mempalace", "onnxruntime", "tokenizers", "onnx", "rich", "sqlite3"}

SHOW_MODULES = """
import atexit, sys
from mempalace_toolkit.cli.{command} import main
atexit.register(lambda: print("|".join(sys.modules), file=sys.stderr))
sys.argv = ["command", *{arguments!r}]
main()
"""


def loaded(command: str, arguments: list[str], home: Path, code: int = 0) -> set[str]:
    """The packages that a command has loaded when it ends."""
    program = SHOW_MODULES.format(command=command, arguments=arguments)
    kept = {"PATH": os.environ["PATH"], "HOME": str(home)}
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, env=kept
    )
    assert ended.returncode == code, ended.stderr
    return {name.partition(".")[0] for name in ended.stderr.splitlines()[-1].split("|")}


@pytest.mark.parametrize("command", ["session", "pi_session", "toolkit"])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_slow(command: str, option: str, tmp_path: Path) -> None:
    assert loaded(command, [option], tmp_path) & SLOW == set()


@pytest.mark.parametrize("group", ["check", "repair", "schedule", "quarantine", "model", "demo"])
def test_help_of_a_subcommand_loads_nothing_slow(group: str, tmp_path: Path) -> None:
    assert loaded("toolkit", [group, "--help"], tmp_path) & SLOW == set()


@pytest.mark.parametrize("command", ["session", "pi_session"])
@pytest.mark.parametrize("arguments", [[], ["--json"], ["--palace", "x", "--limit", "3"]])
def test_a_run_without_a_store_loads_nothing_slow(
    command: str, arguments: list[str], tmp_path: Path
) -> None:
    slow = (SLOW | {"pydantic"}) - {"sqlite3"}
    assert loaded(command, arguments, tmp_path) & slow == set()


@pytest.mark.parametrize("arguments", [["where", "is", "it"], ["-n", "3", "--json", "why"]])
def test_a_search_loads_nothing_slow_beside_its_child(arguments: list[str], tmp_path: Path) -> None:
    slow = (SLOW | {"pydantic"}) - {"sqlite3"}
    assert loaded("toolkit", ["search", *arguments], tmp_path, code=2) & slow == set()
