"""A process that acknowledges writes on a disk until that is full, and then once more after."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.gateway.journal.commit import GroupCommit
from mempalace_toolkit.gateway.journal.file import open_journal
from mempalace_toolkit.gateway.journal.values import AskedWrite

NOON = datetime(2026, 3, 1, 12)


def main() -> None:
    disk = Path(sys.argv[1])
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    acknowledged: list[int] = []
    refused = 0
    with open_journal(disk / "journal", "x") as journal, GroupCommit(journal.rows) as commit:
        for number in range(1, 1000):
            write = AskedWrite("t", {"content": f"{number} {'x' * 5000}"}, f"{number}")
            clock = NOON + timedelta(seconds=number)
            try:
                commit.do(lambda rows, write=write, clock=clock: rows.put(write, clock))  # type: ignore[misc]
                acknowledged.append(number)
            except WriteUndoneError:
                refused += 1
                if refused == 3:
                    ballast.unlink()
                if refused == 6:
                    break
    ballast.unlink(missing_ok=True)
    with open_journal(disk / "journal", "x") as journal:
        found = [int(row.key or 0) for row in journal.rows.queued()]
        assert journal.salvaged is None
        assert found == acknowledged, (found, acknowledged)
        assert refused == 6
        assert acknowledged[-1] > len(acknowledged), "nothing was taken after there was room again"


if __name__ == "__main__":
    main()
