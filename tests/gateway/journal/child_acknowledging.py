"""A process that acknowledges writes from eight threads, and says so, until it is killed."""

from __future__ import annotations

import os
import sys
import threading
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

from mempalace_toolkit.gateway.journal.commit import GroupCommit
from mempalace_toolkit.gateway.journal.file import open_journal
from mempalace_toolkit.gateway.journal.rows import Rows
from mempalace_toolkit.gateway.journal.values import AskedWrite, State


def acknowledge(commit: GroupCommit, thread: int, begin: int) -> None:
    for number in count(begin):
        key = f"{thread}-{number}"
        write = AskedWrite("mempalace_add_drawer", {"content": f"{key} {'x' * 900}"}, key)
        row = commit.do(partial(Rows.put, asked=write, now=datetime.now())).row
        os.write(1, f"put {key} {row.sequence}\n".encode())


def drain(commit: GroupCommit) -> None:
    def first(rows: Rows) -> int:
        row = rows.next()
        if row is None or row.sequence % 3:
            return 0 if row is None else row.sequence
        rows.begin(row.sequence)
        return row.sequence

    while True:
        number = commit.do(first)
        if number:
            state = State.DONE if number % 5 else State.FAILED
            step = "done" if state is State.DONE else "fail"
            commit.do(lambda rows: getattr(rows, step)(number, number))  # noqa: B023
            os.write(1, f"{state} {number}\n".encode())


def main() -> None:
    folder, begin = Path(sys.argv[1]), int(sys.argv[2])
    with open_journal(folder, "damaged") as journal, GroupCommit(journal.rows) as commit:
        work = [lambda n=n: acknowledge(commit, n, begin) for n in range(7)]
        for target in [*work, lambda: drain(commit)]:
            threading.Thread(target=target, daemon=True).start()
        threading.Event().wait()


if __name__ == "__main__":
    main()
