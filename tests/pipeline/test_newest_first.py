"""The newest sessions are filed first, and an interruption says how far the run had come."""

from __future__ import annotations

import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.pipeline import PalaceRequest, RunRequest
from mempalace_toolkit.pipeline.batches import (
    FIRST_BYTES,
    MOST_BYTES,
    WaitingPage,
    plan_batches,
    plan_rounds,
)
from tests.cli.test_interruption import start
from tests.conftest import Sandbox
from tests.mining.test_mempalace_failures import wait_for
from tests.sessions.pi_writing import START_MS, chain, header, lines, write

DAY_MS = 86_400_000

TARGET = PalaceRequest(
    "mempalace-pi-session",
    PalaceLocation(Path("/palace"), "chroma", "minilm"),
    Path("/data"),
    Path("/home"),
    ModelRequest(Path("/cache")),
    {},
    0,
    "19700101-000000",
)
REQUEST = RunRequest(TARGET, "pi")


def waiting(sizes: list[int], wings: int) -> list[WaitingPage]:
    """Pages of these sizes, one after another from wing to wing."""
    return [
        WaitingPage(f"pi/w{n % wings}", f"pi/w{n % wings}/p{n}.jsonl", size)
        for n, size in enumerate(sizes)
    ]


@given(st.lists(st.integers(0, 900_000), max_size=200), st.integers(1, 9))
def test_batches_and_rounds_hold_every_page_once_the_newest_first(
    sizes: list[int], wings: int
) -> None:
    pages = waiting(sizes, wings)
    batches = plan_batches(pages, REQUEST)
    assert [page for batch in batches for page in batch] == pages
    for batch in batches:
        rounds = plan_rounds(batch, split=True)
        named = [f"{folder}/{name}" for one in rounds for folder, n in one.items() for name in n]
        assert sorted(named) == sorted(page.path for page in batch)
        calls = sum(map(len, rounds))
        assert calls <= len({page.folder for page in batch}) + sum(p.size for p in batch) // 100_000


def test_a_small_run_is_one_batch_and_a_large_one_begins_with_a_small_batch() -> None:
    assert len(plan_batches(waiting([1000] * 500, 3), REQUEST)) == 1
    middle = plan_batches(waiting([10_000] * 100, 3), REQUEST)
    assert [len(batch) for batch in middle] == [40, 60]  # some 450 drawers, then the rest
    large = plan_batches(waiting([10_000] * 4000, 3), REQUEST)
    bytes_of = [sum(page.size for page in batch) for batch in large]
    assert bytes_of[0] <= FIRST_BYTES + 10_000
    assert max(bytes_of[:-1]) <= MOST_BYTES + 10_000
    own = replace(REQUEST, mempalace="/opt/mempalace")
    assert len(plan_batches(waiting([10_000] * 4000, 3), own)) == 1


def fill(home: Sandbox, sessions: int, long: int) -> None:
    """Sessions in wings whose names are ordered against their times, some in one wing."""
    for number in range(sessions):
        talk = [f"bird{number} {word} {'and so on ' * long}" for word in "abcdef"]
        day = f"2026-03-{number + 1:02}T10:00:0"
        records = chain(*talk)
        for second, record in enumerate(records):
            record["timestamp"] = f"{day}{second}.000Z"
            record["message"]["timestamp"] = START_MS + number * DAY_MS + second * 1000
        first = header(
            id=f"s{number:02}",
            cwd=f"/home/u/w{(sessions - number) // 2:02}",
            timestamp=f"{day}0.000Z",
        )
        folder = home.home / ".pi/agent/sessions"
        write(folder, lines(first, *records), f"{day[:10]}T10-00-00-000Z_s{number:02}.jsonl")


def filed(home: Sandbox) -> list[str]:
    """The sessions in the order in which their first drawer was filed."""
    with sqlite3.connect(home.palace / "chroma.sqlite3") as database:
        rows = database.execute(
            "select f.string_value from embedding_metadata f where f.key = 'source_file'"
            " order by f.id"
        ).fetchall()
    database.close()
    return list(dict.fromkeys(Path(row[0]).name.split("--")[1] for row in rows))


@pytest.mark.palace
def test_the_newest_sessions_are_filed_first_across_wings(sandbox: Sandbox) -> None:
    fill(sandbox, 8, 2)
    done = sandbox.pi_session("--json")
    assert (done.code, done.json["counts"]["new"]) == (0, 8), done
    assert filed(sandbox) == [f"s{number:02}" for number in reversed(range(8))]


@pytest.mark.palace
def test_an_interrupted_run_says_what_can_be_searched_and_that_the_rest_follows(
    sandbox: Sandbox,
) -> None:
    fill(sandbox, 24, 40)
    process = start(sandbox, name="mempalace-pi-session")
    wait_for(lambda: len(_seen(sandbox)) > 1, 240)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    there = filed(sandbox)
    assert 0 < len(there) < 24, there
    assert there == [f"s{number:02}" for number in reversed(range(24))][: len(there)]
    assert "of 24 new pages are filed and can be searched" in told
    assert not told.partition("interrupted; ")[2].startswith("0 of")
    assert sandbox.pi_session().code == 0
    assert len(filed(sandbox)) == 24


def _seen(home: Sandbox) -> list[str]:
    if not (home.palace / "chroma.sqlite3").exists():
        return []
    try:
        return filed(home)
    except sqlite3.Error:  # it is being made
        return []
