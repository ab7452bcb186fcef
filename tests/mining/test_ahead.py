"""Drawers embedded before the palace is held: the same vectors, kept over kills, then removed."""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.test_whole_job import BASIC, put_opencode, say

pytestmark = pytest.mark.palace

Recorded = Callable[[str], Path]

WORDS = [
    "heron",
    "quay",
    "ledger",
    "über",
    "鷺",
    "🪶",
    "palace",
    "index",
    "drawer",
    "of",
    "the",
    "a",
    "und",
    "`x",
    "=",
    "1`",
    "--",
    "mañana",
]


@pytest.fixture
def store(sandbox: Sandbox, recorded: Recorded) -> Path:
    """opencode's database in this home, with some ninety drawers of every length to mine."""
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    dice = random.Random(7)
    for number in range(48):
        question = " ".join(dice.choices(WORDS, k=dice.randrange(1, 60)))
        answer = " ".join(dice.choices(WORDS, k=dice.randrange(1, 500)))
        say(database, BASIC, number, f"{number}? {question}", answer)
    return database


def vectors(palace: Path) -> dict[str, set[bytes]]:
    """The vectors in a palace's queue, which holds all of a small one, by their text."""
    with sqlite3.connect(palace / "chroma.sqlite3") as database:
        rows = database.execute(
            "select m.string_value, q.vector from embeddings e join embedding_metadata m"
            " on m.id = e.id and m.key = 'chroma:document' join embeddings_queue q"
            " on q.id = e.embedding_id and q.vector is not null"
        ).fetchall()
    found: dict[str, set[bytes]] = {}
    for text, vector in rows:
        if not text.startswith("[registry]"):
            found.setdefault(text, set()).add(vector)
    return found


@contextmanager
def started(sandbox: Sandbox) -> Iterator[subprocess.Popen[str]]:
    """`mempalace-session` under way."""
    command = subprocess.Popen(
        sandbox.command("mempalace-session"),
        env=sandbox.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield command
    finally:
        command.kill()
        command.wait()
        command.stderr.close()  # type: ignore[union-attr]


def read_until(command: subprocess.Popen[str], stage: str) -> str:
    """The line with which the run begins a stage."""
    assert command.stderr is not None
    return next(line for line in command.stderr if line.startswith(stage))


def kept(sandbox: Sandbox) -> int:
    """Whole records below the folder of vectors."""
    files = (sandbox.data / "vectors").rglob("*.vectors")
    return sum(file.stat().st_size // 1576 for file in files)


def to_embed(told: str) -> int:
    """How many drawers a run said that it would embed ahead."""
    return int(re.findall(r"^embedding drawers(?:: (\d+))?", told, re.MULTILINE)[-1] or 0)


def last_log(sandbox: Sandbox) -> str:
    logs = sorted((sandbox.home / ".local/state/mempalace-toolkit/logs").glob("*.log"))
    return logs[-1].read_text()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.own_children
def test_vectors_are_mempalaces_own_to_the_last_bit(sandbox: Sandbox, store: Path) -> None:
    answer = sandbox.session()
    assert answer.code == 0, answer
    told = re.findall(
        r"^vectors: (\d+) computed in advance, (\d+) computed by", last_log(sandbox), re.MULTILINE
    )
    assert int(told[-1][0]) > 60
    assert told[-1][1] == "0"
    assert kept(sandbox) == 0
    pages = shutil.copytree(sandbox.spool, sandbox.home / "pages")
    other = sandbox.home / "other"
    mine = ("--palace", other, "mine", pages, "--mode", "convos", "--wing", "all")
    assert sandbox.run("mempalace", *mine).code == 0
    assert vectors(sandbox.palace) == vectors(other)


def test_the_palace_is_free_while_drawers_are_embedded(sandbox: Sandbox, store: Path) -> None:
    with started(sandbox) as command:
        read_until(command, "embedding drawers")
        lock = os.open(sandbox.palace / ".mempalace-toolkit.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        wait_for(lambda: kept(sandbox) > 60)
        time.sleep(1)
        assert command.poll() is None
        assert not (sandbox.palace / "chroma.sqlite3").exists()
        os.close(lock)
        assert command.wait(timeout=300) == 0
    assert vectors(sandbox.palace)


def test_a_palace_taken_meanwhile_is_busy_and_the_vectors_stay(
    sandbox: Sandbox, store: Path
) -> None:
    sandbox.configure("wait = 0\n")
    with started(sandbox) as command:
        read_until(command, "embedding drawers")
        lock = os.open(sandbox.palace / ".mempalace-toolkit.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert command.wait(timeout=300) == 75
        os.close(lock)
    again = sandbox.session()
    assert again.code == 0, again
    assert to_embed(again.err) == 0


def test_a_run_killed_while_embedding_embeds_no_kept_text_again(
    sandbox: Sandbox, store: Path
) -> None:
    with started(sandbox) as command:
        total = to_embed(read_until(command, "embedding drawers"))
        wait_for(lambda: kept(sandbox) >= 30)
        command.send_signal(signal.SIGKILL)
    time.sleep(1)  # the child ends with its parent
    there = kept(sandbox)
    for file in (sandbox.data / "vectors").rglob("*.vectors"):
        with file.open("ab") as torn:
            torn.write(b"\0" * 700)
    again = sandbox.session()
    assert again.code == 0, again
    assert to_embed(again.err) == total - there


def test_a_run_killed_while_mining_embeds_nothing_again(sandbox: Sandbox, store: Path) -> None:
    with started(sandbox) as command:
        read_until(command, "filing pages")
        wait_for(lambda: "  + [" in last_log(sandbox))
        command.send_signal(signal.SIGKILL)
    time.sleep(1)
    again = sandbox.session()
    assert again.code == 0, again
    assert to_embed(again.err + "\nembedding drawers: 0") == 0
    # Its child may have filed all before it died: then the second run embeds nothing at all.
    told = re.findall(r"^vectors: \d+ computed in advance, (\d+) ", last_log(sandbox), re.MULTILINE)
    assert set(told) <= {"0"}
    assert kept(sandbox) == 0


def test_kept_vectors_that_are_not_mempalaces_are_thrown_away(
    sandbox: Sandbox, store: Path
) -> None:
    with started(sandbox) as command:
        read_until(command, "embedding drawers")
        wait_for(lambda: kept(sandbox) >= 60)
        command.send_signal(signal.SIGKILL)
    time.sleep(1)
    file = next((sandbox.data / "vectors").rglob("*.vectors"))
    poison(file, "probe")
    answer = sandbox.session()
    assert answer.code == 0, answer
    assert "would differ from those of MemPalace's own embedder" in last_log(sandbox)
    assert kept(sandbox) == 0
    assert vectors(sandbox.palace)


def poison(file: Path, text: str) -> None:
    """Exchange the kept vectors of a text for another one's, in a record that is whole."""
    from mempalace_toolkit.mining.kept_vectors import KeptVectors, VectorWriter, digest_of

    found = KeptVectors(file.parent).find(digest_of(text))
    assert found is not None
    wrong = found.copy()[None, ::-1]
    file.unlink()
    writer = VectorWriter(file.parent)
    writer.add([digest_of(text)], wrong)
    writer.close()
