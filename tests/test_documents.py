"""The documents say what is: exit codes, the file tree, and every command line that they show."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mempalace_toolkit.cli.commands.completion import MODULES
from mempalace_toolkit.errors import ExitCode, ToolkitError
from mempalace_toolkit.index.evidence.findings import KINDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "SKILL.md", "CONTRIBUTING.md", "contrib/README.md"]


def text_of(document: str) -> str:
    path = ROOT / document
    return path.read_text("utf-8") if path.exists() else ""


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """Each block's language and content."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> list[list[str]]:
    """The shell commands of a document, as words, without what they are piped into."""
    found = []
    for language, block in fenced_blocks(text):
        if language not in {"console", "sh", "bash"}:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console" and not line.startswith("$ "):
                continue
            words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
            command: list[str] = []
            for word in words:
                if set(word) <= set("();<>|&"):
                    found.append(command)
                    command = []
                else:
                    command.append(word)
            found.append(command)
    without_settings = ([w for w in command if not re.match(r"[A-Z_]+=", w)] for command in found)
    return [command for command in without_settings if command]


def documented(*names: str) -> list[list[str]]:
    lines = [line for document in DOCUMENTS for line in command_lines(text_of(document))]
    return [line for line in lines if Path(line[0]).name in names]


def parses(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Ask for the help of exactly this command line: wrong words and options exit 2 before that."""
    module = f"mempalace_toolkit.cli.{MODULES[Path(command[0]).name]}"
    started = [sys.executable, "-m", module, *command[1:], "--help"]
    return subprocess.run(started, capture_output=True, text=True, cwd=ROOT)


def tree_of(text: str) -> list[str]:
    """The paths that a document's file tree names: indented names, then two spaces and words."""
    block = next((b for _, b in fenced_blocks(text) if "mempalace_toolkit/" in b), "")
    folders: list[tuple[int, str]] = []
    paths = []
    for line in block.splitlines():
        names = re.split(r" {2,}", line.strip())[0]
        indent = len(line) - len(line.lstrip())
        folders = [(depth, name) for depth, name in folders if depth < indent]
        for name in re.sub(r"\{([^}]*)\}", lambda m: m[0].replace(",", "|"), names).split():
            for path in expand(name.rstrip(",")):
                paths.append("".join(folder for _, folder in folders) + path)
                if name.endswith("/"):
                    folders.append((indent, path))
    return paths


def expand(name: str) -> list[str]:
    """`a/{x|y}/` as two names."""
    braces = re.search(r"\{([^}]*)\}", name)
    if not braces:
        return [name]
    return [name.replace(braces[0], choice) for choice in braces[1].split("|")]


def test_the_exit_codes_of_the_readme_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| *`?(\d+)`? *\|", text_of("README.md"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(ExitCode)


def kinds_of_errors(base: type[ToolkitError]) -> dict[str, str]:
    """Each kind with its exit code as the page of the JSON answers gives it."""
    found = {}
    for error in base.__subclasses__():
        code = "130, 143" if error.kind == "interrupted" else str(int(error.exit_code))
        found[error.kind] = code
        found |= kinds_of_errors(error)
    return found


def test_the_json_page_lists_every_kind_of_error_with_its_exit_code() -> None:
    page = text_of("docs/json.md").partition("## Kinds of errors")[2].partition("## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d, ]+) \|", page, re.MULTILINE))
    assert rows == kinds_of_errors(ToolkitError)


def test_the_json_page_lists_every_kind_of_finding_with_its_meaning() -> None:
    page = text_of("docs/json.md").partition("## Kinds of findings")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert rows == {kind.name: kind.meaning for kind in KINDS.values()}


def test_every_path_in_the_architecture_s_tree_exists() -> None:
    paths = tree_of(text_of("ARCHITECTURE.md"))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_module_is_in_the_architecture_s_tree_or_under_a_folder_that_is() -> None:
    named = {path.rstrip("/") for path in tree_of(text_of("ARCHITECTURE.md"))}
    parts = {f"mempalace_toolkit/{p.name}" for p in (ROOT / "mempalace_toolkit").iterdir()}
    unnamed = {part for part in parts if not Path(part).name.startswith("__")} - named
    assert unnamed == set()


@pytest.mark.parametrize("command", documented(*MODULES), ids=" ".join)
def test_every_documented_command_line_parses(command: list[str]) -> None:
    asked = parses(command)
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize("command", documented("install.sh", "uninstall.sh"), ids=" ".join)
def test_every_documented_installer_line_parses(command: list[str]) -> None:
    script = ROOT / Path(command[0]).name
    asked = subprocess.run([script, *command[1:], "--help"], capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize("command", documented("make"), ids=" ".join)
def test_every_documented_make_target_exists(command: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in command[1:]:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


# The readers of documents themselves.


def test_command_lines_are_found_in_console_and_shell_blocks_only() -> None:
    text = (
        "```console\n$ mempalace-session --json | jq .\nsaid: mempalace-session\n```\n"
        "```sh\nA=1 ./install.sh --prefix 'a b' && make \\\n  test # twice\n```\n"
        "```python\nmempalace-session\n```\n"
    )
    assert command_lines(text) == [
        ["mempalace-session", "--json"],
        ["jq", "."],
        ["./install.sh", "--prefix", "a b"],
        ["make", "test"],
    ]


def test_a_tree_gives_nested_single_and_braced_paths() -> None:
    text = (
        "```\nREADME.md Makefile\nbin/     thin: a, b\n"
        "contrib/{x,y}/, contrib/README.md   by hand\n"
        "mempalace_toolkit/\n  errors.py log.py\n  cli/   one a command\n    a.py\ndocs/\n```"
    )
    assert tree_of(text) == [
        "README.md",
        "Makefile",
        "bin/",
        "contrib/x/",
        "contrib/y/",
        "contrib/README.md",
        "mempalace_toolkit/",
        "mempalace_toolkit/errors.py",
        "mempalace_toolkit/log.py",
        "mempalace_toolkit/cli/",
        "mempalace_toolkit/cli/a.py",
        "docs/",
    ]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("mempalace-session --dry-run --json", 0),
        ("mempalace-pi-session --since 2026-01-01", 0),
        ("mempalace-toolkit model status --json", 0),
        ("mempalace-session --no-such-option", 2),
        ("mempalace-toolkit no-such-command", 2),
        ("mempalace-toolkit model status --no-such-option", 2),
    ],
)
def test_a_command_line_that_is_wrong_is_found_wrong(command: str, status: int) -> None:
    assert parses(command.split()).returncode == status
