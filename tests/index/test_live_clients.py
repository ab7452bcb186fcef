"""Clients that have the index open while it is replaced: nothing that they write is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.errors import PalaceBusyError
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces import script, script_environment
from tests.palaces.making import DRAWERS, drawer, embed
from tests.palaces.opening import Chroma
from tests.palaces.repairing import Model, repair, setting
from tests.palaces.segment_editing import Victim

CLIENT = script("live_client.py")
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")  # sees no client outside of it
FIRST, WRITTEN = 7000, 230  # more than the sync threshold of the usual palace


@contextmanager
def live_client(palace: Path, home: Path) -> Iterator[Callable[[int, int], str]]:
    """A client that has the drawers' index open; call it to have drawers written."""
    client = subprocess.Popen(
        [sys.executable, CLIENT, str(palace)],
        env=script_environment(home),
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


def assert_whole(chroma: Chroma, palace: Path, before: Set[str]) -> None:
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
    before = chroma.ask(victim.palace)[DRAWERS].texts.keys()
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


def repaired(
    home: Path, palace: Path, step: str = "none", hidden: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Repair in a process of its own, `hidden` by a namespace, killed before a step."""
    if hidden and subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let the test make a PID namespace")
    program = script("killed_repair.py")
    return subprocess.run(
        [*hidden, sys.executable, program, str(palace), str(home), step],
        env=script_environment(home),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_client_that_a_repair_cannot_see_damages_nothing_and_finds_the_new_index(
    victim: Victim, chroma: Chroma, tmp_path: Path
) -> None:
    before = chroma.ask(victim.palace)[DRAWERS].texts.keys()
    old = victim.segment
    with live_client(victim.palace, tmp_path) as write:
        (old / "index_metadata.pickle").write_bytes(b"")
        ended = repaired(tmp_path, victim.palace, hidden=NAMESPACE)
        assert ended.returncode == 0, ended
        assert victim.segment != old
        assert not old.exists()
        assert write(FIRST, WRITTEN) == "written"
    place = PalaceLocation(victim.palace, "chroma", "minilm")
    assert [one for one in check_palace(place) if not one.harmless] == []
    assert_whole(chroma, victim.palace, before)


@pytest.mark.parametrize("processes", ["/proc", "/nowhere"])
def test_a_client_is_seen_with_and_without_proc_and_named_after_a_repair(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    place = PalaceLocation(victim.palace, "chroma", "minilm")
    monkeypatch.setattr("mempalace_toolkit.palace.open_elsewhere._PROCESSES", Path(processes))
    with live_client(victim.palace, tmp_path):
        (victim.segment / "link_lists.bin").write_bytes(b"")
        plan = plan_repair(place, check_palace(place))
        with pytest.raises(PalaceBusyError, match=r"is open in PID \d+ \(live_client.py "):
            repair_palace(place, plan, setting(tmp_path, Model()))
        monkeypatch.setattr(
            "mempalace_toolkit.palace.mempalace_lock.refuse_while_open_elsewhere", lambda _: None
        )
        result = repair_palace(place, plan, setting(tmp_path, Model()))
    assert result.sound
    (line,) = (one for one in result.restart_lines() if "has the replaced index open" in one)
    assert "live_client.py" in line
    assert result.as_json()["restart"] == list(result.restart)


def test_a_client_that_flushes_the_old_index_during_a_repair_has_it_undone(
    victim: Victim, chroma: Chroma, tmp_path: Path
) -> None:
    before = chroma.ask(victim.palace)[DRAWERS].texts.keys()
    place = PalaceLocation(victim.palace, "chroma", "minilm")
    old = victim.segment
    with live_client(victim.palace, tmp_path) as write:
        (old / "link_lists.bin").write_bytes(b"")

        def meanwhile(step: str) -> None:
            if step == "switch":
                assert write(FIRST, WRITTEN) == "written"

        work = replace(setting(tmp_path, Model()), before_step=meanwhile)
        with pytest.MonkeyPatch.context() as hiding:
            hiding.setattr(
                "mempalace_toolkit.palace.mempalace_lock.refuse_while_open_elsewhere",
                lambda _: None,
            )
            with pytest.raises(PalaceBusyError, match="meanwhile: undone"):
                repair_palace(place, plan_repair(place, check_palace(place)), work)
    assert victim.segment == old
    findings = check_palace(place)
    if not all(one.harmless for one in findings):
        assert repair(place, findings, tmp_path).plan.to_embed == 0
    assert_whole(chroma, victim.palace, before)


@pytest.mark.parametrize("step", ["place", "switch", "set aside", "check", "clean", "prove"])
def test_a_repair_killed_while_it_replaces_an_index_is_made_up_for(
    victim: Victim, chroma: Chroma, tmp_path: Path, step: str
) -> None:
    before = chroma.ask(victim.palace)[DRAWERS]
    earlier = victim.segment.with_name(f"{victim.segment.name}.drift-20250101-000000")
    shutil.copytree(victim.segment, earlier)
    (victim.segment / "index_metadata.pickle").write_bytes(b"")
    place = PalaceLocation(victim.palace, "chroma", "minilm")
    assert repaired(tmp_path, victim.palace, step).returncode == -9
    repair(place, check_palace(place), tmp_path)
    live = victim.segment
    aside = list(victim.palace.glob("*.drift-*"))
    aside += list(victim.palace.glob("*.corrupt-*"))
    assert {one.name.partition(".")[0] for one in aside} == {live.name}
    assert len(aside) == 2
    assert not list(victim.palace.glob("*/.mempalace-toolkit-replaces.json"))
    assert len(list(victim.palace.glob("????????-????-????-????-????????????"))) == 2
    seen = chroma.ask(victim.palace)[DRAWERS]
    assert seen.texts == before.texts
    assert seen.reached == before.reached
