"""Clients that have the index open while it is replaced: nothing that they write is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from making import DRAWERS, Drawer, drawer, embed
from opening import Chroma
from repairing import repair
from segment_editing import Victim

from mempalace_toolkit.palace.check import check_palace
from mempalace_toolkit.palace.location import PalaceLocation

CLIENT = Path(__file__).with_name("live_client.py")
FIRST, WRITTEN = 7000, 230  # more than the sync threshold of the usual palace


@contextmanager
def live_client(palace: Path, home: Path) -> Iterator[Callable[[int, int], str]]:
    """A client that has the drawers' index open; call it to have drawers written."""
    client = subprocess.Popen(
        [sys.executable, str(CLIENT), str(palace)],
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin
    assert client.stdout

    def write(start: int, count: int) -> str:
        print(start, count, file=client.stdin, flush=True)
        return client.stdout.readline().strip()  # type: ignore[union-attr]

    try:
        assert client.stdout.readline() == "open\n"
        yield write
    finally:
        client.stdin.close()
        client.wait(timeout=60)
        client.stdout.close()


def segment_of(palace: Path) -> Path:
    """The folder of the drawers' index."""
    connection = sqlite3.connect(palace / "chroma.sqlite3")
    (name,) = connection.execute(
        "select s.id from segments s join collections c on c.id = s.collection"
        " where s.scope = 'VECTOR' and c.name = ?",
        [DRAWERS],
    ).fetchone()
    connection.close()
    return palace / str(name)


def assert_whole(chroma: Chroma, palace: Path, before: dict[str, Drawer]) -> None:
    """A client finds what was there before and what was written since, each by its vector."""
    seen = chroma.ask(palace)[DRAWERS]
    new = [drawer(DRAWERS, n) for n in range(FIRST, FIRST + WRITTEN)]
    assert set(seen.texts) == {*before, *(one.id for one in new)}
    assert seen.reached == set(seen.texts)
    ids = list(seen.texts)
    vectors = embed([seen.texts[one] for one in ids], 384)
    assert np.abs(np.array([seen.vectors[one] for one in ids]) - vectors).max() < 1e-5


def test_an_index_that_a_client_tore_apart_between_two_folders_is_put_together_again(
    victim: Victim, chroma: Chroma, tmp_path: Path
) -> None:
    """As versions that exchanged the folders under a client of another container left it."""
    before = dict.fromkeys(chroma.ask(victim.palace)[DRAWERS].texts)
    copy = tmp_path / "copy"
    shutil.copytree(victim.palace, copy)
    (segment_of(copy) / "index_metadata.pickle").unlink()
    there = PalaceLocation(copy, "chroma", "minilm")
    repair(there, check_palace(there), tmp_path)
    live = victim.segment
    with live_client(victim.palace, tmp_path) as write:
        live.rename(f"{live}.drift-20260101-000000")
        shutil.copytree(segment_of(copy), live)
        assert write(FIRST, WRITTEN) == "written"
    place = PalaceLocation(victim.palace, "chroma", "minilm")
    findings = check_palace(place)
    assert not all(one.harmless for one in findings)
    result = repair(place, findings, tmp_path)
    assert result.plan.to_embed == 0
    assert_whole(chroma, victim.palace, before)
