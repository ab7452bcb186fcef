"""Real palaces: made once a session by chromadb, copied for each test."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.opening import Chroma, Seen
from tests.palaces.segment_editing import Victim

Copy = Callable[[str], PalaceLocation]


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroma]:
    """A server that opens palaces in processes of their own."""
    server = Chroma(tmp_path_factory.mktemp("chroma"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def made(shared_folder: Path, chroma: Chroma) -> Callable[[str], Path]:
    """The palace of a shape in making.SHAPES, to copy and never to open; shared by workers."""

    def make(shape: str) -> Path:
        folder = shared_folder / "made" / shape
        folder.parent.mkdir(exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                half_made = folder.with_suffix(".half")
                chroma.answer("make", half_made, shape=shape)
                half_made.rename(folder)
        return folder

    return make


@pytest.fixture
def palace(made: Callable[[str], Path], tmp_path: Path) -> Copy:
    """A private copy of the palace of a shape, with its mtimes and its holes."""

    def copy(shape: str) -> PalaceLocation:
        target = tmp_path / f"{shape}-palace"
        subprocess.run(["cp", "-a", made(shape), target], check=True)
        return PalaceLocation(target, "chroma", "minilm")

    return copy


@pytest.fixture
def victim(palace: Copy, made: Callable[[str], Path], chroma: Chroma) -> Victim:
    """A copy of the usual palace, with deletes that the index has not taken in, to damage."""
    return Victim(palace("usual").path, made("usual_earlier"), chroma)


@pytest.fixture(scope="module")
def seen_before(
    made: Callable[[str], Path], chroma: Chroma, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Seen]:
    """What clients see of the usual palace, undamaged."""
    untouched = tmp_path_factory.mktemp("untouched") / "palace"
    subprocess.run(["cp", "-a", made("usual"), untouched], check=True)
    return chroma.ask(untouched)
