"""Where pi may have written sessions: its default folder, its two variables, its own settings."""

from __future__ import annotations

import os
from pathlib import Path

import orjson


def searched(home: Path, agent_dir: str | None, session_dir: str | None) -> tuple[Path, ...]:
    """The folders in which pi may have written sessions, the most particular first.

    `agent_dir` and `session_dir` are what PI_CODING_AGENT_DIR and PI_CODING_AGENT_SESSION_DIR
    say. They, and `sessionDir` in pi's settings.json, only tell where pi writes now. What it
    wrote before, or without them, is in the default folder, which is therefore always searched.
    """
    default = home / ".pi" / "agent"
    agents = [_expanded(agent_dir, home), default] if agent_dir else [default]
    places = [_expanded(session_dir, home)] if session_dir else []
    for agent in agents:
        if configured := _configured(agent / "settings.json"):
            places.append(_expanded(configured, home))
    places += [agent / "sessions" for agent in agents]
    return tuple(dict.fromkeys(places))


def locate(home: Path, agent_dir: str | None, session_dir: str | None) -> tuple[Path, ...]:
    """Those of the `searched` folders that exist, also those that cannot be read."""
    return tuple(place for place in searched(home, agent_dir, session_dir) if _exists(place))


def _configured(settings: Path) -> str:
    """The session folder of a settings file; a relative one would be another in each project."""
    try:
        value = orjson.loads(settings.read_bytes())
    except (OSError, ValueError):
        return ""  # pi does not read such a file either
    folder = value.get("sessionDir") if isinstance(value, dict) else None
    return folder if isinstance(folder, str) and folder.startswith(("/", "~")) else ""


def _expanded(place: str, home: Path) -> Path:
    """A folder as pi understands it: `~` is the home folder."""
    return home / place[2:] if place == "~" or place.startswith("~/") else Path(place)


def _exists(place: Path) -> bool:
    try:
        os.stat(place)  # noqa: PTH116 - Path.exists raises for some errors and hides others
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True
