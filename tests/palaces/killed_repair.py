"""Run as a child: repairs a palace and kills itself before a step. PALACE HOME STEP."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.repairing import Model, setting


def main() -> None:
    """Repair until the step."""
    folder, home, step = sys.argv[1:]

    def kill(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    palace = PalaceLocation(Path(folder), "chroma", "minilm")
    killed = replace(setting(Path(home), Model()), before_step=kill)
    repair_palace(palace, plan_repair(palace, check_palace(palace)), killed)


if __name__ == "__main__":
    main()
