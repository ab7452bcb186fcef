"""`mempalace-toolkit connect` on agents' real settings files: shown, written, undone, refused."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Sandbox, tree_state

OPENCODE = '{\n    "model": "a/b",\n    "mcp": {"other": {"type": "local", "command": ["x"]}}\n}\n'
CODEX = '# mine\nmodel = "gpt"\n\n[mcp_servers.other]\ncommand = "x"\n'
CLAUDE = '{"numStartups": 3, "projects": {"/a": {"history": ["é"]}}}'


@pytest.fixture
def home(bare: Sandbox) -> Sandbox:
    """A home in which all four agents were used, with settings of their own."""
    for name, text in (
        (".config/opencode/opencode.json", OPENCODE),
        (".codex/config.toml", CODEX),
        (".claude.json", CLAUDE),
        (".claude/settings.json", "{}"),
        (".pi/agent/settings.json", "{}"),
    ):
        path = bare.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return bare


def connect(sandbox: Sandbox, *arguments: str) -> dict[str, object]:
    answer = sandbox.run("mempalace-toolkit", "connect", "--json", *arguments)
    assert answer.code == 0, answer
    return answer.json


def files(home: Path) -> dict[str, str]:
    """Every settings and skill file, less the copies that were kept."""
    return {
        path.relative_to(home).as_posix(): path.read_text("utf-8")
        for path in sorted(home.rglob("*"))
        if path.is_file() and ".before-mempalace-" not in path.name
    }


def test_showing_a_connection_writes_nothing(home: Sandbox) -> None:
    before = tree_state(home.home)
    answer = home.run("mempalace-toolkit", "connect")
    assert answer.code == 0
    assert tree_state(home.home) == before
    for words in ("opencode.json would get", '"mcpServers"', "[mcp_servers.mempalace]"):
        assert words in answer.out
    assert "mempalace-toolkit connect pi --write" in answer.out


def test_writing_adds_one_entry_keeps_the_rest_and_twice_changes_nothing(home: Sandbox) -> None:
    connect(home, "--write")
    program = home.command("mempalace-mcp")[0]
    opencode = json.loads((home.home / ".config/opencode/opencode.json").read_text())
    assert opencode["model"] == "a/b"
    assert opencode["mcp"] == {
        "other": {"type": "local", "command": ["x"]},
        "mempalace": {"type": "local", "command": [program], "enabled": True},
    }
    claude = json.loads((home.home / ".claude.json").read_text("utf-8"))
    assert claude["projects"] == {"/a": {"history": ["é"]}}
    assert claude["mcpServers"]["mempalace"]["command"] == program
    codex_text = (home.home / ".codex/config.toml").read_text()
    assert codex_text.startswith(CODEX)
    codex = tomllib.loads(codex_text)["mcp_servers"]
    assert codex == {"other": {"command": "x"}, "mempalace": {"command": program, "args": []}}
    for folder in (".config/opencode", ".pi/agent", ".claude", ".codex"):
        skill = home.home / folder / "skills/mempalace-toolkit/SKILL.md"
        assert skill.read_text("utf-8").startswith("---\nname: mempalace-toolkit\n")
        assert stat.S_IMODE(skill.stat().st_mode) == 0o600
    written = tree_state(home.home)
    assert connect(home, "--write")["status"] == "noop"
    assert tree_state(home.home) == written


def test_the_file_as_it_was_is_kept(home: Sandbox) -> None:
    connect(home, "opencode", "--write")
    (backup,) = (home.home / ".config/opencode").glob("*.before-mempalace-*")
    assert backup.read_text() == OPENCODE


def test_removing_takes_out_what_was_written_and_nothing_else(home: Sandbox) -> None:
    before = files(home.home)
    connect(home, "--write")
    connect(home, "--remove")
    after = files(home.home)
    assert after.keys() == before.keys()
    assert after[".codex/config.toml"] == CODEX
    for name in (".config/opencode/opencode.json", ".claude.json"):
        assert json.loads(after[name]) == json.loads(before[name])
    assert connect(home, "--remove")["status"] == "noop"


def test_an_entry_of_the_users_own_and_a_file_with_comments_are_left_as_they_are(
    home: Sandbox,
) -> None:
    own = home.home / ".config/opencode/opencode.json"
    own.write_text('{"mcp": {"mempalace": {"type": "remote", "url": "http://127.0.0.1:1"}}}')
    commented = home.home / ".claude.json"
    commented.write_text('{ // mine\n "mcpServers": {} }')
    before = tree_state(home.home)
    for agent in ("opencode", "claude-code"):
        answer = home.run("mempalace-toolkit", "connect", agent, "--write", "--json")
        assert answer.code == 78
        assert answer.json["error"]["kind"] == "configuration"
        assert tree_state(home.home) == before
    home.run("mempalace-toolkit", "connect", "opencode", "--remove")
    assert own.read_text().count("mempalace") == 1


def test_a_file_that_cannot_be_written_leaves_everything_as_it_was(home: Sandbox) -> None:
    skills = home.home / ".config/opencode/skills"
    skills.write_text("a file where a folder is needed")
    answer = home.run("mempalace-toolkit", "connect", "opencode", "--write")
    assert answer.code == 74
    assert (home.home / ".config/opencode/opencode.json").read_text() == OPENCODE


def test_an_unknown_agent_is_refused_and_the_known_ones_are_named(bare: Sandbox) -> None:
    answer = bare.run("mempalace-toolkit", "connect", "emacs")
    assert answer.code == 2
    assert "opencode, pi, claude-code, codex" in answer.err


def test_the_entry_starts_a_server_that_answers(sandbox: Sandbox) -> None:
    """The command that is written is run as an agent would, and asked for its tools."""
    import subprocess

    connect(sandbox, "codex", "--write")
    entry = tomllib.loads((sandbox.home / ".codex/config.toml").read_text())
    server = entry["mcp_servers"]["mempalace"]
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    ended = subprocess.run(
        [server["command"], *server["args"]],
        input="".join(json.dumps(one) + "\n" for one in asked),
        env=sandbox.variables(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    (tools,) = [answer["result"]["tools"] for answer in answers if answer.get("id") == 2]
    assert "mempalace_search" in {tool["name"] for tool in tools}
