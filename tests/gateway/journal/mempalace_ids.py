"""Says under which ids MemPalace's own tools file a write, at a given time, and what they answer.

A process of its own: MemPalace's server module, with a collection that only remembers ids.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any


class Remembering:
    """A collection that holds what is filed for as long as the process lives."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def get(self, ids: list[str] | None = None, **_: Any) -> dict[str, Any]:
        found = [one for one in ids or [] if one in self.ids]
        return {"ids": found, "metadatas": [{} for _ in found], "documents": ["" for _ in found]}

    def add(self, ids: list[str], **_: Any) -> None:
        self.ids.extend(ids)

    upsert = add


class Stopped:
    """In the place of `datetime`: a clock that stands still."""

    def __init__(self, moment: str) -> None:
        self._moment = datetime.fromisoformat(moment)

    def now(self) -> datetime:
        return self._moment


def main() -> None:
    from mempalace import mcp_server

    answers = []
    for tool, arguments, clock in json.load(sys.stdin):
        collection = Remembering()

        namespace: dict[str, Any] = vars(mcp_server)
        namespace["_get_collection"] = lambda *_, kept=collection, **__: kept
        namespace["tool_check_duplicate"] = lambda *_, **__: {"is_duplicate": False}
        namespace["datetime"] = Stopped(clock)
        answer = namespace["TOOLS"][tool]["handler"](**arguments)
        answers.append([answer, collection.ids])
    Path(sys.argv[1]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
