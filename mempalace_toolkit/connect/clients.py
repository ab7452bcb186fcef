"""The agents that can be connected: where each keeps its MCP servers and looks for skills.

Places and shapes: the agents' own documentation; the MCP entries were tried with opencode
1.18.33, Claude Code 2.1.197 and Codex. pi has no MCP on purpose: its skill names our search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Form = Literal["json", "toml"]

SERVER = "mempalace"
"""The name of the MCP server in every agent's configuration."""

SKILL = "mempalace-toolkit"
"""The name of the skill's folder; it must equal the name that SKILL.md gives."""

SKILL_FILE = "SKILL.md"


@dataclass(frozen=True, slots=True)
class Client:
    """One agent. `settings` is its MCP file, None where it has no MCP; `table` is the key there."""

    name: str
    home: Path
    skills: Path
    settings: Path | None = None
    form: Form = "json"
    table: str = ""

    @property
    def installed(self) -> bool:
        """Whether the agent has been used by this user."""
        return self.home.exists()

    @property
    def skill(self) -> Path:
        """Where the skill's file belongs."""
        return self.skills / SKILL / SKILL_FILE


def clients(home: Path, environment: Mapping[str, str]) -> dict[str, Client]:
    """Every agent that is known, by name."""
    configured = environment.get("XDG_CONFIG_HOME", "")
    xdg = Path(configured) if configured.startswith("/") else home / ".config"
    opencode = xdg / "opencode"
    pi = _place(environment, "PI_CODING_AGENT_DIR", home / ".pi/agent", home)
    claude = _place(environment, "CLAUDE_CONFIG_DIR", home / ".claude", home)
    claude_settings = (
        claude / ".claude.json" if environment.get("CLAUDE_CONFIG_DIR") else home / ".claude.json"
    )
    codex = _place(environment, "CODEX_HOME", home / ".codex", home)
    found = [
        Client("opencode", opencode, opencode / "skills", _opencode_file(opencode), "json", "mcp"),
        Client("pi", pi, pi / "skills"),
        Client("claude-code", claude, claude / "skills", claude_settings, "json", "mcpServers"),
        Client("codex", codex, codex / "skills", codex / "config.toml", "toml", "mcp_servers"),
    ]
    return {client.name: client for client in found}


def _place(environment: Mapping[str, str], variable: str, usual: Path, home: Path) -> Path:
    """The folder that a variable names, `~/` included, else the usual one."""
    named = environment.get(variable, "")
    if not named:
        return usual
    return home / named[2:] if named.startswith("~/") else Path(named)


def _opencode_file(folder: Path) -> Path:
    """opencode reads `opencode.jsonc` too, and the older `config.json`."""
    for name in ("opencode.json", "opencode.jsonc", "config.json"):
        if (folder / name).exists():
            return folder / name
    return folder / "opencode.json"


def server_entry(client: Client, command: list[str]) -> dict[str, object]:
    """The MCP server's entry in the shape that the agent reads."""
    if client.name == "opencode":
        return {"type": "local", "command": command, "enabled": True}
    entry: dict[str, object] = {"command": command[0], "args": command[1:]}
    return {"type": "stdio", **entry} if client.name == "claude-code" else entry
