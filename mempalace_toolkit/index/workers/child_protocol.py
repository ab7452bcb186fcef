"""What every child of ours does first: ends with its parent, writes no endless file, is quiet."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from typing import Any

from mempalace_toolkit.children import end_with_parent


def begin() -> dict[str, Any]:
    """Settle this process and read its task, the first line of stdin."""
    end_with_parent()
    task: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    limit_files(int(task["largest_file"]))
    return task


def limit_files(largest: int) -> None:
    """Have the kernel end this process where it writes a file beyond so many bytes, or a core."""
    # Whoever started the command may have set a lower limit, which nobody may raise.
    limits = [one for one in resource.getrlimit(resource.RLIMIT_FSIZE) if one >= 0]
    allowed = min([largest, *limits])
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(content: Mapping[str, object]) -> None:
    """Print the child's one answer."""
    print(json.dumps(content), flush=True)


def open_client(
    folder: str, tenant: str = "default_tenant", database: str = "default_database"
) -> Any:
    """chromadb's client on a folder, as MemPalace opens it."""
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    return chromadb.PersistentClient(folder, settings, tenant, database)
