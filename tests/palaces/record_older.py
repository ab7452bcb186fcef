"""Records a small palace of an older chromadb: `python tests/palaces/record_older.py 0.6.3`.

That version is installed into an environment of its own, and builds the shape `older` there.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
OLDER = HERE.parent / "fixtures" / "palaces"


def main() -> None:
    """Build it, and pack it without owners and times."""
    version = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        environment, palace = Path(scratch, "environment"), Path(scratch, "palace")
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", f"chromadb=={version}"], check=True)
        building = f"from tests.palaces.building import build; build({str(palace)!r}, 'older')"
        subprocess.run([python, "-c", building], cwd=HERE.parents[1], check=True)
        OLDER.mkdir(exist_ok=True)
        with tarfile.open(OLDER / f"{version}.tar.xz", "w:xz") as packed:
            packed.add(palace, ".", filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
