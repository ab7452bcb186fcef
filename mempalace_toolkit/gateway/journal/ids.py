"""The ids that a write will have in the palace, known before it is done.

MemPalace 3.11: a drawer's id is a digest of wing, room and content, a diary entry's has the time
and a digest of the entry. A text above the chunk size is filed in chunks, whose ids begin with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CHUNK_SIZE = 800
"""MemPalace's own, where its configuration has no `chunk_size`."""

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_DIARY_AGENT = "cursor-ide"  # a checkpoint's diary without an agent


@dataclass(frozen=True, slots=True)
class ComingId:
    """An id as the tool answers it, and the ids of the rows that the palace will have."""

    id: str
    rows: tuple[str, ...]


def coming_ids(
    tool: str, arguments: Mapping[str, Any], clock: datetime, chunk_size: int = CHUNK_SIZE
) -> tuple[ComingId, ...]:
    """The ids of what a write will file, at the time that is its own; none where it files nothing.

    Of a checkpoint those of all items: one that resembles a drawer of the palace is not filed.
    """
    if tool == "mempalace_add_drawer":
        found = [_drawer(arguments, chunk_size)]
    elif tool == "mempalace_diary_write":
        found = [_diary(arguments, clock, chunk_size)]
    elif tool == "mempalace_checkpoint":
        items = arguments.get("items")
        listed = items if isinstance(items, list) else []
        found = [_drawer(item, chunk_size) for item in listed if isinstance(item, Mapping)]
        diary = arguments.get("diary")
        if isinstance(diary, Mapping):
            entry = diary.get("entry") or diary.get("content")
            found.append(
                _diary({"agent_name": _DIARY_AGENT, **diary, "entry": entry}, clock, chunk_size)
            )
    else:
        found = []
    return tuple(dict.fromkeys(one for one in found if one))


def _drawer(arguments: Mapping[str, Any], chunk_size: int) -> ComingId | None:
    wing, room, content = (arguments.get(name) for name in ("wing", "room", "content"))
    if not (isinstance(wing, str) and isinstance(room, str) and isinstance(content, str)):
        return None
    wing, room, content = wing.strip(), room.strip(), _legal(content)
    parts = "".join(f"{len(part)}:{part}" for part in (wing, room, content))
    digest = hashlib.sha256(parts.encode()).hexdigest()[:24]
    return _in_chunks(f"drawer_{wing}_{room}_{digest}", content, chunk_size)


def _diary(arguments: Mapping[str, Any], clock: datetime, chunk_size: int) -> ComingId | None:
    agent, entry = arguments.get("agent_name"), arguments.get("entry")
    wing = arguments.get("wing") or ""
    if not (isinstance(agent, str) and isinstance(entry, str) and isinstance(wing, str)):
        return None
    agent, entry = agent.strip().lower(), _legal(entry)
    wing = wing.strip() if wing else f"wing_{agent.replace(' ', '_')}"
    digest = hashlib.sha256(entry.encode()).hexdigest()[:12]
    return _in_chunks(f"diary_{wing}_{clock:%Y%m%d_%H%M%S%f}_{digest}", entry, chunk_size)


def _in_chunks(identity: str, text: str, chunk_size: int) -> ComingId:
    if len(text) <= chunk_size:
        return ComingId(identity, (identity,))
    count = -(-len(text) // chunk_size)
    return ComingId(identity, tuple(f"{identity}_chunk_{index:06d}" for index in range(count)))


def _legal(text: str) -> str:
    """The text as MemPalace files it: half a surrogate pair becomes U+FFFD."""
    return _HALF_PAIR.sub("\ufffd", text)
