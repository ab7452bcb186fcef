"""Writes pi session files the way pi does, and looks at whole folders, for the tests beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.pi import open_store

FIXTURES = Path(__file__).parents[1] / "fixtures" / "pi"
START = "2026-03-01T10:00:00.000Z"
START_MS = 1772359200000

Said = list[tuple[str, str]]


def header(id: str = "s1", version: int | None = 3, **more: Any) -> dict[str, Any]:
    """A session file's first line."""
    line: dict[str, Any] = {
        "type": "session",
        "id": id,
        "timestamp": START,
        "cwd": "/home/dev/lab/queue",
    }
    if version is not None:
        line["version"] = version
    return {**line, **more}


def said(role: str, text: Any, id: str, parent: str | None, second: int = 0) -> dict[str, Any]:
    """A message entry `second` seconds after START."""
    stamp = f"2026-03-01T10:{second // 60:02}:{second % 60:02}.000Z"
    content = text if isinstance(text, list) else [{"type": "text", "text": text}]
    message = {"role": role, "content": content, "timestamp": START_MS + second * 1000}
    entry = {"type": "message", "id": id, "parentId": parent, "timestamp": stamp}
    return {**entry, "message": message}


def chain(*talk: str, prefix: str = "e", parent: str | None = None) -> list[dict[str, Any]]:
    """Turns of user and assistant, each the child of the one before."""
    entries = []
    for number, text in enumerate(talk):
        name = f"{prefix}{number}"
        role = "assistant" if number % 2 else "user"
        entries.append(said(role, text, name, parent, number))
        parent = name
    return entries


def lines(*values: Any) -> bytes:
    """Values as a file's lines; bytes are taken as they are."""
    rows = [
        value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        for value in values
    ]
    return b"".join(row + b"\n" for row in rows)


def write(folder: Path, content: bytes, name: str = "2026-03-01T10-00-00-000Z_s1.jsonl") -> Path:
    """A session file in its folder under `folder`."""
    path = folder / "--home-dev-lab-queue--" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read_all(*places: Path) -> dict[str, Session]:
    """Every session of a store, by id."""
    with open_store(places) as store:
        return {ref.id: store.read_session(ref) for ref in store.find_sessions()}


def read_one(place: Path) -> Session:
    """The only session of a store."""
    [session] = read_all(place).values()
    return session


def talk_of(session: Session) -> Said:
    """A session's turns as (role, text)."""
    return [(turn.role, turn.text) for turn in session.turns]


def kinds(session: Session) -> list[str]:
    """The kinds of a session's findings."""
    return [finding.kind for finding in session.findings]


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    """Every file and folder under `root` with its mtime and digest."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [root, *root.rglob("*")]
    }
