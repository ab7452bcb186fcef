"""Run as a child: repairs a palace and kills itself before a step. PALACE HOME STEP."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from repairing import Model, setting

from mempalace_toolkit.palace.check import check_palace
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.plan import plan_repair
from mempalace_toolkit.palace.repair import repair_palace


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
