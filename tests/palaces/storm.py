"""Run as a child: does one thing to a palace, as the commands do it. PALACE HOME WHAT [EXCHANGE].

It prints a line when it begins, so that a test can kill it at a moment of its choice. With
`without` as EXCHANGE the kernel has no exchange of names.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from mempalace_toolkit.files import exchange as exchanging
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.quarantine.folders import list_quarantined
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.index.repair.pruning import plan_pruning, prune
from mempalace_toolkit.index.repair.restoring import restore_index
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.toolkit_lock import palace_lock
from tests.palaces.repairing import Model, setting


def main() -> None:
    """Do it, under the palace's lock."""
    folder, home, what, *exchange = sys.argv[1:]
    if exchange == ["without"]:
        exchanging._exchange_at_once = _refuse
    palace = PalaceLocation(Path(folder), "chroma", "minilm")
    model = Model()
    print("begins", flush=True)
    with palace_lock(palace.path, Path(home), 60, "storm"):
        if what == "prune":
            prune(palace.path, plan_pruning(palace, 0))
        elif what == "restore":
            restore_index(palace, list_quarantined(palace.path)[-1].folder.name)
        else:
            plan = plan_repair(palace, check_palace(palace))
            repair_palace(palace, plan, setting(Path(home), model))
    print("done", flush=True)


def _refuse(first: Path, second: Path) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


if __name__ == "__main__":
    main()
